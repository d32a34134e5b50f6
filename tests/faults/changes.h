/* The changes of stores that tests/faults/store.c cuts and lets fail, and what the store is beforehand. */
#ifndef TN_FAULTS_CHANGES_H
#define TN_FAULTS_CHANGES_H

#include <tenon/tenon.h>
#include "tree.h"

enum { CHOICES = 60, FEWER = 10 };

static char root[64];

static const char *at(const char *name) {
    static char paths[64][160];
    static int next;
    char *path = paths[next++ % 64];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
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

static tn_status put_delta(const char *path) {
    tn_store *s;
    TN_TRY(tn_store_open(path, &s));
    tn_status status = tn_store_put_delta(s, "press:1.0.0", "press:1.1.0", NULL);
    tn_store_close(s);
    return status;
}
/* The mirror has the next version, and what changed. */
static void store_before_a_fetch(const char *path) {
    store_of_one(path);
    if (access(at("mirror"), F_OK) == 0) return;
    store_of_two(at("mirror"));
    assert_ok(put_delta(at("mirror")));
}
static tn_status fetch(const char *path) {
    tn_store *s;
    tn_fetch_options o = {.struct_size = sizeof o, .most_bytes = 2000}; /* less than the file and its manifest */
    TN_TRY(tn_store_open(path, &s));
    tn_status status = tn_store_fetch(s, at("mirror"), "press:1.1.0", &o, NULL, NULL);
    tn_store_close(s);
    return status;
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
    {"delta", store_of_two, put_delta, true, false, FEWER},
    {"fetch by a delta", store_before_a_fetch, fetch, true, false, FEWER},
    {"restore into a store", backed_up_store, restore, true, false, FEWER},
    {"restore into a folder", backup_of_another, restore, false, false, FEWER},
};

#endif
