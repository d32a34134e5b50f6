/* Manifests: one form whatever they were written like, a sentence with line and column for each wrong one. */
#include "unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <tenon/manifest.h>
#include "base/semver.h"
#include "model/manifest.h"

#define HEAD "name: m\nversion: 1.0.0\n"

static void check_form(const char *text, const char *expected) {
    tn_manifest *m, *again;
    const char *form, *second;
    assert_ok(tn_manifest_parse(text, strlen(text), &m));
    assert_ok(tn_manifest_write(m, &form));
    assert_string_equal(form, expected);
    assert_ok(tn_manifest_parse(form, strlen(form), &again));
    assert_ok(tn_manifest_write(again, &second));
    assert_string_equal(second, expected);
    tn_manifest_destroy(again);
    tn_manifest_destroy(m);
}

static void refused(const char *text, size_t size, const char *words) {
    tn_manifest *m;
    assert_int_not_equal(tn_manifest_parse(text, size, &m), TN_OK);
    assert_null(m);
    if (!strstr(tn_last_error(), words)) fail_msg("'%s' is not in '%s'", words, tn_last_error());
}

static void one_manifest_has_one_form(void **state) {
    (void)state;
    check_form("version: 1.0.0\nname: m\n", HEAD);
    check_form("{\"version\": \"1.0.0\", \"name\": \"m\"}", HEAD);
    check_form("---\nname: 'm' # a model\nversion: >-\n  1.0.0\n...\n", HEAD);
    check_form(HEAD "provenance: {tools: {}}\nextra: {}\n", HEAD);
}

static void every_key_has_its_place(void **state) {
    (void)state;
    const char *digest = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    char text[4000], form[4000];
    snprintf(text, sizeof text,
             "extra: {b: 1, a: {z: [], y: ~}}\nhost: {weight_bytes: 9, cpu: avx2, library: 0.1.0, arena_bytes: 0}\n"
             "provenance:\n  tools: {numpy: 2.4.6}\n  source: git 4f2a\n  seed: 7\n"
             "  data: [{digest: %s, name: train, samples: 5, description: d}]\n"
             "metrics: [{data: test, value: -1.50e+03, name: loss, unit: nat, samples: 10, data_digest: %s}]\n"
             "outputs: [{name: y, classes: [good, worn], shape: [batch, 2]}]\n"
             "inputs: [{range: [-2.0, 2], unit: Pa, name: x, dtype: float32, description: s, shape: [n, 1, \"?\"],\n"
             "  normalisation: {scale: [0.50], mean: [0]}}]\n"
             "licence: Apache-2.0\nparent: %s\ncreated: 2026-01-31T12:00:00Z\ndescription: d\ntitle: T\n" HEAD,
             digest, digest, digest);
    snprintf(
        form, sizeof form,
        HEAD
        "title: T\ndescription: d\ncreated: \"2026-01-31T12:00:00Z\"\nparent: %s\nlicence: Apache-2.0\n"
        "inputs:\n  - name: x\n    dtype: float32\n    shape: [\"n\", 1, \"?\"]\n    description: s\n    unit: Pa\n"
        "    range: [-2, 2]\n    normalisation:\n      mean: [0]\n      scale: [0.5]\n"
        "outputs:\n  - name: \"y\"\n    shape: [batch, 2]\n    classes: [good, worn]\n"
        "metrics:\n  - name: loss\n    value: -1.5e3\n    unit: nat\n    data: test\n    data_digest: %s\n"
        "    samples: 10\n"
        "provenance:\n  data:\n    - name: train\n      digest: %s\n      samples: 5\n      description: d\n"
        "  seed: 7\n  source: git 4f2a\n  tools:\n    numpy: 2.4.6\n"
        "host:\n  library: 0.1.0\n  cpu: avx2\n  arena_bytes: 0\n  weight_bytes: 9\n"
        "extra:\n  a:\n    \"y\": \"~\"\n    z: []\n  b: 1\n",
        digest, digest, digest);
    check_form(text, form);
}

static void texts_survive_whatever_is_in_them(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "a ",
        " a",
        "a: b",
        "a #b",
        "- a",
        "1",
        "1.0",
        "true",
        "Yes",
        "NULL",
        "~",
        "0x1f",
        "1e3",
        "[a]",
        "{a}",
        "\"",
        "'",
        "\\",
        "a\nb",
        "\n",
        "a\tb",
        "\x01",
        "\x7f",
        "é",
        "\xc2\x85",
        "\xe2\x80\xa8",
        "\xef\xbb\xbf",
        "日本",
        "&a",
        "*a",
        "!a",
        "%a",
        "@a",
        "`a",
        "12:30:45",
        "2026-01-31",
        "=",
        "<<",
        "a  b",
        "a b",
        "(x)/y",
        "1.2.3",
        "?",
        "|",
        ">",
        "\xf0\x9f\x98\x80",
        "on",
        "a,b",
    };
    for (size_t i = 0; i < TN_COUNT(texts); i++) {
        tn_region *region = tn_region_create(NULL);
        tn_manifest_node *root = tn_manifest_new(region, TN_MANIFEST_MAP, NULL);
        tn_manifest_append(root, "name", tn_manifest_new(region, TN_MANIFEST_TEXT, "m"));
        tn_manifest_append(root, "version", tn_manifest_new(region, TN_MANIFEST_TEXT, "1.0.0"));
        tn_manifest_append(root, "title", tn_manifest_new(region, TN_MANIFEST_TEXT, texts[i]));
        tn_string text;
        tn_manifest *m;
        assert_ok(tn_manifest_print(root, region, &text));
        assert_ok(tn_manifest_parse(text.data, text.size, &m));
        assert_string_equal(tn_manifest_get(m, "title"), texts[i]);
        assert_int_equal(tn_manifest_kind_of(m, "title"), TN_MANIFEST_TEXT);
        tn_manifest_destroy(m);
        tn_region_destroy(region);
    }
}

static void numbers_have_one_form(void **state) {
    (void)state;
    static const char *const rows[][2] = {{"1", "1"},      {"+1", "1"},      {"1.0", "1"},
                                          {"0.10", "0.1"}, {"-0", "0"},      {"-0.0", "0"},
                                          {"1E5", "1e5"},  {"1e+05", "1e5"}, {"1.50e-07", "1.5e-7"},
                                          {"2e0", "2"},    {"100", "100"},   {"-12.25", "-12.25"}};
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        char text[200], form[200];
        snprintf(text, sizeof text, HEAD "extra: {n: %s}\n", rows[i][0]);
        snprintf(form, sizeof form, HEAD "extra:\n  \"n\": %s\n", rows[i][1]);
        check_form(text, form);
    }
}

static void wrong_manifests_are_refused_with_line_and_column(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"", "empty"},
        {"- a\n", "a map was expected"},
        {"name: m\n", "the key 'version' is missing"},
        {HEAD "licens: MIT\n", "line 3, column 1: there is no key 'licens' here; there are name, version, title"},
        {HEAD "inputs:\n- name: x\n  dtyp: int8\n", "line 5, column 3: there is no key 'dtyp'"},
        {HEAD "name: n\n", "line 3, column 1: the key 'name' stands twice"},
        {"name: M\nversion: 1.0.0\n", "line 1, column 1: 'name' must consist of lower-case"},
        {"name: m\nversion: 01.0.0\n", "line 2, column 1: 'version' must be a semantic version"},
        {"name: m\nversion: 1.0.0-01\n", "semantic version"},
        {"name: m\nversion: 1.0\n", "semantic version"},
        {HEAD "created: 2026-13-31T12:00:00Z\n", "'created' must be a time in UTC"},
        {HEAD "created: 2026-01-31\n", "'created' must be a time in UTC"},
        {HEAD "parent: sha256:abc\n", "'parent' must be a digest"},
        {HEAD "inputs: x\n", "'inputs' must be a list"},
        {HEAD "inputs: [x]\n", "line 3, column 10: 'inputs' must be a map"},
        {HEAD "inputs: [{name: x, dtype: float}]\n", "'dtype' must be a data type"},
        {HEAD "inputs: [{name: x, shape: [-1]}]\n", "'shape' must be a size"},
        {HEAD "inputs: [{name: x, range: [1]}]\n", "'range' has too few"},
        {HEAD "metrics: [{name: a, value: x, data: d}]\n", "'value' must be a number"},
        {HEAD "metrics: [{name: a, value: \"1\", data: d}]\n", "'value' must be a number"},
        {HEAD "metrics: [{name: a, value: 1}]\n", "the key 'data' is missing in metrics"},
        {HEAD "provenance: {seed: 1.5}\n", "'seed' must be a whole number"},
        {HEAD "provenance: {seed: 00}\n", "'seed' must be a whole number"},
        {HEAD "extra: {\"a b\": 1}\n", "'a b' is no key"},
        {HEAD "extra: 1\n", "'extra' must be a map"},
        {HEAD "title: &a b\n", "line 3, column 8: anchors"},
        {HEAD "extra: {a: &x [1], b: *x}\n", "anchors"},
        {HEAD "extra: {b: *x}\n", "line 3, column 12: aliases"},
        {HEAD "title: !!str b\n", "line 3, column 8: tags"},
        {HEAD "extra: !t {b: 1}\n", "tags"},
        {HEAD "---\n" HEAD, "more than one document"},
        {HEAD "title: \"a\\0b\"\n", "zero byte"},
        {HEAD "title: \"a\n", "line "},
        {HEAD "  title: a\n", "line 3"},
        {"\tname: m\n", "line 1"},
        {HEAD "? [a]\n: b\n", "a key must be a text"},
        {HEAD "extra: [[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]\n", "more than 16 levels"},
        {HEAD "title: \xff\n", "line "},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) refused(rows[i][0], strlen(rows[i][0]), rows[i][1]);
    refused(HEAD "title: a\0b\n", sizeof HEAD + 11, "line ");
}

static void manifests_of_any_size_end_in_a_sentence(void **state) {
    (void)state;
    size_t size = 2u << 20;
    char *text = malloc(size);
    memset(text, ' ', size);
    memcpy(text, HEAD, strlen(HEAD));
    refused(text, size, "at most 1048576");
    memset(text, 'a', size);
    memcpy(text, HEAD "title: ", strlen(HEAD "title: "));
    refused(text, 100000, "more than 64 KiB");
    size_t used = (size_t)sprintf(text, HEAD "extra: {a: [");
    for (int i = 0; i < 70000; i++) used += (size_t)sprintf(text + used, "1,");
    used += (size_t)sprintf(text + used, "]}");
    refused(text, used, "more than 65536 values");
    free(text);
}

static void values_are_found_by_their_path(void **state) {
    (void)state;
    tn_manifest *m;
    const char *text = HEAD "inputs:\n- name: x\n  shape: [n, 3]\n- name: z\nextra: {a.b: {c: q}}\n";
    assert_ok(tn_manifest_parse(text, strlen(text), &m));
    assert_string_equal(tn_manifest_get(m, "inputs/1/name"), "z");
    assert_string_equal(tn_manifest_get(m, "inputs/0/shape/1"), "3");
    assert_int_equal(tn_manifest_kind_of(m, "inputs/0/shape/1"), TN_MANIFEST_NUMBER);
    assert_string_equal(tn_manifest_get(m, "extra/a.b/c"), "q");
    assert_int_equal(tn_manifest_count(m, "inputs"), 2);
    assert_int_equal(tn_manifest_count(m, ""), 4);
    assert_string_equal(tn_manifest_key(m, "", 3), "extra");
    assert_null(tn_manifest_key(m, "", 4));
    assert_null(tn_manifest_key(m, "", -1));
    assert_null(tn_manifest_key(m, "inputs", 0));
    assert_null(tn_manifest_get(m, "inputs/2/name"));
    assert_null(tn_manifest_get(m, "inputs/-1/name"));
    assert_null(tn_manifest_get(m, "inputs/0x/name"));
    assert_null(tn_manifest_get(m, "inputs"));
    assert_null(tn_manifest_get(m, "name/0"));
    assert_int_equal(tn_manifest_kind_of(m, "nothing"), TN_MANIFEST_NONE);
    tn_manifest_destroy(m);
    tn_manifest_destroy(NULL);
}

static void versions_order_as_semver_says(void **state) {
    (void)state;
    static const char *const order[] = {"0.9.10",     "1.0.0-alpha",  "1.0.0-alpha.1", "1.0.0-alpha.beta",
                                        "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
                                        "1.0.0",      "1.0.1",        "1.2.0",         "1.10.0",
                                        "2.0.0"};
    for (size_t i = 0; i < TN_COUNT(order); i++)
        for (size_t k = 0; k < TN_COUNT(order); k++)
            assert_int_equal(tn_semver_compare(order[i], order[k]), i < k ? -1 : i > k);
    assert_int_equal(tn_semver_compare("1.0.0+a", "1.0.0+b"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_manifest_has_one_form),
        cmocka_unit_test(every_key_has_its_place),
        cmocka_unit_test(texts_survive_whatever_is_in_them),
        cmocka_unit_test(numbers_have_one_form),
        cmocka_unit_test(wrong_manifests_are_refused_with_line_and_column),
        cmocka_unit_test(manifests_of_any_size_end_in_a_sentence),
        cmocka_unit_test(values_are_found_by_their_path),
        cmocka_unit_test(versions_order_as_semver_says),
    };
    tn_manifest *m;
    if (tn_manifest_parse(HEAD, strlen(HEAD), &m) == TN_E_UNSUPPORTED)
        return strstr(tn_last_error(), "WITH_YAML=0") == NULL; /* a build that reads none */
    tn_manifest_destroy(m);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
