/* Self-tests: convert --self-test puts them into model files, check runs them. */
#include "tool.h"
#include <stdlib.h>
#include <string.h>

/* The files output_0.pb... of a folder, as far as they are there. */
static bool load_expected(const tn_model *model, const char *folder, tn_named_tensor *outputs, int *out_count) {
    *out_count = 0;
    for (int i = 0; i < tn_model_output_count(model); i++) {
        tn_value_info info;
        tn_tensor *tensor;
        char path[4096];
        snprintf(path, sizeof path, "%s/output_%d.pb", folder, i);
        FILE *file = fopen(path, "rb");
        if (!file) continue;
        fclose(file);
        if (tn_model_output_info(model, i, &info) != TN_OK || !tensor_load(path, info.dtype, &tensor)) return false;
        outputs[(*out_count)++] = (tn_named_tensor){info.name, tensor};
    }
    return true;
}

static void free_expected(tn_named_tensor *outputs, int count) {
    for (int i = 0; i < count; i++) {
        tn_tensor *owned;
        memcpy(&owned, &outputs[i].tensor, sizeof owned);
        tn_tensor_destroy(owned);
    }
    free(outputs);
}

/* With inputs made: expected is what the folder says, else what the model gives. */
static bool add_case(host *h, const char *word, bool random, tn_self_test *test) {
    int inputs = tn_model_input_count(h->model), expected = 0;
    if (h->tensor_count != (size_t)inputs) {
        complain("--self-test: the model has inputs that are no tensors");
        return false;
    }
    tn_named_tensor *in = tool_alloc((size_t)inputs, sizeof *in);
    tn_named_tensor *out = tool_alloc((size_t)tn_model_output_count(h->model), sizeof *out);
    bool good = random || load_expected(h->model, word, out, &expected);
    for (int i = 0; i < inputs && good; i++) {
        tn_value_info info;
        good = tn_model_input_info(h->model, i, &info) == TN_OK;
        in[i] = (tn_named_tensor){info.name, h->tensors[i]};
    }
    const char *slash = strrchr(word, '/');
    tn_self_test_case c = {.struct_size = sizeof c,
                           .name = slash && slash[1] ? slash + 1 : word,
                           .relative = (float)h->settings->rtol,
                           .absolute = (float)h->settings->atol,
                           .input_count = inputs,
                           .output_count = expected,
                           .inputs = in,
                           .outputs = out};
    if (good) {
        tn_status status = expected ? tn_self_test_add(test, &c) : tn_self_test_record(test, h->model, &c);
        good = status == TN_OK || complain_status(word, status);
    }
    free_expected(out, expected);
    free(in);
    return good;
}

bool self_test_make(const settings *s, tn_self_test **out_test) {
    bool good = true;
    host h = {0};
    if (tn_self_test_create(out_test) != TN_OK) return complain_status(s->model, TN_E_MEMORY);
    for (size_t i = 0; i < s->self_tests.count && good; i++) {
        const char *word = s->self_tests.items[i];
        bool random = strcmp(word, "random") == 0;
        settings of_case = *s;
        of_case.inputs = (words){s->self_tests.items + i, !random};
        of_case.seed += (double)i;
        progress(s, "recording %s", word);
        good = host_load(&h, &of_case) && host_start(&h, false) && add_case(&h, word, random, *out_test);
        host_close(&h);
    }
    tn_self_test_result result = {.struct_size = sizeof result};
    tn_model *model = NULL;
    tn_status status = good ? tn_model_load(s->model, NULL, &model) : TN_OK;
    if (good && status == TN_OK) status = tn_self_test_run(*out_test, model, NULL, &result);
    tn_model_destroy(model);
    return good && (status == TN_OK || complain_status(s->model, status));
}

bool self_test_check(host *h, tn_self_test_result *out_result) {
    tn_self_test *test;
    tn_session_options options = {.struct_size = sizeof options, .threads = (int)h->settings->threads};
    *out_result = (tn_self_test_result){.struct_size = sizeof *out_result};
    tn_status status = tn_self_test_of_model(h->model, &test);
    if (status == TN_E_NOT_FOUND) return true;
    h->stage = "self-test";
    progress(h->settings, "self-test");
    if (status == TN_OK) status = tn_self_test_run(test, h->model, &options, out_result);
    tn_self_test_destroy(test);
    h->status = status;
    return status == TN_OK || complain_status(h->settings->model, status);
}
