/* ConvTranspose and DeformConv: float32 at every CPU level and thread count against float64, which takes other ways;
 * refusals. ONNX's own tests say that float32 is right. */
#include "unit.h"
#include "exec/eager.h"
#include <math.h>

#define DIMS(...) ((int64_t[]){__VA_ARGS__})

static uint32_t random_state = 5;
static float random_float(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / (float)(1 << 23) - 1;
}

/* The same random numbers as float32 and float64. */
static void random_tensors(int rank, const int64_t *dims, tn_tensor **single, tn_tensor **wide) {
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, single));
    assert_ok(tn_tensor_create(TN_FLOAT64, rank, dims, NULL, wide));
    for (int64_t i = 0; i < tn_count(*single); i++)
        ((double *)(*wide)->data)[i] = (double)(((float *)(*single)->data)[i] = random_float());
}

static void compare(const char *name, int attr_count, const tn_attr *attrs, int in_count, tn_tensor *const *single,
                    tn_tensor *const *wide) {
    const tn_op *op = tn_op_find("", name);
    tn_tensor *want, *first = NULL, *got;
    assert_ok(tn_eager_run(NULL, op, attr_count, attrs, in_count, (const tn_tensor *const *)wide, 1, &want));
    const double *w = want->data;
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        tn_eager options = {.kernels = tn_kernels_at((tn_cpu_level)level)};
        if (!options.kernels) continue;
        for (int threads = 1; threads < 4; threads++) {
            assert_ok(tn_pool_create(threads, NULL, &options.pool));
            assert_ok(
                tn_eager_run(&options, op, attr_count, attrs, in_count, (const tn_tensor *const *)single, 1, &got));
            tn_pool_destroy(options.pool);
            assert_int_equal(got->rank, want->rank);
            assert_memory_equal(got->dims, want->dims, (size_t)want->rank * sizeof *want->dims);
            const float *g = got->data;
            for (int64_t i = 0; i < tn_count(got); i++)
                if (!(fabs((double)g[i] - w[i]) < 1e-4))
                    fail_msg("%s at %s: [%d] is %g, not %g", name, tn_cpu_level_name((tn_cpu_level)level), (int)i,
                             (double)g[i], w[i]);
            if (threads > 1) {
                assert_memory_equal(first->data, got->data, tn_tensor_bytes(got));
                tn_tensor_destroy(got);
            } else {
                first = got;
            }
        }
        tn_tensor_destroy(first);
    }
    tn_tensor_destroy(want);
}

static tn_attr ints(const char *name, size_t count, const int64_t *values) {
    return (tn_attr){.name = name, .kind = TN_ATTR_INTS, .count = count, .ints = values};
}

typedef struct transpose_case {
    int64_t batch, group, channels, outputs; /* channels and outputs of one group */
    int spatial;
    int64_t in[3], kernel[3], stride[3], dilation[3], pads[6], extra[3];
} transpose_case;

static void transposed_convolution_matches_at_every_cpu_level(void **state) {
    (void)state;
    static const transpose_case cases[] = {
        {1, 1, 6, 5, 2, {7, 9}, {2, 2}, {2, 2}, {1, 1, 1}, {0}, {0}},
        {2, 1, 24, 1, 2, {40, 50}, {2, 2}, {2, 2}, {1, 1, 1}, {0}, {0}},
        {1, 2, 5, 70, 2, {3, 40}, {3, 1}, {3, 1}, {1, 1, 1}, {0}, {0}},
        {1, 1, 8, 40, 2, {9, 35}, {3, 3}, {2, 2}, {1, 1, 1}, {1, 1, 1, 1}, {1, 1}},
        {1, 2, 3, 4, 2, {5, 33}, {4, 4}, {2, 2}, {1, 1, 1}, {1, 1, 1, 1}, {0}},
        {1, 1, 3, 4, 2, {5, 6}, {3, 2}, {1, 3}, {2, 2, 1}, {2, 0, 1, 1}, {1, 2}},
        {1, 1, 1300, 3, 1, {21}, {3}, {2}, {1, 1, 1}, {1, 0}, {1}},
        {1, 1, 2, 3, 3, {3, 4, 5}, {2, 3, 2}, {2, 1, 2}, {1, 1, 1}, {0, 1, 0, 0, 1, 1}, {0}},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        const transpose_case *c = &cases[i];
        size_t spatial = (size_t)c->spatial;
        int64_t x[5] = {c->batch, c->channels * c->group}, w[5] = {c->channels * c->group, c->outputs};
        memcpy(x + 2, c->in, sizeof c->in);
        memcpy(w + 2, c->kernel, sizeof c->kernel);
        tn_tensor *single[3], *wide[3];
        random_tensors(c->spatial + 2, x, &single[0], &wide[0]);
        random_tensors(c->spatial + 2, w, &single[1], &wide[1]);
        random_tensors(1, DIMS(c->outputs * c->group), &single[2], &wide[2]);
        const tn_attr attrs[] = {ints("strides", spatial, c->stride),
                                 ints("dilations", spatial, c->dilation),
                                 ints("pads", 2 * spatial, c->pads),
                                 ints("output_padding", spatial, c->extra),
                                 {.name = "group", .kind = TN_ATTR_INT, .i = c->group}};
        compare("ConvTranspose", 5, attrs, 3, single, wide);
        for (int k = 0; k < 3; k++) tn_tensor_destroy(single[k]), tn_tensor_destroy(wide[k]);
    }
}

static void deformed_convolution_matches_at_every_cpu_level(void **state) {
    (void)state;
    tn_tensor *single[5], *wide[5];
    random_tensors(4, DIMS(2, 6, 9, 8), &single[0], &wide[0]);
    random_tensors(4, DIMS(4, 3, 3, 2), &single[1], &wide[1]);
    random_tensors(4, DIMS(2, 36, 5, 8), &single[2], &wide[2]);
    random_tensors(1, DIMS(4), &single[3], &wide[3]);
    random_tensors(4, DIMS(2, 18, 5, 8), &single[4], &wide[4]);
    static const int64_t stride[] = {2, 1}, dilation[] = {1, 2}, pads[] = {1, 1, 1, 1};
    const tn_attr attrs[] = {ints("strides", 2, stride),
                             ints("dilations", 2, dilation),
                             ints("pads", 4, pads),
                             {.name = "group", .kind = TN_ATTR_INT, .i = 2},
                             {.name = "offset_group", .kind = TN_ATTR_INT, .i = 3}};
    compare("DeformConv", 5, attrs, 5, single, wide);
    for (int i = 0; i < 5; i++) tn_tensor_destroy(single[i]), tn_tensor_destroy(wide[i]);
}

static void hostile_attributes_are_refused(void **state) {
    (void)state;
    static const int64_t big[] = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}, wide_pads[] = {9, 9, 9, 9};
    tn_tensor *single[2], *wide[2], *y;
    random_tensors(4, DIMS(1, 2, 3, 3), &single[0], &wide[0]);
    random_tensors(4, DIMS(2, 3, 3, 3), &single[1], &wide[1]);
    const tn_attr attrs[] = {ints("strides", 2, big),    ints("output_shape", 2, big),
                             ints("pads", 4, wide_pads), ints("output_padding", 2, big),
                             ints("strides", 1, big),    {.name = "group", .kind = TN_ATTR_INT, .i = 3}};
    for (size_t i = 0; i < TN_COUNT(attrs); i++)
        assert_int_not_equal(tn_eager_run(NULL, tn_op_find("", "ConvTranspose"), 1, &attrs[i], 2,
                                          (const tn_tensor *const *)single, 1, &y),
                             TN_OK);
    for (int i = 0; i < 2; i++) tn_tensor_destroy(single[i]), tn_tensor_destroy(wide[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transposed_convolution_matches_at_every_cpu_level),
        cmocka_unit_test(deformed_convolution_matches_at_every_cpu_level),
        cmocka_unit_test(hostile_attributes_are_refused),
    };
    return cmocka_run_group_tests_name("conv_transpose", tests, NULL, NULL);
}
