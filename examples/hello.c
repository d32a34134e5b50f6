/* The smallest host: loads a model, fills its first input with the numbers given, runs it, prints its first output.
 *
 *     hello model.onnx 0.5 1 -2
 */
#include <stdio.h>
#include <stdlib.h>
#include <tenon/tenon.h>

int main(int argc, char **argv) {
    tn_model *model = NULL;
    tn_session *session = NULL;
    tn_tensor *x = NULL;
    const tn_tensor *y;
    tn_value_info info;
    int code = 1;

    if (argc < 2) return fprintf(stderr, "usage: hello MODEL.onnx [NUMBERS]\n"), 2;
    if (tn_model_load(argv[1], NULL, &model) != TN_OK) goto done;
    if (tn_model_input_info(model, 0, &info) != TN_OK) goto done;
    for (int i = 0; i < info.rank; i++)
        if (info.dims[i] < 0) info.dims[i] = 1; /* unknown sizes, as that of a batch */
    if (tn_tensor_create(TN_FLOAT32, info.rank, info.dims, NULL, &x) != TN_OK) goto done;
    float *in = tn_tensor_data(x);
    for (int i = 0; i < tn_tensor_count(x) && i + 2 < argc; i++) in[i] = strtof(argv[i + 2], NULL);

    if (tn_session_create(model, NULL, &session) != TN_OK) goto done;
    if (tn_session_set_input(session, 0, x) != TN_OK) goto done;
    if (tn_session_run(session) != TN_OK) goto done;
    if (tn_session_output(session, 0, &y) != TN_OK) goto done;
    if (tn_tensor_dtype(y) != TN_FLOAT32) goto done;
    for (int i = 0; i < tn_tensor_count(y); i++) printf("%g\n", (double)((const float *)tn_tensor_const_data(y))[i]);
    code = 0;
done:
    if (code) fprintf(stderr, "hello: %s\n", tn_last_error());
    tn_session_destroy(session);
    tn_tensor_destroy(x);
    tn_model_destroy(model);
    return code;
}
