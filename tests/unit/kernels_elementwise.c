/* Elementwise kernels: every level gives the bits of plain expressions; any two NaNs are alike. */
#include "unit.h"
#include "base/half.h"
#include "kernels/kernels.h"
#include <math.h>

#define MOST 2048

static uint64_t seed = 7;
static uint32_t random_bits(void) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 32);
}
/* Small integers (ties!), any bits (denormals, infinities, NaNs) and plain numbers. */
static float random_float(void) {
    uint32_t r = random_bits();
    if (r % 4 == 0) return (float)(int)(random_bits() % 9) - 4;
    if (r % 4 == 1) return tn_bits_float(random_bits());
    return (float)(int32_t)random_bits() * 0x1p-20f;
}
static bool same(float a, float b) {
    return tn_float_bits(a) == tn_float_bits(b) || (a != a && b != b);
}

enum { ADD, SUB, MUL, DIV, MIN, MAX, BINARIES };
static float plain(int op, float p, float q) {
    if (op == ADD) return p + q;
    if (op == SUB) return p - q;
    if (op == MUL) return p * q;
    if (op == DIV) return p / q;
    if (p != p || q != q) return NAN;
    return op == MIN ? (p < q ? p : q) : (p > q ? p : q);
}
static void call(const tn_kernels *k, int op, size_t rows, size_t n, float *y, const float *a, const size_t as[2],
                 const float *b, const size_t bs[2]) {
    (op == ADD   ? k->add_f32
     : op == SUB ? k->sub_f32
     : op == MUL ? k->mul_f32
     : op == DIV ? k->div_f32
     : op == MIN ? k->min_f32
                 : k->max_f32)(rows, n, y, a, as[0], as[1], b, bs[0], bs[1]);
}

static void binary_kernels_match_plain_c_in_every_broadcast_pattern_at_every_level(void **state) {
    (void)state;
    static float a[MOST], b[MOST], y[MOST + 1];
    static const size_t shapes[][2] = {{1, 1}, {1, 37}, {3, 64}, {13, 5}, {50, 3}, {301, 1}, {9, 31}, {6, 100}};
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *k = tn_kernels_at((tn_cpu_level)level);
        for (size_t s = 0; k && s < TN_COUNT(shapes); s++)
            for (int pattern = 0; pattern < 16; pattern++)
                for (int op = 0; op < BINARIES; op++) {
                    size_t rows = shapes[s][0], n = shapes[s][1];
                    size_t a_step = pattern & 1, b_step = pattern >> 1 & 1;
                    size_t as[2] = {pattern & 4 ? (a_step ? n : 1) : 0, a_step};
                    size_t bs[2] = {pattern & 8 ? (b_step ? n : 1) : 0, b_step};
                    for (int i = 0; i < MOST; i++) a[i] = random_float(), b[i] = random_float();
                    y[rows * n] = 42;
                    call(k, op, rows, n, y, a, as, b, bs);
                    assert_true(y[rows * n] == 42);
                    for (size_t r = 0; r < rows; r++)
                        for (size_t i = 0; i < n; i++) {
                            float want = plain(op, a[r * as[0] + i * as[1]], b[r * bs[0] + i * bs[1]]);
                            if (!same(y[r * n + i], want))
                                fail_msg("%s: op %d pattern %d %zux%zu [%zu,%zu]: %g, not %g", tn_cpu_level_name(level),
                                         op, pattern, rows, n, r, i, y[r * n + i], want);
                        }
                }
    }
}

static void binary_kernels_work_in_place(void **state) {
    (void)state;
    float a[100], b[100];
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *k = tn_kernels_at((tn_cpu_level)level);
        if (!k) continue;
        for (int i = 0; i < 100; i++) a[i] = b[i] = (float)i;
        k->sub_f32(1, 100, a, a, 0, 1, b + 1, 0, 0);
        k->sub_f32(1, 100, b, a, 0, 1, b, 0, 1);
        for (int i = 0; i < 100; i++) assert_true(a[i] == (float)i - 1 && b[i] == -1);
    }
}

static void clip_and_select_match_plain_c_at_every_level(void **state) {
    (void)state;
    float x[77], y[77];
    uint8_t condition[77];
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *k = tn_kernels_at((tn_cpu_level)level);
        if (!k) continue;
        for (int i = 0; i < 77; i++) x[i] = random_float(), condition[i] = random_bits() & 1;
        k->clip_f32(77, y, x, -2, 3.5f);
        for (int i = 0; i < 77; i++) assert_true(same(y[i], x[i] < -2 ? -2 : x[i] > 3.5f ? 3.5f : x[i]));
        k->clip_f32(77, y, x, 3, 1);
        for (int i = 0; i < 77; i++) assert_true(same(y[i], x[i] != x[i] ? x[i] : 1));
        uint32_t a[77], b[77], z[77];
        for (int i = 0; i < 77; i++) a[i] = random_bits(), b[i] = random_bits();
        for (size_t steps = 0; steps < 4; steps++) {
            k->select_32(77, z, condition, a, steps & 1, b, steps >> 1);
            for (size_t i = 0; i < 77; i++)
                assert_int_equal(z[i], condition[i] ? a[i * (steps & 1)] : b[i * (steps >> 1)]);
        }
    }
}

static void conversions_match_the_scalar_formulas_at_every_level(void **state) {
    (void)state;
    enum { N = 65536 };
    static uint16_t codes[N], back[N];
    static float wide[N], source[N];
    for (int i = 0; i < N; i++) codes[i] = (uint16_t)i, source[i] = i & 1 ? random_float() : (float)i * 1.0009765f;
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *k = tn_kernels_at((tn_cpu_level)level);
        if (!k) continue;
        k->f16_to_f32(N, wide, codes);
        for (int i = 0; i < N; i++) assert_int_equal(tn_float_bits(wide[i]), tn_float_bits(tn_half_to_float(codes[i])));
        k->f32_to_f16(N, back, source);
        for (int i = 0; i < N; i++) assert_int_equal(back[i], tn_float_to_half(source[i]));
        k->bf16_to_f32(N, wide, codes);
        for (int i = 0; i < N; i++)
            assert_int_equal(tn_float_bits(wide[i]), tn_float_bits(tn_bfloat_to_float(codes[i])));
        k->f32_to_bf16(N, back, source);
        for (int i = 0; i < N; i++) assert_int_equal(back[i], tn_float_to_bfloat(source[i]));
        int64_t longs[19];
        int32_t ints[19];
        float y[20] = {[19] = 3};
        for (int i = 0; i < 19; i++)
            ints[i] = (int32_t)random_bits(), longs[i] = (int64_t)((uint64_t)random_bits() << (i * 2));
        k->i32_to_f32(19, y, ints);
        for (int i = 0; i < 19; i++) assert_true(y[i] == (float)ints[i]);
        k->i64_to_f32(19, y, longs);
        for (int i = 0; i < 19; i++) assert_true(y[i] == (float)longs[i]);
        k->i8_to_f32(19, y, (const int8_t *)ints);
        for (int i = 0; i < 19; i++) assert_true(y[i] == ((const int8_t *)ints)[i]);
        k->u8_to_f32(19, y, (const uint8_t *)ints);
        for (int i = 0; i < 19; i++) assert_true(y[i] == ((const uint8_t *)ints)[i]);
        assert_true(y[19] == 3);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binary_kernels_match_plain_c_in_every_broadcast_pattern_at_every_level),
        cmocka_unit_test(binary_kernels_work_in_place),
        cmocka_unit_test(clip_and_select_match_plain_c_at_every_level),
        cmocka_unit_test(conversions_match_the_scalar_formulas_at_every_level),
    };
    return cmocka_run_group_tests_name("kernels_elementwise", tests, NULL, NULL);
}
