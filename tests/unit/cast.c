/* Cast, CastLike, BitCast: all pairs of dtypes, strings, refusals. */
#include "ops.h"
#include <locale.h>
#include <math.h>

#define TO(dtype) ATTRS(ATTR_INT("to", dtype))

static const tn_dtype NUMERIC[] = {
    TN_FLOAT32, TN_FLOAT64, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT8E4M3FN, TN_FLOAT8E4M3FNUZ, TN_FLOAT8E5M2, TN_UINT8,
    TN_INT8,    TN_UINT16,  TN_INT16,   TN_UINT32,   TN_INT32,        TN_UINT64,         TN_INT64,      TN_BOOL,
    TN_UINT4,   TN_INT4,    TN_UINT2,   TN_INT2,     TN_FLOAT4E2M1,   TN_FLOAT8E5M2FNUZ};

static void small_numbers_survive_between_all_dtypes(void **state) {
    (void)state;
    for (size_t f = 0; f < TN_COUNT(NUMERIC); f++)
        for (size_t t = 0; t < TN_COUNT(NUMERIC); t++)
            for (int n = 1; n <= 1100; n += n < 9 ? 1 : 363) {
                tn_tensor *x = make(NUMERIC[f], DIMS(n), NULL);
                for (int i = 0; i < n; i++) tn_set_int(NUMERIC[f], x->data, i, i % 3 == 1);
                tn_tensor *y = run1("Cast", TO(NUMERIC[t]), x);
                assert_int_equal(y->dtype, NUMERIC[t]);
                for (int i = 0; i < n; i++) assert_int_equal(tn_get_int(NUMERIC[t], y->data, i), i % 3 == 1);
                tn_tensor_destroy(y);
            }
}

static void integers_keep_their_low_bits(void **state) {
    (void)state;
    expect(run1("Cast", TO(TN_INT8), make(TN_INT16, DIMS(2), VALUES(200, -129))), TN_INT8, DIMS(2), VALUES(-56, 127));
    expect(run1("Cast", TO(TN_INT4), make(TN_INT32, DIMS(3), VALUES(7, 8, -9))), TN_INT4, DIMS(3), VALUES(7, -8, 7));
    expect(run1("Cast", TO(TN_UINT64), make(TN_INT8, DIMS(1), VALUES(-1))), TN_UINT64, DIMS(1), VALUES(0x1p64));
    expect(run1("Cast", TO(TN_FLOAT32), make(TN_UINT64, DIMS(1), VALUES(0x1p63))), TN_FLOAT32, DIMS(1), VALUES(0x1p63));
    expect(run1("Cast", TO(TN_BOOL), make(TN_INT32, DIMS(2), VALUES(256, 0))), TN_BOOL, DIMS(2), VALUES(1, 0));
    expect(run1("Cast", TO(TN_BOOL), make(TN_FLOAT32, DIMS(3), VALUES(0.1, -0.0, NAN))), TN_BOOL, DIMS(3),
           VALUES(1, 0, 1));
    expect(run1("Cast", TO(TN_INT32), make(TN_FLOAT32, DIMS(4), VALUES(-1.9, 1.9, NAN, 0))), TN_INT32, DIMS(4),
           VALUES(-1, 1, 0, 0));
}

static void saturate_and_round_mode_are_heeded(void **state) {
    (void)state;
    tn_attr to = ATTR_INT("to", TN_FLOAT8E4M3FN), open = ATTR_INT("saturate", 0);
    expect(run1("Cast", ATTRS(to), make(TN_FLOAT32, DIMS(2), VALUES(1e6, INFINITY))), TN_FLOAT8E4M3FN, DIMS(2),
           VALUES(448, 448));
    expect(run1("Cast", ATTRS(to, open), make(TN_INT32, DIMS(2), VALUES(1000000, 2))), TN_FLOAT8E4M3FN, DIMS(2),
           VALUES(NAN, 2));
    to.i = TN_FLOAT8E8M0;
    expect(run1("Cast", ATTRS(to), make(TN_FLOAT16, DIMS(2), VALUES(1.25, 2))), TN_FLOAT8E8M0, DIMS(2), VALUES(2, 2));
    expect(run1("Cast", ATTRS(to, ATTR_TEXT("round_mode", "nearest")), make(TN_FLOAT32, DIMS(2), VALUES(1.25, 1.5))),
           TN_FLOAT8E8M0, DIMS(2), VALUES(1, 2));
    refused("Cast", ATTRS(to, ATTR_TEXT("round_mode", "odd")), TN_E_INVALID, "up, down or nearest",
            make(TN_FLOAT32, DIMS(1), NULL));
}

static void expect_text(tn_tensor *y, const char *const *texts) {
    assert_int_equal(y->dtype, TN_STRING);
    for (int64_t i = 0; i < tn_count(y); i++) {
        tn_string s = ((tn_string *)y->data)[i];
        if (s.size != strlen(texts[i]) || memcmp(s.data, texts[i], s.size) != 0)
            fail_msg("'%.*s', not '%s'", (int)s.size, s.data, texts[i]);
    }
    tn_tensor_destroy(y);
}

static void numbers_become_the_shortest_text(void **state) {
    (void)state;
    expect_text(
        run1(
            "Cast", TO(TN_STRING),
            make(TN_FLOAT32, DIMS(10), VALUES(0.1f, 314.15927f, -3, 1e6, 1e-7, 0, 16777216, INFINITY, -INFINITY, NAN))),
        (const char *[]){"0.1", "314.15927", "-3.0", "1000000.0", "1e-07", "0.0", "16777216.0", "INF", "-INF", "NaN"});
    expect_text(run1("Cast", TO(TN_STRING), make(TN_FLOAT64, DIMS(3), VALUES(0.1, 1.0 / 3, 1e300))),
                (const char *[]){"0.1", "0.3333333333333333", "1e+300"});
    expect_text(run1("Cast", TO(TN_STRING), make(TN_FLOAT16, DIMS(1), VALUES(0.1))), (const char *[]){"0.1"});
    expect_text(run1("Cast", TO(TN_STRING), make(TN_INT64, DIMS(2), VALUES(-5, 0x1p53))),
                (const char *[]){"-5", "9007199254740992"});
    expect_text(run1("Cast", TO(TN_STRING), make(TN_UINT64, DIMS(1), VALUES(0x1p63))),
                (const char *[]){"9223372036854775808"});
}

static void texts_become_numbers(void **state) {
    (void)state;
    static const char *const texts[] = {"3.14", "1e-5", " -7 ", "+inf", "-INF", "NaN", "1E8"};
    expect(run1("Cast", TO(TN_FLOAT64), make_strings(DIMS(7), texts)), TN_FLOAT64, DIMS(7),
           VALUES(3.14, 1e-5, -7, INFINITY, -INFINITY, NAN, 1e8));
    expect(run1("Cast", TO(TN_INT32), make_strings(DIMS(3), (const char *[]){"100.5", "-12", "1e3"})), TN_INT32,
           DIMS(3), VALUES(100, -12, 1000));
    tn_tensor *y = run1("Cast", TO(TN_UINT64), make_strings(DIMS(1), (const char *[]){"18446744073709551615"}));
    assert_true(*(uint64_t *)y->data == UINT64_MAX);
    tn_tensor_destroy(y);
    expect(run1("Cast", TO(TN_INT4), make_strings(DIMS(3), (const char *[]){"-8", "7", "1"})), TN_INT4, DIMS(3),
           VALUES(-8, 7, 1));
    static const char *const wrong[] = {"Hello", "", "12 monkeys", "--1", "1,5"};
    for (size_t i = 0; i < TN_COUNT(wrong); i++)
        refused("Cast", TO(TN_FLOAT32), TN_E_INVALID, "is no number", make_strings(DIMS(1), &wrong[i]));
}

static void the_locale_does_not_matter(void **state) {
    (void)state;
    if (!setlocale(LC_ALL, "de_DE.UTF-8") && !setlocale(LC_ALL, "de_DE")) {
        print_message("no German locale here\n");
        return;
    }
    expect_text(run1("Cast", TO(TN_STRING), make(TN_FLOAT32, DIMS(1), VALUES(1.5))), (const char *[]){"1.5"});
    expect(run1("Cast", TO(TN_FLOAT32), make_strings(DIMS(1), (const char *[]){"1.5"})), TN_FLOAT32, DIMS(1),
           VALUES(1.5));
    setlocale(LC_ALL, "C");
}

static void cast_like_takes_the_other_inputs_dtype(void **state) {
    (void)state;
    expect(run1("CastLike", NO_ATTRS, make(TN_FLOAT32, DIMS(2), VALUES(1.5, -2)), make(TN_INT8, DIMS(0), NULL)),
           TN_INT8, DIMS(2), VALUES(1, -2));
}

static void bit_cast_keeps_bits(void **state) {
    (void)state;
    expect(run1("BitCast", TO(TN_INT32), make(TN_FLOAT32, DIMS(1), VALUES(1))), TN_INT32, DIMS(1), VALUES(0x3f800000));
    refused("BitCast", TO(TN_INT8), TN_E_TYPE, "8 bits", make(TN_FLOAT32, DIMS(1), NULL));
    refused("BitCast", TO(TN_STRING), TN_E_TYPE, "strings", make(TN_COMPLEX128, DIMS(1), NULL));
}

static void strange_targets_are_refused(void **state) {
    (void)state;
    static const int64_t wrong[] = {0, -1, 27, INT64_MAX, 1 << 16};
    for (size_t i = 0; i < TN_COUNT(wrong); i++)
        refused("Cast", TO(wrong[i]), TN_E_TYPE, "number of a data type", make(TN_FLOAT32, DIMS(1), NULL));
    refused("Cast", TO(TN_COMPLEX64), TN_E_TYPE, "no cast to complex64", make(TN_FLOAT32, DIMS(1), NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_numbers_survive_between_all_dtypes),
        cmocka_unit_test(integers_keep_their_low_bits),
        cmocka_unit_test(saturate_and_round_mode_are_heeded),
        cmocka_unit_test(numbers_become_the_shortest_text),
        cmocka_unit_test(texts_become_numbers),
        cmocka_unit_test(the_locale_does_not_matter),
        cmocka_unit_test(cast_like_takes_the_other_inputs_dtype),
        cmocka_unit_test(bit_cast_keeps_bits),
        cmocka_unit_test(strange_targets_are_refused),
    };
    return cmocka_run_group_tests_name("cast", tests, NULL, NULL);
}
