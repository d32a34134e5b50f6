/* Self-tests: building one, and the section of a model file that holds it. See tenon/self_test.h, and for the bytes
 * tenon/model_file.h. */
#include "model/self_test.h"
#include <math.h>
#include "exec/model.h"
#include "import/import.h"
#include "model/file.h"

enum { CASE_NAME = 200 };
enum { SECTION_CASE = 1 };
enum { NAME = 1, RELATIVE = 2, ABSOLUTE = 3, INPUT = 4, OUTPUT = 5 };
enum { TENSOR_NAME = 8 }; /* of TensorProto */

typedef struct test_case {
    const char *name;
    float relative, absolute;
    int input_count, output_count;
    tn_named_tensor *inputs, *outputs; /* the tensors are the test's */
    struct test_case *next;
} test_case;

struct tn_self_test {
    tn_region *region;
    test_case *first, **last;
    int count;
    size_t bytes; /* of the tensors */
};

tn_status tn_self_test_create(tn_self_test **out_test) {
    *out_test = NULL;
    tn_region *region = tn_region_create(NULL);
    tn_self_test *test = region ? tn_region_alloc(region, sizeof *test) : NULL;
    if (!test) {
        tn_region_destroy(region);
        return TN_E_MEMORY;
    }
    *test = (tn_self_test){.region = region, .last = &test->first};
    *out_test = test;
    return TN_OK;
}

static void free_tensors(tn_named_tensor *list, int count) {
    for (int i = 0; i < count; i++) {
        tn_tensor *owned;
        memcpy(&owned, &list[i].tensor, sizeof owned);
        tn_tensor_destroy(owned);
    }
}

void tn_self_test_destroy(tn_self_test *test) {
    if (!test) return;
    for (test_case *c = test->first; c; c = c->next) {
        free_tensors(c->inputs, c->input_count);
        free_tensors(c->outputs, c->output_count);
    }
    tn_region_destroy(test->region);
}

/* A case without tensors, which stands in the list only once it is complete. */
static tn_status new_case(tn_self_test *test, tn_string name, float relative, float absolute, test_case **out) {
    if (test->count >= TN_SELF_TEST_CASES)
        return tn_fail(TN_E_LIMIT, "a self-test of more than %d cases", TN_SELF_TEST_CASES);
    if (name.size > CASE_NAME || (name.size && memchr(name.data, 0, name.size)))
        return tn_fail(TN_E_FORMAT, "the name of a case of a self-test has more than %d bytes, or a zero in it",
                       CASE_NAME);
    if (!(relative >= 0 && absolute >= 0) || isinf(relative) || isinf(absolute))
        return tn_fail(TN_E_FORMAT,
                       "the tolerances of the case '%.*s' of a self-test are %g and %g; expected are 0 "
                       "or more",
                       (int)name.size, name.data, (double)relative, (double)absolute);
    test_case *c = tn_region_alloc(test->region, sizeof *c);
    if (!c) return TN_E_MEMORY;
    *c = (test_case){.relative = relative, .absolute = absolute};
    c->name = tn_region_strndup(test->region, name.data, name.size);
    if (!c->name) return TN_E_MEMORY;
    *out = c;
    return TN_OK;
}

/* Takes the tensor over, also on failure. */
static tn_status take_tensor(tn_self_test *test, tn_named_tensor *list, int *count, tn_string name, tn_tensor *tensor) {
    tn_status status = TN_OK;
    char *copy = tn_region_strndup(test->region, name.data, name.size);
    if (!copy) status = TN_E_MEMORY;
    if (!tn_add_size(test->bytes, tn_tensor_bytes(tensor), &test->bytes) || test->bytes > TN_SELF_TEST_BYTES)
        status = tn_fail(TN_E_LIMIT, "a self-test of more than %u bytes", TN_SELF_TEST_BYTES);
    for (int i = 0; status == TN_OK && i < *count; i++)
        if (strcmp(list[i].name, copy) == 0)
            status = tn_fail(TN_E_FORMAT, "a case of a self-test has '%.200s' twice", copy);
    if (status != TN_OK) {
        tn_tensor_destroy(tensor);
        return status;
    }
    list[(*count)++] = (tn_named_tensor){copy, tensor};
    return TN_OK;
}

static tn_status end_case(tn_self_test *test, test_case *c, tn_status status) {
    if (status == TN_OK && c->output_count == 0)
        status = tn_fail(TN_E_FORMAT, "the case '%s' of a self-test expects no output", c->name);
    if (status != TN_OK) {
        free_tensors(c->inputs, c->input_count);
        free_tensors(c->outputs, c->output_count);
        return status;
    }
    *test->last = c;
    test->last = &c->next;
    test->count++;
    return TN_OK;
}

static tn_status add_list(tn_self_test *test, const tn_named_tensor *from, int from_count, tn_named_tensor **list,
                          int *count) {
    if (from_count < 0 || from_count > TN_SELF_TEST_TENSORS)
        return tn_fail(TN_E_LIMIT, "%d tensors in a case of a self-test; at most %d", from_count, TN_SELF_TEST_TENSORS);
    *list = tn_region_array(test->region, (size_t)from_count + 1, sizeof **list);
    if (!*list) return TN_E_MEMORY;
    for (int i = 0; i < from_count; i++) {
        tn_tensor *copy;
        TN_TRY(tn_tensor_clone(from[i].tensor, NULL, &copy));
        TN_TRY(take_tensor(test, *list, count, (tn_string){from[i].name, strlen(from[i].name)}, copy));
    }
    return TN_OK;
}

static tn_self_test_case whole_case(const tn_self_test_case *one) {
    tn_self_test_case full = {0};
    memcpy(&full, one, TN_MIN(one->struct_size, sizeof full));
    return full;
}

tn_status tn_self_test_add(tn_self_test *test, const tn_self_test_case *one) {
    tn_self_test_case full = whole_case(one);
    test_case *c;
    tn_string name = {full.name ? full.name : "", full.name ? strlen(full.name) : 0};
    TN_TRY(new_case(test, name, full.relative, full.absolute, &c));
    tn_status status = add_list(test, full.inputs, full.input_count, &c->inputs, &c->input_count);
    if (status == TN_OK) status = add_list(test, full.outputs, full.output_count, &c->outputs, &c->output_count);
    return end_case(test, c, status);
}

tn_status tn_self_test_record(tn_self_test *test, const tn_model *model, const tn_self_test_case *one) {
    tn_self_test_case full = whole_case(one);
    tn_session *session = NULL;
    tn_value_info info;
    int count = tn_model_output_count(model);
    size_t bytes = ((size_t)count + 1) * sizeof(tn_named_tensor);
    tn_named_tensor *outputs = tn_alloc_zero(NULL, bytes);
    tn_status status = outputs ? tn_session_create(model, NULL, &session) : TN_E_MEMORY;
    for (int i = 0; i < full.input_count && status == TN_OK; i++)
        status = tn_session_set_input_by_name(session, full.inputs[i].name, full.inputs[i].tensor);
    if (status == TN_OK) status = tn_session_run(session);
    for (int i = 0; i < count && status == TN_OK; i++) {
        status = tn_model_output_info(model, i, &info);
        if (status == TN_OK) status = tn_session_output(session, i, &outputs[i].tensor);
        outputs[i].name = info.name;
        if (status == TN_OK && !outputs[i].tensor)
            status =
                tn_fail(TN_E_UNSUPPORTED, "output '%s' is an empty optional, which no self-test can expect", info.name);
    }
    full.outputs = outputs;
    full.output_count = count;
    full.struct_size = sizeof full;
    if (status == TN_OK) status = tn_self_test_add(test, &full);
    tn_session_destroy(session);
    if (outputs) tn_free(NULL, outputs, bytes);
    return status;
}

tn_status tn_self_test_again(const tn_self_test *old, const tn_model *model, tn_self_test **out_test, int *out_count) {
    tn_self_test_case one = {.struct_size = sizeof one};
    *out_count = 0;
    TN_TRY(tn_self_test_create(out_test));
    for (int i = 0; tn_self_test_at(old, i, &one) == TN_OK; i++) {
        tn_status status = tn_self_test_record(*out_test, model, &one);
        *out_count += status == TN_OK;
        if (status != TN_E_MEMORY) continue;
        tn_self_test_destroy(*out_test);
        *out_test = NULL;
        return status;
    }
    return TN_OK;
}

tn_status tn_self_test_at(const tn_self_test *test, int index, tn_self_test_case *out_case) {
    if (index < 0 || index >= test->count)
        return tn_fail(TN_E_NOT_FOUND, "case %d does not exist; the self-test has %d", index, test->count);
    const test_case *c = test->first;
    while (index-- > 0) c = c->next;
    tn_self_test_case full = {out_case->struct_size, c->name,         c->relative, c->absolute,
                              c->input_count,        c->output_count, c->inputs,   c->outputs};
    memcpy(out_case, &full, TN_MIN(out_case->struct_size, sizeof full));
    return TN_OK;
}

/* ---- the section ---- */

static void put_list(tn_pb_out *out, uint32_t number, const tn_named_tensor *list, int count) {
    for (int i = 0; i < count; i++) {
        tn_pb_mark mark = tn_pb_open(out, number);
        tn_pb_put_tensor(out, list[i].tensor, list[i].name);
        tn_pb_close(out, mark);
    }
}

void tn_self_test_put(const tn_self_test *test, tn_pb_out *out) {
    for (const test_case *c = test->first; c; c = c->next) {
        tn_pb_mark mark = tn_pb_open(out, SECTION_CASE);
        tn_pb_put_text(out, NAME, c->name);
        tn_pb_put_float(out, RELATIVE, c->relative);
        tn_pb_put_float(out, ABSOLUTE, c->absolute);
        put_list(out, INPUT, c->inputs, c->input_count);
        put_list(out, OUTPUT, c->outputs, c->output_count);
        tn_pb_close(out, mark);
    }
}

static tn_status read_tensor(tn_self_test *test, tn_string message, tn_named_tensor *list, int *count) {
    tn_tensor *tensor;
    tn_string name = {"", 0};
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    while (tn_pb_next(&r, &f))
        if (f.number == TENSOR_NAME) name = tn_pb_bytes(&r, &f);
    TN_TRY(tn_pb_done(&r, "TensorProto"));
    if (!name.size || memchr(name.data, 0, name.size))
        return tn_fail(TN_E_FORMAT, "a tensor of a self-test has no name");
    TN_TRY(tn_tensor_read_pb(message, &tensor));
    return take_tensor(test, list, count, name, tensor);
}

static tn_status read_list(tn_self_test *test, tn_string message, uint32_t number, tn_named_tensor **list, int *count) {
    tn_string *messages;
    int found;
    TN_TRY(tn_pb_collect(test->region, message, number, &messages, &found));
    if (found > TN_SELF_TEST_TENSORS)
        return tn_fail(TN_E_LIMIT, "%d tensors in a case of a self-test; at most %d", found, TN_SELF_TEST_TENSORS);
    *list = tn_region_array(test->region, (size_t)found + 1, sizeof **list);
    if (!*list) return TN_E_MEMORY;
    for (int i = 0; i < found; i++) TN_TRY(read_tensor(test, messages[i], *list, count));
    return TN_OK;
}

static tn_status read_case(tn_self_test *test, tn_string message) {
    tn_string name = {"", 0};
    float relative = 0, absolute = 0;
    test_case *c;
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    while (tn_pb_next(&r, &f)) switch (f.number) {
        case NAME: name = tn_pb_bytes(&r, &f); break;
        case RELATIVE: relative = tn_pb_float(&r, &f); break;
        case ABSOLUTE: absolute = tn_pb_float(&r, &f); break;
        default: break;
        }
    TN_TRY(tn_pb_done(&r, "a case of a self-test"));
    TN_TRY(new_case(test, name, relative, absolute, &c));
    tn_status status = read_list(test, message, INPUT, &c->inputs, &c->input_count);
    if (status == TN_OK) status = read_list(test, message, OUTPUT, &c->outputs, &c->output_count);
    return end_case(test, c, status);
}

tn_status tn_self_test_read(tn_string section, tn_self_test **out_test) {
    tn_string *cases;
    int count;
    TN_TRY(tn_self_test_create(out_test));
    tn_status status = tn_pb_collect((*out_test)->region, section, SECTION_CASE, &cases, &count);
    for (int i = 0; i < count && status == TN_OK; i++) status = read_case(*out_test, cases[i]);
    if (status == TN_OK && !count) status = tn_fail(TN_E_FORMAT, "a self-test without a case");
    if (status == TN_OK) return TN_OK;
    tn_self_test_destroy(*out_test);
    *out_test = NULL;
    return tn_fail_context(status, "the self-test of the model");
}

tn_status tn_self_test_of_model(const tn_model *model, tn_self_test **out_test) {
    *out_test = NULL;
    tn_string section = model->graph->root->self_test;
    if (!section.size) return tn_fail(TN_E_NOT_FOUND, "the model's file has no self-test");
    return tn_self_test_read(section, out_test);
}
