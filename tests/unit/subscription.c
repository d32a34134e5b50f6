/* Subscriptions: versions change while requests run; none fails, none mixes two versions, a bad version is left again. */
#include "subscribed.h"
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 4, CHANGES = 1000 };

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

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_new_version_takes_over_and_the_old_one_stands_ready),
        TEST(a_version_that_fails_its_self_test_never_serves),
        TEST(a_withdrawn_version_is_left),
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
