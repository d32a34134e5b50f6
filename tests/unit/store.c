/* Stores: versions, references, immutability, sharing, collection, the log, damage and repair. Cuts and faults of the
 * system: tests/faults. */
#include "unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <tenon/tenon.h>
#include <unistd.h>
#include "tree.h"

static char root[64];

static char *at(const char *name) {
    return tree_at(root, name);
}

static int setup(void **state) {
    (void)state;
    return tree_make(root, "store") ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    return tree_remove(root);
}

static tn_store *make_store(const char *name) {
    tn_store *s;
    assert_ok(tn_store_create(at(name)));
    assert_ok(tn_store_open(at(name), &s));
    return s;
}

static tn_store_version put(tn_store *s, const char *name, const char *version, const char *content) {
    tn_store_version v;
    tree_write(at("file"), content, strlen(content));
    tn_store_put_options o = {.struct_size = sizeof o, .name = name, .version = version};
    assert_ok(tn_store_put(s, at("file"), &o, &v));
    return v;
}

static void a_file_comes_back_as_it_was(void **state) {
    (void)state;
    tn_store *s = make_store("a");
    size_t size = 3000001;
    char *content = malloc(size);
    for (size_t i = 0; i < size; i++) content[i] = (char)(i * 7 + i / 251);
    tree_write(at("big"), content, size);
    tn_store_version v, found;
    tn_store_put_options o = {.struct_size = sizeof o,
                              .name = "line-2/press",
                              .version = "1.2.0",
                              .created = "2026-03-01T12:00:00Z",
                              .licence = "Apache-2.0",
                              .description = "Force of the press"};
    assert_ok(tn_store_put(s, at("big"), &o, &v));
    assert_int_equal(v.file_bytes, size);
    assert_string_equal(v.created, "2026-03-01T12:00:00Z");
    assert_ok(tn_store_find(s, "line-2/press:1.2.0", &found));
    assert_memory_equal(&v, &found, sizeof v);
    assert_ok(tn_store_get(s, v.digest, at("copy")));
    size_t copied;
    char *copy = tree_read(at("copy"), &copied);
    assert_int_equal(copied, size);
    assert_memory_equal(copy, content, size);
    free(copy);
    free(content);
    tn_store_close(s);
}

static void the_same_again_changes_nothing_and_another_file_is_refused(void **state) {
    (void)state;
    tn_store *s = make_store("a");
    tn_store_version first = put(s, "press", "1.0.0", "one"), again = put(s, "press", "1.0.0", "one");
    assert_string_equal(first.digest, again.digest);
    tn_store_event e;
    assert_ok(tn_store_audit(s, 1, &e));
    assert_int_equal(tn_store_audit(s, 2, &e), TN_E_NOT_FOUND);
    tree_write(at("file"), "two", 3);
    tn_store_put_options o = {.struct_size = sizeof o, .name = "press", .version = "1.0.0"};
    assert_int_equal(tn_store_put(s, at("file"), &o, NULL), TN_E_STATE);
    assert_non_null(strstr(tn_last_error(), "new version"));
    /* Nor is the pair free once it was removed. */
    assert_ok(tn_store_remove(s, "press:1.0.0"));
    assert_int_equal(tn_store_put(s, at("file"), &o, NULL), TN_E_STATE);
    tn_store_close(s);
}

static void references_name_the_newest_that_fits(void **state) {
    (void)state;
    static const char *const versions[] = {"0.2.3",      "0.2.9",   "0.3.0",        "1.0.0-rc.2", "1.0.0-rc.10",
                                           "1.0.0",      "1.2.0",   "1.2.10",       "1.2.9",      "1.10.0",
                                           "2.0.0-beta", "2.0.0-1", "2.0.0-alpha.1"};
    static const char *const order[] = {"0.2.3",   "0.2.9",         "0.3.0",     "1.0.0-rc.2", "1.0.0-rc.10",
                                        "1.0.0",   "1.2.0",         "1.2.9",     "1.2.10",     "1.10.0",
                                        "2.0.0-1", "2.0.0-alpha.1", "2.0.0-beta"};
    static const struct {
        const char *reference, *found;
    } cases[] = {
        {"press", "1.10.0"},     {"press:^1.2", "1.10.0"},     {"press:~1.2", "1.2.10"}, {"press:^1.2.11", "1.10.0"},
        {"press:~1.2.11", NULL}, {"press:^0.2.3", "0.2.9"},    {"press:^0", "0.3.0"},    {"press:~1", "1.10.0"},
        {"press:^2", NULL},      {"press:2.0.0-1", "2.0.0-1"}, {"press:1.0.0", "1.0.0"}, {"press:1.0.1", NULL},
        {"other", NULL}};
    tn_store *s = make_store("a");
    tn_store_version v;
    for (size_t i = 0; i < TN_COUNT(versions); i++) put(s, "press", versions[i], versions[i]);
    put(s, "a", "9.0.0", "other");
    for (size_t i = 0; i < TN_COUNT(order); i++) {
        assert_ok(tn_store_at(s, (int)i + 1, &v));
        assert_string_equal(v.version, order[i]);
    }
    assert_int_equal(tn_store_at(s, 14, &v), TN_E_NOT_FOUND);
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        tn_status status = tn_store_find(s, cases[i].reference, &v);
        if (!cases[i].found) {
            assert_int_equal(status, TN_E_NOT_FOUND);
            continue;
        }
        assert_int_equal(status, TN_OK);
        assert_string_equal(v.version, cases[i].found);
    }
    tn_store_close(s);
}

/* A handle that knows the index from an earlier look sees what another handle did meanwhile. */
static void what_another_does_is_seen_after_a_rest(void **state) {
    (void)state;
    tn_store *s = make_store("a"), *other;
    tn_store_version v;
    put(s, "press", "1.0.0", "one");
    sleep(3); /* the index is known by its times only once these are old */
    assert_ok(tn_store_find(s, "press", &v));
    assert_ok(tn_store_find(s, "press", &v));
    assert_string_equal(v.version, "1.0.0");
    assert_ok(tn_store_open(at("a"), &other));
    put(other, "press", "1.1.0", "two");
    assert_ok(tn_store_find(s, "press", &v));
    assert_string_equal(v.version, "1.1.0");
    sleep(3);
    assert_ok(tn_store_find(s, "press", &v));
    assert_int_equal(unlink(at("a/index.json")), 0);
    assert_int_not_equal(tn_store_find(s, "press", &v), TN_OK);
    tn_store_close(other);
    tn_store_close(s);
}

static void bad_names_versions_and_references_are_refused(void **state) {
    (void)state;
    static const char *const names[] = {"",     "Press",   "../press", "press/", "/press",
                                        "a..b", "press:1", "pr ess",   "a//b"};
    static const char *const versions[] = {"",        "1",       "1.2",    "01.2.3", "1.2.3-",          "1.2.3-01",
                                           "1.2.3+",  "1.2.3.4", "v1.2.3", "1.2.3 ", "1.2.99999999999", "1.2.3-a..b",
                                           "../1.2.3"};
    static const char *const references[] = {"",         "press:",       "press:^",  "press:^1.2.3-rc",
                                             "press:~a", "press:latest", "../press", "press:1.2.3:4"};
    tn_store *s = make_store("a");
    tn_store_version v;
    put(s, "press", "1.2.3", "x");
    for (size_t i = 0; i < TN_COUNT(names) + TN_COUNT(versions); i++) {
        tn_store_put_options o = {.struct_size = sizeof o, .name = "press", .version = "1.0.0"};
        if (i < TN_COUNT(names))
            o.name = names[i];
        else
            o.version = versions[i - TN_COUNT(names)];
        assert_int_equal(tn_store_put(s, at("file"), &o, &v), TN_E_INVALID);
    }
    for (size_t i = 0; i < TN_COUNT(references); i++)
        assert_int_equal(tn_store_find(s, references[i], &v), TN_E_INVALID);
    assert_int_equal(tn_store_find(s, "sha256:00", &v), TN_E_NOT_FOUND);
    tn_store_put_options late = {.struct_size = sizeof late, .name = "press", .version = "2.0.0", .created = "today"};
    assert_int_equal(tn_store_put(s, at("file"), &late, &v), TN_E_INVALID);
    late = (tn_store_put_options){.struct_size = sizeof late, .name = "press", .version = "2.0.0"};
    assert_int_equal(tn_store_put(s, at("nothing"), &late, &v), TN_E_NOT_FOUND);
    late.parent = "press:7.0.0";
    assert_int_equal(tn_store_put(s, at("file"), &late, &v), TN_E_NOT_FOUND);
    tn_store_close(s);
}

static void one_file_in_two_versions_is_stored_once_and_collected_with_the_last(void **state) {
    (void)state;
    tn_store *s = make_store("a");
    tn_store_version first = put(s, "press", "1.0.0", "weights"), second = put(s, "press", "1.0.1", "weights");
    uint64_t bytes = 1;
    assert_string_equal(first.file_digest, second.file_digest);
    assert_ok(tn_store_collect(s, &bytes));
    assert_int_equal(bytes, 0);
    assert_ok(tn_store_remove(s, "press:1.0.0"));
    assert_ok(tn_store_collect(s, &bytes));
    assert_true(bytes > 0);
    assert_ok(tn_store_get(s, "press", at("copy")));
    assert_ok(tn_store_remove(s, "press"));
    assert_ok(tn_store_collect(s, &bytes));
    assert_int_equal(tree_count(at("a/blobs/sha256")), 0);
    assert_int_equal(tree_count(at("a/journal")), 0);
    tn_store_close(s);
}

static void the_parent_is_named_by_its_digest(void **state) {
    (void)state;
    tn_store *s = make_store("a");
    tn_store_version first = put(s, "press", "1.0.0", "one"), v;
    tn_store_put_options o = {.struct_size = sizeof o, .name = "press", .version = "1.1.0", .parent = "press:1.0.0"};
    assert_ok(tn_store_put(s, at("file"), &o, &v));
    assert_string_equal(v.parent, first.digest);
    assert_ok(tn_store_find(s, "press", &v));
    assert_string_equal(v.parent, first.digest);
    tn_store_close(s);
}

static void the_log_tells_what_was_done(void **state) {
    (void)state;
    static const char *const actions[] = {"create", "put", "put", "remove", "collect"};
    tn_store *s = make_store("a");
    tn_store_event e;
    put(s, "press", "1.0.0", "one");
    put(s, "press", "1.1.0", "two");
    assert_ok(tn_store_remove(s, "press:1.0.0"));
    assert_ok(tn_store_collect(s, NULL));
    for (size_t i = 0; i < TN_COUNT(actions); i++) {
        assert_ok(tn_store_audit(s, (int)i, &e));
        assert_int_equal(e.number, i + 1);
        assert_string_equal(e.action, actions[i]);
    }
    assert_string_equal(e.digest, "");
    assert_int_equal(tn_store_audit(s, 5, &e), TN_E_NOT_FOUND);
    tn_store_close(s);
}

static void assert_line(tn_store *s, int index, const char *action, const char *version) {
    tn_store_event e;
    assert_ok(tn_store_audit(s, index, &e));
    assert_int_equal(e.number, index + 1);
    assert_string_equal(e.action, action);
    assert_string_equal(e.version, version);
}

/* In any order, while it grows, and after it was put aside. */
static void the_log_is_gone_on_reading(void **state) {
    (void)state;
    tn_store *s = make_store("a"), *other;
    tn_store_event e;
    size_t size;
    char version[16];
    assert_ok(tn_store_open(at("a"), &other));
    for (int i = 1; i <= 70; i++) {
        snprintf(version, sizeof version, "1.%d.0", i);
        put(i % 2 ? s : other, "press", version, version);
        if (i % 7 == 0) assert_line(s, i, "put", version);
    }
    assert_line(s, 70, "put", "1.70.0");
    assert_line(s, 0, "create", "");
    assert_line(s, 69, "put", "1.69.0");
    assert_int_equal(tn_store_audit(s, 71, &e), TN_E_NOT_FOUND);
    assert_int_equal(tn_store_audit(s, -1, &e), TN_E_NOT_FOUND);
    /* Either handle knows what the other one removed. */
    assert_ok(tn_store_remove(other, "press:1.70.0"));
    assert_line(s, 71, "remove", "1.70.0");
    tree_write(at("file"), "two", 3);
    tn_store_put_options o = {.struct_size = sizeof o, .name = "press", .version = "1.70.0"};
    assert_int_equal(tn_store_put(s, at("file"), &o, NULL), TN_E_STATE);
    assert_line(s, 60, "put", "1.60.0");

    char *log = tree_read(at("a/audit.log"), &size);
    log[size - 20] ^= 1;
    tree_write(at("a/audit.log"), log, size);
    free(log);
    assert_line(s, 61, "put", "1.61.0");
    assert_int_equal(tn_store_audit(s, 71, &e), TN_E_FORMAT);
    assert_int_equal(tn_store_put(s, at("file"), &o, NULL), TN_E_FORMAT);
    assert_ok(tn_store_repair(at("a"), NULL, NULL));
    assert_line(s, 0, "repair", "");
    assert_int_equal(tn_store_audit(s, 1, &e), TN_E_NOT_FOUND);
    put(s, "press", "2.0.0", "two");
    assert_line(s, 1, "put", "2.0.0");
    tn_store_close(other);
    tn_store_close(s);
}

static void no_store_is_made_of_a_full_folder_nor_opened_of_an_empty_one(void **state) {
    (void)state;
    tn_store *s;
    assert_int_equal(mkdir(at("full"), 0777), 0);
    tree_write(at("full/notes"), "x", 1);
    assert_int_equal(tn_store_create(at("full")), TN_E_STATE);
    assert_int_equal(tn_store_open(at("full"), &s), TN_E_FORMAT);
    assert_null(s);
    assert_int_equal(tn_store_open(at("none"), &s), TN_E_NOT_FOUND);
    assert_ok(tn_store_create(at("a")));
    assert_int_equal(tn_store_create(at("a")), TN_E_STATE);
}

static void a_model_is_loaded_from_where_it_lies(void **state) {
    (void)state;
    tn_store *s = make_store("a");
    put(s, "press", "1.0.0", "no model");
    tn_model *model;
    assert_true(tn_store_load(s, "press", NULL, &model) != TN_OK);
    assert_null(model);
    assert_non_null(strstr(tn_last_error(), "press:1.0.0"));
    tn_store_close(s);
}

static void count_faults(void *context, const char *sentence) {
    assert_true(strlen(sentence) > 20);
    ++*(int *)context;
}

/* 0 where the store opens and is whole. */
static int faults_of(const char *path) {
    tn_store *s;
    int faults = 0, heard = 0;
    if (tn_store_open(path, &s) != TN_OK) return 1;
    assert_ok(tn_store_verify(s, count_faults, &heard, &faults));
    assert_int_equal(heard, faults);
    tn_store_close(s);
    return faults;
}

/* Every byte of a store, changed one after the other. */
static void each_changed_byte_is_noticed_and_mended(void **state) {
    (void)state;
    tn_store *s = make_store("good");
    put(s, "press", "1.0.0", "the first weights");
    put(s, "press", "1.1.0", "others");
    assert_ok(tn_store_remove(s, "press:1.0.0"));
    put(s, "valve", "0.1.0-rc.1", "others");
    tn_store_close(s);
    tree files;
    tree_load(at("good"), &files);
    int changed = 0;
    for (size_t f = 0; f < files.count; f++) {
        tree_file *file = &files.files[f];
        for (size_t i = 0; i < file->size; i++) {
            file->data[i] ^= (char)(1 << i % 7);
            tree_save(&files, at("bad"));
            file->data[i] ^= (char)(1 << i % 7);
            /* Without its last byte the log lacks a line that the index has, as after a power cut: no fault. */
            bool cut = strcmp(file->name, "audit.log") == 0 && i + 1 == file->size;
            if (!cut && faults_of(at("bad")) == 0) fail_msg("byte %zu of %s may change", i, file->name);
            if (tn_store_repair(at("bad"), at("good"), NULL) != TN_OK)
                fail_msg("byte %zu of %s: %s", i, file->name, tn_last_error());
            if (faults_of(at("bad")) != 0) fail_msg("byte %zu of %s stays damaged", i, file->name);
            tn_store_version v;
            tn_store *again;
            assert_ok(tn_store_open(at("bad"), &again));
            assert_ok(tn_store_get(again, "press:1.1.0", at("copy")));
            assert_ok(tn_store_get(again, "valve:0.1.0-rc.1", at("copy")));
            assert_ok(tn_store_at(again, 1, &v));
            tn_store_close(again);
            assert_int_equal(tree_remove(at("bad")), 0);
            changed++;
        }
    }
    assert_true(changed > 5000);
    tree_free(&files);
}

static void a_lost_index_is_made_anew_without_a_mirror(void **state) {
    (void)state;
    tn_store *s = make_store("a");
    tn_store_version v = put(s, "press", "1.0.0", "one"), found;
    put(s, "press", "1.1.0", "two");
    assert_ok(tn_store_remove(s, "press:1.1.0"));
    tn_store_close(s);
    assert_int_equal(unlink(at("a/index.json")), 0);
    assert_ok(tn_store_repair(at("a"), NULL, NULL));
    assert_ok(tn_store_open(at("a"), &s));
    assert_ok(tn_store_at(s, 0, &found));
    assert_memory_equal(&found, &v, sizeof v);
    assert_int_equal(tn_store_at(s, 1, &found), TN_E_NOT_FOUND);
    assert_int_equal(faults_of(at("a")), 0);
    tn_store_close(s);
}

static void a_lost_blob_is_named_where_no_mirror_has_it(void **state) {
    (void)state;
    tn_store *s = make_store("a");
    tn_store_version v = put(s, "press", "1.0.0", "one");
    tn_store_close(s);
    assert_int_equal(unlink(at(strcat(strcpy((char[160]){0}, "a/blobs/sha256/"), v.file_digest + 7))), 0);
    assert_int_equal(faults_of(at("a")), 1);
    assert_true(tn_store_repair(at("a"), NULL, NULL) != TN_OK);
    assert_non_null(strstr(tn_last_error(), v.file_digest + 7));
}

static void a_fetched_version_is_the_same_to_its_digest(void **state) {
    (void)state;
    tn_store *a = make_store("from"), *b = make_store("to");
    tn_store_version v = put(a, "press", "1.0.0", "weights"), other = put(b, "valve", "1.0.0", "weights"), copied,
                     found;
    int faults = -1;
    size_t size;
    assert_ok(tn_store_fetch(b, at("from"), "press:^1.0", NULL, &copied, NULL));
    assert_ok(tn_store_find(b, "press", &found));
    assert_memory_equal(&v, &copied, sizeof v);
    assert_memory_equal(&v, &found, sizeof v);
    assert_string_equal(v.file_digest, other.file_digest);
    assert_ok(tn_store_get(b, v.digest, at("copy")));
    assert_ok(tn_store_fetch(b, at("from"), v.digest, NULL, NULL, NULL)); /* again */
    assert_ok(tn_store_verify(b, NULL, NULL, &faults));
    assert_int_equal(faults, 0);
    assert_int_equal(tn_store_fetch(b, at("from"), "press:2.0.0", NULL, NULL, NULL), TN_E_NOT_FOUND);
    put(a, "valve", "1.0.0", "others");
    assert_int_equal(tn_store_fetch(b, at("from"), "valve:1.0.0", NULL, NULL, NULL), TN_E_STATE);
    /* What is damaged where it comes from goes nowhere. */
    v = put(a, "press", "1.1.0", "new weights");
    char *blob = at(strcat(strcpy((char[160]){0}, "from/blobs/sha256/"), v.file_digest + 7));
    char *data = tree_read(blob, &size);
    data[0] ^= 1;
    tree_write(blob, data, size);
    free(data);
    assert_int_equal(tn_store_fetch(b, at("from"), "press:1.1.0", NULL, NULL, NULL), TN_E_FORMAT);
    assert_non_null(strstr(tn_last_error(), "gives wrong bytes"));
    assert_int_equal(tn_store_find(b, "press:1.1.0", &found), TN_E_NOT_FOUND);
    tn_store_close(a);
    tn_store_close(b);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_fetched_version_is_the_same_to_its_digest),
        TEST(a_file_comes_back_as_it_was),
        TEST(the_same_again_changes_nothing_and_another_file_is_refused),
        TEST(references_name_the_newest_that_fits),
        TEST(what_another_does_is_seen_after_a_rest),
        TEST(bad_names_versions_and_references_are_refused),
        TEST(one_file_in_two_versions_is_stored_once_and_collected_with_the_last),
        TEST(the_parent_is_named_by_its_digest),
        TEST(the_log_tells_what_was_done),
        TEST(the_log_is_gone_on_reading),
        TEST(no_store_is_made_of_a_full_folder_nor_opened_of_an_empty_one),
        TEST(a_model_is_loaded_from_where_it_lies),
        TEST(each_changed_byte_is_noticed_and_mended),
        TEST(a_lost_index_is_made_anew_without_a_mirror),
        TEST(a_lost_blob_is_named_where_no_mirror_has_it),
    };
    tn_store *s;
    if (tn_store_open("/nowhere", &s) == TN_E_UNSUPPORTED) {
        print_message("stores are left out of this build\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
