/* CSV: RFC 4180's cases, types of columns, and a sentence for each wrong file. */
#include "unit.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <tenon/data.h>
#if TN_WITH_ZLIB
#include <zlib.h>
#endif

/* All records as one text: fields in brackets, a line a record. */
static void check_records(const char *text, size_t size, const tn_csv_options *options, const char *expected) {
    char found[2000] = "";
    size_t used = 0;
    const tn_string *fields;
    tn_csv *csv;
    assert_ok(tn_csv_open_memory(text, size, "t.csv", options, &csv));
    for (;;) {
        assert_ok(tn_csv_next(csv, &fields));
        if (!fields) break;
        for (int i = 0; i < tn_csv_column_count(csv); i++)
            used += (size_t)sprintf(found + used, "[%.*s]", (int)fields[i].size, fields[i].data);
        used += (size_t)sprintf(found + used, "\n");
    }
    assert_string_equal(found, expected);
    tn_csv_close(csv);
}

static void records_are_as_in_rfc_4180(void **state) {
    (void)state;
    const tn_csv_options bare = {.struct_size = sizeof bare, .no_header = true};
    const tn_csv_options semicolons = {.struct_size = sizeof semicolons, .separator = ';', .decimal = ','};
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"a,b\n1,2\n", "[1][2]\n"},
        {"a,b\r\n1,2\r\n", "[1][2]\n"},
        {"a,b\n1,2", "[1][2]\n"},
        {"a,b\n,\n", "[][]\n"},
        {"a,b\n\n\r\n1,2\n\n", "[1][2]\n"},
        {"a,b\n\"x\"\"y\",\"1,2\n3\"\n", "[x\"y][1,2\n3]\n"},
        {"a,b\n\"\",\"\r\n\"\r\n", "[][\r\n]\n"},
        {"\xef\xbb\xbf\"a\",b\n1, 2\n", "[1][ 2]\n"},
        {"a\n\"\"\n", "[]\n"},
        {"a\nx\r", "[x]\n"},
        {"a,b", ""},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++)
        check_records(cases[i].text, strlen(cases[i].text), NULL, cases[i].expected);
    check_records("1,2\n3,4\n", 8, &bare, "[1][2]\n[3][4]\n");
    check_records("a;b\n1,5;x\n", 10, &semicolons, "[1,5][x]\n");
}

static void columns_have_types(void **state) {
    (void)state;
    const char *text = "n,t,m,,whole\n 1.5 ,x,NA,NaN,7\n-2e3,,nan,,-8\n.5,x,4,null,9\n1e400x,y,5,,10\n";
    const char *numbers = "a\n0.1\n123456789012345\n1234567890123456789\n1e-320\n4.9e-324\n0x10\n";
    tn_table *t;
    assert_ok(tn_table_read_memory(text, strlen(text), "t.csv", NULL, &t));
    assert_int_equal(tn_table_rows(t), 4);
    assert_int_equal(tn_table_column_count(t), 5);
    assert_string_equal(tn_table_column_name(t, 3), "column_4");
    assert_null(tn_table_column_name(t, 5));
    assert_int_equal(tn_table_find(t, "nothing"), -1);
    assert_int_equal(tn_table_column_type(t, 0), TN_COLUMN_TEXT); /* for 1e400x */
    assert_int_equal(tn_table_column_type(t, 1), TN_COLUMN_TEXT);
    const int32_t *codes = tn_table_codes(t, 1);
    assert_int_equal(codes[0], 0);
    assert_int_equal(codes[1], -1);
    assert_int_equal(codes[2], 0);
    assert_int_equal(codes[3], 1);
    assert_int_equal(tn_table_level_count(t, 1), 2);
    assert_memory_equal(tn_table_level(t, 1, 1).data, "y", 2);
    assert_null(tn_table_level(t, 1, 2).data);
    assert_null(tn_table_numbers(t, 1));
    assert_null(tn_table_codes(t, 2));
    assert_true(isnan(tn_table_numbers(t, 2)[1]) && tn_table_numbers(t, 2)[2] == 4);
    assert_true(isnan(tn_table_numbers(t, 3)[3])); /* nothing at all: numbers */
    tn_table_destroy(t);
    assert_ok(tn_table_read_memory(numbers, strlen(numbers) - 5, "t.csv", NULL, &t));
    const double expected[] = {0.1, 123456789012345, 1234567890123456789.0, 1e-320, 4.9e-324};
    for (int i = 0; i < 5; i++) assert_true(tn_table_numbers(t, 0)[i] == expected[i]);
    tn_table_destroy(t);
    assert_ok(tn_table_read_memory(numbers, strlen(numbers), "t.csv", NULL, &t));
    assert_int_equal(tn_table_column_type(t, 0), TN_COLUMN_TEXT); /* 0x10 is no decimal number */
    tn_table_destroy(t);
    const tn_csv_options comma = {.struct_size = sizeof comma, .separator = ';', .decimal = ','};
    assert_ok(tn_table_read_memory("a;b\n1,5;1.5\n", 12, "t.csv", &comma, &t));
    assert_true(tn_table_numbers(t, 0)[0] == 1.5);
    assert_int_equal(tn_table_column_type(t, 1), TN_COLUMN_TEXT);
    tn_table_destroy(t);
}

static void a_survey_says_what_columns_hold(void **state) {
    (void)state;
    const char *text = "x,name\n1,a\n,b\n4,a\n7,\n";
    tn_survey *s;
    tn_column_info info = {.struct_size = sizeof info};
    assert_ok(tn_survey_read_memory(text, strlen(text), "t.csv", NULL, &s));
    assert_int_equal(tn_survey_rows(s), 4);
    assert_ok(tn_survey_column(s, 0, &info));
    assert_true(info.type == TN_COLUMN_NUMBER && info.whole && info.missing == 1 && info.values == 3);
    assert_true(info.least == 1 && info.greatest == 7 && info.mean == 4 && info.levels == 3);
    assert_true(fabs(info.deviation - sqrt(6)) < 1e-15);
    assert_ok(tn_survey_column(s, 1, &info));
    assert_true(info.type == TN_COLUMN_TEXT && info.missing == 1 && info.levels == 2);
    assert_string_equal(info.name, "name");
    assert_int_equal(tn_survey_column(s, 2, &info), TN_E_NOT_FOUND);
    tn_survey_destroy(s);
}

static void memory_does_not_grow_with_levels(void **state) {
    (void)state;
    char *text = malloc(100000);
    size_t used = (size_t)sprintf(text, "a\n");
    tn_survey *s;
    tn_column_info info = {.struct_size = sizeof info};
    for (int i = 0; i < 5000; i++) used += (size_t)sprintf(text + used, "v%d\n", i);
    assert_ok(tn_survey_read_memory(text, used, "t.csv", NULL, &s));
    assert_ok(tn_survey_column(s, 0, &info));
    assert_int_equal(info.levels, -1);
    assert_int_equal(info.values, 5000);
    tn_survey_destroy(s);
    tn_table *t;
    assert_ok(tn_table_read_memory(text, used, "t.csv", NULL, &t));
    assert_int_equal(tn_table_level_count(t, 0), 5000);
    assert_int_equal(tn_table_codes(t, 0)[4999], 4999);
    tn_table_destroy(t);
    free(text);
}

static void refused(const char *text, size_t size, const char *words) {
    tn_table *t;
    assert_int_not_equal(tn_table_read_memory(text, size, "t.csv", NULL, &t), TN_OK);
    assert_null(t);
    if (!strstr(tn_last_error(), words)) fail_msg("'%s' is not in '%s'", words, tn_last_error());
}

static void what_is_wrong_is_said_with_file_line_and_column(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "t.csv is empty"},
        {"\n\n", "t.csv is empty"},
        {"a,b\n1,2\n3\n", "t.csv line 3: a record of 1 fields; the first has 2"},
        {"a,b\n1,2,3\n", "t.csv line 2: a record of 3 fields; the first has 2"},
        {"a,b\n\"x\ny\",1\n1\n", "t.csv line 4: a record of 1"},
        {"a,a\n", "t.csv line 1: two columns are called 'a'"},
        {"a\n\"x\n\n", "t.csv line 2, column 1: the file ends inside the quotes"},
        {"a,b\n\"x\"y,1\n", "t.csv line 2, column 4: something stands behind the closing quote"},
        {"a,b\nx\"y,1\n", "t.csv line 2, column 2: a quote inside a field"},
        {"a,b\n1\r2,3\n", "t.csv line 2, column 3: a carriage return"},
        {"a\n\xe4\n", "t.csv line 2, field 1: the byte 0xe4 is no UTF-8"},
        {"\xff\xfe"
         "a",
         "t.csv is UTF-16"},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) refused(cases[i].text, strlen(cases[i].text), cases[i].words);
    refused("a\n\0\n", 4, "t.csv line 2, column 1: a zero byte");
    size_t size = (1 << 20) + 100;
    char *text = malloc(size);
    memset(text, 'x', size);
    memcpy(text, "a\n\"", 3);
    refused(text, size, "t.csv line 2: a record of more than 1 MiB");
    memset(text, ',', size);
    refused(text, size, "a record of more than 65536 fields");
    free(text);
    tn_csv *csv;
    assert_int_equal(tn_csv_open("/nowhere/t.csv", NULL, &csv), TN_E_NOT_FOUND);
    assert_int_equal(tn_csv_open("/", NULL, &csv), TN_E_IO);
    const tn_csv_options wrong = {.struct_size = sizeof wrong, .separator = '"'};
    assert_int_equal(tn_csv_open_memory("a", 1, "t", &wrong, &csv), TN_E_INVALID);
}

static void a_failure_stays(void **state) {
    (void)state;
    tn_csv *csv;
    const tn_string *fields;
    assert_ok(tn_csv_open_memory("a,b\n1\n2,3\n", 10, "t.csv", NULL, &csv));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tn_csv_next(csv, &fields), TN_E_FORMAT);
        assert_null(fields);
        assert_non_null(strstr(tn_last_error(), "t.csv line 2"));
    }
    tn_csv_close(csv);
}

static void gzip_is_read_as_what_is_in_it(void **state) {
    (void)state;
#if TN_WITH_ZLIB
    size_t size = 3000000, used = 4;
    char *text = malloc(size);
    memcpy(text, "a,b\n", 4);
    while (used + 40 < size) used += (size_t)sprintf(text + used, "%zu,%d\n", used, 7);
    uLong bound = compressBound(used) + 64;
    uint8_t *packed = malloc(2 * bound);
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (uint8_t *)text, z.avail_in = (uInt)used, z.next_out = packed, z.avail_out = (uInt)bound;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t length = z.total_out;
    deflateEnd(&z);
    tn_table *plain, *inflated;
    assert_ok(tn_table_read_memory(text, used, "t.csv", NULL, &plain));
    assert_ok(tn_table_read_memory(packed, length, "t.csv.gz", NULL, &inflated));
    assert_int_equal(tn_table_rows(plain), tn_table_rows(inflated));
    assert_memory_equal(tn_table_numbers(plain, 0), tn_table_numbers(inflated, 0),
                        (size_t)tn_table_rows(plain) * sizeof(double));
    tn_table_destroy(inflated);
    refused((const char *)packed, length / 2, "t.csv: its compressed data end too early");
    packed[length - 6] ^= 0x55; /* of the checksum */
    refused((const char *)packed, length, "t.csv: its compressed data are damaged");
    tn_table_destroy(plain);
    free(packed);
    free(text);
#else
    refused("\x1f\x8b\x08", 3, "this build has no zlib");
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_as_in_rfc_4180),
        cmocka_unit_test(columns_have_types),
        cmocka_unit_test(a_survey_says_what_columns_hold),
        cmocka_unit_test(memory_does_not_grow_with_levels),
        cmocka_unit_test(what_is_wrong_is_said_with_file_line_and_column),
        cmocka_unit_test(a_failure_stays),
        cmocka_unit_test(gzip_is_read_as_what_is_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
