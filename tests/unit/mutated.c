/* Files that were damaged or forged, by the thousand: model files, what a store consists of, backups, deltas. Each is refused
 * with a sentence or gives what it gave before, and nothing appears outside of where it should. `mutated 100000 7` tries more,
 * from another seed. */
#include "unit.h"
#include <stdlib.h>
#include <tenon/tenon.h>
#include "base/random.h"
#include "tree.h"

/* An address sanitizer takes some times as long, and tests/fuzz goes on from there. */
#ifdef __SANITIZE_ADDRESS__
static long files = 2000;
#else
static long files = 10000;
#endif

static char root[64], inside[80];
static uint64_t seed = 1;

/* Stores and what is made of them lie two folders down, so that ways out of them are seen. */
static char *at(const char *name) {
    return tree_at(inside, name);
}

static size_t draw(size_t below) {
    return (size_t)(tn_random_next(&seed) % below);
}

typedef struct bytes {
    char *data;
    size_t size;
} bytes;

static bytes read_bytes(const char *path) {
    bytes b;
    b.data = tree_read(path, &b.size);
    return b;
}

static bool is_same(const char *path, const bytes *expected) {
    bytes found = read_bytes(path);
    bool same = found.size == expected->size && memcmp(found.data, expected->data, found.size) == 0;
    free(found.data);
    return same;
}

/* A copy in which some bytes were changed, moved, put in, taken out or cut off. */
static bytes mutate(const bytes *from) {
    static const char *const texts[] = {"../../../x", "/x", "\"", "{", "]", "-1", "99999999999999999999", "null", "\n"};
    bytes b = {malloc(from->size + 64), from->size};
    assert_non_null(b.data);
    memcpy(b.data, from->data, from->size);
    for (size_t n = 1 + draw(3); n > 0 && b.size > 0; n--) {
        size_t place = draw(b.size), count = 1 + draw(TN_MIN(b.size - place, (size_t)16));
        const char *text = texts[draw(TN_COUNT(texts))];
        switch (draw(8)) {
        case 0:
        case 1: b.data[place] = (char)(b.data[place] ^ 1 << draw(8)); break;
        case 2: b.data[place] = (char)draw(256); break;
        case 3: memset(b.data + place, draw(2) ? 0xff : 0, count); break;
        case 4: memmove(b.data + place, b.data + draw(b.size - count + 1), count); break;
        case 5:
            memmove(b.data + place, b.data + place + count, b.size - place - count);
            b.size -= count;
            break;
        case 6: memcpy(b.data + place, text, TN_MIN(strlen(text), b.size - place)); break;
        default:
            if (draw(4) == 0) b.size = place;
        }
    }
    return b;
}

/* A failure has a sentence. */
static bool refused(tn_status status) {
    if (status != TN_OK && strlen(tn_last_error()) < 10) fail_msg("refused without a word: '%s'", tn_last_error());
    return status != TN_OK;
}

static int outside; /* files that were there in the beginning */

static int count_outside(const char *path, bool folder, void *context) {
    if (!folder && strncmp(path, inside, strlen(inside)) != 0) ++*(int *)context;
    return 0;
}
static void check_outside(void) {
    int count = 0;
    assert_int_equal(tree_walk(root, count_outside, &count), 0);
    assert_int_equal(count, outside);
}

static void put(tn_store *s, const char *version, const char *file) {
    tn_store_put_options o = {.struct_size = sizeof o, .name = "press", .version = version, .licence = "Apache-2.0"};
    assert_ok(tn_store_put(s, file, &o, NULL));
}

/* The model file of that number. */
static const char *const goldens[] = {"tests/golden/v1.1-self-test.tenon", "tests/golden/v1.0-plain.tenon",
                                      "tests/golden/v1.1-deflated-self-test.tenon"};

/* In "good" two versions, what changed between them, a channel that points at the first, and a backup, "full". */
static void make_good(void) {
    tn_store *s;
    assert_ok(tn_store_create(at("good")));
    assert_ok(tn_store_open(at("good"), &s));
    put(s, "1.0.0", goldens[0]);
    put(s, "1.1.0", goldens[1]);
    if (tn_store_put_delta(s, "press:1.0.0", "press:1.1.0", NULL) != TN_OK) print_message("%s\n", tn_last_error());
    assert_ok(tn_trust_init(s, at("keys"), NULL));
    assert_ok(tn_store_promote(s, "press:1.0.0", "stable", at("keys")));
    assert_ok(tn_store_backup(s, at("full"), NULL, NULL));
    tn_store_close(s);
}

static int setup(void **state) {
    (void)state;
    if (!tree_make(root, "mutated")) return -1;
    snprintf(inside, sizeof inside, "%s/a", root);
    if (mkdir(inside, 0777) != 0) return -1;
    snprintf(inside, sizeof inside, "%s/a/b", root);
    return mkdir(inside, 0777);
}
static int teardown(void **state) {
    (void)state;
    check_outside();
    return tree_remove(root);
}

static void model_files(void **state) {
    (void)state;
    long loaded = 0;
    for (long i = 0; i < files / 2; i++) {
        bytes good = read_bytes(goldens[i % (long)TN_COUNT(goldens)]), bad = mutate(&good);
        bool same = bad.size == good.size && memcmp(bad.data, good.data, good.size) == 0;
        tn_model_options options = {sizeof options, .verify_weights = true};
        tn_model *model;
        void *aligned;
        assert_int_equal(posix_memalign(&aligned, 64, bad.size + 1), 0);
        memcpy(aligned, bad.data, bad.size);
        if (!refused(tn_model_load_memory(aligned, bad.size, NULL, &options, &model))) {
            if (!same) fail_msg("file %ld: a changed model file loads", i);
            tn_model_destroy(model);
            loaded++;
        }
        free(aligned);
        free(bad.data);
        free(good.data);
    }
    print_message("%ld were not changed\n", loaded);
}

/* Nothing that comes out of a store is anything else than what went in. */
static void use(const char *store, const bytes *versions) {
    tn_store *s;
    tn_model *model;
    int faults;
    if (refused(tn_store_open(store, &s))) return;
    refused(tn_store_verify(s, NULL, NULL, &faults));
    for (int i = 0; i < 3; i++) {
        static const char *const references[] = {"press@stable", "press:1.1.0", "press"};
        remove(at("copy"));
        if (refused(tn_store_get(s, references[i], at("copy")))) {
            assert_int_not_equal(access(at("copy"), F_OK), 0);
        } else if (!is_same(at("copy"), &versions[0]) && (i == 0 || !is_same(at("copy"), &versions[1]))) {
            fail_msg("%s is something else", references[i]);
        }
    }
    if (!refused(tn_store_load(s, "press@stable", NULL, &model))) tn_model_destroy(model);
    tn_store_close(s);
}

/* A store that is whole stays so, whatever lies on a stick. */
static void follow(const bytes *versions) {
    tn_store *edge;
    tn_store_version v;
    tn_store_channel_info c;
    int faults = 0;
    tn_store_create(at("edge"));
    assert_ok(tn_store_open(at("edge"), &edge));
    if (tn_store_channel(edge, "press", "stable", &c) == TN_E_NOT_FOUND || !c.digest[0])
        refused(tn_trust_accept(edge, at("good/trust/1.root.json"), TN_TRUST_COUNTER_ONLY));
    refused(tn_trust_update(edge, at("bad/trust")));
    if (!refused(tn_store_fetch(edge, at("bad"), "press:1.0.0", NULL, &v, NULL)))
        refused(tn_store_fetch(edge, at("bad"), "press:1.1.0", NULL, &v, NULL));
    assert_ok(tn_store_verify(edge, NULL, NULL, &faults));
    assert_int_equal(faults, 0);
    bool filled = tn_store_at(edge, 0, &v) == TN_OK;
    tn_store_close(edge);
    use(at("edge"), versions);
    if (filled) assert_int_equal(tree_remove(at("edge")), 0);
}

static void stores(void **state) {
    (void)state;
    tree all, bad;
    bytes versions[2] = {read_bytes(goldens[0]), read_bytes(goldens[1])};
    make_good();
    tree_load(at("good"), &all);
    tree_save(&all, at("bad"));
    for (long i = 0; i < files / 10; i++) {
        const tree_file *file = &all.files[i % (long)all.count];
        if (!file->data || !file->size) continue;
        char path[300];
        bytes good = {file->data, file->size}, changed = mutate(&good);
        snprintf(path, sizeof path, "%s/%s", at("bad"), file->name);
        tree_write(path, changed.data, changed.size);
        use(at("bad"), versions);
        follow(versions);
        free(changed.data);
        if (i % 8 == 0) check_outside();
        /* The next one begins with a whole store; opened, it may have mended itself. */
        tree_load(at("bad"), &bad);
        bool more = bad.count != all.count;
        tree_free(&bad);
        tree_write(path, file->data, file->size);
        if (!more) continue;
        assert_int_equal(tree_remove(at("bad")), 0);
        tree_save(&all, at("bad"));
    }
    tree_free(&all);
    for (int i = 0; i < 2; i++) free(versions[i].data);
}

static void backups(void **state) {
    (void)state;
    make_good();
    bytes versions[2] = {read_bytes(goldens[0]), read_bytes(goldens[1])}, good = read_bytes(at("full"));
    for (long i = 0; i < files * 2 / 10; i++) {
        bytes bad = mutate(&good);
        const char *path = at("bad.tnb");
        tree_write(path, bad.data, bad.size);
        tn_status status = tn_store_restore(at("back"), &path, 1, NULL);
        bool same = bad.size == good.size && memcmp(bad.data, good.data, good.size) == 0;
        if (!refused(status) && !same) fail_msg("backup %ld: a changed one is restored", i);
        if (access(at("back"), F_OK) == 0) {
            use(at("back"), versions);
            assert_int_equal(tree_remove(at("back")), 0);
        }
        free(bad.data);
    }
    free(good.data);
    for (int i = 0; i < 2; i++) free(versions[i].data);
}

static void deltas(void **state) {
    (void)state;
    assert_ok(tn_delta_make(goldens[0], goldens[1], at("delta"), NULL));
    bytes good = read_bytes(at("delta")), result = read_bytes(goldens[1]);
    for (long i = 0; i < files * 2 / 10; i++) {
        bytes bad = mutate(&good);
        tn_delta_info info = {.struct_size = sizeof info};
        tree_write(at("bad.tnd"), bad.data, bad.size);
        refused(tn_delta_inspect(at("bad.tnd"), &info));
        tn_status status = tn_delta_apply(goldens[0], at("bad.tnd"), at("made"), NULL, NULL);
        if (refused(status))
            assert_int_not_equal(access(at("made"), F_OK), 0);
        else if (!is_same(at("made"), &result))
            fail_msg("delta %ld makes something else", i);
        remove(at("made"));
        remove(at("made.part"));
        free(bad.data);
    }
    free(good.data);
    free(result.data);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(model_files, setup, teardown),
        cmocka_unit_test_setup_teardown(stores, setup, teardown),
        cmocka_unit_test_setup_teardown(backups, setup, teardown),
        cmocka_unit_test_setup_teardown(deltas, setup, teardown),
    };
    tn_store *s;
    if (argc > 1) files = atol(argv[1]);
    if (argc > 2) seed = strtoull(argv[2], NULL, 10);
    if (tn_store_open("/nowhere", &s) == TN_E_UNSUPPORTED) {
        print_message("stores are left out of this build\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
