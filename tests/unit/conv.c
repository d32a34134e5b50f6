/* Convolution against plain loops in double: every way that it is computed, at every CPU level and thread count. */
#include "unit.h"
#include "exec/eager.h"
#include <math.h>

static uint32_t random_state = 3;
static float random_float(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / (float)(1 << 23) - 1;
}

static tn_tensor *random_tensor(tn_dtype dtype, int rank, const int64_t *dims) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(dtype, rank, dims, NULL, &t));
    for (int64_t i = 0; i < tn_count(t); i++) {
        if (dtype == TN_FLOAT64)
            ((double *)t->data)[i] = (double)random_float();
        else
            ((float *)t->data)[i] = random_float();
    }
    return t;
}

static double at(const tn_tensor *t, int64_t i) {
    return t->dtype == TN_FLOAT64 ? ((const double *)t->data)[i] : (double)((const float *)t->data)[i];
}

typedef struct conv_case {
    int64_t batch, group, channels, outputs; /* channels and outputs of one group */
    int spatial;
    int64_t in[3], kernel[3], stride[3], dilation[3], pads[6];
    const char *activation;
    bool bias, residual;
} conv_case;

/* y[n, m, o] with the spatial indices worked out one by one. */
static double expected(const conv_case *c, const tn_tensor *const in[4], const int64_t *out, int64_t index) {
    int64_t plane = 1, o[3], taps = 1, in_plane = 1;
    for (int i = c->spatial - 1; i >= 0; i--) {
        o[i] = index / plane % out[i];
        plane *= out[i];
        taps *= c->kernel[i];
        in_plane *= c->in[i];
    }
    int64_t m = index / plane % (c->outputs * c->group), n = index / plane / (c->outputs * c->group);
    int64_t first = m / c->outputs * c->channels;
    double sum = c->bias ? at(in[2], m) : 0;
    for (int64_t t = 0; t < taps; t++) {
        int64_t from = 0, step = 1, rest = t;
        bool inside = true;
        for (int i = c->spatial - 1; i >= 0; i--) {
            int64_t p = o[i] * c->stride[i] - c->pads[i] + rest % c->kernel[i] * c->dilation[i];
            rest /= c->kernel[i];
            inside &= p >= 0 && p < c->in[i];
            from += p * step;
            step *= c->in[i];
        }
        for (int64_t k = 0; inside && k < c->channels; k++)
            sum += at(in[0], (n * c->channels * c->group + first + k) * in_plane + from) *
                   at(in[1], (m * c->channels + k) * taps + t);
    }
    if (c->residual) sum += at(in[3], index);
    if (strcmp(c->activation, "Relu") == 0) return sum > 0 ? sum : 0;
    if (strcmp(c->activation, "HardSwish") == 0) return sum * fmin(1, fmax(0, sum / 6 + 0.5));
    return sum;
}

static tn_attr ints(const char *name, size_t count, const int64_t *values) {
    return (tn_attr){.name = name, .kind = TN_ATTR_INTS, .count = count, .ints = values};
}

static void check(const conv_case *c, tn_dtype dtype, const tn_kernels *kernels) {
    int64_t x[5] = {c->batch, c->channels * c->group}, w[5] = {c->outputs * c->group, c->channels};
    int64_t y[5] = {c->batch, c->outputs * c->group};
    size_t spatial = (size_t)c->spatial;
    for (int i = 0; i < c->spatial; i++) {
        x[i + 2] = c->in[i];
        w[i + 2] = c->kernel[i];
        y[i + 2] =
            (c->in[i] + c->pads[i] + c->pads[i + c->spatial] - (c->kernel[i] - 1) * c->dilation[i] - 1) / c->stride[i] +
            1;
    }
    tn_tensor *in[4] = {random_tensor(dtype, c->spatial + 2, x), random_tensor(dtype, c->spatial + 2, w)}, *out, *again;
    if (c->bias) in[2] = random_tensor(dtype, 1, y + 1);
    if (c->residual) in[3] = random_tensor(dtype, c->spatial + 2, y);
    const tn_attr attrs[] = {
        ints("strides", spatial, c->stride),
        ints("dilations", spatial, c->dilation),
        ints("pads", 2 * spatial, c->pads),
        {.name = "group", .kind = TN_ATTR_INT, .i = c->group},
        {.name = "activation", .kind = TN_ATTR_STRING, .s = {c->activation, strlen(c->activation)}}};
    const tn_op *op = tn_op_find("com.microsoft", "FusedConv");
    tn_eager options = {.kernels = kernels};
    assert_ok(tn_eager_run(&options, op, 5, attrs, 4, (const tn_tensor *const *)in, 1, &out));
    assert_int_equal(out->rank, c->spatial + 2);
    assert_memory_equal(out->dims, y, (spatial + 2) * sizeof *y);
    double scale = sqrt((double)(tn_count(in[1]) / tn_count(out) + 1)) + (double)(c->channels * 3);
    for (int64_t i = 0; i < tn_count(out); i++) {
        double want = expected(c, (const tn_tensor *const *)in, y + 2, i), got = at(out, i);
        if (!(fabs(want - got) < (dtype == TN_FLOAT64 ? 1e-12 : 2e-6) * scale * 4))
            fail_msg("%s: group %d channels %d outputs %d, %d spatial axes of %d, kernel %d stride %d: [%d] is %g, "
                     "not %g",
                     tn_cpu_level_name(kernels->level), (int)c->group, (int)c->channels, (int)c->outputs, c->spatial,
                     (int)c->in[c->spatial - 1], (int)c->kernel[c->spatial - 1], (int)c->stride[c->spatial - 1], (int)i,
                     got, want);
    }
    for (int threads = 2; threads < 4; threads++) {
        assert_ok(tn_pool_create(threads, NULL, &options.pool));
        assert_ok(tn_eager_run(&options, op, 5, attrs, 4, (const tn_tensor *const *)in, 1, &again));
        assert_memory_equal(out->data, again->data, tn_tensor_bytes(out));
        tn_tensor_destroy(again);
        tn_pool_destroy(options.pool);
    }
    for (int i = 0; i < 4; i++) tn_tensor_destroy(in[i]);
    tn_tensor_destroy(out);
}

static void check_all(const conv_case *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        for (int level = 0; level < TN_CPU_LEVELS; level++)
            if (tn_kernels_at((tn_cpu_level)level)) check(&cases[i], TN_FLOAT32, tn_kernels_at((tn_cpu_level)level));
        check(&cases[i], TN_FLOAT64, tn_kernels_best());
    }
}

#define ONES                                                                                                           \
    { 1, 1, 1 }

static void dense_kernels_match_plain_loops(void **state) {
    (void)state;
    static const conv_case cases[] = {
        {1, 1, 5, 7, 2, {9, 11}, {3, 3}, ONES, ONES, {1, 1, 1, 1}, "Relu", true, false},
        {2, 1, 3, 16, 2, {21, 37}, {3, 3}, {2, 2}, ONES, {1, 1, 1, 1}, "HardSwish", true, false},
        {1, 1, 3, 4, 2, {8, 70}, {1, 7}, {1, 3}, {1, 2}, {0, 5, 0, 6}, "", false, false},
        {1, 1, 4, 20, 2, {12, 40}, {9, 9}, ONES, ONES, {4, 4, 4, 4}, "", true, true},
        {1, 3, 4, 5, 2, {6, 7}, {3, 2}, ONES, {2, 1}, {2, 0, 1, 1}, "Relu", true, true},
        {1, 1, 200, 30, 2, {5, 6}, {3, 3}, ONES, ONES, {1, 1, 1, 1}, "", true, false},
        {2, 1, 6, 5, 1, {50}, {5}, {2}, {2}, {3, 1}, "", true, false},
        {1, 1, 3, 5, 3, {5, 6, 7}, {2, 3, 2}, {1, 2, 1}, {2, 1, 1}, {1, 1, 0, 0, 1, 1}, "", true, false},
        {2, 2, 7, 43, 2, {19, 25}, {3, 3}, {2, 2}, ONES, {1, 1, 1, 1}, "HardSwish", true, true},
        {1, 1, 3, 45, 3, {5, 6, 7}, {2, 3, 2}, {1, 2, 1}, {2, 1, 1}, {1, 1, 0, 0, 1, 1}, "Relu", true, false},
        {1, 1, 90, 40, 1, {100}, {7}, {1}, {2}, {6, 6}, "", true, true},
        {2, 1, 20, 40, 2, {90, 1}, {5, 1}, ONES, ONES, {2, 0, 1, 0}, "Relu", true, true},
        {1, 1, 9, 40, 3, {1, 70, 1}, {1, 3, 1}, {1, 2, 1}, ONES, {0}, "", true, false},
        {1, 1, 9, 40, 2, {70, 1}, {3, 1}, ONES, ONES, {0, 1, 0, 1}, "", true, false},
        {1, 1, 2, 3, 2, {4, 4}, {2, 2}, {9, 9}, ONES, {3, 3, 3, 3}, "", true, false},
        /* images enough that each thread has some of its own */
        {7, 1, 6, 9, 2, {5, 21}, {3, 3}, {2, 2}, ONES, {1, 1, 1, 1}, "Relu", true, true},
        {6, 2, 20, 40, 1, {33}, {5}, ONES, ONES, {2, 2}, "HardSwish", true, true},
    };
    check_all(cases, TN_COUNT(cases));
}

static void pointwise_kernels_match_plain_loops(void **state) {
    (void)state;
    static const conv_case cases[] = {
        {2, 1, 17, 29, 2, {6, 9}, {1, 1}, ONES, ONES, {0}, "HardSwish", true, true},
        {1, 1, 40, 24, 2, {30, 41}, {1, 1}, ONES, ONES, {0}, "", true, false},
        {1, 2, 8, 6, 2, {7, 7}, {1, 1}, {2, 2}, ONES, {0}, "Relu", false, false},
        {1, 1, 8, 6, 2, {4, 4}, {1, 1}, ONES, ONES, {1, 1, 1, 1}, "", true, false},
        {3, 1, 40, 90, 2, {1, 1}, {1, 1}, ONES, ONES, {0}, "Relu", true, true},
        {2, 1, 5, 9, 2, {3, 4}, {3, 4}, ONES, ONES, {0}, "Relu", true, false},
        {1, 1, 9, 1, 1, {33}, {1}, ONES, ONES, {0}, "", true, false},
    };
    check_all(cases, TN_COUNT(cases));
}

/* Positions are then the rows of a product, and taps that see padding alone are left out. */
static void few_positions_match_plain_loops(void **state) {
    (void)state;
    static const conv_case cases[] = {
        {1, 1, 1, 70, 1, {40}, {16}, {8}, ONES, {0}, "", true, false},
        {5, 1, 9, 33, 1, {7}, {3}, {2}, ONES, {1, 1}, "Relu", true, false},
        {1, 1, 30, 40, 1, {1}, {3}, ONES, ONES, {1, 1}, "HardSwish", true, false},
        {3, 1, 30, 40, 1, {2}, {3}, {2}, ONES, {1, 1}, "", true, true},
        {2, 1, 12, 50, 2, {3, 3}, {3, 3}, {2, 2}, {2, 1}, {2, 1, 2, 1}, "HardSwish", true, true},
        {1, 1, 300, 40, 2, {1, 20}, {1, 5}, ONES, ONES, {0, 2, 0, 2}, "Relu", false, false},
        {1, 1, 5, 40, 2, {2, 2}, {5, 5}, ONES, ONES, {2, 2, 2, 2}, "", true, false},
        {12, 1, 7, 40, 1, {21}, {4}, ONES, ONES, {0, 0}, "HardSwish", true, true},
        {130, 1, 6, 33, 1, {1}, {1}, ONES, ONES, {0, 0}, "Relu", true, true},
        {7, 1, 5, 40, 2, {1, 20}, {1, 3}, ONES, ONES, {0, 1, 0, 1}, "", true, false},
    };
    check_all(cases, TN_COUNT(cases));
}

/* 3x3 kernels with so many channels go by way of Winograd's transforms: blocks of rows, and of images. */
static void winograd_matches_plain_loops(void **state) {
    (void)state;
    static const conv_case cases[] = {
        {1, 1, 20, 24, 2, {29, 34}, {3, 3}, ONES, ONES, {1, 1, 1, 1}, "Relu", true, false},
        {1, 1, 33, 17, 2, {18, 41}, {3, 3}, ONES, ONES, {0, 2, 1, 0}, "HardSwish", true, true},
        {5, 1, 40, 36, 2, {11, 10}, {3, 3}, ONES, ONES, {1, 1, 1, 1}, "", true, true},
        {2, 1, 24, 24, 2, {33, 65}, {3, 3}, ONES, ONES, {2, 0, 2, 0}, "Relu", false, true},
        {1, 1, 20, 20, 2, {6, 300}, {3, 3}, ONES, ONES, {1, 1, 1, 1}, "", false, false},
    };
    check_all(cases, TN_COUNT(cases));
}

static void depthwise_kernels_match_plain_loops(void **state) {
    (void)state;
    static const conv_case cases[] = {
        {1, 6, 1, 1, 2, {10, 10}, {3, 3}, ONES, ONES, {1, 1, 1, 1}, "Relu", true, false},
        {2, 5, 1, 1, 2, {13, 40}, {3, 3}, {2, 2}, ONES, {1, 1, 1, 1}, "HardSwish", true, true},
        {1, 5, 1, 1, 2, {7, 33}, {5, 5}, ONES, ONES, {2, 2, 2, 2}, "Relu", true, true},
        {1, 5, 1, 1, 2, {17, 35}, {5, 5}, {2, 2}, ONES, {2, 2, 2, 2}, "", false, false},
        {1, 4, 1, 1, 2, {6, 50}, {5, 5}, {2, 1}, ONES, {2, 2, 2, 2}, "", true, false},
        {1, 5, 1, 1, 2, {2, 96}, {5, 5}, ONES, ONES, {2, 2, 2, 2}, "HardSwish", true, false},
        {1, 5, 1, 1, 2, {3, 43}, {3, 3}, {2, 1}, ONES, {1, 1, 1, 1}, "Relu", true, true},
        {1, 2, 1, 1, 2, {150, 70}, {5, 5}, {2, 2}, ONES, {1, 2, 2, 1}, "HardSwish", true, false},
        {2, 3, 1, 2, 2, {71, 31}, {3, 3}, ONES, ONES, {1, 1, 1, 1}, "Relu", true, false},
        {1, 3, 1, 1, 2, {4, 5}, {3, 3}, ONES, ONES, {5, 4, 3, 20}, "", true, false},
        {1, 3, 1, 1, 2, {9, 4000}, {5, 5}, ONES, ONES, {2, 2, 2, 2}, "", true, false},
        {1, 4, 1, 1, 2, {90, 160}, {3, 3}, {1, 2}, ONES, {0, 1, 2, 0}, "", true, false},
        {1, 3, 1, 2, 2, {9, 9}, {7, 7}, ONES, ONES, {3, 3, 3, 3}, "Relu", true, false},
        {1, 3, 1, 1, 2, {20, 21}, {3, 3}, ONES, {2, 3}, {2, 3, 2, 3}, "", true, false},
        {1, 3, 1, 1, 2, {20, 81}, {3, 5}, {3, 3}, {1, 2}, {2, 3, 2, 3}, "", true, false},
        {1, 3, 1, 1, 1, {120}, {9}, {2}, ONES, {4, 4}, "Relu", true, false},
        {1, 3, 1, 1, 1, {5}, {2}, {4}, {3}, {4, 4}, "", true, false},
        {1, 1, 1, 1, 2, {30, 30}, {3, 3}, ONES, ONES, {1, 1, 1, 1}, "", true, false},
        {1, 2, 1, 1, 3, {4, 5, 6}, {3, 3, 3}, ONES, ONES, {1, 1, 1, 1, 1, 1}, "", true, false},
    };
    check_all(cases, TN_COUNT(cases));
}

/* At least 16 channels, short rows. */
static void depthwise_of_small_planes_matches_plain_loops(void **state) {
    (void)state;
    static const conv_case cases[] = {
        {1, 16, 1, 1, 2, {7, 7}, {3, 3}, ONES, ONES, {1, 1, 1, 1}, "Relu", true, false},
        {2, 35, 1, 1, 2, {15, 14}, {3, 3}, {2, 2}, ONES, {1, 1, 0, 1}, "HardSwish", true, true},
        {1, 20, 1, 1, 2, {9, 10}, {5, 5}, ONES, ONES, {2, 2, 2, 2}, "Relu", false, false},
        {3, 17, 1, 1, 2, {8, 5}, {5, 3}, {2, 1}, {1, 2}, {2, 2, 2, 2}, "", true, true},
        {1, 40, 1, 1, 1, {30}, {9}, {2}, ONES, {4, 4}, "Relu", true, false},
        {1, 18, 1, 1, 3, {4, 5, 6}, {3, 3, 3}, ONES, ONES, {1, 1, 1, 1, 1, 1}, "", true, false},
    };
    check_all(cases, TN_COUNT(cases));
}

static tn_status run(int attr_count, const tn_attr *attrs, tn_tensor *x, tn_tensor *w, tn_tensor **y) {
    return tn_eager_run(NULL, tn_op_find("", "Conv"), attr_count, attrs, 2, (const tn_tensor *[]){x, w}, 1, y);
}

static void auto_pad_keeps_the_size_that_strides_give(void **state) {
    (void)state;
    static const char *const names[] = {"SAME_UPPER", "SAME_LOWER", "VALID"};
    static const float expect[3][3] = {{3, 7, 5}, {1, 5, 9}, {3, 7, 0}};
    const int64_t stride = 2;
    tn_tensor *x, *w, *y;
    assert_ok(tn_tensor_create(TN_FLOAT32, 3, (int64_t[]){1, 1, 5}, NULL, &x));
    assert_ok(tn_tensor_create(TN_FLOAT32, 3, (int64_t[]){1, 1, 2}, NULL, &w));
    for (int i = 0; i < 5; i++) ((float *)x->data)[i] = (float)(i + 1);
    ((float *)w->data)[0] = ((float *)w->data)[1] = 1;
    for (int i = 0; i < 3; i++) {
        const tn_attr attrs[] = {ints("strides", 1, &stride),
                                 {.name = "auto_pad", .kind = TN_ATTR_STRING, .s = {names[i], strlen(names[i])}}};
        assert_ok(run(2, attrs, x, w, &y));
        assert_int_equal(y->dims[2], i == 2 ? 2 : 3);
        assert_memory_equal(y->data, expect[i], (size_t)y->dims[2] * sizeof(float));
        tn_tensor_destroy(y);
    }
    tn_tensor_destroy(x), tn_tensor_destroy(w);
}

static void hostile_attributes_are_refused(void **state) {
    (void)state;
    tn_tensor *x = random_tensor(TN_FLOAT32, 4, (int64_t[]){1, 2, 5, 5}), *y;
    tn_tensor *w = random_tensor(TN_FLOAT32, 4, (int64_t[]){2, 2, 3, 3});
    static const int64_t big[] = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}, zero[] = {0, 0};
    static const int64_t negative[] = {-1, 0, 0, 0}, few[] = {1};
    const tn_attr attrs[] = {ints("strides", 2, zero),
                             ints("dilations", 2, big),
                             ints("pads", 4, big),
                             ints("pads", 4, negative),
                             ints("strides", 1, few),
                             ints("kernel_shape", 2, big),
                             {.name = "group", .kind = TN_ATTR_INT, .i = 0},
                             {.name = "group", .kind = TN_ATTR_INT, .i = INT64_MAX},
                             {.name = "group", .kind = TN_ATTR_INT, .i = 2},
                             {.name = "auto_pad", .kind = TN_ATTR_STRING, .s = {"AROUND", 6}}};
    for (size_t i = 0; i < TN_COUNT(attrs); i++) assert_int_not_equal(run(1, &attrs[i], x, w, &y), TN_OK);
    assert_int_equal(run(0, NULL, w, x, &y), TN_E_SHAPE);
    tn_tensor_destroy(x), tn_tensor_destroy(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_kernels_match_plain_loops),
        cmocka_unit_test(pointwise_kernels_match_plain_loops),
        cmocka_unit_test(few_positions_match_plain_loops),
        cmocka_unit_test(winograd_matches_plain_loops),
        cmocka_unit_test(depthwise_kernels_match_plain_loops),
        cmocka_unit_test(depthwise_of_small_planes_matches_plain_loops),
        cmocka_unit_test(auto_pad_keeps_the_size_that_strides_give),
        cmocka_unit_test(hostile_attributes_are_refused),
    };
    return cmocka_run_group_tests_name("conv", tests, NULL, NULL);
}
