/* Subscriptions: versions change while requests run; none fails, none mixes two versions, a bad version is left again. */
#include "unit.h"
#include "tree.h"
#include <pthread.h>
#include <stdatomic.h>
#include <tenon/tenon.h>

enum { THREADS = 4, CHANGES = 1000 };

static char root[64];

static char *at(const char *name) {
    return tree_at(root, name);
}

/* A model whose outputs both tell its number: a = x + n, b = x * n. */
static void put_model(tn_store *s, const char *version, float n) {
    tn_graph *g;
    tn_tensor *t;
    int x, w, a, b;
    int64_t dims[] = {1, 64};
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, dims, &x));
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 0, NULL, NULL, &n, sizeof n, &t));
    assert_ok(tn_graph_constant(g, "n", t, &w));
    tn_tensor_destroy(t);
    assert_ok(tn_graph_node(g, "Add", "sum", 2, (int[]){x, w}, 1, &a, NULL));
    assert_ok(tn_graph_node(g, "Mul", "product", 2, (int[]){x, w}, 1, &b, NULL));
    assert_ok(tn_graph_output(g, a, "a"));
    assert_ok(tn_graph_output(g, b, "b"));
    assert_ok(tn_graph_save_onnx(g, at("model.onnx"), NULL));
    tn_graph_destroy(g);
    tn_store_put_options o = {.struct_size = sizeof o, .name = "press", .version = version};
    assert_ok(tn_store_put(s, at("model.onnx"), &o, NULL));
}

static tn_store *store;

static int setup(void **state) {
    (void)state;
    if (!tree_make(root, "follow")) return -1;
    assert_ok(tn_store_create(at("s")));
    assert_ok(tn_store_open(at("s"), &store));
    put_model(store, "1.0.0", 1);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    tn_store_close(store);
    return tree_remove(root);
}

/* One request on an input of ones; which version answered, by both outputs and by the lease. */
static float ask(tn_subscription *sub, tn_tensor *x, bool failed) {
    tn_lease lease;
    const tn_tensor *a, *b;
    if (tn_subscription_acquire(sub, &lease) != TN_OK) return -1;
    float number = -2;
    if (tn_session_set_input(lease.session, 0, x) == TN_OK && tn_session_run(lease.session) == TN_OK &&
        tn_session_output(lease.session, 0, &a) == TN_OK && tn_session_output(lease.session, 1, &b) == TN_OK) {
        number = ((const float *)tn_tensor_const_data(b))[0];
        for (int i = 0; i < 64; i++)
            if (((const float *)tn_tensor_const_data(b))[i] != number ||
                ((const float *)tn_tensor_const_data(a))[i] != number + 1)
                number = -3;
        if ((int)number != lease.version.version[0] - '0') number = -4;
    }
    tn_subscription_release(sub, &lease, failed || number < 0);
    return number;
}

static tn_tensor *ones(void) {
    static float values[64];
    tn_tensor *x;
    for (int i = 0; i < 64; i++) values[i] = 1;
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){1, 64}, NULL, values, sizeof values, &x));
    return x;
}

static tn_subscription_state info(tn_subscription *sub) {
    tn_subscription_state state = {.struct_size = sizeof state};
    assert_ok(tn_subscription_info(sub, &state));
    return state;
}

static void a_new_version_takes_over_and_the_old_one_stands_ready(void **state) {
    (void)state;
    tn_subscription *sub;
    tn_tensor *x = ones();
    bool changed;
    assert_ok(tn_subscription_open(at("s"), "press", NULL, &sub));
    assert_float_equal(ask(sub, x, false), 1, 0);
    assert_ok(tn_subscription_poll(sub, &changed));
    assert_false(changed);
    put_model(store, "2.0.0", 2);
    assert_float_equal(ask(sub, x, false), 1, 0);
    assert_ok(tn_subscription_poll(sub, &changed));
    assert_true(changed);
    assert_float_equal(ask(sub, x, false), 2, 0);
    assert_true(info(sub).on_trial && info(sub).can_roll_back);
    assert_ok(tn_subscription_rollback(sub));
    assert_float_equal(ask(sub, x, false), 1, 0);
    assert_int_equal(tn_subscription_rollback(sub), TN_E_STATE);
    assert_ok(tn_subscription_poll(sub, &changed)); /* 2.0.0 is blocked */
    assert_false(changed);
    assert_int_equal(info(sub).blocked, 1);
    put_model(store, "3.0.0", 3);
    assert_ok(tn_subscription_poll(sub, &changed));
    assert_float_equal(ask(sub, x, false), 3, 0);
    tn_subscription_close(sub);
    tn_tensor_destroy(x);
}

/* A model of number n whose file says that it is of number `told`. */
static void put_tested_model(const char *version, float n, float told) {
    tn_graph *g;
    tn_model *m;
    tn_self_test *test;
    tn_tensor *x = ones();
    tn_self_test_case c = {sizeof c, .name = "ones", .input_count = 1, .inputs = &(tn_named_tensor){"x", x}};
    put_model(store, version, told);
    assert_ok(tn_model_load(at("model.onnx"), NULL, &m));
    assert_ok(tn_self_test_create(&test));
    assert_ok(tn_self_test_record(test, m, &c));
    tn_model_destroy(m);
    assert_ok(tn_store_remove(store, "press"));
    if (n != told) put_model(store, "0.1.0", n);
    assert_ok(tn_graph_load(at("model.onnx"), NULL, &g));
    tn_model_file_options o = {sizeof o, .self_test = test};
    assert_ok(tn_graph_save(g, at("model.tenon"), &o));
    tn_graph_destroy(g);
    tn_self_test_destroy(test);
    tn_tensor_destroy(x);
    char next[16];
    snprintf(next, sizeof next, "%.5s+test", version);
    tn_store_put_options put = {.struct_size = sizeof put, .name = "press", .version = next};
    assert_ok(tn_store_put(store, at("model.tenon"), &put, NULL));
}

static void a_version_that_fails_its_self_test_never_serves(void **state) {
    (void)state;
    tn_subscription *sub;
    tn_tensor *x = ones();
    bool changed;
    assert_ok(tn_subscription_open(at("s"), "press", NULL, &sub));
    put_tested_model("2.0.0", 3, 2);
    assert_int_equal(tn_subscription_poll(sub, &changed), TN_E_CHECK);
    assert_non_null(strstr(tn_last_error(), "'press:2.0.0+test': the self-test 'ones' fails"));
    assert_false(changed);
    assert_float_equal(ask(sub, x, false), 1, 0);
    assert_int_equal(info(sub).blocked, 1);
    assert_ok(tn_subscription_poll(sub, &changed)); /* and is not tried again */
    put_tested_model("4.0.0", 4, 4);
    assert_ok(tn_subscription_poll(sub, &changed));
    assert_float_equal(ask(sub, x, false), 4, 0);
    tn_subscription_close(sub);
    tn_subscription_options o = {.struct_size = sizeof o, .require_self_test = true};
    assert_ok(tn_subscription_open(at("s"), "press", &o, &sub));
    tn_subscription_close(sub);
    assert_int_equal(tn_subscription_open(at("s"), "press:1.0.0", &o, &sub), TN_E_NOT_FOUND);
    tn_tensor_destroy(x);
}

static void a_withdrawn_version_is_left(void **state) {
    (void)state;
    tn_subscription *sub;
    tn_tensor *x = ones();
    put_model(store, "2.0.0", 2);
    assert_ok(tn_subscription_open(at("s"), "press", NULL, &sub));
    assert_float_equal(ask(sub, x, false), 2, 0);
    assert_ok(tn_store_remove(store, "press:2.0.0"));
    assert_ok(tn_subscription_poll(sub, NULL));
    assert_float_equal(ask(sub, x, false), 1, 0);
    /* Nothing is left: what serves goes on serving. */
    assert_ok(tn_store_remove(store, "press:1.0.0"));
    assert_int_equal(tn_subscription_poll(sub, NULL), TN_E_NOT_FOUND);
    assert_float_equal(ask(sub, x, false), 1, 0);
    tn_subscription_close(sub);
    tn_tensor_destroy(x);
}

static void a_request_may_outlast_two_changes(void **state) {
    (void)state;
    tn_subscription *sub;
    tn_tensor *x = ones();
    tn_lease lease, failing;
    const tn_tensor *b;
    assert_ok(tn_subscription_open(at("s"), "press", NULL, &sub));
    assert_ok(tn_subscription_acquire(sub, &lease));
    for (int n = 2; n <= 3; n++) {
        put_model(store, n == 2 ? "2.0.0" : "3.0.0", (float)n);
        assert_ok(tn_subscription_poll(sub, NULL));
    }
    assert_float_equal(ask(sub, x, false), 3, 0);
    assert_ok(tn_session_set_input(lease.session, 0, x));
    assert_ok(tn_session_run(lease.session));
    assert_ok(tn_session_output(lease.session, 1, &b));
    assert_float_equal(((const float *)tn_tensor_const_data(b))[0], 1, 0);
    assert_string_equal(lease.version.version, "1.0.0");
    tn_subscription_release(sub, &lease, true); /* of a version that nobody asks any more: no failure of 3.0.0 */
    assert_float_equal(ask(sub, x, false), 3, 0);
    assert_ok(tn_subscription_poll(sub, NULL));
    assert_ok(tn_subscription_acquire(sub, &failing));
    assert_ok(tn_subscription_rollback(sub)); /* while a request of the bad one is under way */
    assert_float_equal(ask(sub, x, false), 2, 0);
    tn_subscription_release(sub, &failing, true);
    assert_float_equal(ask(sub, x, false), 2, 0);
    tn_subscription_close(sub);
    tn_tensor_destroy(x);
}

static void too_many_failures_on_trial_bring_the_old_version_back(void **state) {
    (void)state;
    tn_subscription *sub;
    tn_tensor *x = ones();
    tn_subscription_options o = {.struct_size = sizeof o, .trial_requests = 10, .most_failures = 2};
    assert_ok(tn_subscription_open(at("s"), "press", &o, &sub));
    ask(sub, x, true); /* the first version has no trial */
    put_model(store, "2.0.0", 2);
    assert_ok(tn_subscription_poll(sub, NULL));
    for (int i = 0; i < 2; i++) assert_float_equal(ask(sub, x, true), 2, 0);
    assert_float_equal(ask(sub, x, false), 2, 0);
    assert_float_equal(ask(sub, x, true), 2, 0);
    assert_float_equal(ask(sub, x, false), 1, 0);
    assert_int_equal(info(sub).rollbacks, 1);
    put_model(store, "3.0.0", 3);
    assert_ok(tn_subscription_poll(sub, NULL));
    for (int i = 0; i < 10; i++) ask(sub, x, false);
    assert_false(info(sub).on_trial); /* confirmed: failures are the host's affair now */
    for (int i = 0; i < 10; i++) assert_float_equal(ask(sub, x, true), 3, 0);
    tn_subscription_close(sub);
    tn_tensor_destroy(x);
}

static tn_status check(void *context, const tn_store_version *version, tn_session *session) {
    const tn_tensor *a;
    TN_TRY(tn_session_output(session, 0, &a));
    assert_float_equal(((const float *)tn_tensor_const_data(a))[0], version->version[0] - '0', 0); /* of zeros */
    ++*(int *)context;
    return version->version[0] == '2' ? TN_E_INVALID : TN_OK;
}

static void a_version_that_the_host_or_the_loader_refuses_never_serves(void **state) {
    (void)state;
    tn_subscription *sub;
    tn_tensor *x = ones();
    int checks = 0;
    tn_subscription_options o = {.struct_size = sizeof o, .check = check, .context = &checks};
    assert_ok(tn_subscription_open(at("s"), "press", &o, &sub));
    put_model(store, "2.0.0", 2);
    assert_int_equal(tn_subscription_poll(sub, NULL), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "press:2.0.0"));
    assert_float_equal(ask(sub, x, false), 1, 0);
    assert_ok(tn_subscription_poll(sub, NULL)); /* not tried again */
    assert_int_equal(checks, 2);
    tree_write(at("bad.onnx"), "no model", 8);
    tn_store_put_options p = {.struct_size = sizeof p, .name = "press", .version = "3.0.0"};
    assert_ok(tn_store_put(store, at("bad.onnx"), &p, NULL));
    assert_true(tn_subscription_poll(sub, NULL) != TN_OK);
    assert_ok(tn_subscription_poll(sub, NULL));
    assert_float_equal(ask(sub, x, false), 1, 0);
    assert_int_equal(info(sub).blocked, 2);
    tn_subscription_close(sub);
    assert_true(tn_subscription_open(at("s"), "press", &o, &sub) != TN_OK);
    assert_null(sub);
    assert_int_equal(tn_subscription_open(at("s"), "other", &o, &sub), TN_E_NOT_FOUND);
    tn_tensor_destroy(x);
}

static void no_more_requests_run_at_once_than_there_are_sessions(void **state) {
    (void)state;
    tn_subscription *sub;
    tn_lease first, second, third;
    tn_subscription_options o = {.struct_size = sizeof o, .sessions = 2};
    assert_ok(tn_subscription_open(at("s"), "press", &o, &sub));
    assert_ok(tn_subscription_acquire(sub, &first));
    assert_ok(tn_subscription_acquire(sub, &second));
    assert_ptr_not_equal(first.session, second.session);
    assert_int_equal(tn_subscription_acquire(sub, &third), TN_E_LIMIT);
    tn_subscription_release(sub, &first, false);
    assert_ok(tn_subscription_acquire(sub, &third));
    tn_subscription_release(sub, &second, false);
    tn_subscription_release(sub, &third, false);
    tn_subscription_close(sub);
}

typedef struct load {
    tn_subscription *sub;
    tn_tensor *x;
    atomic_bool stop;
    atomic_long answers[4], wrong;
} load;

static void *request(void *context) {
    load *l = context;
    while (!atomic_load(&l->stop)) {
        float number = ask(l->sub, l->x, false);
        if (number == 1 || number == 2 || number == 3)
            atomic_fetch_add(&l->answers[(int)number], 1);
        else
            atomic_fetch_add(&l->wrong, 1);
    }
    return NULL;
}

static long resident_pages(void) {
    long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld", &size, &resident), 2);
    fclose(file);
    return resident;
}

static void versions_change_a_thousand_times_under_load(void **state) {
    (void)state;
    load l = {.x = ones()};
    pthread_t threads[THREADS];
    tn_subscription_options o = {.struct_size = sizeof o, .sessions = THREADS};
    long early = 0;
    put_model(store, "2.0.0", 2);
    put_model(store, "3.0.0", 3); /* the third in turn never stands ready: each change loads a model */
    assert_ok(tn_subscription_open(at("s"), "press:1.0.0", &o, &l.sub));
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, request, &l), 0);
    for (int i = 0; i < CHANGES; i++) {
        static const char *const references[] = {"press:2.0.0", "press:3.0.0", "press:1.0.0"};
        bool changed;
        assert_ok(tn_subscription_follow(l.sub, references[i % 3]));
        assert_ok(tn_subscription_poll(l.sub, &changed));
        assert_true(changed);
        if (i == CHANGES / 5) early = resident_pages();
    }
    atomic_store(&l.stop, true);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    long late = resident_pages();
    assert_int_equal(l.wrong, 0);
    assert_true(l.answers[1] > 0 && l.answers[2] > 0 && l.answers[3] > 0);
    assert_int_equal(info(l.sub).changes, CHANGES);
    print_message("%ld answers; %ld pages after a fifth of the changes, %ld at the end\n",
                  l.answers[1] + l.answers[2] + l.answers[3], early, late);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(late < early + early / 10 + 256);
#endif
    tn_subscription_close(l.sub);
    tn_tensor_destroy(l.x);
}

/* Another version may be newer: what is signed counts. */
static void a_signed_channel_is_followed_forth_and_back(void **state) {
    (void)state;
    tn_subscription *sub;
    tn_tensor *x = ones();
    bool changed;
    put_model(store, "2.0.0", 2);
    put_model(store, "3.0.0", 3);
    assert_ok(tn_trust_init(store, at("keys"), NULL));
    assert_ok(tn_store_promote(store, "press:1.0.0", "stable", at("keys")));
    assert_ok(tn_subscription_open(at("s"), "press@stable", NULL, &sub));
    assert_float_equal(ask(sub, x, false), 1, 0);
    static const float steps[] = {2, 1, 3};
    for (size_t i = 0; i < TN_COUNT(steps); i++) {
        char reference[32];
        snprintf(reference, sizeof reference, "press:%d.0.0", (int)steps[i]);
        assert_ok(tn_store_promote(store, reference, "stable", at("keys")));
        assert_ok(tn_subscription_poll(sub, &changed));
        assert_true(changed);
        assert_float_equal(ask(sub, x, false), steps[i], 0);
    }
    /* Trust that is damaged: the version that serves goes on. */
    size_t size;
    char *good = tree_read(at("s/trust/trusted.json"), &size);
    tree_write(at("s/trust/trusted.json"), good, size / 2);
    assert_int_equal(tn_subscription_poll(sub, &changed), TN_E_FORMAT);
    assert_false(changed);
    assert_float_equal(ask(sub, x, false), 3, 0);
    tree_write(at("s/trust/trusted.json"), good, size);
    free(good);
    assert_ok(tn_subscription_follow(sub, "press@stable"));
    tn_subscription_close(sub);
    tn_tensor_destroy(x);
}

/* What comes is never more than the host allows, and where nothing can come, what is here goes on. */
static void another_stores_folder_is_followed(void **state) {
    (void)state;
    tn_subscription *sub;
    tn_tensor *x = ones();
    tn_store *from;
    bool changed;
    tn_subscription_options o = {.struct_size = sizeof o, .from = at("from"), .most_fetched = 100000};
    assert_ok(tn_store_create(at("from")));
    assert_ok(tn_store_open(at("from"), &from));
    put_model(from, "1.0.0", 1);
    put_model(from, "2.0.0", 2);
    assert_ok(tn_store_put_delta(from, "press:1.0.0", "press:2.0.0", NULL));
    assert_ok(tn_subscription_open(at("s"), "press", &o, &sub));
    assert_float_equal(ask(sub, x, false), 2, 0);
    put_model(from, "3.0.0", 3);
    assert_ok(tn_subscription_poll(sub, &changed));
    assert_true(changed);
    assert_float_equal(ask(sub, x, false), 3, 0);
    tn_store_close(from);
    assert_int_equal(rename(at("from"), at("gone")), 0);
    assert_int_equal(tn_subscription_poll(sub, &changed), TN_E_NOT_FOUND);
    assert_non_null(strstr(tn_last_error(), "/from'"));
    assert_false(changed);
    put_model(store, "4.0.0", 4);
    assert_int_equal(tn_subscription_poll(sub, &changed), TN_E_NOT_FOUND);
    assert_true(changed);
    assert_float_equal(ask(sub, x, false), 4, 0);
    assert_int_equal(rename(at("gone"), at("from")), 0);
    tn_subscription_close(sub);

    o.most_fetched = 10;
    assert_ok(tn_store_open(at("from"), &from));
    put_model(from, "5.0.0", 5);
    tn_store_close(from);
    assert_ok(tn_subscription_open(at("s"), "press", &o, &sub));
    assert_float_equal(ask(sub, x, false), 4, 0);
    assert_int_equal(tn_subscription_poll(sub, &changed), TN_E_LIMIT);
    assert_float_equal(ask(sub, x, false), 4, 0);
    tn_subscription_close(sub);
    tn_tensor_destroy(x);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_new_version_takes_over_and_the_old_one_stands_ready),
        TEST(a_version_that_fails_its_self_test_never_serves),
        TEST(a_withdrawn_version_is_left),
        TEST(a_signed_channel_is_followed_forth_and_back),
        TEST(another_stores_folder_is_followed),
        TEST(a_request_may_outlast_two_changes),
        TEST(too_many_failures_on_trial_bring_the_old_version_back),
        TEST(a_version_that_the_host_or_the_loader_refuses_never_serves),
        TEST(no_more_requests_run_at_once_than_there_are_sessions),
        TEST(versions_change_a_thousand_times_under_load),
    };
    if (tn_store_open("/nowhere", &store) == TN_E_UNSUPPORTED) {
        print_message("stores are left out of this build\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
