/* Reductions, softmax and normalisations at every level of this machine, against plain loops in double. */
#include "unit.h"
#include "kernels/kernels.h"
#include <math.h>

enum { ROWS = 5, MAX = 700, STRIDE = 77 };

static float x[ROWS * MAX + STRIDE * 400], y[ROWS * MAX + STRIDE * 400], scale[MAX], bias[MAX];
static const size_t lengths[] = {0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 127, 128, 200, 699};

static void fill(void) {
    uint32_t seed = 1;
    for (size_t i = 0; i < TN_COUNT(x); i++) {
        seed = seed * 1664525 + 1013904223;
        x[i] = (float)(seed >> 8) / (float)(1 << 22) - 2;
    }
    for (size_t i = 0; i < MAX; i++) scale[i] = 0.5f + (float)(i % 7) * 0.1f, bias[i] = (float)(i % 5) - 2;
}

static void near(double got, double wanted, double tolerance, const char *what, int level, size_t n) {
    if (!(fabs(got - wanted) <= tolerance * fmax(1, fabs(wanted))) && !(isnan(got) && isnan(wanted)) && got != wanted)
        fail_msg("%s at level %s, n = %zu: %g, not %g", what, tn_cpu_level_name((tn_cpu_level)level), n, got, wanted);
}

typedef void rows_kernel(float *y, const float *x, size_t rows, size_t n);
typedef void columns_kernel(float *y, const float *x, size_t rows, size_t n, size_t stride);

enum { SUM, SUM_ABS, SUM_SQUARES, PRODUCT, HIGH, LOW, KINDS };

static double reference(int kind, const float *p, size_t n, size_t step) {
    double a = kind == PRODUCT ? 1 : kind == HIGH ? -INFINITY : kind == LOW ? INFINITY : 0;
    for (size_t i = 0; i < n; i++) {
        double v = (double)p[i * step];
        switch (kind) {
        case SUM: a += v; break;
        case SUM_ABS: a += fabs(v); break;
        case SUM_SQUARES: a += v * v; break;
        case PRODUCT: a *= v; break;
        case HIGH: a = isnan(a) || isnan(v) ? NAN : fmax(a, v); break;
        default: a = isnan(a) || isnan(v) ? NAN : fmin(a, v); break;
        }
    }
    return a;
}

#define EACH_LEVEL(table, level)                                                                                       \
    for (int level = 0; level < TN_CPU_LEVELS; level++)                                                                \
        for (const tn_kernels *table = tn_kernels_at((tn_cpu_level)level); table; table = NULL)

static void reductions_match_plain_loops(void **state) {
    (void)state;
    static const char *const names[] = {"sum", "sum_abs", "sum_squares", "product", "max", "min"};
    fill();
    EACH_LEVEL(k, level) {
        rows_kernel *rows[] = {k->rows_sum_f32,     k->rows_sum_abs_f32, k->rows_sum_squares_f32,
                               k->rows_product_f32, k->rows_max_f32,     k->rows_min_f32};
        columns_kernel *columns[] = {k->columns_sum_f32,     k->columns_sum_abs_f32, k->columns_sum_squares_f32,
                                     k->columns_product_f32, k->columns_max_f32,     k->columns_min_f32};
        for (int kind = 0; kind < KINDS; kind++)
            for (size_t l = 0; l < TN_COUNT(lengths); l++) {
                size_t n = lengths[l];
                rows[kind](y, x, ROWS, n);
                for (size_t r = 0; r < ROWS; r++)
                    near((double)y[r], reference(kind, x + r * n, n, 1), 2e-5, names[kind], level, n);
                if (n > 300) continue;
                for (size_t width = 0; width < 40; width += 3) {
                    y[width] = 1234;
                    columns[kind](y, x, n, width, STRIDE);
                    for (size_t j = 0; j < width; j++)
                        near((double)y[j], reference(kind, x + j, n, STRIDE), 2e-5, names[kind], level, n);
                    assert_true(y[width] == 1234);
                }
            }
    }
}

static void max_and_min_find_a_nan_wherever_it_is(void **state) {
    (void)state;
    EACH_LEVEL(k, level) {
        for (size_t n = 1; n < 150; n += n < 8 ? 1 : 7)
            for (size_t at = 0; at < n; at++) {
                float high, low;
                fill();
                x[at] = NAN;
                k->rows_max_f32(&high, x, 1, n);
                k->rows_min_f32(&low, x, 1, n);
                assert_true(isnan(high) && isnan(low));
                k->columns_max_f32(&high, x, n, 1, 1);
                assert_true(isnan(high));
            }
    }
}

static void extremes_of_columns_are_where_a_plain_loop_finds_them(void **state) {
    (void)state;
    enum { N = 40, LENGTH = 23 };
    fill();
    for (size_t i = 0; i < LENGTH * STRIDE; i++) x[i] = i % 61 == 0 ? NAN : floorf(x[i] * 3);
    EACH_LEVEL(k, level) {
        for (size_t n = 0; n <= N; n++)
            for (int form = 0; form < 4; form++) {
                bool largest = form & 1, last = form & 2;
                int64_t at[N + 1];
                at[n] = 99;
                k->columns_arg_f32(at, x, LENGTH, n, STRIDE, largest, last);
                for (size_t j = 0; j < n; j++) {
                    size_t best = 0;
                    for (size_t r = 1; r < LENGTH; r++) {
                        float v = x[r * STRIDE + j], h = x[best * STRIDE + j];
                        bool equal = v == h || (isnan(v) && isnan(h));
                        bool better = isnan(v) ? !isnan(h) : largest ? v > h : v < h;
                        if (better || (equal && last)) best = r;
                    }
                    assert_int_equal(at[j], best);
                }
                assert_int_equal(at[n], 99);
            }
    }
}

static void softmax_matches_a_plain_loop(void **state) {
    (void)state;
    fill();
    for (size_t i = 0; i < TN_COUNT(x); i += 11) x[i] *= 40;
    x[3] = -INFINITY;
    EACH_LEVEL(k, level) {
        for (size_t l = 1; l < TN_COUNT(lengths); l++)
            for (int is_log = 0; is_log < 2; is_log++)
                for (int columns = 0; columns < 2; columns++) {
                    size_t n = columns ? TN_MIN(lengths[l], (size_t)300) : lengths[l], step = columns ? STRIDE : 1;
                    size_t count = columns ? 37 : ROWS, apart = columns ? 1 : n;
                    if (columns)
                        (is_log ? k->columns_log_softmax_f32 : k->columns_softmax_f32)(y, x, n, count, STRIDE);
                    else
                        (is_log ? k->rows_log_softmax_f32 : k->rows_softmax_f32)(y, x, count, n);
                    for (size_t r = 0; r < count; r++) {
                        const float *p = x + r * apart;
                        double m = reference(HIGH, p, n, step), sum = 0;
                        for (size_t i = 0; i < n; i++) sum += exp((double)p[i * step] - m);
                        for (size_t i = 0; i < n; i++) {
                            double e = (double)p[i * step] - m;
                            near((double)y[r * apart + i * step], is_log ? e - log(sum) : exp(e) / sum, 2e-6, "softmax",
                                 level, n);
                        }
                    }
                }
    }
}

static void masked_elements_get_exactly_nothing_from_softmax(void **state) {
    (void)state;
    EACH_LEVEL(k, level) {
        float row[20];
        for (int i = 0; i < 20; i++) row[i] = i < 9 ? 0.5f : -INFINITY;
        k->rows_softmax_f32(row, row, 1, 20);
        for (int i = 9; i < 20; i++) assert_true(row[i] == 0);
    }
}

static void normalisations_match_plain_loops(void **state) {
    (void)state;
    fill();
    EACH_LEVEL(k, level) {
        for (size_t l = 1; l < TN_COUNT(lengths); l++) {
            size_t n = lengths[l];
            float mean[ROWS], inverse[ROWS], variance[ROWS];
            k->rows_moments_f32(mean, variance, x, ROWS, n);
            for (int form = 0; form < 4; form++) { /* rms_norm, layer_norm without and with scale, with bias */
                if (form == 0)
                    k->rows_rms_norm_f32(y, x, ROWS, n, scale, 1e-5f, inverse);
                else
                    k->rows_layer_norm_f32(y, x, ROWS, n, form > 1 ? scale : NULL, form > 2 ? bias : NULL, 1e-5f, mean,
                                           form > 1 ? inverse : NULL);
                for (size_t r = 0; r < ROWS; r++) {
                    const float *p = x + r * n;
                    double m = form ? reference(SUM, p, n, 1) / (double)n : 0, v = 0;
                    for (size_t i = 0; i < n; i++) v += ((double)p[i] - m) * ((double)p[i] - m) / (double)n;
                    double inv = 1 / sqrt(v + 1e-5);
                    if (form) near((double)mean[r], m, 1e-5, "mean", level, n);
                    if (form) near((double)variance[r], v, 1e-5, "variance", level, n);
                    if (form != 1) near((double)inverse[r], inv, 1e-5, "inverse", level, n);
                    for (size_t i = 0; i < n && n > 1; i++)
                        near((double)y[r * n + i],
                             ((double)p[i] - m) * inv * (form != 1 ? (double)scale[i] : 1) +
                                 (form > 2 ? (double)bias[i] : 0),
                             2e-5, "norm", level, n);
                }
            }
            k->rows_affine_f32(y, x, ROWS, n, scale, bias);
            for (size_t i = 0; i < ROWS * n; i++)
                near((double)y[i], (double)(x[i] * scale[i / n] + bias[i / n]), 1e-6, "rows_affine", level, n);
            k->columns_affine_f32(y, x, ROWS, n, scale, bias);
            for (size_t i = 0; i < ROWS * n; i++)
                near((double)y[i], (double)(x[i] * scale[i % n] + bias[i % n]), 1e-6, "columns_affine", level, n);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reductions_match_plain_loops),
        cmocka_unit_test(max_and_min_find_a_nan_wherever_it_is),
        cmocka_unit_test(extremes_of_columns_are_where_a_plain_loop_finds_them),
        cmocka_unit_test(softmax_matches_a_plain_loop),
        cmocka_unit_test(masked_elements_get_exactly_nothing_from_softmax),
        cmocka_unit_test(normalisations_match_plain_loops),
    };
    return cmocka_run_group_tests_name("kernels_reduce", tests, NULL, NULL);
}
