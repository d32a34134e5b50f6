/* Stores under power cuts and failing calls: after a cut behind any call of the file system, whatever of the unflushed
 * bytes and names is there, the store opens, is whole, and holds the state before the change or after it. */
#include "unit/unit.h"
#include "changes.h"
#include "disk.h"
#include <errno.h>

static long cuts, states;

static int setup(void **state) {
    (void)state;
    snprintf(root, sizeof root, "%s/tenon-faults-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(root)) return -1;
    for (int i = 0; i < 2; i++) {
        char content[2000];
        memset(content, 'a' + i, sizeof content);
        tree_write(at(i ? "two.onnx" : "one.onnx"), content, sizeof content);
    }
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return tree_remove(root);
}

/* " #2 press@stable:1.0.0 rr": the timestamp's version, where the channel is, and as many r as the root's version. */
static void trusted_contents(tn_store *s, char *text, size_t size) {
    tn_trust_state t = {.struct_size = sizeof t};
    tn_store_channel_info c;
    if (tn_trust_info(s, &t) != TN_OK) return;
    const char *version = tn_store_channel(s, "press", "stable", &c) == TN_OK ? c.version : "none";
    snprintf(text, size, "#%d press@stable:%s %.*s", (int)t.timestamp, version, (int)t.root, "rrrrrrrr");
}

/* "press:1.0.0 press:1.1.0", in order, then what is trusted; false if there is no whole store. */
static bool contents(const char *path, char *text, size_t size) {
    tn_store *s;
    tn_store_version v;
    int faults = 0;
    text[0] = 0;
    if (tn_store_open(path, &s) != TN_OK) return false;
    assert_ok(tn_store_verify(s, NULL, NULL, &faults));
    for (int i = 0; faults == 0 && tn_store_at(s, i, &v) == TN_OK; i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s:%s ", v.name, v.version);
    }
    if (faults == 0) trusted_contents(s, text + strlen(text), size - strlen(text));
    tn_store_close(s);
    return faults == 0;
}

/* The next change of trust makes good what others would see: a new store follows the folder to the same state. */
static void trust_goes_on(tn_store *s, const char *path, const char *what) {
    tn_store_channel_info c, followed;
    tn_store_event e;
    tn_store *other;
    char folder[192], first[224];
    if (tn_store_channel(s, "press", "stable", &c) != TN_OK) return;
    bool told = false;
    for (int k = 0; tn_store_audit(s, k, &e) == TN_OK; k++)
        told |= strcmp(e.action, "update") == 0 || (strcmp(e.action, "promote") == 0 && !strcmp(e.digest, c.digest));
    if (!told) fail_msg("%s: the log does not tell how %s@%s came to %s", what, c.name, c.channel, c.version);
    snprintf(folder, sizeof folder, "%s/trust", path);
    snprintf(first, sizeof first, "%s/1.root.json", folder);
    assert_ok(tn_store_create(at("other")));
    assert_ok(tn_store_open(at("other"), &other));
    if (tn_trust_set_clock(s, TN_TRUST_COUNTER_ONLY) != TN_OK ||
        tn_trust_accept(other, first, TN_TRUST_ENFORCE) != TN_OK || tn_trust_update(other, folder) != TN_OK ||
        tn_store_channel(other, "press", "stable", &followed) != TN_OK)
        fail_msg("%s: it cannot be followed: %s", what, tn_last_error());
    assert_memory_equal(&c, &followed, sizeof c);
    tn_store_close(other);
    assert_int_equal(tree_remove(at("other")), 0);
}

/* The store goes on working: another version, a collection, a log that tells of all that is there. */
static void goes_on(const char *path, const char *what) {
    char text[256];
    tn_store *s;
    tn_store_version v;
    tn_store_event event;
    if (put(path, "9.0.0", "two.onnx") != TN_OK || collect(path) != TN_OK)
        fail_msg("%s: it does not go on: %s", what, tn_last_error());
    if (!contents(path, text, sizeof text) || !strstr(text, "press:9.0.0 "))
        fail_msg("%s: then it is damaged: %s", what, tn_last_error());
    assert_ok(tn_store_open(path, &s));
    for (int i = 0; tn_store_at(s, i, &v) == TN_OK; i++) {
        bool told = false;
        for (int k = 0; tn_store_audit(s, k, &event) == TN_OK; k++)
            told |= strcmp(event.action, "put") == 0 && strcmp(event.digest, v.digest) == 0;
        if (!told) fail_msg("%s: the log does not tell of %s:%s", what, v.name, v.version);
    }
    trust_goes_on(s, path, what);
    tn_store_close(s);
    snprintf(text, sizeof text, "%s/journal", path);
    assert_int_equal(tree_count(text), 0);
}

static void check_cut(const struct change *c, const char *path, const char *before, const char *after, bool done,
                      const char *what) {
    char now[256];
    bool whole = contents(path, now, sizeof now);
    if (!whole && !c->starts_whole) {
        if (done) fail_msg("%s: it is done and not there: %s", what, tn_last_error());
        /* Not there yet, or not mended yet: then it can be done again. */
        if (c->change(path) != TN_OK) fail_msg("%s: it cannot be done again: %s", what, tn_last_error());
        whole = contents(path, now, sizeof now);
    }
    if (!whole) fail_msg("%s: the store is damaged: %s", what, tn_last_error());
    bool grew = strncmp(now, before, strlen(before)) == 0 || strncmp(now, after, strlen(now)) == 0;
    bool between = strcmp(now, before) == 0 || (c->in_steps && grew);
    if (strcmp(now, after) != 0 && (done || !between))
        fail_msg("%s: it holds '%s'; expected '%s'%s%s'", what, now, after, done ? "" : " or '", done ? "" : before);
    goes_on(path, what);
}

/* States of the disk that the cuts of one change have left so far. */
static uint64_t seen[1 << 14];
static size_t seen_count;

static bool is_new(uint64_t state) {
    for (size_t i = 0; i < seen_count; i++)
        if (seen[i] == state) return false;
    assert_true(seen_count < TN_COUNT(seen));
    seen[seen_count++] = state;
    return true;
}

static void a_cut_leaves_the_state_before_or_after(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(changes); i++) {
        const struct change *c = &changes[i];
        char before[256], after[256], what[200];
        disk recorded;
        c->before(at("s"));
        contents(at("s"), before, sizeof before);
        disk_record(at("s"));
        tn_status status = c->change(at("s"));
        disk_stop(&recorded);
        assert_int_equal(status, TN_OK);
        assert_true(contents(at("s"), after, sizeof after));
        assert_int_equal(tree_remove(at("s")), 0);
        seen_count = 0;
        for (size_t call = recorded.first; call < recorded.count; call++) {
            bool done = call + 1 == recorded.count; /* more is expected then, so that all are checked anew */
            if (done) seen_count = 0;
            for (unsigned choice = 0; choice < c->choices; choice++) {
                snprintf(what, sizeof what, "%s, cut behind call %zu of %zu, choice %u", c->name,
                         call + 1 - recorded.first, recorded.count - recorded.first, choice);
                uint64_t disk_state = disk_replay(&recorded, call + 1, choice, at("cut"));
                if (is_new(disk_state)) {
                    check_cut(c, at("cut"), before, after, done, what);
                    states++;
                }
                assert_int_equal(tree_remove(at("cut")), 0);
                cuts++;
            }
        }
        disk_free(&recorded);
        if (access(at("mirror"), F_OK) == 0) tree_remove(at("mirror"));
        if (access(at("keys"), F_OK) == 0) tree_remove(at("keys"));
    }
    print_message("%ld cuts, which left %ld states of the disk\n", cuts, states);
    assert_true(cuts >= 10000);
}

/* A full disk, a read-only one, one that fails: the change fails with a sentence, and so leaves the state before it, or it
 * succeeds. */
static void a_failing_call_leaves_the_state_before_or_after(void **state) {
    (void)state;
    static const int errors[] = {ENOSPC, EIO, EROFS, EACCES, EDQUOT};
    for (size_t i = 0; i < TN_COUNT(changes); i++) {
        const struct change *c = &changes[i];
        char before[256], after[256], what[200];
        c->before(at("s"));
        contents(at("s"), before, sizeof before);
        disk_fail(at("s"), -1, 0, 0);
        assert_ok(c->change(at("s")));
        long total = disk_calls();
        disk_fail("", -1, 0, 0);
        assert_true(contents(at("s"), after, sizeof after));
        assert_int_equal(tree_remove(at("s")), 0);
        assert_true(total > 3);
        for (long call = 0; call < 2 * total; call++) {
            int error = errors[(size_t)call % TN_COUNT(errors)];
            c->before(at("s"));
            disk_fail(at("s"), call / 2, error, call % 2);
            tn_status status = c->change(at("s"));
            char sentence[512];
            snprintf(sentence, sizeof sentence, "%s", tn_last_error());
            disk_fail("", -1, 0, 0);
            snprintf(what, sizeof what, "%s, call %ld of %ld gives %s", c->name, call / 2, total, strerror(error));
            if (status != TN_OK && !strstr(sentence, strerror(error))) fail_msg("%s: said '%s'", what, sentence);
            check_cut(c, at("s"), before, after, status == TN_OK, what);
            assert_int_equal(tree_remove(at("s")), 0);
        }
        if (access(at("mirror"), F_OK) == 0) tree_remove(at("mirror"));
        if (access(at("keys"), F_OK) == 0) tree_remove(at("keys"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_cut_leaves_the_state_before_or_after, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failing_call_leaves_the_state_before_or_after, setup, teardown),
    };
    tn_store *s;
    if (tn_store_open("/nowhere", &s) == TN_E_UNSUPPORTED) {
        print_message("stores are left out of this build\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
