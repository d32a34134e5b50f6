/* Quantized kernels: every level gives the very bits of plain arithmetic and of the scalar level. */
#include "unit.h"
#include "kernels/qgemm.h"
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
static int value(uint8_t byte, bool is_signed) {
    return is_signed ? (int8_t)byte : byte;
}

static void check_product(const tn_kernels *kernels, size_t m, size_t n, size_t ldc, size_t k, bool us,
                          const uint8_t *a, const uint8_t *b) {
    const tn_qgemm_layout *layout = tn_qgemm_layout_of(kernels);
    bool a_signed = layout->bytes_signed || !us, b_signed = layout->bytes_signed || us;
    int a_shift = tn_qgemm_shift(!us, a_signed), b_shift = tn_qgemm_shift(us, b_signed);
    void *pa = malloc(tn_qgemm_a_bytes(layout, m, k) + 1), *pb = malloc(tn_qgemm_b_bytes(layout, k, n) + 1);
    int32_t *c = malloc(m * ldc * 4 + 4), *sa = malloc(m * 4), *sb = malloc(n * 4);
    c[m * ldc] = 77;
    tn_qgemm_pack_a(layout, pa, a, k, 1, m, k, a_signed, a_shift ? 0x80 : 0, sa);
    tn_qgemm_pack_b(layout, pb, b, n, 1, k, n, b_signed, b_shift ? 0x80 : 0, sb);
    if (us)
        kernels->qgemm_us(m, n, tn_qgemm_k(layout, k), pa, pb, tn_qgemm_order(layout, pb, k, n, 0), c, ldc, pb,
                          tn_qgemm_b_bytes(layout, k, n));
    else
        kernels->qgemm_su(m, n, tn_qgemm_k(layout, k), pa, pb, c, ldc);
    assert_int_equal(c[m * ldc], 77);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            int32_t want = 0;
            for (size_t p = 0; p < k; p++) want += value(a[i * k + p], !us) * value(b[p * n + j], us);
            int32_t got = c[i * ldc + j] - a_shift * sb[j] - b_shift * sa[i] + (int32_t)k * a_shift * b_shift;
            if (got != want)
                fail_msg("%s %zux%zux%zu us=%d [%zu,%zu]: %d, not %d", tn_cpu_level_name(kernels->level), m, n, k, us,
                         i, j, got, want);
        }
    free(pa), free(pb), free(c), free(sa), free(sb);
}

static void qgemm_is_exact_at_every_cpu_level(void **state) {
    (void)state;
    static const size_t shapes[][3] = {{1, 1, 1},   {1, 33, 5},    {2, 8, 4},     {3, 16, 7},   {5, 31, 64},
                                       {7, 64, 17}, {8, 40, 33},   {9, 65, 50},   {13, 17, 3},  {17, 32, 129},
                                       {6, 100, 2}, {7, 20, 1100}, {49, 72, 128}, {40, 16, 64}, {70, 24, 100}};
    /* Pairs of these are just within what 16 bits hold, times 255, or just beyond. */
    static const int8_t near[] = {64, 65, -64, -65, 127, 1, 2, -128, -1, 0};
    for (size_t s = 0; s < TN_COUNT(shapes); s++) {
        size_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
        uint8_t *a = malloc(m * k), *b = malloc(k * n);
        for (int extreme = 0; extreme < 6; extreme++) {
            fill(a, m * k), fill(b, k * n);
            /* Panels whose pairs do not saturate beside others; and such as trained networks have. */
            for (size_t i = 0; extreme == 4 && i < k * n; i++)
                if (i % n / 16 % 2 == 0) b[i] = (uint8_t)(random_bits() % 129 - 64);
            for (size_t i = 0; extreme == 5 && i < k * n; i++)
                b[i] = (uint8_t)(random_bits() % 33 + random_bits() % 33 + random_bits() % 33 - 48);
            /* What saturates in a 16-bit shortcut: the greatest products, all of one sign. */
            if (extreme > 0 && extreme < 4) memset(a, 255, m * k), memset(b, extreme == 1 ? 127 : 128, k * n);
            for (size_t i = 0; extreme == 3 && i < k * n; i++) b[i] = (uint8_t)near[random_bits() % sizeof near];
            for (int level = 0; level < TN_CPU_LEVELS; level++)
                if (tn_kernels_at((tn_cpu_level)level))
                    for (int us = 0; us < 2; us++)
                        for (size_t room = 0; room < 64; room += 40)
                            check_product(tn_kernels_at((tn_cpu_level)level), m, n, n + room, k, us, a, b);
        }
        free(a), free(b);
    }
}

/* The most that values of one sign are together in any pair of a step, or of two that are added. */
enum { ORDERED_N = 48, ORDERED_K = 100, STEPS = ORDERED_K / 4 };
static int most_of(const int8_t b[ORDERED_K][ORDERED_N], size_t panel, uint32_t one, uint32_t two) {
    int most = 0;
    for (size_t c = panel * 16; c < panel * 16 + 16; c++)
        for (size_t pair = 0; pair < 4; pair += 2) {
            int above = 0, below = 0;
            for (size_t v = pair; v < pair + 2; v++) {
                const int first = b[one + v][c], second = one == two ? 0 : b[two + v][c];
                above += (first > 0 ? first : 0) + (second > 0 ? second : 0);
                below += (first < 0 ? -first : 0) + (second < 0 ? -second : 0);
            }
            most = above > most ? above : most;
            most = below > most ? below : most;
        }
    return most;
}

/* Returns how many of the steps can be added. */
static uint32_t check_order(const tn_qgemm_layout *layout, const int8_t b[ORDERED_K][ORDERED_N]) {
    uint8_t *packed = malloc(tn_qgemm_b_bytes(layout, ORDERED_K, ORDERED_N));
    uint32_t total = 0;
    tn_qgemm_pack_b(layout, packed, (const uint8_t *)b, ORDERED_N, 1, ORDERED_K, ORDERED_N, true, 0, NULL);
    for (size_t panel = 0; panel < ORDERED_N / 16; panel++) {
        const uint32_t *order = tn_qgemm_order(layout, packed, ORDERED_K, ORDERED_N, panel * 16), *at = order + 1;
        uint32_t seen = 0;
        assert_true(order[0] <= STEPS / 2);
        for (uint32_t i = 0; i < STEPS; i++) {
            const uint32_t wild = at[i] & 1, from = at[i] - wild;
            assert_true(from % 4 == 0 && from < ORDERED_K);
            seen |= 1u << from / 4;
            for (size_t c = 0; c < 16; c++)
                for (size_t v = 0; v < 4; v++)
                    assert_int_equal(packed[panel * 16 * ORDERED_K + i * 64 + c * 4 + v],
                                     (uint8_t)b[from + v][panel * 16 + c]);
            assert_int_equal(wild, i >= 2 * order[0] && most_of(b, panel, from, from) > 128);
            if (i < 2 * order[0] && i % 2 == 0) assert_true(most_of(b, panel, from, at[i + 1]) <= 128);
        }
        assert_int_equal(seen, (1u << STEPS) - 1);
        total += 2 * order[0];
    }
    free(packed);
    return total;
}

static void steps_that_can_be_added_come_first(void **state) {
    (void)state;
    static int8_t b[ORDERED_K][ORDERED_N];
    const tn_kernels *kernels = tn_kernels_at(TN_CPU_AVX2);
    if (!kernels) skip();
    const tn_qgemm_layout *layout = tn_qgemm_layout_of(kernels);
    static const struct {
        int8_t step[4];
        bool added; /* to itself */
    } edges[] = {{{0, 0, 0, 0}, true},       {{32, 32, 32, 32}, true},  {{33, 32, 0, 0}, false},
                 {{64, -64, 64, -64}, true}, {{0, 0, -65, 0}, false},   {{127, 2, 0, 0}, false},
                 {{0, 0, 0, -128}, false},   {{-128, -1, 0, 0}, false}, {{-128, 127, 0, 1}, false}};
    for (size_t i = 0; i < TN_COUNT(edges); i++) {
        for (size_t k = 0; k < ORDERED_K; k++) memset(b[k], 0, sizeof b[k]), b[k][20] = edges[i].step[k % 4];
        assert_int_equal(check_order(layout, b), edges[i].added ? 72 : 48);
        for (size_t k = 8; k < 12; k++) b[k][20] = 0; /* that one can be added, where the other is not wild */
        assert_int_equal(check_order(layout, b) > 48, edges[i].added || most_of(b, 1, 0, 0) <= 128);
    }
    for (int spread = 1; spread < 8; spread++) {
        for (size_t i = 0; i < sizeof b; i++) {
            int v = 0;
            for (int t = 0; t < 4; t++) v += (int)(random_bits() % (12u * (unsigned)spread + 1)) - 6 * spread;
            b[i / ORDERED_N][i % ORDERED_N] = (int8_t)(v < -128 ? -128 : v > 127 ? 127 : v);
        }
        const uint32_t added = check_order(layout, b);
        assert_true(spread > 2 || added == 72);
    }
}

enum { COUNT = 1000 };

static void rows_equal_scalar_at_every_cpu_level(void **state) {
    (void)state;
    const tn_kernels *scalar = tn_kernels_at(TN_CPU_SCALAR);
    static int32_t c[COUNT], u[COUNT], v[COUNT], c1[COUNT + TN_QCONV_BLOCK], c2[COUNT + TN_QCONV_BLOCK], w[9];
    static float x[COUNT], scale[COUNT], bias[COUNT], f1[COUNT], f2[COUNT];
    static uint8_t q1[COUNT], q2[COUNT], bytes[3 * COUNT + 2 * TN_QCONV_BLOCK];
    fill(u, sizeof u), fill(v, sizeof v), fill(w, sizeof w), fill(bytes, sizeof bytes);
    for (size_t t = 0; t < TN_COUNT(w); t++) w[t] %= 256;
    for (int i = 0; i < COUNT; i++) {
        c[i] = (int32_t)random_bits() % 100000;
        x[i] = (float)((int)(random_bits() % 2001) - 1000) / 8.0f; /* with ties */
        scale[i] = (float)(random_bits() % 1000) * 1e-5f;
        bias[i] = x[COUNT - 1 - i];
    }
    x[3] = NAN, x[5] = INFINITY, x[COUNT - 1] = -INFINITY;
    for (int level = 1; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *k = tn_kernels_at((tn_cpu_level)level);
        if (!k) continue;
        for (size_t n = COUNT - 17; n <= COUNT; n++) {
            for (int form = 0; form < 4; form++) {
                memcpy(c1, c, sizeof c), memcpy(c2, c, sizeof c);
                scalar->qgemm_fix(c1, n, -7, form & 1 ? u : NULL, 9, form & 2 ? v : NULL, 11);
                k->qgemm_fix(c2, n, -7, form & 1 ? u : NULL, 9, form & 2 ? v : NULL, 11);
                assert_memory_equal(c1, c2, sizeof c);
                scalar->qrequantize(q1, c, n, scale, form & 1, 3, -128, 127);
                k->qrequantize(q2, c, n, scale, form & 1, 3, -128, 127);
                assert_memory_equal(q1, q2, n);
                scalar->qscale(f1, c, n, scale, form & 1, form & 2 ? bias : NULL);
                k->qscale(f2, c, n, scale, form & 1, form & 2 ? bias : NULL);
                assert_memory_equal(f1, f2, n * sizeof *f1);
                scalar->dequantize(f1, bytes, n, form & 1, 0.37f, 5);
                k->dequantize(f2, bytes, n, form & 1, 0.37f, 5);
                assert_memory_equal(f1, f2, n * sizeof *f1);
                memcpy(c1, c, sizeof c), memcpy(c2, c, sizeof c);
                const uint8_t *taps[3] = {bytes, bytes + 7, bytes + 9};
                size_t stride = n % 4 == 0 ? 3 : form & 1 ? 2 : 1;
                scalar->qconv_row(c1, n, 3, w, taps, stride, form & 2);
                k->qconv_row(c2, n, 3, w, taps, stride, form & 2);
                assert_memory_equal(c1, c2, n * sizeof *c1);
            }
            for (int bits = 2; bits <= 8; bits += bits < 4 ? 1 : 4) {
                scalar->dequantize_panel(f1, bytes, 9, 96, bits, scale, bias);
                k->dequantize_panel(f2, bytes, 9, 96, bits, scale, bias);
                assert_memory_equal(f1, f2, 9 * 96 * sizeof *f1);
            }
            scalar->quantize(q1, x, n, 0.25f, 128, 0, 255);
            k->quantize(q2, x, n, 0.25f, 128, 0, 255);
            assert_memory_equal(q1, q2, n);
            static int16_t words[2][COUNT];
            scalar->qwiden(words[0], bytes + 1, n);
            k->qwiden(words[1], bytes + 1, n);
            assert_memory_equal(words[0], words[1], sizeof words[0]);
            for (size_t i = 0; i < n; i++) assert_int_equal(words[0][i], bytes[i + 1]);
            float range[4];
            scalar->qrange(x, n, range, range + 1);
            k->qrange(x, n, range + 2, range + 3);
            assert_memory_equal(range, range + 2, 8);
        }
    }
}

static void quantize_rounds_to_even_and_saturates(void **state) {
    (void)state;
    const float x[] = {0.5f, 1.5f, 2.5f, -0.5f, 1000, -1000, NAN};
    uint8_t y[7];
    tn_kernels_at(TN_CPU_SCALAR)->quantize(y, x, 7, 1.0f, 10, 0, 255);
    assert_memory_equal(y, ((uint8_t[]){10, 12, 12, 10, 255, 0, 0}), 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qgemm_is_exact_at_every_cpu_level),
        cmocka_unit_test(steps_that_can_be_added_come_first),
        cmocka_unit_test(rows_equal_scalar_at_every_cpu_level),
        cmocka_unit_test(quantize_rounds_to_even_and_saturates),
    };
    return cmocka_run_group_tests_name("kernels_quant", tests, NULL, NULL);
}
