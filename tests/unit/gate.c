/* Gates: what keeps a version from a channel is named, with what was expected and found, and nothing is promoted then. */
#include "unit.h"
#include <locale.h>
#include <stdlib.h>
#include <tenon/tenon.h>
#include "tree.h"

static char root[64];
static tn_store *store;

static char *at(const char *name) {
    return tree_at(root, name);
}

/* y = x n, which says of itself that it is y = x told, with these metrics (NULL: no manifest of its own). */
static void put(const char *version, float n, float told, const char *metrics) {
    tn_self_test *test = NULL;
    tn_tensor *x;
    char manifest[600];
    assert_ok(tn_tensor_create(TN_FLOAT32, 1, (int64_t[]){1}, NULL, &x));
    *(float *)tn_tensor_data(x) = 1;
    for (int pass = 0; pass < 2; pass++) {
        tn_graph *g;
        tn_tensor *w;
        int xv, wv, y;
        float factor = pass ? n : told;
        assert_ok(tn_graph_create(NULL, &g));
        assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 1, (int64_t[]){1}, &xv));
        assert_ok(tn_tensor_wrap(TN_FLOAT32, 0, NULL, NULL, &factor, sizeof factor, &w));
        assert_ok(tn_graph_constant(g, "w", w, &wv));
        tn_tensor_destroy(w);
        assert_ok(tn_graph_node(g, "Mul", "product", 2, (int[]){xv, wv}, 1, &y, NULL));
        assert_ok(tn_graph_output(g, y, "y"));
        if (pass) {
            snprintf(manifest, sizeof manifest, "name: press\nversion: %s\n%s", version, metrics ? metrics : "");
            tn_model_file_options o = {sizeof o, .manifest = manifest, .self_test = test};
            assert_ok(metrics ? tn_graph_save(g, at("file"), &o) : tn_graph_save_onnx(g, at("file"), NULL));
            tn_graph_destroy(g);
        } else if (told != 0) {
            tn_model *m;
            tn_self_test_case c = {
                .struct_size = sizeof c, .name = "one", .input_count = 1, .inputs = &(tn_named_tensor){"x", x}};
            assert_ok(tn_model_from_graph(g, NULL, &m));
            assert_ok(tn_self_test_create(&test));
            assert_ok(tn_self_test_record(test, m, &c));
            tn_model_destroy(m);
        } else {
            tn_graph_destroy(g);
        }
    }
    tn_store_put_options o = {.struct_size = sizeof o, .name = "press", .version = version};
    assert_ok(tn_store_put(store, at("file"), &o, NULL));
    tn_self_test_destroy(test);
    tn_tensor_destroy(x);
}

#define METRIC(name, data, value) "  - {name: " name ", data: " data ", value: " value "}\n"

static int setup(void **state) {
    (void)state;
    if (!tree_make(root, "gate")) return -1;
    assert_ok(tn_store_create(at("s")));
    assert_ok(tn_store_open(at("s"), &store));
    assert_ok(tn_trust_init(store, at("keys"), NULL));
    put("1.0.0", 1, 1, "metrics:\n" METRIC("recall", "a", "0.990") METRIC("ms", "a", "2.5") METRIC("ms", "b", "9"));
    put("1.1.0", 2, 2, "metrics:\n" METRIC("recall", "a", "0.988") METRIC("ms", "a", "2.4") METRIC("ms", "b", "9"));
    put("1.2.0", 3, 4, "metrics:\n" METRIC("recall", "a", "0.5"));
    put("1.3.0", 5, 0, "metrics: []\n");
    put("1.4.0", 6, 0, NULL);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    tn_store_close(store);
    return tree_remove(root);
}

typedef struct tally {
    int rows, failed;
} tally;
static void count(void *context, const tn_gate_row *row) {
    tally *t = context;
    assert_true(row->bound[0] && row->expected[0] && row->found[0]);
    t->rows++;
    t->failed += !row->passed;
}

/* "" where it passes; else what the sentence must say. */
static void check(const char *reference, const char *gate, int failed, const char *words) {
    tally t = {0, 0};
    tn_status status = tn_store_gate(store, reference, "stable", gate, strlen(gate), count, &t);
    if (status != (failed ? TN_E_CHECK : TN_OK) || t.failed != failed)
        fail_msg("%s through '%s': %d bounds of %d fail: %s", reference, gate, t.failed, t.rows, tn_last_error());
    if (failed && !strstr(tn_last_error(), words)) fail_msg("'%s' is not in '%s'", words, tn_last_error());
}

static const char strict[] = "self_test: true\nmetrics:\n  - {name: recall, at_least: 0.95, drop: 0.002}\n"
                             "  - {name: ms, data: a, at_most: 2.5, rise: -0.1}\n";

static void bounds_are_kept_or_named(void **state) {
    (void)state;
    check("press:1.0.0", "{}", 0, "");
    check("press:1.0.0", strict, 0, ""); /* the channel is not there yet, and so nothing to be relative to */
    check("press:1.2.0", "self_test: false\n", 0, "");
    check("press:1.2.0", strict, 4, "self_test: expected one that passes, found the self-test 'one' fails");
    check("press:1.2.0", strict, 4, "recall at_least: expected at least 0.95, found 0.5");
    check("press:1.2.0", strict, 4, "ms at_most: expected at most 2.5, found none");
    check("press:1.3.0", "self_test: true\n", 1, "found the model's file has no self-test");
    check("press:1.4.0", "metrics: [{name: recall, at_least: 0}]\n", 1, "expected at least 0, found no manifest");
    check("press:1.0.0", "metrics: [{name: ms, at_most: 100}]\n", 1, "found several of that name");
    check("press:1.0.0", "signed: canary\n", 1, "signed: expected press@canary at 1.0.0, found ");
    assert_ok(tn_store_promote(store, "press:1.1.0", "canary", at("keys")));
    check("press:1.0.0", "signed: canary\n", 1, "found it at 1.1.0");
    check("press:1.1.0", "signed: canary\n", 0, "");
}

static void bounds_may_be_relative_to_what_the_channel_points_at(void **state) {
    (void)state;
    assert_ok(tn_store_promote(store, "press:1.0.0", "stable", at("keys")));
    check("press:1.1.0", strict, 0, ""); /* 0.990 to 0.988 is no more than 0.002 */
    check("press:1.1.0", "metrics: [{name: recall, drop: 0.001}]\n", 1,
          "recall drop: expected at least 0.989 (stable is now at 0.99), found 0.988");
    check("press:1.1.0", "metrics: [{name: ms, data: a, rise: -0.2}]\n", 1, "expected at most 2.3");
    check("press:1.1.0", "metrics: [{name: other, drop: 1}]\n", 1, "which has none");
    assert_ok(tn_store_promote(store, "press:1.4.0", "stable", at("keys")));
    check("press:1.1.0", "metrics: [{name: recall, drop: 1}]\n", 1, "which has no manifest");
    setlocale(LC_NUMERIC, "de_DE.UTF-8"); /* where there is such a locale */
    check("press:1.1.0", "metrics: [{name: recall, at_least: 0.989}]\n", 1, "found 0.988");
    setlocale(LC_NUMERIC, "C");
}

static void a_refused_version_is_not_promoted(void **state) {
    (void)state;
    tn_store_channel_info c;
    assert_int_equal(
        tn_store_promote_through(store, "press:1.2.0", "stable", at("keys"), strict, strlen(strict), NULL, NULL),
        TN_E_CHECK);
    assert_int_equal(tn_store_channel(store, "press", "stable", &c), TN_E_NOT_FOUND);
    assert_ok(tn_store_promote_through(store, "press:~1.0", "stable", at("keys"), strict, strlen(strict), NULL, NULL));
    assert_ok(tn_store_channel(store, "press", "stable", &c));
    assert_string_equal(c.version, "1.0.0");
}

/* While the gate is looked at, somebody else promotes: the first of these, or each in turn for ever. */
typedef struct race {
    const char *versions[2];
    bool once;
    int looks;
} race;
static void promote_meanwhile(void *context, const tn_gate_row *row) {
    race *r = context;
    tn_store *other;
    (void)row;
    if (r->looks++ && r->once) return;
    assert_ok(tn_store_open(at("s"), &other));
    assert_ok(tn_store_promote(other, r->versions[r->looks % 2], "stable", at("keys")));
    tn_store_close(other);
}

static void what_others_promote_meanwhile_is_looked_at(void **state) {
    (void)state;
    static const char gate[] = "metrics: [{name: recall, drop: 0.001}]\n",
                      any[] = "metrics: [{name: recall, drop: 1}]\n";
    tn_store_channel_info c;
    race once = {{"press:1.0.0", "press:1.0.0"}, true, 0}, always = {{"press:1.0.0", "press:1.1.0"}, false, 0};
    assert_ok(tn_store_promote(store, "press:1.2.0", "stable", at("keys")));
    check("press:1.1.0", gate, 0, ""); /* it is better than 1.2.0, which has 0.5, but not than 1.0.0 */
    assert_int_equal(tn_store_promote_through(store, "press:1.1.0", "stable", at("keys"), gate, strlen(gate),
                                              promote_meanwhile, &once),
                     TN_E_CHECK);
    assert_int_equal(once.looks, 2);
    assert_ok(tn_store_channel(store, "press", "stable", &c));
    assert_string_equal(c.version, "1.0.0");
    assert_int_equal(tn_store_promote_through(store, "press:1.1.0", "stable", at("keys"), any, strlen(any),
                                              promote_meanwhile, &always),
                     TN_E_STATE);
    assert_true(always.looks > 2 && strstr(tn_last_error(), "changed while"));
    once.looks = 0; /* a change that does not matter */
    assert_ok(tn_store_promote_through(store, "press:1.1.0", "stable", at("keys"), any, strlen(any), promote_meanwhile,
                                       &once));
}

static void gates_with_slips_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *gate, *words;
    } rows[] = {
        {"selftest: true\n", "the gate: line 1, column 1: there is no key 'selftest' here"},
        {"self_test: yes\n", "must be true or false"},
        {"metrics: [{name: recall, at_least: high}]\n", "must be a number"},
        {"metrics: [{at_least: 1}]\n", "the key 'name' is missing"},
        {"signed: [a, b]\n", "'signed'"},
        {"", "the gate: line"},
        {"a: &x [1]\nb: *x\n", "anchors"},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        tn_status status =
            tn_store_gate(store, "press:1.0.0", "stable", rows[i].gate, strlen(rows[i].gate), NULL, NULL);
        assert_int_equal(status, TN_E_FORMAT);
        if (!strstr(tn_last_error(), rows[i].words)) fail_msg("'%s' is not in '%s'", rows[i].words, tn_last_error());
    }
    assert_int_equal(tn_store_gate(store, "press:7.0.0", "stable", "{}", 2, NULL, NULL), TN_E_NOT_FOUND);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(bounds_are_kept_or_named),          TEST(bounds_may_be_relative_to_what_the_channel_points_at),
        TEST(a_refused_version_is_not_promoted), TEST(what_others_promote_meanwhile_is_looked_at),
        TEST(gates_with_slips_are_refused),
    };
    tn_store *s;
    if (!TN_WITH_YAML || tn_store_open("/nowhere", &s) == TN_E_UNSUPPORTED) {
        print_message("stores or YAML are left out of this build\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
