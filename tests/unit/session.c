/* Sessions: right results through views, joined memory and in-place steps; no allocation while running; plans cached by
 * shape; clear refusals. */
#include "unit.h"
#include <math.h>
#include <stdlib.h>
#include <tenon/tenon.h>

typedef struct {
    size_t calls;
    long live;
} counter;

static void *count_alloc(void *context, size_t size, size_t alignment) {
    counter *c = context;
    c->calls++;
    c->live++;
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void count_free(void *context, void *pointer, size_t size) {
    (void)size;
    ((counter *)context)->live--;
    free(pointer);
}

/* y = concat(transpose(x), transpose(x)) along 0, then its first columns and a reshape: views and joins on the way. */
static tn_model *small_model(const tn_allocator *allocator) {
    tn_graph *g;
    tn_model *model;
    int x, t[2], both, starts, ends, axes, cut, shape, y;
    assert_ok(tn_graph_create(allocator, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){tn_graph_symbol(g, "rows"), 3}, &x));
    tn_attribute perm[] = {{.name = "perm", .kind = TN_ATTR_INTS, .count = 2, .ints = (int64_t[]){1, 0}}, {0}};
    for (int i = 0; i < 2; i++) assert_ok(tn_graph_node(g, "Transpose", NULL, 1, &x, 1, &t[i], perm));
    tn_attribute axis[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 0}, {0}};
    assert_ok(tn_graph_node(g, "Concat", "both", 2, t, 1, &both, axis));
    int64_t one[3] = {1, 5, 0};
    int *values[3] = {&starts, &ends, &axes};
    for (int i = 0; i < 3; i++) {
        tn_tensor *k;
        assert_ok(tn_tensor_wrap(TN_INT64, 1, (int64_t[]){1}, NULL, &one[i], 8, &k));
        assert_ok(tn_graph_constant(g, "k", k, values[i]));
        tn_tensor_destroy(k);
    }
    assert_ok(tn_graph_node(g, "Slice", "cut", 4, (int[]){both, starts, ends, axes}, 1, &cut, NULL));
    tn_tensor *k;
    int64_t flat = -1;
    assert_ok(tn_tensor_wrap(TN_INT64, 1, (int64_t[]){1}, NULL, &flat, 8, &k));
    assert_ok(tn_graph_constant(g, "flat", k, &shape));
    tn_tensor_destroy(k);
    assert_ok(tn_graph_node(g, "Reshape", "flat", 2, (int[]){cut, shape}, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    tn_model_options options = {.struct_size = sizeof options, .allocator = allocator};
    assert_ok(tn_model_from_graph(g, &options, &model));
    return model;
}

static void check_rows(tn_session *session, int rows) {
    float x[30];
    tn_tensor *in;
    const tn_tensor *out;
    for (int i = 0; i < rows * 3; i++) x[i] = (float)i;
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){rows, 3}, NULL, x, sizeof x, &in));
    assert_ok(tn_session_set_input_by_name(session, "x", in));
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output_by_name(session, "y", &out));
    assert_int_equal(tn_tensor_count(out), 4 * rows);
    const float *y = tn_tensor_const_data(out);
    for (int k = 0; k < 4; k++)
        for (int r = 0; r < rows; r++) assert_true(y[k * rows + r] == (float)(r * 3 + (k + 1) % 3));
    tn_tensor_destroy(in);
}

static void runs_on_prepared_shapes_allocate_nothing(void **state) {
    (void)state;
    counter c = {0};
    tn_allocator allocator = {sizeof allocator, &c, count_alloc, count_free};
    tn_model *model = small_model(&allocator);
    tn_session *session;
    tn_session_options options = {.struct_size = sizeof options, .max_shapes = 2};
    assert_ok(tn_session_create(model, &options, &session));
    check_rows(session, 2);
    check_rows(session, 5);
    size_t calls = c.calls;
    uint64_t version = tn_session_outputs_version(session);
    check_rows(session, 5);
    assert_int_equal(tn_session_outputs_version(session), version);
    check_rows(session, 2);
    assert_int_not_equal(tn_session_outputs_version(session), version);
    for (int i = 0; i < 10; i++) check_rows(session, i & 1 ? 2 : 5);
    assert_int_equal(c.calls, calls);
    check_rows(session, 7); /* drops the plan for 5 or 2 rows */
    check_rows(session, 5);
    check_rows(session, 2);
    assert_true(c.calls > calls);
    tn_session_destroy(session);
    tn_model_destroy(model);
    assert_int_equal(c.live, 0);
}

static void wrong_inputs_are_refused_with_a_sentence(void **state) {
    (void)state;
    tn_model *model = small_model(NULL);
    tn_session *session;
    float x[6] = {0};
    tn_tensor *in;
    assert_ok(tn_session_create(model, NULL, &session));
    assert_int_equal(tn_session_run(session), TN_E_STATE);
    assert_non_null(strstr(tn_last_error(), "'x'"));
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){3, 2}, NULL, x, sizeof x, &in));
    assert_int_equal(tn_session_set_input(session, 0, in), TN_E_SHAPE);
    assert_non_null(strstr(tn_last_error(), "float32[rows,3]"));
    tn_tensor_destroy(in);
    assert_ok(tn_tensor_wrap(TN_INT32, 2, (int64_t[]){2, 3}, NULL, x, sizeof x, &in));
    assert_int_equal(tn_session_set_input(session, 0, in), TN_E_TYPE);
    tn_tensor_destroy(in);
    assert_int_equal(tn_session_set_input(session, 1, NULL), TN_E_NOT_FOUND);
    tn_session_destroy(session);
    tn_model_destroy(model);
}

static void strided_inputs_are_read_at_each_run(void **state) {
    (void)state;
    tn_model *model = small_model(NULL);
    tn_session *session;
    float wide[8] = {0, 1, 2, -1, 3, 4, 5, -1};
    tn_tensor *in;
    const tn_tensor *out;
    assert_ok(tn_session_create(model, NULL, &session));
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){2, 3}, (int64_t[]){4, 1}, wide, sizeof wide, &in));
    assert_ok(tn_session_set_input(session, 0, in));
    assert_ok(tn_session_run(session));
    wide[5] = 40;
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output(session, 0, &out));
    const float expected[8] = {1, 40, 2, 5, 0, 3, 1, 40};
    assert_memory_equal(tn_tensor_const_data(out), expected, sizeof expected);
    tn_tensor_destroy(in);
    tn_session_destroy(session);
    tn_model_destroy(model);
}

/* Of a node that nobody else reads, of one that is read as well, and of a view: straight, or copied. */
static void bound_outputs_land_in_the_hosts_tensors(void **state) {
    (void)state;
    tn_graph *g;
    tn_model *model;
    tn_session *session;
    int x, y[3], shape;
    float in[6] = {-1, 2, -3, 4, -5, 6}, out[3][6];
    int64_t flat = -1;
    tn_tensor *k, *tensor, *bound[3], *wrong;
    const tn_tensor *seen;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){2, 3}, &x));
    assert_ok(tn_tensor_wrap(TN_INT64, 1, (int64_t[]){1}, NULL, &flat, 8, &k));
    assert_ok(tn_graph_constant(g, "flat", k, &shape));
    assert_ok(tn_graph_node(g, "Relu", NULL, 1, &x, 1, &y[0], NULL));
    assert_ok(tn_graph_node(g, "Neg", NULL, 1, &y[0], 1, &y[1], NULL));
    assert_ok(tn_graph_node(g, "Exp", NULL, 1, &y[1], 1, &y[2], NULL));
    assert_ok(tn_graph_node(g, "Reshape", NULL, 2, (int[]){y[2], shape}, 1, &y[2], NULL));
    for (int i = 0; i < 3; i++) assert_ok(tn_graph_output(g, y[i], NULL));
    assert_ok(tn_model_from_graph(g, NULL, &model));
    assert_ok(tn_session_create(model, NULL, &session));
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){2, 3}, NULL, in, sizeof in, &tensor));
    assert_ok(tn_session_set_input(session, 0, tensor));
    for (int i = 0; i < 3; i++) {
        int64_t dims[] = {i < 2 ? 2 : 6, 3};
        assert_ok(tn_tensor_wrap(TN_FLOAT32, i < 2 ? 2 : 1, dims, NULL, out[i], sizeof out[i], &bound[i]));
        assert_ok(tn_session_bind_output(session, i, bound[i]));
    }
    for (int run = 0; run < 3; run++) {
        in[0] += 2;
        if (run == 2)
            for (int i = 0; i < 3; i++) assert_ok(tn_session_bind_output(session, i, NULL));
        memset(out, 0, sizeof out);
        assert_ok(tn_session_run(session));
        for (int i = 0; i < 3; i++) {
            assert_ok(tn_session_output(session, i, &seen));
            for (int e = 0; e < 6; e++) {
                float relu = in[e] > 0 ? in[e] : 0, expected = i == 0 ? relu : i == 1 ? -relu : expf(-relu);
                assert_true(fabsf(((const float *)tn_tensor_const_data(seen))[e] - expected) < 1e-6f);
                assert_true(fabsf(out[i][e] - (run == 2 ? 0 : expected)) < 1e-6f);
            }
        }
    }
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 1, (int64_t[]){5}, NULL, out[0], sizeof out[0], &wrong));
    for (int i = 0; i < 3; i++) {
        assert_ok(tn_session_bind_output(session, i, wrong));
        assert_int_equal(tn_session_run(session), TN_E_SHAPE);
        assert_non_null(strstr(tn_last_error(), "it is bound to a tensor of float32[5]"));
        assert_ok(tn_session_bind_output(session, i, NULL));
    }
    assert_int_equal(tn_session_bind_output(session, 3, wrong), TN_E_NOT_FOUND);
    assert_ok(tn_session_run(session));
    tn_session_destroy(session);
    tn_model_destroy(model);
    for (int i = 0; i < 3; i++) tn_tensor_destroy(bound[i]);
    tn_tensor_destroy(tensor);
    tn_tensor_destroy(wrong);
    tn_tensor_destroy(k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_on_prepared_shapes_allocate_nothing),
        cmocka_unit_test(wrong_inputs_are_refused_with_a_sentence),
        cmocka_unit_test(strided_inputs_are_read_at_each_run),
        cmocka_unit_test(bound_outputs_land_in_the_hosts_tensors),
    };
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
