/* Small number formats and elements of any dtype: exhaustive round trips, rounding and the edges of ranges. */
#include "unit.h"
#include "base/element.h"
#include <math.h>

static const tn_dtype SMALL[] = {TN_FLOAT16,    TN_BFLOAT16,       TN_FLOAT8E4M3FN, TN_FLOAT8E4M3FNUZ,
                                 TN_FLOAT8E5M2, TN_FLOAT8E5M2FNUZ, TN_FLOAT8E8M0,   TN_FLOAT4E2M1};

static unsigned code_of(tn_dtype dtype, double x) {
    uint16_t code = 0;
    uint8_t byte = 0;
    bool wide = tn_dtype_bits(dtype) == 16;
    tn_set_double(dtype, wide ? (void *)&code : &byte, 0, x);
    return wide ? code : byte;
}
static double value_of(tn_dtype dtype, unsigned code) {
    uint16_t wide = (uint16_t)code;
    uint8_t byte = (uint8_t)code;
    return tn_get_double(dtype, tn_dtype_bits(dtype) == 16 ? (void *)&wide : &byte, 0);
}

static void every_code_survives_the_way_over_double(void **state) {
    (void)state;
    for (size_t d = 0; d < TN_COUNT(SMALL); d++)
        for (unsigned code = 0; code < 1u << tn_dtype_bits(SMALL[d]); code++) {
            double x = value_of(SMALL[d], code);
            bool infinite = isinf(x) && tn_dtype_bits(SMALL[d]) == 8; /* saturates */
            if (isnan(x))
                assert_true(isnan(value_of(SMALL[d], code_of(SMALL[d], x))));
            else if (!infinite)
                assert_int_equal(code_of(SMALL[d], x), code);
        }
}

/* Codes of one sign are in the order of their values: the nearer neighbour wins, the even one where both are as near. */
static void rounding_is_to_the_nearest_even(void **state) {
    (void)state;
    for (size_t d = 0; d < TN_COUNT(SMALL); d++) {
        if (SMALL[d] == TN_FLOAT8E8M0) continue;
        for (unsigned code = 0; code + 1 < 1u << (tn_dtype_bits(SMALL[d]) - 1); code++) {
            double low = value_of(SMALL[d], code), high = value_of(SMALL[d], code + 1);
            if (!isfinite(low) || !isfinite(high)) break;
            double middle = (low + high) / 2;
            assert_int_equal(code_of(SMALL[d], middle), code + (code & 1));
            /* A double above the middle by less than a float32 can tell. */
            assert_int_equal(code_of(SMALL[d], nextafter(middle, 1e300)), code + 1);
            assert_int_equal(code_of(SMALL[d], nextafter(middle, 0)), code);
        }
    }
}

static void float16_sums_match_numpy(void **state) {
    (void)state;
    /* numpy: the finite ones of arange(65536).astype(uint16).view(float16).astype(float64), times their codes and squared */
    double sum = 0, squares = 0;
    for (unsigned code = 0; code < 65536; code++) {
        double x = value_of(TN_FLOAT16, code);
        if (!isfinite(x)) continue;
        sum += x * code;
        squares += x * x;
    }
    assert_true(sum == -3297461139455.7676);
    assert_true(squares == 6837111182676.966);
}

static void float8_overflow_follows_saturate(void **state) {
    (void)state;
    static const struct {
        tn_dtype dtype;
        uint8_t most, past, nan;
    } rows[] = {{TN_FLOAT8E4M3FN, 0x7e, 0x7f, 0x7f},
                {TN_FLOAT8E4M3FNUZ, 0x7f, 0x80, 0x80},
                {TN_FLOAT8E5M2, 0x7b, 0x7c, 0x7e},
                {TN_FLOAT8E5M2FNUZ, 0x7f, 0x80, 0x80},
                {TN_FLOAT8E8M0, 0xfe, 0xff, 0xff}};
    for (size_t r = 0; r < TN_COUNT(rows); r++) {
        uint8_t y[6];
        const double x[3] = {1e39, INFINITY, NAN};
        tn_write_doubles(rows[r].dtype, y, 0, 3, x, (tn_narrowing){0});
        tn_write_doubles(rows[r].dtype, y, 3, 3, x, (tn_narrowing){.overflow = true});
        assert_memory_equal(y, ((uint8_t[]){rows[r].most, rows[r].most, rows[r].nan}), 3);
        assert_memory_equal(y + 3, ((uint8_t[]){rows[r].past, rows[r].past, rows[r].nan}), 3);
    }
    uint8_t zero;
    tn_set_double(TN_FLOAT8E4M3FNUZ, &zero, 0, -0.0);
    assert_int_equal(zero, 0);
}

static void float8e8m0_rounds_as_it_is_told(void **state) {
    (void)state;
    const double x[] = {0, 1, 1.25, 1.5, 1.75, 2, 0x1p-127, 0x1.8p-127, 0x1p-128, 0x1.8p127};
    const uint8_t want[3][10] = {{0, 127, 128, 128, 128, 128, 0, 1, 0, 254},
                                 {0, 127, 127, 127, 127, 128, 0, 0, 0, 254},
                                 {0, 127, 127, 128, 128, 128, 0, 1, 0, 254}};
    for (int round = 0; round < 3; round++) {
        uint8_t y[10];
        tn_write_doubles(TN_FLOAT8E8M0, y, 0, 10, x, (tn_narrowing){.round = (tn_round)round});
        assert_memory_equal(y, want[round], 10);
    }
    uint8_t y[10];
    tn_write_doubles(TN_FLOAT8E8M0, y, 0, 10, x, (tn_narrowing){.overflow = true, .round = TN_ROUND_NEAREST});
    assert_memory_equal(y, ((uint8_t[]){255, 127, 127, 128, 128, 128, 0, 1, 255, 255}), 10);
}

static void packed_elements_lie_lowest_first_and_keep_their_neighbours(void **state) {
    (void)state;
    uint8_t bytes[2] = {0xff, 0xff};
    tn_set_int(TN_INT4, bytes, 0, -8);
    tn_set_int(TN_INT4, bytes, 3, 23); /* 7 in the low bits */
    assert_int_equal(bytes[0], 0xf8);
    assert_int_equal(bytes[1], 0x7f);
    assert_int_equal(tn_get_int(TN_INT4, bytes, 0), -8);
    assert_int_equal(tn_get_int(TN_UINT4, bytes, 0), 8);
    assert_int_equal(tn_get_int(TN_INT2, bytes, 7), 1);
    tn_set_double(TN_UINT2, bytes, 1, 1.9);
    assert_int_equal(bytes[0], 0xf4);
    assert_true(tn_get_double(TN_INT4, bytes, 2) == -1);
}

static void numbers_out_of_range_do_not_trap(void **state) {
    (void)state;
    int64_t big;
    uint64_t ubig;
    uint8_t byte;
    const double x[] = {NAN, INFINITY, -INFINITY, 1e300, -1.5};
    for (size_t i = 0; i < TN_COUNT(x); i++) tn_set_double(TN_INT64, &big, 0, x[i]);
    assert_int_equal(big, -1);
    tn_set_double(TN_UINT8, &byte, 0, -1);
    assert_int_equal(byte, 255);
    tn_set_double(TN_UINT64, &ubig, 0, 0x1.8p63);
    assert_true(ubig == 3ull << 62);
    assert_true(tn_get_double(TN_UINT64, &ubig, 0) == 0x1.8p63);
    float f = NAN;
    assert_int_equal(tn_get_int(TN_FLOAT32, &f, 0), 0);
    tn_set_int(TN_BOOL, &byte, 0, 256);
    assert_int_equal(byte, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_survives_the_way_over_double),
        cmocka_unit_test(rounding_is_to_the_nearest_even),
        cmocka_unit_test(float16_sums_match_numpy),
        cmocka_unit_test(float8_overflow_follows_saturate),
        cmocka_unit_test(float8e8m0_rounds_as_it_is_told),
        cmocka_unit_test(packed_elements_lie_lowest_first_and_keep_their_neighbours),
        cmocka_unit_test(numbers_out_of_range_do_not_trap),
    };
    return cmocka_run_group_tests_name("element", tests, NULL, NULL);
}
