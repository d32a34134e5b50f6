/* Self-tests: inputs with the outputs that a model must give for them, kept in its model file (tenon/model_file.h).
 *
 *     // where the model is made
 *     tn_self_test *t;
 *     tn_self_test_case c = {sizeof c, .name = "a worn die", .relative = 1e-3f, .absolute = 1e-5f,
 *                            .input_count = 1, .inputs = &(tn_named_tensor){"sound", x}};
 *     tn_self_test_create(&t);
 *     tn_self_test_record(t, model, &c);               // what the model gives now is what it must give
 *     tn_graph_save(graph, "press.tenon", &(tn_model_file_options){sizeof(tn_model_file_options), .self_test = t});
 *     // where it runs: subscriptions do it before they switch, `tenon check` and gates of stores as well
 *     tn_self_test_of_model(model, &t);
 *     tn_self_test_run(t, model, NULL, &result);
 *
 * It proves that this machine, this library and these weights together compute what was measured where the model was
 * made: a wrong instruction set, a damaged memory, or weights of another training do not get through it.
 *
 * An output agrees if it has the data type and shape of what is expected, and each element |found - expected| <=
 * absolute + relative |expected|; NaN agrees with NaN, texts with equal ones. Outputs that a case does not name are not
 * looked at. Instruction sets round differently: 0 and 0, which asks for the same values, is for integers;
 * a relative tolerance of 1e-3 is usual, 2e-2 where hosts use TN_PRECISION_FAST. Inputs and outputs are tensors;
 * sequences and optionals cannot be in a case.
 *
 * Thread-safety: a self-test may be run by many threads once it is complete. */
#ifndef TENON_SELF_TEST_H
#define TENON_SELF_TEST_H

#include <tenon/session.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_self_test tn_self_test;

typedef struct tn_named_tensor {
    const char *name; /* of the model's input or output */
    const tn_tensor *tensor;
} tn_named_tensor;

typedef struct tn_self_test_case {
    size_t struct_size;
    const char *name; /* for sentences; up to 200 bytes; NULL: none */
    float relative, absolute;
    int input_count, output_count;
    const tn_named_tensor *inputs, *outputs;
} tn_self_test_case;

TN_API tn_status tn_self_test_create(tn_self_test **out_test);
TN_API void tn_self_test_destroy(tn_self_test *test); /* accepts NULL */
/* Adds a case, whose tensors are copied. At most 1024 cases, of 256 MiB in all. */
TN_API tn_status tn_self_test_add(tn_self_test *test, const tn_self_test_case *one);
/* Likewise, but expected are all outputs that the model gives for the inputs now; the case's own do not matter. */
TN_API tn_status tn_self_test_record(tn_self_test *test, const tn_model *model, const tn_self_test_case *one);
/* TN_E_NOT_FOUND past the last. What it points to is the test's. Set struct_size first. */
TN_API tn_status tn_self_test_at(const tn_self_test *test, int index, tn_self_test_case *out_case);

/* The self-test of the file that the model was loaded from; TN_E_NOT_FOUND if it has none. */
TN_API tn_status tn_self_test_of_model(const tn_model *model, tn_self_test **out_test);

typedef struct tn_self_test_result {
    size_t struct_size; /* set by the caller */
    int cases, failed;
    double
        worst; /* the greatest difference, in tolerances: up to 1 is good. Infinity where nothing could be compared */
} tn_self_test_result;
/* Runs every case in a session of its own. TN_E_CHECK if one fails: the sentence names the first, its output and
 * element, what was expected and found. options (of the session) and out_result may be NULL. */
TN_API tn_status tn_self_test_run(const tn_self_test *test, const tn_model *model, const tn_session_options *options,
                                  tn_self_test_result *out_result);

#ifdef __cplusplus
}
#endif
#endif
