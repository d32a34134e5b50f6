/* Stores under power cuts and failing calls: after a cut behind any call of the file system, whatever of the unflushed
 * bytes and names is there, the store opens, is whole, and holds the state before the change or after it. */
#include "unit/unit.h"
#include "tree.h"
#include "disk.h"
#include <errno.h>
#include <tenon/tenon.h>

enum { CHOICES = 60, FEWER = 10 };

static char root[64];
static long cuts;

static const char *at(const char *name) {
    static char paths[64][160];
    static int next;
    char *path = paths[next++ % 64];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

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

static tn_status put(const char *store, const char *version, const char *file) {
    tn_store *s;
    TN_TRY(tn_store_open(store, &s));
    tn_store_put_options o = {
        .struct_size = sizeof o, .name = "press", .version = version, .created = "2026-03-01T12:00:00Z"};
    tn_status status = tn_store_put(s, at(file), &o, NULL);
    tn_store_close(s);
    return status;
}

static tn_status remove_version(const char *store, const char *reference) {
    tn_store *s;
    TN_TRY(tn_store_open(store, &s));
    tn_status status = tn_store_remove(s, reference);
    tn_store_close(s);
    return status;
}

static tn_status collect(const char *store) {
    tn_store *s;
    TN_TRY(tn_store_open(store, &s));
    tn_status status = tn_store_collect(s, NULL);
    tn_store_close(s);
    return status;
}

static tn_status promote(const char *store, const char *reference) {
    tn_store *s;
    TN_TRY(tn_store_open(store, &s));
    tn_status status = tn_store_promote(s, reference, "stable", at("keys"));
    tn_store_close(s);
    return status;
}

static tn_status make_trust(const char *store) {
    tn_store *s;
    if (access(at("keys"), F_OK) == 0) tree_remove(at("keys"));
    TN_TRY(tn_store_open(store, &s));
    tn_status status = tn_trust_init(s, at("keys"), NULL);
    tn_store_close(s);
    return status;
}

static tn_status update_trust(const char *store) {
    tn_store *s;
    TN_TRY(tn_store_open(store, &s));
    tn_status status = tn_trust_update(s, at("mirror/trust"));
    tn_store_close(s);
    return status;
}

/* The changes, and what the store is beforehand. */
static void empty_store(const char *path) {
    assert_ok(tn_store_create(path));
}
static void no_store(const char *path) {
    (void)path;
}
static void store_of_one(const char *path) {
    empty_store(path);
    assert_ok(put(path, "1.0.0", "one.onnx"));
}
static void store_of_two(const char *path) {
    store_of_one(path);
    assert_ok(put(path, "1.1.0", "two.onnx"));
}
static void store_with_rubbish(const char *path) {
    store_of_two(path);
    assert_ok(remove_version(path, "press:1.0.0"));
}
static void damaged_store(const char *path) {
    char name[192];
    tn_store *s;
    tn_store_version v;
    store_of_two(path);
    if (access(at("mirror"), F_OK) != 0) store_of_two(at("mirror"));
    assert_ok(tn_store_open(path, &s));
    assert_ok(tn_store_find(s, "press:1.1.0", &v));
    tn_store_close(s);
    snprintf(name, sizeof name, "%s/blobs/sha256/%s", path, v.file_digest + 7);
    tree_write(name, "rotten", 6);
    snprintf(name, sizeof name, "%s/index.json", path);
    assert_int_equal(unlink(name), 0);
}
static void trusting_store(const char *path) {
    store_of_two(path);
    assert_ok(make_trust(path));
    assert_ok(promote(path, "press:1.0.0"));
}
/* It knows the mirror's first root, and not what followed. */
static void store_that_lags_behind(const char *path) {
    tn_store *s;
    store_of_two(path);
    if (access(at("mirror"), F_OK) != 0) trusting_store(at("mirror"));
    assert_ok(tn_store_open(path, &s));
    assert_ok(tn_trust_accept(s, at("mirror/trust/1.root.json"), TN_TRUST_ENFORCE));
    tn_store_close(s);
}
static void store_that_lags_by_roots(const char *path) {
    tn_store *s;
    store_that_lags_behind(path);
    assert_ok(update_trust(path));
    if (access(at("mirror/trust/3.root.json"), F_OK) == 0) return;
    assert_ok(tn_store_open(at("mirror"), &s));
    assert_ok(tn_trust_rotate(s, "root", at("keys")));
    assert_ok(tn_trust_rotate(s, "root", at("keys")));
    assert_ok(tn_store_promote(s, "press:1.1.0", "stable", at("keys")));
    tn_store_close(s);
}
static tn_status back_up(const char *path, const char *file, const char *since) {
    tn_store *s;
    TN_TRY(tn_store_open(path, &s));
    tn_store_backup_options o = {.struct_size = sizeof o, .since = since};
    tn_status status = tn_store_backup(s, file, &o, NULL);
    tn_store_close(s);
    return status;
}
/* In "full" it trusts and has both versions; it has lost one since. */
static void backed_up_store(const char *path) {
    trusting_store(path);
    assert_ok(back_up(path, at("full"), NULL));
    assert_ok(remove_version(path, "press:1.1.0"));
    assert_ok(collect(path));
}
static void backup_of_another(const char *path) {
    trusting_store(at("mirror"));
    assert_ok(back_up(at("mirror"), at("full"), NULL));
    assert_int_equal(tree_remove(at("mirror")), 0);
    (void)path;
}
static tn_status restore(const char *path) {
    return tn_store_restore(path, (const char *[]){at("full")}, 1, NULL);
}
/* y = x w, of `n` in both elements of w. */
static void write_model(const char *file, float n) {
    float values[] = {n, n};
    tn_graph *g;
    tn_tensor *w;
    int x, wv, y;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 1, (int64_t[]){2}, &x));
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 1, (int64_t[]){2}, NULL, values, sizeof values, &w));
    assert_ok(tn_graph_constant(g, "w", w, &wv));
    tn_tensor_destroy(w);
    assert_ok(tn_graph_node(g, "Mul", "product", 2, (int[]){x, wv}, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    assert_ok(tn_graph_save_onnx(g, file, NULL));
    tn_graph_destroy(g);
}
static void store_of_a_model(const char *path) {
    empty_store(path);
    write_model(at("model.onnx"), 1);
    write_model(at("better.onnx"), 2);
    assert_ok(put(path, "1.0.0", "model.onnx"));
}
static tn_status upgrade(const char *path) {
    tn_store *s;
    TN_TRY(tn_store_open(path, &s));
    tn_upgrade_options o = {.struct_size = sizeof o, .parameters = at("better.onnx")};
    tn_status status = tn_upgrade(s, "press:1.0.0", &o, NULL);
    tn_store_close(s);
    return status;
}
static tn_status promote_second(const char *path) {
    return promote(path, "press:1.1.0");
}
static tn_status put_first(const char *path) {
    return put(path, "1.0.0", "one.onnx");
}
static tn_status put_second(const char *path) {
    return put(path, "1.1.0", "two.onnx");
}
static tn_status put_both(const char *path) {
    TN_TRY(put_first(path));
    return put_second(path);
}
static tn_status put_shared(const char *path) {
    return put(path, "1.2.0", "one.onnx");
}
static tn_status remove_first(const char *path) {
    return remove_version(path, "press:1.0.0");
}
static tn_status repair(const char *path) {
    return tn_store_repair(path, at("mirror"), NULL);
}

static const struct change {
    const char *name;
    void (*before)(const char *path);
    tn_status (*change)(const char *path);
    bool starts_whole; /* the state before is a whole store */
    bool in_steps;     /* the states between are those that `after` begins with, or that begin with `before` */
    unsigned choices;
} changes[] = {
    {"create", no_store, tn_store_create, false, false, CHOICES},
    {"first put", empty_store, put_first, true, false, CHOICES},
    {"two puts", empty_store, put_both, true, true, CHOICES},
    {"second put", store_of_one, put_second, true, false, CHOICES},
    {"put of a shared file", store_of_two, put_shared, true, false, CHOICES},
    {"remove", store_of_two, remove_first, true, false, CHOICES},
    {"collect", store_with_rubbish, collect, true, false, CHOICES},
    {"repair", damaged_store, repair, false, false, CHOICES},
    {"first trust", store_of_two, make_trust, true, false, FEWER},
    {"promote", trusting_store, promote_second, true, false, FEWER},
    {"update of trust", store_that_lags_behind, update_trust, true, false, FEWER},
    {"update of trust by roots", store_that_lags_by_roots, update_trust, true, true, FEWER},
    {"upgrade", store_of_a_model, upgrade, true, false, FEWER},
    {"restore into a store", backed_up_store, restore, true, false, FEWER},
    {"restore into a folder", backup_of_another, restore, false, false, FEWER},
};

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
        for (size_t call = recorded.first; call < recorded.count; call++) {
            for (unsigned choice = 0; choice < c->choices; choice++) {
                snprintf(what, sizeof what, "%s, cut behind call %zu of %zu, choice %u", c->name,
                         call + 1 - recorded.first, recorded.count - recorded.first, choice);
                disk_replay(&recorded, call + 1, choice, at("cut"));
                check_cut(c, at("cut"), before, after, call + 1 == recorded.count, what);
                assert_int_equal(tree_remove(at("cut")), 0);
                cuts++;
            }
        }
        disk_free(&recorded);
        if (access(at("mirror"), F_OK) == 0) tree_remove(at("mirror"));
        if (access(at("keys"), F_OK) == 0) tree_remove(at("keys"));
    }
    print_message("%ld cuts\n", cuts);
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
