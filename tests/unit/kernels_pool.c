/* Pooling kernels at every level of this machine against plain loops. */
#include "unit.h"
#include "kernels/kernels.h"
#include <math.h>

enum { N = 200, ROWS = 5 };

static float x[ROWS][N * 4], y[N + 1];
static uint8_t u[ROWS][N * 4], v[N + 1];

static void fill(void) {
    uint32_t seed = 7;
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < N * 4; i++) {
            seed = seed * 1664525 + 1013904223;
            x[r][i] = (float)(seed >> 8) / (float)(1 << 22) - 2;
            u[r][i] = (uint8_t)(seed >> 24);
        }
}

#define EACH_LEVEL(table)                                                                                              \
    for (int level = 0; level < TN_CPU_LEVELS; level++)                                                                \
        for (const tn_kernels *table = tn_kernels_at((tn_cpu_level)level); table; table = NULL)

static void rows_combine_as_plain_loops_do(void **state) {
    (void)state;
    const void *rows[ROWS], *bytes[ROWS];
    fill();
    for (int r = 0; r < ROWS; r++) rows[r] = x[r], bytes[r] = u[r];
    EACH_LEVEL(k) {
        for (size_t n = 0; n < 70; n++)
            for (size_t count = 0; count <= ROWS; count++)
                for (int more = 0; more < 2; more++) {
                    for (int kind = 0; kind < 4; kind++) {
                        for (size_t j = 0; j <= n; j++) y[j] = 1.5f;
                        (kind == 0   ? k->pool_rows_max_f32
                         : kind == 1 ? k->pool_rows_sum_f32
                         : kind == 2 ? k->pool_rows_sum_abs_f32
                                     : k->pool_rows_sum_squares_f32)(y, rows, count, n, more);
                        for (size_t j = 0; j < n; j++) {
                            float a = more ? 1.5f : kind ? 0 : -INFINITY;
                            for (size_t r = 0; r < count; r++) {
                                float e = x[r][j];
                                a = kind == 0 ? fmaxf(a, e) : a + (kind == 1 ? e : kind == 2 ? fabsf(e) : e * e);
                            }
                            assert_true(y[j] == a);
                        }
                        assert_true(y[n] == 1.5f);
                    }
                    for (int is_signed = 0; is_signed < 2; is_signed++) {
                        memset(v, 77, n + 1);
                        (is_signed ? k->pool_rows_max_i8 : k->pool_rows_max_u8)(v, bytes, count, n, more);
                        for (size_t j = 0; j < n; j++) {
                            int a = more ? 77 : is_signed ? -128 : 0;
                            for (size_t r = 0; r < count; r++) a = TN_MAX(a, is_signed ? (int8_t)u[r][j] : u[r][j]);
                            assert_int_equal(is_signed ? (int8_t)v[j] : v[j], a);
                        }
                        assert_int_equal(v[n], 77);
                    }
                }
    }
}

static void windows_combine_as_plain_loops_do(void **state) {
    (void)state;
    fill();
    EACH_LEVEL(k) {
        for (size_t n = 0; n < 70; n++)
            for (size_t stride = 1; stride < 4; stride++)
                for (size_t kernel = 1; kernel < 6; kernel++)
                    for (size_t dilation = 1; dilation < 3; dilation++) {
                        /* The last window ends where x does, so that a sanitizer sees what is read beyond. */
                        size_t used = n ? (n - 1) * stride + (kernel - 1) * dilation + 1 : 0;
                        const float *from = x[ROWS - 1] + 4 * N - used;
                        const uint8_t *bytes = u[ROWS - 1] + 4 * N - used;
                        for (int sum = 0; sum < 2; sum++) {
                            y[n] = 1234;
                            (sum ? k->pool_windows_sum_f32 : k->pool_windows_max_f32)(y, from, n, stride, kernel,
                                                                                      dilation);
                            for (size_t i = 0; i < n; i++) {
                                float a = from[i * stride];
                                for (size_t t = 1; t < kernel; t++) {
                                    float e = from[i * stride + t * dilation];
                                    a = sum ? a + e : fmaxf(a, e);
                                }
                                assert_true(y[i] == a);
                            }
                            assert_true(y[n] == 1234);
                        }
                        k->pool_windows_max_u8(v, bytes, n, stride, kernel, dilation);
                        for (size_t i = 0; i < n; i++) {
                            uint8_t a = 0;
                            for (size_t t = 0; t < kernel; t++) a = TN_MAX(a, bytes[i * stride + t * dilation]);
                            assert_int_equal(v[i], a);
                        }
                        k->pool_windows_max_i8(v, bytes, n, stride, kernel, dilation);
                        for (size_t i = 0; i < n; i++) {
                            int a = -128;
                            for (size_t t = 0; t < kernel; t++) a = TN_MAX(a, (int8_t)bytes[i * stride + t * dilation]);
                            assert_int_equal((int8_t)v[i], a);
                        }
                    }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_combine_as_plain_loops_do),
        cmocka_unit_test(windows_combine_as_plain_loops_do),
    };
    return cmocka_run_group_tests_name("kernels_pool", tests, NULL, NULL);
}
