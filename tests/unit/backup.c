/* Backups: chains of them, restored to any of their points; damage and forgery; what is trusted is not taken back. Cuts
 * and faults of the system: tests/faults. */
#include "unit.h"
#include <fcntl.h>
#include <stdlib.h>
#include <tenon/tenon.h>
#include "kernels/sha256.h"
#include "store/backup.h"
#include "tree.h"

static char root[64];

static char *at(const char *name) {
    return tree_at(root, name);
}

static int setup(void **state) {
    (void)state;
    return tree_make(root, "backup") ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    return tree_remove(root);
}

static tn_store *open_store(const char *name) {
    tn_store *s;
    assert_ok(tn_store_open(at(name), &s));
    return s;
}

static void put(tn_store *s, const char *version, const char *content, size_t size) {
    tree_write(at("file"), content, size);
    tn_store_put_options o = {.struct_size = sizeof o, .name = "press", .version = version};
    assert_ok(tn_store_put(s, at("file"), &o, NULL));
}

static tn_backup_state backup(tn_store *s, const char *name, const char *since, bool compress) {
    tn_store_backup_options o = {sizeof o, since ? at(since) : NULL, compress};
    tn_backup_state b = {.struct_size = sizeof b}, again = {.struct_size = sizeof again};
    assert_ok(tn_store_backup(s, at(name), &o, &b));
    assert_ok(tn_backup_verify(at(name), &again));
    assert_memory_equal(&b, &again, sizeof b);
    return b;
}

/* A store of 1.0.0 in "a"; then of 1.1.0 as well, in "b"; then without 1.0.0 and with 1.2.0, in "c". */
static tn_store *three_states(bool compress) {
    static char content[9 << 20]; /* more than two pieces */
    for (size_t i = 0; i < sizeof content; i++) content[i] = (char)(i < sizeof content / 2 ? i / 1000 : i * i % 251);
    assert_ok(tn_store_create(at("s")));
    tn_store *s = open_store("s");
    put(s, "1.0.0", content, sizeof content);
    tn_backup_state a = backup(s, "a", NULL, compress);
    assert_int_equal(a.number, 0);
    assert_int_equal(a.blobs, 3);
    if (compress && TN_WITH_ZLIB)
        assert_true(a.bytes < sizeof content / 2);
    else
        assert_true(a.bytes > sizeof content);
    put(s, "1.1.0", "one", 3);
    tn_backup_state b = backup(s, "b", "a", compress);
    assert_int_equal(b.number, 1);
    assert_int_equal(b.blobs, 3);
    assert_true(b.bytes < 20000);
    assert_string_equal(b.previous, a.digest);
    assert_ok(tn_store_remove(s, "press:1.0.0"));
    assert_ok(tn_store_collect(s, NULL));
    put(s, "1.2.0", "two", 3);
    assert_int_equal(backup(s, "c", "b", compress).number, 2);
    return s;
}

/* "1.0.0 1.1.0 ", of a store that is whole. */
static void holds(const char *name, const char *versions) {
    char found[200] = "";
    tn_store *s = open_store(name);
    tn_store_version v;
    int faults;
    assert_ok(tn_store_verify(s, NULL, NULL, &faults));
    if (faults) fail_msg("%s: %s", name, tn_last_error());
    for (int i = 0; tn_store_at(s, i, &v) == TN_OK; i++) {
        strcat(strcat(found, v.version), " ");
        assert_ok(tn_store_get(s, v.digest, at("copy")));
    }
    assert_string_equal(found, versions);
    tn_store_close(s);
}

static tn_status restore(const char *store, size_t count, tn_restore_result *r) {
    const char *files[] = {at("a"), at("b"), at("c")};
    r->struct_size = sizeof *r;
    return tn_store_restore(at(store), files, count, r);
}

static const char *const states[] = {"1.0.0 ", "1.0.0 1.1.0 ", "1.1.0 1.2.0 "};

static void a_new_folder_gets_any_state_of_the_chain(void **state) {
    (void)state;
    for (int compress = 0; compress < 1 + TN_WITH_ZLIB; compress++) {
        tn_store_close(three_states(compress));
        for (size_t n = 1; n <= 3; n++) {
            tn_restore_result r;
            tn_store_event e;
            assert_ok(restore("new", n, &r));
            assert_int_equal(r.versions, n == 1 ? 1 : 2);
            holds("new", states[n - 1]);
            tn_store *s = open_store("new");
            int last = 0;
            while (tn_store_audit(s, last, &e) == TN_OK) last++;
            assert_string_equal(e.action, "restore");
            put(s, "9.0.0", "next", 4); /* it goes on */
            tn_store_close(s);
            assert_int_equal(tree_remove(at("new")), 0);
        }
        assert_int_equal(tree_remove(at("s")), 0);
    }
}

static void a_store_goes_back_and_forth(void **state) {
    (void)state;
    tn_store *s = three_states(false);
    tn_restore_result r;
    for (size_t n = 1; n <= 3; n++) {
        assert_ok(restore("s", n, &r));
        assert_int_equal(r.blobs, n == 1 ? 3 : 0); /* what was collected comes back once */
        holds("s", states[n - 1]);
    }
    /* A version that a restoration took away was another model for ever. */
    assert_ok(restore("s", 1, &r));
    tree_write(at("file"), "other", 5);
    tn_store_put_options o = {.struct_size = sizeof o, .name = "press", .version = "1.2.0"};
    assert_int_equal(tn_store_put(s, at("file"), &o, NULL), TN_E_STATE);
    tn_store_close(s);
    holds("s", states[0]);
}

static void damaged_bytes_come_back(void **state) {
    (void)state;
    tn_store *s = three_states(false);
    tn_store_version v;
    tn_restore_result r;
    assert_ok(tn_store_find(s, "press:1.2.0", &v));
    tn_store_close(s);
    tree_write(at(strcat(strcpy((char[160]){0}, "s/blobs/sha256/"), v.file_digest + 7)), "rot", 3);
    assert_ok(restore("s", 3, &r));
    assert_int_equal(r.blobs, 1);
    holds("s", states[2]);
}

static void what_does_not_belong_together_is_refused(void **state) {
    (void)state;
    tn_store *s = three_states(false), *other;
    tn_restore_result r = {.struct_size = sizeof r};
    const char *gap[] = {at("a"), at("c")}, *late[] = {at("b")};
    assert_int_equal(tn_store_restore(at("new"), gap, 2, &r), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "was not made since"));
    assert_int_equal(tn_store_restore(at("new"), late, 1, &r), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "number 2 of a chain"));
    assert_int_equal(access(at("new"), F_OK), -1);
    assert_ok(tn_store_create(at("other")));
    other = open_store("other");
    assert_int_equal(tn_store_restore(at("other"), (const char *[]){at("a")}, 1, &r), TN_E_STATE);
    tn_store_backup_options o = {sizeof o, at("a"), false};
    assert_int_equal(tn_store_backup(other, at("d"), &o, NULL), TN_E_STATE);
    assert_int_equal(access(at("d"), F_OK), -1);
    tn_store_close(other);
    tn_store_close(s);
    assert_int_equal(tn_store_restore(root, (const char *[]){at("a")}, 1, &r), TN_E_STATE); /* a full folder */
}

static void trust_goes_along_and_is_never_taken_back(void **state) {
    (void)state;
    tn_store_channel_info c;
    tn_restore_result r;
    assert_ok(tn_store_create(at("s")));
    tn_store *s = open_store("s");
    put(s, "1.0.0", "one", 3);
    assert_ok(tn_trust_init(s, at("keys"), NULL));
    assert_ok(tn_store_promote(s, "press:1.0.0", "stable", at("keys")));
    backup(s, "a", NULL, false);
    put(s, "1.1.0", "two", 3);
    assert_ok(tn_store_promote(s, "press:1.1.0", "stable", at("keys")));
    assert_ok(restore("new", 1, &r));
    assert_true(r.trust);
    tn_store *n = open_store("new");
    assert_ok(tn_store_channel(n, "press", "stable", &c));
    assert_int_equal(c.counter, 1);
    assert_ok(tn_trust_update(n, at("s/trust"))); /* it can be followed, and promote on */
    tn_store_close(n);
    assert_ok(restore("s", 1, &r));
    assert_false(r.trust);
    assert_ok(tn_store_channel(s, "press", "stable", &c));
    assert_int_equal(c.counter, 2);
    tn_store_version v;
    assert_int_equal(tn_store_find(s, "press@stable", &v), TN_E_NOT_FOUND);
    assert_non_null(strstr(tn_last_error(), "1.1.0"));
    tn_store_close(s);
    holds("s", "1.0.0 ");
}

static void any_changed_byte_is_noticed(void **state) {
    (void)state;
    assert_ok(tn_store_create(at("s")));
    tn_store *s = open_store("s");
    put(s, "1.0.0", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 60);
    backup(s, "a", NULL, true);
    tn_store_close(s);
    size_t size;
    char *bytes = tree_read(at("a"), &size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= (char)(1 << i % 8);
        tree_write(at("bad"), bytes, size);
        bytes[i] ^= (char)(1 << i % 8);
        if (tn_backup_verify(at("bad"), NULL) == TN_OK) fail_msg("byte %zu may change", i);
        if (i % 16) continue;
        if (i && access(at("new"), F_OK) == 0) assert_int_equal(tree_remove(at("new")), 0);
        assert_int_not_equal(tn_store_restore(at("new"), (const char *[]){at("bad")}, 1, NULL), TN_OK);
        assert_int_not_equal(tn_store_open(at("new"), &s), TN_OK);
    }
    for (size_t cut = 0; cut < size; cut += 7) {
        tree_write(at("bad"), bytes, cut);
        assert_int_equal(tn_backup_verify(at("bad"), NULL), TN_E_FORMAT);
    }
    free(bytes);
    assert_ok(tn_store_restore(at("new"), (const char *[]){at("a")}, 1, NULL)); /* where others failed */
    holds("new", "1.0.0 ");
}

/* A backup whose digests are right, with another text in place of one of equal length. */
static void forge(const char *from, const char *to, const char *words) {
    size_t size;
    char *bytes = tree_read(at("a"), &size);
    size_t catalogue = 0;
    for (int i = 7; i >= 0; i--) catalogue = catalogue << 8 | (uint8_t)bytes[24 + i];
    char *found = memmem(bytes + size - catalogue, catalogue, from, strlen(from));
    assert_non_null(found);
    memcpy(found, to, strlen(to));
    tn_sha256 hash;
    tn_sha256_init(&hash);
    tn_sha256_update(&hash, bytes, 32);
    tn_sha256_update(&hash, bytes + size - catalogue, catalogue);
    tn_sha256_final(&hash, (uint8_t *)bytes + 32);
    tree_write(at("bad"), bytes, size);
    free(bytes);
    assert_int_equal(tn_store_restore(at("new"), (const char *[]){at("bad")}, 1, NULL), TN_E_FORMAT);
    if (!strstr(tn_last_error(), words)) fail_msg("'%s' is not in '%s'", words, tn_last_error());
    assert_int_not_equal(access(at("new"), F_OK), 0);
}

static void forged_catalogues_are_refused(void **state) {
    (void)state;
    assert_ok(tn_store_create(at("s")));
    tn_store *s = open_store("s");
    put(s, "1.0.0", "one", 3);
    backup(s, "a", NULL, false);
    tn_store_close(s);
    forge("\"index.json\"", "\"../../etc/\"", "no file");
    forge("\"audit.log\"", "\"trust/../\"", "no file");
    forge("\"offset\":64", "\"offset\":63", "does not lie in the file");
    forge("\"stored\":", "\"stared\":", "cannot have");
    forge("\"held\"", "\"hold\"", "no list 'held'");
    forge("[\"sha256:", "[\"sha255:", "no digest");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_new_folder_gets_any_state_of_the_chain),
        TEST(a_store_goes_back_and_forth),
        TEST(damaged_bytes_come_back),
        TEST(what_does_not_belong_together_is_refused),
        TEST(trust_goes_along_and_is_never_taken_back),
        TEST(any_changed_byte_is_noticed),
        TEST(forged_catalogues_are_refused),
    };
    tn_store *s;
    if (tn_store_open("/nowhere", &s) == TN_E_UNSUPPORTED) {
        print_message("stores are left out of this build\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
