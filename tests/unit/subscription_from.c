/* Subscriptions to what comes from elsewhere: by a signed channel, and from another store's folder. */
#include "subscribed.h"

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
        TEST(a_signed_channel_is_followed_forth_and_back),
        TEST(another_stores_folder_is_followed),
    };
    if (tn_store_open("/nowhere", &store) == TN_E_UNSUPPORTED) {
        print_message("stores are left out of this build\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
