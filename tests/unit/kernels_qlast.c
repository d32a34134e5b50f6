/* Kernels on channels-last bytes: every level gives the very bits of the scalar level, and that those of plain arithmetic. */
#include "unit.h"
#include "kernels/qlast.h"
#include <math.h>
#include <stdlib.h>

static uint64_t seed = 1;
static uint32_t random_bits(void) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}
static void fill(void *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) ((uint8_t *)data)[i] = (uint8_t)random_bits();
}

enum { COUNT = 300, ROWS = 3 };

static void rows_equal_scalar_at_every_cpu_level(void **state) {
    (void)state;
    const tn_kernels *scalar = tn_kernels_at(TN_CPU_SCALAR);
    static uint8_t a[4 * COUNT + 64], b[COUNT], table[256], y1[ROWS * COUNT], y2[ROWS * COUNT];
    static int32_t c[ROWS * COUNT + TN_QLAST_PAD], offset[COUNT + 8 + TN_QLAST_PAD], s1[COUNT], s2[COUNT];
    static float scale[COUNT + 8 + TN_QLAST_PAD];
    fill(a, sizeof a), fill(b, sizeof b), fill(table, sizeof table), fill(s1, sizeof s1);
    for (size_t i = 0; i < TN_COUNT(c); i++) c[i] = (int32_t)random_bits() % 20000;
    for (size_t i = 0; i < COUNT; i++) {
        offset[i] = (int32_t)random_bits() % 1000;
        scale[i] = i % 3 == 0 ? 0.0078125f : (float)(random_bits() % 1000) * 1e-5f; /* with ties */
    }
    scale[7] = INFINITY; /* and infinities and NaN */
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *k = tn_kernels_at((tn_cpu_level)level);
        for (size_t n = 1; k && n <= COUNT; n += n < 140 ? 1 : 37) {
            scalar->qlook_up(y1, a, n, table), k->qlook_up(y2, a, n, table);
            assert_memory_equal(y1, y2, sizeof y1);
            scalar->qfinish(y1, COUNT, c, COUNT, ROWS, n, offset, scale, 7, 0, 255);
            k->qfinish(y2, COUNT, c, COUNT, ROWS, n, offset, scale, 7, 0, 255);
            assert_memory_equal(y1, y2, sizeof y1);
            scalar->qfinish(y1, COUNT, c, COUNT, ROWS, n, offset + 8, scale + 8, 7, 3, 200);
            k->qfinish(y2, COUNT, c, COUNT, ROWS, n, offset + 8, scale + 8, 7, 3, 200);
            assert_memory_equal(y1, y2, sizeof y1);
            for (int32_t shift = 0; shift <= 128; shift += 128) {
                scalar->qadd(y1, a, b, n, shift, 0.5f, 0.3f, 3.25f), k->qadd(y2, a, b, n, shift, 0.5f, 0.3f, 3.25f);
                assert_memory_equal(y1, y2, sizeof y1);
                scalar->qmul(y1, a, b, n, shift, 5, 90, 0.03125f, 7), k->qmul(y2, a, b, n, shift, 5, 90, 0.03125f, 7);
                assert_memory_equal(y1, y2, sizeof y1);
            }
            const uint8_t *taps[4] = {a, a + 17, a + 400, a + 801};
            scalar->qmax(y1, n, 4, taps), k->qmax(y2, n, 4, taps);
            assert_memory_equal(y1, y2, sizeof y1);
            scalar->qaverage(y1, n, 4, taps, 9, 0.1f, 4, 0.1f, 3), k->qaverage(y2, n, 4, taps, 9, 0.1f, 4, 0.1f, 3);
            assert_memory_equal(y1, y2, sizeof y1);
            memcpy(s2, s1, sizeof s1);
            scalar->qsum(s1, n, 3, a, 300), k->qsum(s2, n, 3, a, 300);
            assert_memory_equal(s1, s2, sizeof s1);
        }
    }
}

/* In place, where the caller says so. */
static void look_up_and_add_may_be_in_place(void **state) {
    (void)state;
    uint8_t table[256], x[COUNT], y[COUNT], z[COUNT];
    fill(table, sizeof table), fill(x, sizeof x), fill(z, sizeof z);
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *k = tn_kernels_at((tn_cpu_level)level);
        if (!k) continue;
        memcpy(y, x, COUNT);
        k->qlook_up(y, y, COUNT, table);
        for (int i = 0; i < COUNT; i++) assert_int_equal(y[i], table[x[i]]);
        uint8_t want[COUNT];
        k->qadd(want, y, z, COUNT, 0, 0.5f, 0.25f, 1);
        k->qadd(y, y, z, COUNT, 0, 0.5f, 0.25f, 1);
        assert_memory_equal(y, want, COUNT);
    }
}

static void check_depthwise(const tn_kernels *k, size_t n, size_t channels, size_t taps, size_t step) {
    const tn_qdepth_layout *layout = tn_qdepth_layout_of(k);
    size_t padded = tn_qdepth_channels(layout, channels);
    uint8_t *x = malloc(taps * n * step + channels), *y = malloc(n * channels + 1);
    int8_t *w = malloc(channels * taps);
    int32_t *offset = malloc(channels * 4), *offsets = malloc(padded * 4);
    float *scale = malloc(channels * 4), *scales = malloc(padded * 4);
    void *packed = malloc(tn_qdepth_w_bytes(layout, channels, taps));
    const uint8_t *tap[TN_QLAST_TAPS];
    fill(x, taps * n * step + channels), fill(w, channels * taps);
    if (n == 3) memset(x, 255, taps * n * step), memset(w, 127, channels * taps); /* what would saturate 16 bits */
    for (size_t c = 0; c < channels; c++) {
        offset[c] = (int32_t)random_bits() % 1000;
        scale[c] = (float)(1 + random_bits() % 1000) * 1e-5f;
    }
    for (size_t t = 0; t < taps; t++) tap[t] = x + t * n * step;
    tn_qdepth_pack_w(layout, packed, w, channels, taps);
    tn_qdepth_pack_row(layout, offsets, offset, channels);
    tn_qdepth_pack_row(layout, scales, scale, channels);
    y[n * channels] = 77;
    k->qdepth(y, n, channels, taps, tap, step, packed, offsets, scales, 20, 3, 250);
    assert_int_equal(y[n * channels], 77);
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < channels; c++) {
            int32_t sum = offset[c];
            for (size_t t = 0; t < taps; t++) sum += tap[t][i * step + c] * w[c * taps + t];
            float v = rintf((float)sum * scale[c]) + 20;
            int want = v < 3 ? 3 : v > 250 ? 250 : (int)v;
            if (y[i * channels + c] != want)
                fail_msg("%s: n %zu, channels %zu, taps %zu: [%zu,%zu] is %d, not %d", tn_cpu_level_name(k->level), n,
                         channels, taps, i, c, y[i * channels + c], want);
        }
    free(x), free(y), free(w), free(offset), free(offsets), free(scale), free(scales), free(packed);
}

static void depthwise_is_exact_at_every_cpu_level(void **state) {
    (void)state;
    static const size_t channels[] = {1, 3, 4, 15, 16, 17, 32, 40, 63, 64, 65, 96, 128, 131},
                        taps[] = {1, 3, 4, 9, 25, 49};
    for (int level = 0; level < TN_CPU_LEVELS; level++)
        for (size_t c = 0; tn_kernels_at((tn_cpu_level)level) && c < TN_COUNT(channels); c++)
            for (size_t t = 0; t < TN_COUNT(taps); t++)
                for (size_t n = 1; n <= 4; n++)
                    check_depthwise(tn_kernels_at((tn_cpu_level)level), n, channels[c], taps[t],
                                    channels[c] * (1 + n % 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_equal_scalar_at_every_cpu_level),
        cmocka_unit_test(look_up_and_add_may_be_in_place),
        cmocka_unit_test(depthwise_is_exact_at_every_cpu_level),
    };
    return cmocka_run_group_tests_name("kernels_qlast", tests, NULL, NULL);
}
