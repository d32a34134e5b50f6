/* Fetching from another store's folder: deltas where they help, the file where they do not and the host allows it, nothing
 * beyond its limit, and cuts at any byte gone on from. */
#include "unit.h"
#include "base/random.h"
#include "tree.h"
#include <tenon/tenon.h>

enum { SIZE = 40000 };
static char root[64];
static uint8_t files[3][SIZE];

static const char *at(const char *name) {
    return tree_at(root, name);
}

static void put(const char *store, const char *version, int file) {
    tn_store *s;
    tn_store_put_options o = {
        .struct_size = sizeof o, .name = "press", .version = version, .created = "2026-03-01T12:00:00Z"};
    tree_write(at("file.onnx"), files[file], SIZE);
    assert_ok(tn_store_open(at(store), &s));
    assert_ok(tn_store_put(s, at("file.onnx"), &o, NULL));
    tn_store_close(s);
}

static void put_delta(const char *store) {
    tn_store *s;
    uint64_t bytes = 0;
    int faults = 1;
    assert_ok(tn_store_open(at(store), &s));
    assert_ok(tn_store_put_delta(s, "press:1.0.0", "press:1.1.0", &bytes));
    assert_true(bytes > 0 && bytes < SIZE / 4);
    assert_ok(tn_store_put_delta(s, "press:1.0.0", "press:1.1.0", NULL)); /* it is there: nothing happens */
    assert_ok(tn_store_verify(s, NULL, NULL, &faults));
    assert_int_equal(faults, 0);
    tn_store_close(s);
}

/* "maker" has 1.0.0, 1.1.0 and what changed; "edge" has 1.0.0. */
static int setup(void **state) {
    (void)state;
    uint64_t seed = 9;
    if (!tree_make(root, "fetch")) return -1;
    for (size_t i = 0; i < SIZE; i++) {
        files[0][i] = (uint8_t)tn_random_next(&seed);
        files[1][i] = (uint8_t)(files[0][i] + (i % 100 == 0));
        files[2][i] = (uint8_t)tn_random_next(&seed);
    }
    assert_ok(tn_store_create(at("maker")));
    assert_ok(tn_store_create(at("edge")));
    put("maker", "1.0.0", 0);
    put("maker", "1.1.0", 1);
    put("edge", "1.0.0", 0);
    put_delta("maker");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return tree_remove(root);
}

static tn_status fetch(const char *reference, uint64_t most, tn_fetch_result *r) {
    tn_store *s;
    tn_fetch_options o = {.struct_size = sizeof o, .most_bytes = most};
    *r = (tn_fetch_result){.struct_size = sizeof *r};
    assert_ok(tn_store_open(at("edge"), &s));
    tn_status status = tn_store_fetch(s, at("maker"), reference, &o, NULL, r);
    tn_store_close(s);
    return status;
}

/* The edge has it, whole. */
static void assert_fetched(const char *reference, int file) {
    tn_store *s;
    int faults = 1;
    size_t size;
    assert_ok(tn_store_open(at("edge"), &s));
    assert_ok(tn_store_get(s, reference, at("got")));
    assert_ok(tn_store_verify(s, NULL, NULL, &faults));
    assert_int_equal(faults, 0);
    tn_store_close(s);
    char *data = tree_read(at("got"), &size);
    assert_int_equal(size, SIZE);
    assert_memory_equal(data, files[file], SIZE);
    free(data);
}

static void assert_not_fetched(const char *reference) {
    tn_store *s;
    tn_store_version v;
    int faults = 1;
    assert_ok(tn_store_open(at("edge"), &s));
    assert_int_equal(tn_store_find(s, reference, &v), TN_E_NOT_FOUND);
    assert_ok(tn_store_verify(s, NULL, NULL, &faults));
    assert_int_equal(faults, 0);
    tn_store_close(s);
}

static void what_changed_is_all_that_comes(void **state) {
    (void)state;
    tn_fetch_result r;
    assert_ok(fetch("press:1.1.0", SIZE / 2, &r));
    assert_int_equal(r.deltas, 1);
    assert_true(r.bytes < SIZE / 4);
    assert_fetched("press:1.1.0", 1);
    assert_ok(fetch("press", 1, &r)); /* the newest is there: nothing comes */
    assert_int_equal(r.bytes, 0);
    assert_int_equal(fetch("press:7.0.0", 0, &r), TN_E_NOT_FOUND);
}

static void a_limit_is_kept_before_anything_comes(void **state) {
    (void)state;
    tn_fetch_result r;
    put("maker", "2.0.0", 2);
    assert_int_equal(fetch("press:2.0.0", SIZE, &r), TN_E_LIMIT);
    assert_non_null(strstr(tn_last_error(), "the host allows 40000"));
    assert_not_fetched("press:2.0.0");
    assert_ok(fetch("press:2.0.0", SIZE + 10000, &r));
    assert_int_equal(r.deltas, 0);
    assert_fetched("press:2.0.0", 2);
    assert_int_equal(fetch("press:1.1.0", 500, &r), TN_E_LIMIT);
    assert_not_fetched("press:1.1.0");
}

static int find_delta(const char *path, bool folder, void *context) {
    (void)folder;
    size_t size;
    if (!strstr(path, "/blobs/sha256/") || folder) return 0;
    char *data = tree_read(path, &size);
    if (size > 4 && memcmp(data, "\x89TND", 4) == 0) snprintf(context, 256, "%s", path);
    free(data);
    return 0;
}

static void a_bad_delta_is_passed_over_unless_the_file_is_too_long(void **state) {
    (void)state;
    for (int missing = 0; missing < 2; missing++) {
        char path[256] = "";
        tn_fetch_result r;
        assert_int_equal(tree_walk(at("maker"), find_delta, path), 0);
        assert_true(path[0]);
        size_t size;
        char *data = tree_read(path, &size);
        data[size / 2] ^= 1;
        tree_write(path, data, size);
        if (missing) unlink(path);
        free(data);
        assert_int_equal(fetch("press:1.1.0", SIZE / 2, &r), TN_E_LIMIT);
        assert_non_null(strstr(tn_last_error(), missing ? "No such file" : "damaged"));
        assert_not_fetched("press:1.1.0");
        assert_ok(fetch("press:1.1.0", 0, &r));
        assert_int_equal(r.deltas, 0);
        assert_fetched("press:1.1.0", 1);
        teardown(NULL);
        setup(NULL);
    }
}

static int find_blob(const char *path, bool folder, void *context) {
    (void)folder;
    struct stat info;
    char *found = context;
    if (strstr(path, "/blobs/sha256/") && stat(path, &info) == 0 && info.st_size == SIZE) {
        size_t size;
        char *data = tree_read(path, &size);
        if (memcmp(data, files[1], SIZE) == 0) snprintf(found, 256, "%s", path);
        free(data);
    }
    return 0;
}

/* With a delta and without; the part may also be wrong. */
static void what_a_cut_left_is_gone_on_from(void **state) {
    (void)state;
    char path[256] = "", part[160];
    assert_int_equal(tree_walk(at("maker"), find_blob, path), 0);
    const char *hex = strrchr(path, '/') + 1;
    snprintf(part, sizeof part, "%s/journal/%.32s.part", at("edge"), hex);
    for (int round = 0; round < 40; round++) {
        tn_fetch_result r;
        size_t cut = (size_t)round * 1021 % SIZE;
        uint8_t left[SIZE];
        bool wrong = round % 3 == 2 && cut > 0;
        memcpy(left, files[1], cut);
        if (wrong) left[cut / 2] ^= 1;
        tree_write(part, left, cut);
        assert_ok(fetch("press:1.1.0", 0, &r));
        assert_int_equal(r.resumed, wrong ? 0 : cut);
        assert_int_equal(access(part, F_OK), -1);
        assert_fetched("press:1.1.0", 1);
        tn_store *s;
        assert_ok(tn_store_open(at("edge"), &s));
        assert_ok(tn_store_remove(s, "press:1.1.0"));
        assert_ok(tn_store_collect(s, NULL));
        tn_store_close(s);
        if (round == 20) { /* from here on there is no delta to take */
            assert_ok(tn_store_open(at("edge"), &s));
            assert_ok(tn_store_remove(s, "press:1.0.0"));
            assert_ok(tn_store_collect(s, NULL));
            tn_store_close(s);
        }
    }
}

static void a_delta_goes_with_its_version(void **state) {
    (void)state;
    tn_store *s;
    char path[256] = "";
    int faults = 1;
    assert_ok(tn_store_open(at("maker"), &s));
    assert_ok(tn_store_remove(s, "press:1.0.0")); /* its base may be elsewhere */
    assert_ok(tn_store_collect(s, NULL));
    assert_int_equal(tree_walk(at("maker"), find_delta, path), 0);
    assert_true(path[0]);
    assert_ok(tn_store_backup(s, at("b"), NULL, NULL));
    assert_ok(tn_store_remove(s, "press:1.1.0"));
    assert_ok(tn_store_collect(s, NULL));
    assert_int_equal(access(path, F_OK), -1);
    assert_ok(tn_store_verify(s, NULL, NULL, &faults));
    assert_int_equal(faults, 0);
    tn_store_close(s);
    assert_ok(tn_store_restore(at("maker"), (const char *[]){at("b")}, 1, NULL));
    assert_int_equal(access(path, F_OK), 0);
    tn_fetch_result r;
    assert_ok(fetch("press:1.1.0", 0, &r));
    assert_int_equal(r.deltas, 1);
}

static bool index_names_a_delta(void) {
    size_t size;
    char *index = tree_read(at("maker/index.json"), &size);
    bool named = memmem(index, size, "org.tenon.delta.blob", 20) != NULL;
    free(index);
    return named;
}

static void assert_maker_whole(void) {
    tn_store *s;
    int faults = 1;
    assert_ok(tn_store_open(at("maker"), &s));
    assert_ok(tn_store_verify(s, NULL, NULL, &faults));
    assert_int_equal(faults, 0);
    tn_store_close(s);
}

static void an_index_made_anew_has_the_deltas_of_versions_that_are_there(void **state) {
    (void)state;
    tn_fetch_result r;
    size_t size;
    assert_int_equal(unlink(at("maker/index.json")), 0);
    assert_ok(tn_store_repair(at("maker"), NULL, NULL));
    assert_maker_whole();
    assert_ok(fetch("press:1.1.0", SIZE / 2, &r));
    assert_int_equal(r.deltas, 1);
    assert_fetched("press:1.1.0", 1);

    /* Its entry says what the manifest says. */
    tn_store *s;
    int faults = 0;
    char *index = tree_read(at("maker/index.json"), &size);
    char *text = memmem(index, size, "org.tenon.delta.size\":\"", 23);
    assert_non_null(text);
    text[23] = text[23] == '1' ? '2' : '1';
    tree_write(at("maker/index.json"), index, size);
    free(index);
    assert_ok(tn_store_open(at("maker"), &s));
    assert_ok(tn_store_verify(s, NULL, NULL, &faults));
    assert_int_equal(faults, 1);
    tn_store_close(s);
    assert_ok(tn_store_repair(at("maker"), NULL, NULL));
    assert_true(index_names_a_delta());
    assert_maker_whole();

    assert_ok(tn_store_open(at("maker"), &s));
    assert_ok(tn_store_remove(s, "press:1.1.0"));
    tn_store_close(s);
    assert_int_equal(unlink(at("maker/index.json")), 0);
    assert_ok(tn_store_repair(at("maker"), NULL, NULL));
    assert_false(index_names_a_delta());
    assert_maker_whole();
}

/* The channel is the edge's own: what it trusts says which version, and where that lies does not matter. */
static void a_channel_is_what_is_trusted_here(void **state) {
    (void)state;
    tn_store *maker, *edge;
    tn_store_version v;
    assert_ok(tn_store_open(at("maker"), &maker));
    assert_ok(tn_store_open(at("edge"), &edge));
    assert_ok(tn_trust_init(maker, at("keys"), NULL));
    assert_ok(tn_store_promote(maker, "press:1.1.0", "stable", at("keys")));
    assert_int_not_equal(tn_store_fetch(edge, at("maker"), "press@stable", NULL, NULL, NULL), TN_OK);
    assert_ok(tn_trust_accept(edge, at("maker/trust/1.root.json"), TN_TRUST_ENFORCE));
    assert_ok(tn_trust_update(edge, at("maker/trust")));
    assert_ok(tn_store_fetch(edge, at("maker"), "press@stable", NULL, &v, NULL));
    assert_string_equal(v.version, "1.1.0");
    assert_ok(tn_store_find(edge, "press@stable", &v));
    tn_store_close(maker);
    tn_store_close(edge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_changed_is_all_that_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_limit_is_kept_before_anything_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_delta_is_passed_over_unless_the_file_is_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_cut_left_is_gone_on_from, setup, teardown),
        cmocka_unit_test_setup_teardown(a_delta_goes_with_its_version, setup, teardown),
        cmocka_unit_test_setup_teardown(an_index_made_anew_has_the_deltas_of_versions_that_are_there, setup, teardown),
        cmocka_unit_test_setup_teardown(a_channel_is_what_is_trusted_here, setup, teardown),
    };
    tn_store *s;
    if (tn_store_open("/nowhere", &s) == TN_E_UNSUPPORTED) {
        print_message("stores are left out of this build\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
