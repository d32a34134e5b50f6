/* Convolutions of bytes of many shapes, one behind a residual: the same bits at every CPU level and thread count. */
#include "qdq.h"

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

static int conv(builder *b, int x, int64_t channels, const shape *s, bool plain) {
    const int64_t dims[] = {s->maps, channels, plain ? 1 : s->kernel[0], plain ? 1 : s->kernel[1]};
    const int64_t strides[] = {s->stride, s->stride};
    tn_attribute at[] = {{.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = s->pads},
                         {.name = "strides", .kind = TN_ATTR_INTS, .count = 2, .ints = strides},
                         {0}};
    return node(b, "Conv", 2, (int[]){x, weights(b, 4, dims, false, 0)}, plain ? NULL : at);
}

/* A convolution, and another of its result that is added to it. */
static tn_model *build(const shape *s, const char *cpu) {
    builder b = {.seed = 42, .dtype = TN_UINT8};
    tn_model *model;
    tn_model_options options = {.struct_size = sizeof options, .cpu = cpu};
    assert_ok(tn_graph_create(NULL, &b.g));
    assert_ok(tn_graph_input(b.g, "x", TN_FLOAT32, 4, s->x, &b.x));
    const int first = through(&b, conv(&b, through(&b, b.x, 0.02f, 120), s->x[1], s, false), 0.1f, 100);
    const int second = through(&b, conv(&b, first, s->maps, s, true), 0.2f, 128);
    assert_ok(tn_graph_output(b.g, through(&b, op2(&b, "Add", second, first), 0.3f, 90), "y"));
    assert_ok(tn_model_from_graph(b.g, &options, &model));
    return model;
}

static void results_are_the_same_bits_at_every_cpu_level_and_thread_count(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(shapes); i++) {
        int64_t n, m;
        tn_model *scalar = build(&shapes[i], "scalar");
        float *want = run_model(scalar, shapes[i].x, 1, 1, &n);
        tn_model_destroy(scalar);
        for (int level = 0; tn_cpu_level_at(level); level++) {
            tn_model *model = build(&shapes[i], tn_cpu_level_at(level));
            for (int threads = 1; threads <= 3; threads += 2) {
                float *got = run_model(model, shapes[i].x, 1, threads, &m);
                assert_int_equal(n, m);
                if (memcmp(got, want, (size_t)n * sizeof *got) != 0)
                    fail_msg("shape %zu, %s", i, tn_cpu_level_at(level));
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
