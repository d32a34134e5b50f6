/* Strings: UTF-8 and case, regular expressions, and the operators on them. */
#include "ops.h"
#include "base/regex.h"
#include "base/unicode.h"
#include <stdlib.h>

static void every_code_point_survives_utf8(void **state) {
    (void)state;
    char bytes[4];
    uint32_t back;
    for (uint32_t code = 0; code <= TN_UNICODE_LAST; code++) {
        if (code >= 0xD800 && code < 0xE000) continue;
        size_t size = tn_utf8_encode(code, bytes);
        assert_int_equal(tn_utf8_decode(bytes, size, &back), size);
        assert_int_equal(back, code);
        if (size > 1) assert_int_equal(tn_utf8_decode(bytes, size - 1, &back), 1); /* cut off */
    }
}

static void bytes_that_are_no_utf8_are_kept(void **state) {
    (void)state;
    /* overlong, a surrogate, beyond the last, a lone continuation */
    const char *const wrong[] = {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\x80", "\xFF"};
    for (size_t i = 0; i < TN_COUNT(wrong); i++) {
        uint32_t code;
        char byte[4];
        assert_int_equal(tn_utf8_decode(wrong[i], strlen(wrong[i]), &code), 1);
        assert_true(code > TN_UNICODE_LAST);
        assert_int_equal(tn_utf8_encode(code, byte), 1);
        assert_int_equal(byte[0], wrong[i][0]);
    }
}

static void case_is_mapped_in_all_scripts(void **state) {
    (void)state;
    const uint32_t pairs[][2] = {{'A', 'a'},     {0xC9, 0xE9},   {0x416, 0x436},
                                 {0x3A9, 0x3C9}, {0x141, 0x142}, {0x10400, 0x10428}};
    for (size_t i = 0; i < TN_COUNT(pairs); i++) {
        assert_int_equal(tn_unicode_lower(pairs[i][0]), pairs[i][1]);
        assert_int_equal(tn_unicode_upper(pairs[i][1]), pairs[i][0]);
    }
    assert_int_equal(tn_unicode_upper(0xDF), 0xDF); /* what is no single code point stays */
    assert_int_equal(tn_unicode_lower('['), '[');
}

static bool matches(const char *pattern, const char *text) {
    tn_region *region = tn_region_create(NULL);
    tn_regex regex;
    tn_status status = tn_regex_compile(region, pattern, strlen(pattern), &regex);
    if (status != TN_OK) fail_msg("%s: %s", pattern, tn_last_error());
    void *scratch = malloc(tn_regex_scratch(&regex));
    bool found = tn_regex_match_all(&regex, text, strlen(text), scratch);
    free(scratch);
    tn_region_destroy(region);
    return found;
}

static void regular_expressions_match_whole_strings(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *yes, *no;
    } rows[] = {
        {"", "", "a"},
        {"a|bc*", "bccc", "ac"},
        {"(ab|a)(bc)?c?", "abc", "abcbc"},
        {"a{2,3}", "aaa", "aaaa"},
        {"a{2,}b{0}", "aaaaa", "a"},
        {"a{2", "a{2", "aa"},
        {"(a*)*b", "aaab", "aaa"},
        {"[]a-c^]+", "]b^", "d"},
        {"[^a-c]", "\xC3\xA9", "b"},
        {"[[:alpha:]_]+[[:^digit:]]", "ab_!", "ab_1"},
        {"\\d+\\.\\D\\w\\W\\s\\S", "12.xy-\t!", "12.xy-!!"},
        {"\\bfoo\\b.*", "foo bar", "foobar"},
        {"fo\\Bo", "foo", "fo o"},
        {".*", "ab", "a\nb"},
        {"(?s).*", "a\nb", NULL},
        {"(?m)a$\n^b", "a\nb", "ab"},
        {"(?i)straSSe \xC3\xA9", "STRASSE \xC3\x89", "strase \xC3\xA9"},
        {"a(?i:b)c", "aBc", "aBC"},
        {"(?P<year>\\d{4})-(?:0[1-9]|1[0-2])", "2024-11", "2024-13"},
        {"\\Qa.b\\E+", "a.bb", "axb"},
        {"\\x41\\x{1F600}\\101",
         "A\xF0\x9F\x98\x80"
         "A",
         "A"},
        {"a+?b??", "aa", "ba"},
        {"\\Aab\\z", "ab", "abc"},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        if (!matches(rows[i].pattern, rows[i].yes)) fail_msg("%s does not match %s", rows[i].pattern, rows[i].yes);
        if (rows[i].no && matches(rows[i].pattern, rows[i].no)) fail_msg("%s matches %s", rows[i].pattern, rows[i].no);
    }
}

static void bad_expressions_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *pattern;
        tn_status status;
    } rows[] = {{"(a", TN_E_FORMAT},
                {"a)", TN_E_FORMAT},
                {"[a", TN_E_FORMAT},
                {"[b-a]", TN_E_FORMAT},
                {"*a", TN_E_FORMAT},
                {"a**", TN_E_FORMAT},
                {"a{3,2}", TN_E_FORMAT},
                {"a{1001}", TN_E_FORMAT},
                {"\\", TN_E_FORMAT},
                {"\\1", TN_E_FORMAT},
                {"\\pL", TN_E_FORMAT},
                {"\\x{110000}", TN_E_FORMAT},
                {"(?z)", TN_E_FORMAT},
                {"(?P<a", TN_E_FORMAT},
                {"(?=a)", TN_E_FORMAT},
                {"((a{1000}){1000}){1000}", TN_E_LIMIT},
                {"(((){1000}){1000}){1000}", TN_E_LIMIT}};
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        tn_region *region = tn_region_create(NULL);
        tn_regex regex;
        tn_status status = tn_regex_compile(region, rows[i].pattern, strlen(rows[i].pattern), &regex);
        if (status != rows[i].status) fail_msg("%s: %s", rows[i].pattern, tn_status_text(status));
        tn_region_destroy(region);
    }
    char deep[1001] = "";
    memset(deep, '(', 1000);
    tn_region *region = tn_region_create(NULL);
    tn_regex regex;
    assert_int_equal(tn_regex_compile(region, deep, 1000, &regex), TN_E_LIMIT);
    tn_region_destroy(region);
}

static void strings_are_joined_with_broadcasting(void **state) {
    (void)state;
    expect_strings(run1("StringConcat", NO_ATTRS, make_strings(DIMS(2, 1), STRINGS("a", "")),
                        make_strings(DIMS(2), STRINGS("x", "yz"))),
                   DIMS(2, 2), STRINGS("ax", "ayz", "x", "yz"));
    refused("StringConcat", NO_ATTRS, TN_E_TYPE, "string", make(TN_INT64, DIMS(1), NULL),
            make_strings(DIMS(1), STRINGS("a")));
    expect(
        run1("RegexFullMatch", ATTRS(ATTR_TEXT("pattern", "[a-c]+")), make_strings(DIMS(3), STRINGS("abc", "abd", ""))),
        TN_BOOL, DIMS(3), VALUES(1, 0, 0));
    refused("RegexFullMatch", ATTRS(ATTR_TEXT("pattern", "(")), TN_E_FORMAT, "regular expression",
            make_strings(DIMS(1), STRINGS("a")));
}

static void split(const char *text, int attr_count, const tn_attr *attrs, int count, const char *const *pieces) {
    tn_tensor *in[] = {make_strings(DIMS(1), STRINGS(text))}, *out[2];
    assert_ok(run_op("StringSplit", attr_count, attrs, 1, in, 2, out));
    expect_strings(out[0], DIMS(1, count), pieces);
    expect(out[1], TN_INT64, DIMS(1), VALUES(count));
}

static void strings_are_split_as_python_does(void **state) {
    (void)state;
    const tn_attr dash = ATTR_TEXT("delimiter", "--"), once = ATTR_INT("maxsplit", 1), never = ATTR_INT("maxsplit", 0);
    split("a--b----c--", ATTRS(dash), 5, STRINGS("a", "b", "", "c", ""));
    split("a--b--c", ATTRS(dash, once), 2, STRINGS("a", "b--c"));
    split("", ATTRS(dash), 1, STRINGS(""));
    split("  a \t b ", NO_ATTRS, 2, STRINGS("a", "b"));
    split("  a  b c ", ATTRS(once), 2, STRINGS("a", "b c "));
    split("  a b ", ATTRS(never), 1, STRINGS("a b "));
    split("", NO_ATTRS, 0, NULL);
}

static void stop_words_go_and_case_changes(void **state) {
    (void)state;
    const tn_attr words = ATTR_TEXTS("stopwords", TEXT("Monday")), lower = ATTR_TEXT("case_change_action", "LOWER"),
                  upper = ATTR_TEXT("case_change_action", "UPPER"), strict = ATTR_INT("is_case_sensitive", 1);
    expect_strings(run1("StringNormalizer", ATTRS(words, upper),
                        make_strings(DIMS(3), STRINGS("monday", "\xC3\xA9t\xC3\xA9", "MONDAY"))),
                   DIMS(1), STRINGS("\xC3\x89T\xC3\x89"));
    expect_strings(
        run1("StringNormalizer", ATTRS(words, lower, strict), make_strings(DIMS(1, 2), STRINGS("monday", "Monday"))),
        DIMS(1, 1), STRINGS("monday"));
    expect_strings(run1("StringNormalizer", ATTRS(words), make_strings(DIMS(1, 1), STRINGS("monday"))), DIMS(1, 1),
                   STRINGS(""));
    expect_strings(run1("StringNormalizer", NO_ATTRS, make_strings(DIMS(0), NULL)), DIMS(1), STRINGS(""));
    refused("StringNormalizer", NO_ATTRS, TN_E_SHAPE, "[C] or [1, C]", make_strings(DIMS(2, 1), STRINGS("a", "b")));
}

static void n_grams_are_counted_with_skips(void **state) {
    (void)state;
    const tn_attr counts = ATTR_INTS("ngram_counts", 0, 3), columns = ATTR_INTS("ngram_indexes", 4, 0, 2, 1, 3),
                  pool = ATTR_INTS("pool_int64s", 1, 2, 3, 1, 2, 2, 3), one = ATTR_INT("min_gram_length", 1),
                  two = ATTR_INT("max_gram_length", 2), skips = ATTR_INT("max_skip_count", 0),
                  weights = ATTR_FLOATS("weights", 10, 20, 30, 40, 50);
    const double x[] = {1, 2, 3, 3, 3};
    expect(run1("TfIdfVectorizer", ATTRS(counts, columns, pool, one, two, skips, ATTR_TEXT("mode", "TF")),
                make(TN_INT64, DIMS(5), x)),
           TN_FLOAT32, DIMS(5), VALUES(1, 1, 3, 1, 1));
    expect(run1("TfIdfVectorizer", ATTRS(counts, columns, pool, one, two, skips, weights, ATTR_TEXT("mode", "TFIDF")),
                make(TN_INT64, DIMS(5), x)),
           TN_FLOAT32, DIMS(5), VALUES(20, 40, 90, 50, 10)); /* as ONNX Runtime has it */
    expect(run1("TfIdfVectorizer", ATTRS(counts, columns, pool, one, two, skips, weights, ATTR_TEXT("mode", "IDF")),
                make(TN_INT32, DIMS(1, 5), x)),
           TN_FLOAT32, DIMS(1, 5), VALUES(20, 40, 30, 50, 10));
    const tn_attr words = ATTR_TEXTS("pool_strings", TEXT("a"), TEXT("b"), TEXT("a"), TEXT("b"));
    expect(run1("TfIdfVectorizer",
                ATTRS(ATTR_INTS("ngram_counts", 0, 2), ATTR_INTS("ngram_indexes", 0, 1, 2), words, one, two,
                      ATTR_INT("max_skip_count", 2), ATTR_TEXT("mode", "TF")),
                make_strings(DIMS(1, 4), STRINGS("a", "x", "b", "b"))),
           TN_FLOAT32, DIMS(1, 3), VALUES(1, 2, 2)); /* "a b" with one skipped and with two */
    refused("TfIdfVectorizer",
            ATTRS(ATTR_INTS("ngram_counts", 0, 2), columns, pool, one, two, skips, ATTR_TEXT("mode", "TF")),
            TN_E_INVALID, "ngram_counts[1]", make(TN_INT64, DIMS(5), x));
    refused("TfIdfVectorizer",
            ATTRS(ATTR_INTS("ngram_counts", 0), ATTR_INTS("ngram_indexes", -1), pool, one, two, skips,
                  ATTR_TEXT("mode", "TF")),
            TN_E_INVALID, "no column", make(TN_INT64, DIMS(5), x));
}

static void the_first_and_longest_match_is_found(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *text;
        int from, start, end; /* start -1: nothing */
    } rows[] = {
        {"[a-z]+", "12 abc de", 0, 3, 6},
        {"[a-z]+", "12 abc de", 4, 4, 6},
        {"[a-z]+", "12 abc de", 6, 7, 9},
        {"a|ab|abcd", "xabcabcd", 0, 1, 3},
        {"a|ab|abcd", "xabcabcd", 2, 4, 8},
        {"b", "aaa", 0, -1, 0},
        {"\\bc", "abc c", 0, 4, 5},
        {"\\Bc", "abc c", 2, 2, 3},
        {"^a", "aa", 1, -1, 0},
        {"a*", "baa", 0, 0, 0},
        {"a*", "baa", 1, 1, 3},
        {"ü+", "xüüy", 0, 1, 5},
        {"a.*c|b", "abab", 0, 1, 2},
        {"$", "ab", 0, 2, 2},
        {"(a|b)*c|ab", "ababx", 0, 0, 2},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        tn_region *region = tn_region_create(NULL);
        tn_regex regex;
        size_t start = 0, end = 0;
        assert_ok(tn_regex_compile(region, rows[i].pattern, strlen(rows[i].pattern), &regex));
        void *scratch = malloc(tn_regex_scratch(&regex));
        bool found =
            tn_regex_find(&regex, rows[i].text, strlen(rows[i].text), (size_t)rows[i].from, scratch, &start, &end);
        if (found != (rows[i].start >= 0) || (found && ((int)start != rows[i].start || (int)end != rows[i].end)))
            fail_msg("'%s' in '%s' from %d: %d, [%zu, %zu)", rows[i].pattern, rows[i].text, rows[i].from, found, start,
                     end);
        free(scratch);
        tn_region_destroy(region);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_and_longest_match_is_found),    cmocka_unit_test(every_code_point_survives_utf8),
        cmocka_unit_test(bytes_that_are_no_utf8_are_kept),         cmocka_unit_test(case_is_mapped_in_all_scripts),
        cmocka_unit_test(regular_expressions_match_whole_strings), cmocka_unit_test(bad_expressions_are_refused),
        cmocka_unit_test(strings_are_joined_with_broadcasting),    cmocka_unit_test(strings_are_split_as_python_does),
        cmocka_unit_test(stop_words_go_and_case_changes),          cmocka_unit_test(n_grams_are_counted_with_skips),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
