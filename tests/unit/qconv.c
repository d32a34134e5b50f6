/* Convolutions of bytes of many shapes, one behind a residual: the same bits at every CPU level and thread count. */
#include "unit.h"
#include <stdlib.h>
#include <tenon/tenon.h>

typedef struct {
    int64_t x[4], maps, kernel[2], stride, pads[4];
} shape;

static const shape shapes[] = {
    {{2, 3, 20, 28}, 16, {7, 7}, 2, {3, 3, 3, 3}},  {{1, 16, 9, 14}, 24, {3, 3}, 1, {1, 1, 1, 1}},
    {{1, 32, 14, 14}, 72, {3, 3}, 1, {1, 1, 1, 1}}, {{1, 8, 12, 40}, 32, {3, 3}, 1, {1, 1, 1, 1}},
    {{2, 24, 7, 30}, 40, {3, 3}, 2, {1, 1, 0, 0}},  {{1, 64, 5, 16}, 130, {5, 5}, 1, {2, 2, 2, 2}},
    {{1, 4, 6, 33}, 8, {1, 5}, 1, {0, 4, 0, 0}},    {{1, 5, 31, 12}, 9, {5, 1}, 2, {2, 0, 3, 0}},
    {{1, 16, 3, 11}, 16, {2, 2}, 1, {0, 0, 1, 1}},  {{1, 1, 4, 64}, 3, {3, 3}, 3, {1, 1, 1, 1}},
    {{1, 40, 6, 9}, 33, {3, 3}, 1, {1, 1, 1, 1}},   {{2, 64, 13, 13}, 64, {1, 1}, 1, {0, 0, 0, 0}},
};

static tn_graph *g;

static int node(const char *op, int count, const int *in, const tn_attribute *attributes) {
    int out;
    assert_ok(tn_graph_node(g, op, NULL, count, in, 1, &out, attributes));
    return out;
}
static int constant(tn_dtype dtype, int rank, const int64_t *dims, const void *data) {
    tn_tensor *t;
    int value;
    assert_ok(tn_tensor_create(dtype, rank, dims, NULL, &t));
    if (data) memcpy(tn_tensor_data(t), data, tn_tensor_bytes(t));
    for (size_t i = 0; !data && i < tn_tensor_bytes(t); i++)
        ((uint8_t *)tn_tensor_data(t))[i] = (uint8_t)(i * 73 % 251);
    assert_ok(tn_graph_constant(g, "k", t, &value));
    tn_tensor_destroy(t);
    return value;
}
static int through(int x, float scale, uint8_t zero) {
    const int s = constant(TN_FLOAT32, 0, NULL, &scale), z = constant(TN_UINT8, 0, NULL, &zero);
    return node("DequantizeLinear", 3, (int[]){node("QuantizeLinear", 3, (int[]){x, s, z}, NULL), s, z}, NULL);
}
static int conv(int x, int64_t channels, const shape *s, bool plain) {
    const int64_t dims[] = {s->maps, channels, plain ? 1 : s->kernel[0], plain ? 1 : s->kernel[1]};
    const float scale = 0.004f;
    const int8_t zero = 0;
    int w = constant(TN_INT8, 4, dims, NULL), by = constant(TN_FLOAT32, 0, NULL, &scale);
    w = node("DequantizeLinear", 3, (int[]){w, by, constant(TN_INT8, 0, NULL, &zero)}, NULL);
    const int64_t strides[] = {s->stride, s->stride};
    tn_attribute at[] = {{.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = s->pads},
                         {.name = "strides", .kind = TN_ATTR_INTS, .count = 2, .ints = strides},
                         {0}};
    return node("Conv", 2, (int[]){x, w}, plain ? NULL : at);
}

/* A convolution, and another of its result that is added to it. */
static tn_model *build(const shape *s, const char *cpu) {
    int x;
    tn_model *model;
    tn_model_options options = {.struct_size = sizeof options, .cpu = cpu};
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 4, s->x, &x));
    const int first = through(conv(through(x, 0.02f, 120), s->x[1], s, false), 0.1f, 100);
    const int second = through(conv(first, s->maps, s, true), 0.2f, 128);
    assert_ok(tn_graph_output(g, through(node("Add", 2, (int[]){second, first}, NULL), 0.3f, 90), "y"));
    assert_ok(tn_model_from_graph(g, &options, &model));
    return model;
}

static float *run(tn_model *model, const shape *s, int threads, size_t *bytes) {
    tn_session_options options = {.struct_size = sizeof options, .threads = threads};
    tn_session *session;
    tn_tensor *x;
    const tn_tensor *y;
    assert_ok(tn_tensor_create(TN_FLOAT32, 4, s->x, NULL, &x));
    for (int64_t i = 0; i < tn_tensor_count(x); i++)
        ((float *)tn_tensor_data(x))[i] = (float)(i * 37 % 101) / 20 - 2.5f;
    assert_ok(tn_session_create(model, &options, &session));
    assert_ok(tn_session_set_input(session, 0, x));
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output(session, 0, &y));
    *bytes = tn_tensor_bytes(y);
    float *copy = malloc(*bytes);
    memcpy(copy, tn_tensor_const_data(y), *bytes);
    tn_session_destroy(session);
    tn_tensor_destroy(x);
    return copy;
}

static void results_are_the_same_bits_at_every_cpu_level_and_thread_count(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(shapes); i++) {
        size_t n, m;
        tn_model *scalar = build(&shapes[i], "scalar");
        float *want = run(scalar, &shapes[i], 1, &n);
        tn_model_destroy(scalar);
        for (int level = 0; tn_cpu_level_at(level); level++) {
            tn_model *model = build(&shapes[i], tn_cpu_level_at(level));
            for (int threads = 1; threads <= 3; threads += 2) {
                float *got = run(model, &shapes[i], threads, &m);
                assert_int_equal(n, m);
                if (memcmp(got, want, n) != 0) fail_msg("shape %zu, %s", i, tn_cpu_level_at(level));
                free(got);
            }
            tn_model_destroy(model);
        }
        free(want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_the_same_bits_at_every_cpu_level_and_thread_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
