/* Copy kernels: every level moves the same bytes as scalar, and resamples to nearly the same numbers. */
#include "unit.h"
#include "kernels/kernels.h"
#include <math.h>
#include <stdlib.h>

static uint32_t random_bits(void) {
    static uint64_t seed = 11;
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

typedef void transpose(int64_t, int64_t, const void *, int64_t, void *, int64_t);
static transpose *transpose_of(const tn_kernels *k, int size) {
    return size == 1   ? k->transpose_1
           : size == 2 ? k->transpose_2
           : size == 4 ? k->transpose_4
           : size == 8 ? k->transpose_8
                       : k->transpose_16;
}

static void transposes_move_each_element_at_every_level(void **state) {
    (void)state;
    enum { MOST = 70 * 70 * 16 };
    static uint8_t src[MOST + 64], dst[MOST + 64];
    static const int sides[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65};
    for (size_t i = 0; i < sizeof src; i++) src[i] = (uint8_t)random_bits();
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *k = tn_kernels_at((tn_cpu_level)level);
        if (!k) continue;
        for (int size = 1; size <= 16; size *= 2)
            for (size_t a = 0; a < TN_COUNT(sides); a++)
                for (size_t b = 0; b < 2 * TN_COUNT(sides); b++) {
                    /* Rows one behind the other, or with room between them. */
                    int rows = sides[a], cols = sides[b / 2], wide = cols + (int)(b % 2);
                    memset(dst, 0xee, sizeof dst);
                    transpose_of(k, size)(rows, cols, src + 1, (int64_t)rows * size, dst + 1, (int64_t)wide * size);
                    for (int i = 0; i < rows; i++) {
                        for (int j = 0; j < cols; j++)
                            assert_memory_equal(dst + 1 + (i * wide + j) * size, src + 1 + (j * rows + i) * size,
                                                (size_t)size);
                        if (wide > cols) assert_int_equal(dst[1 + (i * wide + cols) * size], 0xee);
                    }
                    assert_int_equal(dst[1 + rows * wide * size], 0xee);
                }
    }
}

static void strided_and_picked_elements_arrive_at_every_level(void **state) {
    (void)state;
    enum { N = 100 };
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *k = tn_kernels_at((tn_cpu_level)level);
        if (!k) continue;
        for (int n = 0; n <= N; n++)
            for (int stride = -3; stride <= 3; stride++) {
                /* Exactly the memory that may be read: tools that watch memory see a step too far. */
                size_t reach = n ? (size_t)(n - 1) * (size_t)abs(stride) + 1 : 1;
                int32_t *src = malloc(reach * 4), dst[N + 1], index[N];
                for (size_t i = 0; i < reach; i++) src[i] = (int32_t)random_bits();
                const int32_t *first = stride < 0 ? src + reach - 1 : src;
                dst[n] = 7;
                k->strided_4(n, first, stride * 4, dst);
                for (int i = 0; i < n; i++) assert_int_equal(dst[i], first[i * stride]);
                for (int i = 0; i < n; i++) index[i] = (int32_t)(random_bits() % reach);
                k->take_4(n, src, index, dst);
                for (int i = 0; i < n; i++) assert_int_equal(dst[i], src[index[i]]);
                assert_int_equal(dst[n], 7);
                free(src);
            }
    }
}

static void weighed_sums_and_rotations_match_scalar_at_every_level(void **state) {
    (void)state;
    enum { N = 77, TAPS = 5, ROWS = 9 };
    static float src[ROWS * N], weights[TAPS * N], want[2 * N], got[2 * N];
    static int32_t index[TAPS * N];
    const tn_kernels *scalar = tn_kernels_at(TN_CPU_SCALAR);
    for (int i = 0; i < ROWS * N; i++) src[i] = (float)(random_bits() % 2000) / 1000 - 1;
    for (int i = 0; i < TAPS * N; i++) weights[i] = (float)(random_bits() % 2000) / 1000 - 1;
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *k = tn_kernels_at((tn_cpu_level)level);
        if (!k) continue;
        for (int n = 1; n <= N; n++)
            for (int taps = 1; taps <= TAPS; taps++) {
                for (int i = 0; i < TAPS * N; i++) index[i] = (int32_t)(random_bits() % ROWS);
                scalar->weigh_taps_f32(n, taps, src, index, weights, N, want);
                k->weigh_taps_f32(n, taps, src, index, weights, N, got);
                for (int i = 0; i < n; i++) assert_true(fabsf(want[i] - got[i]) < 1e-5f);
                scalar->weigh_rows_f32(n, taps, src, N, index, weights, 3, want);
                k->weigh_rows_f32(n, taps, src, N, index, weights, 3, got);
                for (int i = 0; i < n; i++) assert_true(fabsf(want[i] - got[i]) < 1e-5f);
            }
        for (int n = 1; n <= N; n++) {
            scalar->rotate_f32(n, src, src + N, weights, weights + N, want, want + N);
            memcpy(got, src, sizeof got);
            k->rotate_f32(n, got, got + N, weights, weights + N, got, got + N);
            for (int i = 0; i < n; i++) assert_true(fabsf(want[i] - got[i]) + fabsf(want[N + i] - got[N + i]) < 1e-5f);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transposes_move_each_element_at_every_level),
        cmocka_unit_test(strided_and_picked_elements_arrive_at_every_level),
        cmocka_unit_test(weighed_sums_and_rotations_match_scalar_at_every_level),
    };
    return cmocka_run_group_tests_name("kernels_copy", tests, NULL, NULL);
}
