/* Trust: what is signed here, thresholds, clocks, key files, references to channels. The attacks, and the other program on
 * the same metadata: tests/command/test_trust.py. Cuts: tests/faults. */
#include "unit.h"
#include <dirent.h>
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
    return tree_make(root, "trust") ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    return tree_remove(root);
}

/* A store with press:1.0.0, press:1.1.0 and valve:1.0.0, the same bytes wherever it is made. */
static tn_store *make_store(const char *name) {
    static const char *const versions[][2] = {{"press", "1.0.0"}, {"press", "1.1.0"}, {"valve", "1.0.0"}};
    tn_store *s;
    assert_ok(tn_store_create(at(name)));
    assert_ok(tn_store_open(at(name), &s));
    for (size_t i = 0; i < TN_COUNT(versions); i++) {
        tn_store_put_options o = {.struct_size = sizeof o,
                                  .name = versions[i][0],
                                  .version = versions[i][1],
                                  .created = "2026-03-01T12:00:00Z"};
        tree_write(at("file"), (char *)(uintptr_t)versions[i][1], i + 1);
        assert_ok(tn_store_put(s, at("file"), &o, NULL));
    }
    return s;
}

static void assert_found(tn_store *s, const char *reference, const char *version) {
    tn_store_version v;
    assert_ok(tn_store_find(s, reference, &v));
    assert_string_equal(v.version, version);
}

static void assert_refused(tn_status status, tn_status expected, const char *part) {
    assert_int_equal(status, expected);
    if (!strstr(tn_last_error(), part)) fail_msg("'%s' does not say '%s'", tn_last_error(), part);
}

/* Calls visit with the path of each key file of a role. */
static int each_key(const char *folder, const char *role, int (*visit)(const char *path)) {
    int count = 0;
    char path[512];
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    for (struct dirent *e; (e = readdir(entries));) {
        if (strncmp(e->d_name, role, strlen(role)) != 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        assert_int_equal(visit(path), 0);
        count++;
    }
    closedir(entries);
    return count;
}

static int is_private(const char *path) {
    struct stat info;
    return stat(path, &info) != 0 || (info.st_mode & 0777) != 0600;
}

static int open_to_all(const char *path) {
    return chmod(path, 0644);
}

static int delete_once(const char *path) {
    static char deleted[64];
    if (strcmp(deleted, root) == 0) return 0;
    snprintf(deleted, sizeof deleted, "%s", root);
    return unlink(path);
}

static void a_channel_leads_to_a_version_and_back_to_an_older_one(void **state) {
    (void)state;
    tn_store *s = make_store("a");
    tn_store_channel_info c;
    tn_store_version v, found;
    assert_refused(tn_store_find(s, "press@stable", &v), TN_E_NOT_FOUND, "trusts no root");
    assert_refused(tn_store_promote(s, "press", "stable", at("keys")), TN_E_NOT_FOUND, "keys");
    assert_ok(tn_trust_init(s, at("keys"), NULL));
    assert_refused(tn_trust_init(s, at("keys"), NULL), TN_E_STATE, "already");
    assert_refused(tn_store_find(s, "press@stable", &v), TN_E_NOT_FOUND, "no channel press@stable");
    assert_ok(tn_store_promote(s, "press:^1", "canary", at("keys")));
    assert_ok(tn_store_promote(s, "press:1.0.0", "stable", at("keys")));
    assert_found(s, "press@canary", "1.1.0");
    assert_found(s, "press@stable", "1.0.0");
    assert_ok(tn_store_promote(s, "press@canary", "stable", at("keys")));
    assert_found(s, "press@stable", "1.1.0");
    assert_ok(tn_store_promote(s, "press:1.0.0", "stable", at("keys")));
    assert_ok(tn_store_channel(s, "press", "stable", &c));
    assert_string_equal(c.version, "1.0.0");
    assert_int_equal(c.counter, 3);
    assert_ok(tn_store_find(s, "press:1.0.0", &v));
    assert_ok(tn_store_find(s, "press@stable", &found));
    assert_memory_equal(&v, &found, sizeof v);
    assert_ok(tn_store_channel_at(s, 0, &c));
    assert_string_equal(c.channel, "canary");
    assert_ok(tn_store_channel_at(s, 1, &c));
    assert_int_equal(tn_store_channel_at(s, 2, &c), TN_E_NOT_FOUND);
    tn_store_event e;
    assert_ok(tn_store_audit(s, 8, &e));
    assert_string_equal(e.action, "promote");
    assert_string_equal(e.name, "press@stable");
    assert_string_equal(e.version, "1.0.0");
    assert_string_equal(e.digest, v.digest);
    tn_store_close(s);
}

static void names_that_are_no_channels_are_refused(void **state) {
    (void)state;
    static const char *const channels[] = {"", "Stable", "a/b", "../x", "sta ble", "a@b"};
    static const char *const references[] = {"@stable",   "press@",         "press@a/b", "press:1.0.0@stable",
                                             "press@a@b", "../press@stable"};
    tn_store *s = make_store("a");
    tn_store_version v;
    char longest[TN_STORE_NAME + 20];
    memset(longest, 'a', sizeof longest);
    longest[TN_STORE_NAME - 7] = 0; /* with "press@" and the zero one too many */
    assert_ok(tn_trust_init(s, at("keys"), NULL));
    for (size_t i = 0; i < TN_COUNT(channels); i++)
        assert_int_equal(tn_store_promote(s, "press", channels[i], at("keys")), TN_E_INVALID);
    for (size_t i = 0; i < TN_COUNT(references); i++)
        assert_int_equal(tn_store_find(s, references[i], &v), TN_E_INVALID);
    assert_ok(tn_store_promote(s, "press", longest + 1, at("keys")));
    assert_int_equal(tn_store_promote(s, "press", longest, at("keys")), TN_E_INVALID);
    assert_int_equal(tn_store_promote(s, "pump", "stable", at("keys")), TN_E_NOT_FOUND);
    tn_store_close(s);
}

static void another_store_follows_by_its_first_root(void **state) {
    (void)state;
    tn_store *s = make_store("a"), *edge;
    tn_store_version v;
    assert_ok(tn_store_create(at("b")));
    assert_ok(tn_store_open(at("b"), &edge));
    assert_ok(tn_trust_init(s, at("keys"), NULL));
    assert_ok(tn_store_promote(s, "press:1.0.0", "stable", at("keys")));
    assert_ok(tn_trust_accept(edge, at("a/trust/1.root.json"), TN_TRUST_ENFORCE));
    assert_int_equal(tn_trust_accept(edge, at("a/trust/1.root.json"), TN_TRUST_ENFORCE), TN_E_STATE);
    assert_refused(tn_store_find(edge, "press@stable", &v), TN_E_NOT_FOUND, "tn_trust_update");
    assert_ok(tn_trust_update(edge, at("a/trust")));
    assert_refused(tn_store_find(edge, "press@stable", &v), TN_E_NOT_FOUND, "not in the store");
    /* What followed can be followed. */
    tn_store *third = make_store("c");
    assert_ok(tn_trust_rotate(s, "timestamp", at("keys")));
    assert_ok(tn_trust_rotate(s, "root", at("keys")));
    assert_ok(tn_trust_update(edge, at("a/trust")));
    assert_ok(tn_trust_accept(third, at("a/trust/1.root.json"), TN_TRUST_ENFORCE));
    assert_ok(tn_trust_update(third, at("b/trust")));
    assert_found(third, "press@stable", "1.0.0");
    /* A store of others' keys is not followed. */
    tn_store *stranger = make_store("d");
    assert_ok(tn_trust_init(stranger, at("other"), NULL));
    assert_ok(tn_store_promote(stranger, "press:1.1.0", "stable", at("other")));
    for (int i = 0; i < 3; i++) assert_ok(tn_trust_rotate(stranger, "root", at("other")));
    assert_refused(tn_trust_update(third, at("d/trust")), TN_E_FORMAT, "4.root.json");
    assert_found(third, "press@stable", "1.0.0");
    tn_store_close(s);
    tn_store_close(edge);
    tn_store_close(third);
    tn_store_close(stranger);
}

static void key_files_are_their_owners_alone(void **state) {
    (void)state;
    tn_store *s = make_store("a");
    tn_trust_options o = {.struct_size = sizeof o, .targets = {3, 2, 10}};
    assert_ok(tn_trust_init(s, at("keys"), &o));
    assert_int_equal(each_key(at("keys"), "targets-", is_private), 3);
    /* Two of three are enough, one is not. */
    assert_int_equal(each_key(at("keys"), "targets-", delete_once), 3);
    assert_ok(tn_store_promote(s, "press:1.0.0", "stable", at("keys")));
    assert_int_equal(mkdir(at("one"), 0700), 0);
    assert_refused(tn_store_promote(s, "press:1.1.0", "stable", at("one")), TN_E_NOT_FOUND, "has 0 valid signatures");
    assert_found(s, "press@stable", "1.0.0");
    assert_int_equal(each_key(at("keys"), "snapshot-", open_to_all), 1);
    assert_refused(tn_store_promote(s, "press:1.1.0", "stable", at("keys")), TN_E_STATE, "chmod 600");
    assert_found(s, "press@stable", "1.0.0");
    tn_store_close(s);
}

static void plans_that_make_no_sense_are_refused(void **state) {
    (void)state;
    static const tn_trust_role bad[] = {{1, 2, 0}, {-1, 0, 0}, {17, 0, 0}, {0, 0, -5}, {0, 0, 40000}};
    tn_store *s = make_store("a");
    for (size_t i = 0; i < TN_COUNT(bad); i++) {
        tn_trust_options o = {.struct_size = sizeof o, .snapshot = bad[i]};
        assert_refused(tn_trust_init(s, at("keys"), &o), TN_E_INVALID, "the role snapshot");
    }
    tn_trust_options o = {.struct_size = sizeof o, .clock = (tn_trust_clock)3};
    assert_int_equal(tn_trust_init(s, at("keys"), &o), TN_E_INVALID);
    assert_int_equal(access(at("keys"), F_OK), -1);
    assert_int_equal(access(at("a/trust"), F_OK), -1);
    tn_store_close(s);
}

/* What each policy makes of a clock that is right, ahead, and behind. */
static void clocks_are_trusted_as_the_policy_says(void **state) {
    (void)state;
    static const struct {
        tn_trust_clock clock;
        const char *now;
        bool found;
    } cases[] = {
        {TN_TRUST_ENFORCE, "2026-03-05T00:00:00Z", true},      {TN_TRUST_ENFORCE, "2026-03-09T00:00:00Z", false},
        {TN_TRUST_ENFORCE, "2000-01-01T00:00:00Z", true},      {TN_TRUST_FLOOR, "2026-03-05T00:00:00Z", true},
        {TN_TRUST_FLOOR, "2026-03-09T00:00:00Z", false},       {TN_TRUST_FLOOR, "2000-01-01T00:00:00Z", true},
        {TN_TRUST_COUNTER_ONLY, "2026-03-09T00:00:00Z", true}, {TN_TRUST_COUNTER_ONLY, "2000-01-01T00:00:00Z", true},
    };
    tn_store *s = make_store("a");
    tn_store_version v;
    assert_int_equal(tn_trust_set_time(s, "yesterday"), TN_E_INVALID);
    assert_ok(tn_trust_set_time(s, "2026-03-01T00:00:00Z"));
    assert_ok(tn_trust_init(s, at("keys"), NULL)); /* the timestamp is good for 7 days */
    assert_ok(tn_store_promote(s, "press:1.0.0", "stable", at("keys")));
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        assert_ok(tn_trust_set_clock(s, cases[i].clock));
        assert_ok(tn_trust_set_time(s, cases[i].now));
        tn_status status = tn_store_find(s, "press@stable", &v);
        if ((status == TN_OK) != cases[i].found) fail_msg("case %zu: %s", i, tn_last_error());
        if (!cases[i].found) assert_non_null(strstr(tn_last_error(), "expired at 2026-03-08T00:00:00Z"));
    }
    /* Signed anew it is good again. */
    assert_ok(tn_trust_set_clock(s, TN_TRUST_ENFORCE));
    assert_ok(tn_trust_set_time(s, "2026-03-20T00:00:00Z"));
    assert_int_equal(tn_store_find(s, "press@stable", &v), TN_E_STATE);
    assert_ok(tn_trust_sign(s, at("keys")));
    assert_found(s, "press@stable", "1.0.0");
    tn_store_close(s);
}

/* A clock that fell behind would take a timestamp that has expired by the time that others were signed at. */
static void time_does_not_fall_below_its_floor(void **state) {
    (void)state;
    tn_store *s = make_store("a"), *edge = make_store("b");
    tn_store_version v;
    tn_trust_options o = {.struct_size = sizeof o, .timestamp = {.days = 1}, .snapshot = {.days = 1}};
    assert_ok(tn_trust_set_time(s, "2026-03-01T00:00:00Z"));
    assert_ok(tn_trust_init(s, at("keys"), &o));
    assert_ok(tn_store_promote(s, "press:1.0.0", "stable", at("keys")));
    assert_ok(tn_trust_set_time(edge, "2026-03-01T00:00:00Z"));
    assert_ok(tn_trust_accept(edge, at("a/trust/1.root.json"), TN_TRUST_FLOOR));
    assert_ok(tn_trust_update(edge, at("a/trust")));
    assert_found(edge, "press@stable", "1.0.0");
    /* A root of March 10, and below it nothing newer: the edge learns from it what day it is. */
    assert_int_equal(rename(at("a/trust/timestamp.json"), at("timestamp.json")), 0);
    assert_ok(tn_trust_set_time(s, "2026-03-10T00:00:00Z"));
    assert_ok(tn_trust_rotate(s, "root", at("keys")));
    assert_int_equal(rename(at("timestamp.json"), at("a/trust/timestamp.json")), 0);
    assert_ok(tn_trust_set_time(edge, "2026-03-01T01:00:00Z"));
    tn_trust_update(edge, at("a/trust"));
    assert_refused(tn_store_find(edge, "press@stable", &v), TN_E_STATE, "and it is 2026-03-10T00:00:00Z");
    assert_ok(tn_trust_set_clock(edge, TN_TRUST_ENFORCE));
    assert_found(edge, "press@stable", "1.0.0");
    tn_store_close(s);
    tn_store_close(edge);
}

static void count_fault(void *context, const char *sentence) {
    assert_true(strlen(sentence) > 20);
    ++*(int *)context;
}

/* Each byte of what is trusted, changed. */
static void each_changed_byte_of_what_is_trusted_is_noticed(void **state) {
    (void)state;
    tn_store *s = make_store("a");
    tn_store_version v;
    assert_ok(tn_trust_init(s, at("keys"), NULL));
    assert_ok(tn_store_promote(s, "press:1.0.0", "stable", at("keys")));
    size_t size;
    char *data = tree_read(at("a/trust/trusted.json"), &size);
    for (size_t i = 0; i < size; i++) {
        int faults, heard = 0;
        data[i] ^= (char)(1 << i % 7);
        tree_write(at("a/trust/trusted.json"), data, size);
        data[i] ^= (char)(1 << i % 7);
        if (tn_store_find(s, "press@stable", &v) == TN_OK) fail_msg("byte %zu may change", i);
        assert_non_null(strstr(tn_last_error(), "damaged"));
        assert_ok(tn_store_verify(s, count_fault, &heard, &faults));
        assert_true(faults == heard && faults > 0);
    }
    tree_write(at("a/trust/trusted.json"), data, size);
    assert_found(s, "press@stable", "1.0.0");
    free(data);
    tn_store_close(s);
}

static void a_subscription_refuses_a_channel_that_is_not_signed(void **state) {
    (void)state;
    tn_store *s = make_store("a");
    tn_subscription *sub;
    assert_refused(tn_subscription_open(at("a"), "press@stable", NULL, &sub), TN_E_NOT_FOUND, "trusts no root");
    assert_ok(tn_trust_init(s, at("keys"), NULL));
    assert_ok(tn_store_promote(s, "press:1.0.0", "stable", at("keys")));
    /* It comes as far as the file, which is no model. */
    assert_int_not_equal(tn_subscription_open(at("a"), "press@stable", NULL, &sub), TN_OK);
    assert_non_null(strstr(tn_last_error(), "press:1.0.0"));
    tn_store_close(s);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_channel_leads_to_a_version_and_back_to_an_older_one),
        TEST(names_that_are_no_channels_are_refused),
        TEST(another_store_follows_by_its_first_root),
        TEST(key_files_are_their_owners_alone),
        TEST(plans_that_make_no_sense_are_refused),
        TEST(clocks_are_trusted_as_the_policy_says),
        TEST(time_does_not_fall_below_its_floor),
        TEST(each_changed_byte_of_what_is_trusted_is_noticed),
        TEST(a_subscription_refuses_a_channel_that_is_not_signed),
    };
    tn_store *s;
    if (tn_store_open("/nowhere", &s) == TN_E_UNSUPPORTED) {
        print_message("stores are left out of this build\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
