/* Times of the week at which versions may change: how they are read, and what they do to a subscription, by a clock that the
 * test sets. */
#include "subscribed.h"
#include <stdlib.h>
#include <time.h>

/* 2026-03-02 is a Monday. */
static int64_t at_utc(int day, int hour, int minute) {
    struct tm t = {.tm_year = 126, .tm_mon = 2, .tm_mday = 2 + day, .tm_hour = hour, .tm_min = minute};
    return (int64_t)timegm(&t);
}

static bool is_open(const char *window, int64_t time) {
    bool open;
    assert_ok(tn_window_look(window, time, &open, NULL));
    return open;
}

static int64_t opens(const char *window, int64_t time) {
    bool open;
    int64_t next;
    assert_ok(tn_window_look(window, time, &open, &next));
    assert_int_equal(open, next == time);
    return next;
}

static void a_time_is_from_its_first_minute_to_before_its_last(void **state) {
    (void)state;
    const char *window = "Mon-Wed,Sat 02:00-04:30 UTC";
    static const bool days[] = {true, true, true, false, false, true, false};
    for (int day = 0; day < 7; day++) {
        assert_false(is_open(window, at_utc(day, 2, 0) - 1));
        assert_int_equal(is_open(window, at_utc(day, 2, 0)), days[day]);
        assert_int_equal(is_open(window, at_utc(day, 4, 30) - 1), days[day]);
        assert_false(is_open(window, at_utc(day, 4, 30)));
    }
    assert_true(is_open("00:00-24:00 UTC", at_utc(3, 23, 59)));
    assert_true(is_open(NULL, at_utc(3, 23, 59)));
    assert_true(is_open("Fri 01:00-02:00 UTC; Thu 10:00-11:00 UTC", at_utc(3, 10, 30)));
    assert_false(is_open("Sat-Mon 10:00-11:00 UTC", at_utc(1, 10, 30)));
    assert_true(is_open("Sat-Mon 10:00-11:00 UTC", at_utc(0, 10, 30)));
    assert_true(is_open("Sat-Mon 10:00-11:00 UTC", at_utc(6, 10, 30)));
}

static void what_ends_before_it_starts_ends_on_the_next_day(void **state) {
    (void)state;
    const char *window = "Sun 22:00-05:00 UTC";
    assert_false(is_open(window, at_utc(6, 4, 0)));
    assert_true(is_open(window, at_utc(6, 22, 0)));
    assert_true(is_open(window, at_utc(7, 4, 59)));
    assert_false(is_open(window, at_utc(7, 5, 0)));
    assert_false(is_open(window, at_utc(7, 22, 0)));
}

static void it_says_when_it_opens_next(void **state) {
    (void)state;
    const char *window = "Sun 01:00-03:00 UTC; Wed 22:00-00:10 UTC";
    assert_int_equal(opens(window, at_utc(0, 12, 0) + 17), at_utc(2, 22, 0));
    assert_int_equal(opens(window, at_utc(3, 0, 9) + 59), at_utc(3, 0, 9) + 59);
    assert_int_equal(opens(window, at_utc(3, 0, 10)), at_utc(6, 1, 0));
    assert_int_equal(opens(window, at_utc(6, 3, 0)), at_utc(9, 22, 0));
    assert_int_equal(opens("01:00-01:01 UTC", -1), 3600);
}

/* By the clock on the wall: an hour ahead of UTC in winter, two from the last Sunday of March on, which has no 02:30. */
static void local_times_follow_the_clock_on_the_wall(void **state) {
    (void)state;
    const char *old = getenv("TZ");
    char *kept = old ? strdup(old) : NULL;
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    assert_true(is_open("Mon 03:00-04:00", at_utc(0, 2, 30)));
    assert_false(is_open("Mon 03:00-04:00", at_utc(0, 3, 30)));
    assert_true(is_open("Mon 03:00-04:00", at_utc(28, 1, 30)));
    assert_false(is_open("Mon 03:00-04:00", at_utc(28, 2, 30)));
    assert_int_equal(opens("Sun 02:15-02:45", at_utc(22, 0, 0)), at_utc(34, 0, 15));
    if (kept)
        setenv("TZ", kept, 1);
    else
        unsetenv("TZ");
    tzset();
    free(kept);
}

static void what_is_no_window_is_refused_with_a_sentence(void **state) {
    (void)state;
    static const char *const wrong[] = {"",
                                        " ",
                                        ";",
                                        "Mon",
                                        "Mon ",
                                        "Mon 1:00-02:00",
                                        "Mon 01",
                                        "Mon 01:00",
                                        "Mon 01:00-",
                                        "Mon 01:00-01:00",
                                        "Mon 24:00-01:00",
                                        "Mon 01:60-02:00",
                                        "Mon 01:00-24:01",
                                        "Mon 01:00-02:00;",
                                        "Mon 01:00-02:00 CET",
                                        "Mon 01:00-02:00 UTC UTC",
                                        "Mon,01:00-02:00",
                                        "Mon, Tue 01:00-02:00",
                                        "Mon- 01:00-02:00",
                                        "Monday 01:00-02:00",
                                        "mon 01:00-02:00",
                                        "01:00-02:00 Mon",
                                        "Mon 01:00\xe2\x80\x93 02:00"};
    char many[1024] = "";
    bool open;
    for (size_t i = 0; i < TN_COUNT(wrong); i++) {
        assert_int_equal(tn_window_look(wrong[i], 0, &open, NULL), TN_E_INVALID);
        assert_non_null(strstr(tn_last_error(), "no window"));
    }
    for (int i = 0; i < 33; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "%s01:00-02:00", i ? ";" : "");
    assert_int_equal(tn_window_look(many, 0, &open, NULL), TN_E_LIMIT);
    assert_int_equal(tn_window_look("01:00-02:00", INT64_MAX, &open, NULL), TN_E_LIMIT);
}

/* ---- subscriptions ---- */

static int64_t now;

static int64_t tell(void *context) {
    assert_ptr_equal(context, &now);
    return now;
}

static const tn_subscription_options options = {
    .struct_size = sizeof options, .context = &now, .clock = tell, .window = "Mon-Fri 22:00-05:00 UTC"};

static void expect(tn_subscription *sub, bool changes, bool waits) {
    bool changed;
    assert_ok(tn_subscription_poll(sub, &changed));
    assert_int_equal(changed, changes);
    assert_int_equal(info(sub).waiting, waits);
}

static void a_new_version_waits_for_its_window(void **state) {
    (void)state;
    tn_subscription *sub;
    tn_tensor *x = ones();
    now = at_utc(1, 12, 0);
    assert_ok(tn_subscription_open(at("s"), "press", &options, &sub));
    expect(sub, false, false);
    put_model(store, "2.0.0", 2);
    expect(sub, false, true);
    assert_float_equal(ask(sub, x, false), 1, 0);
    now = at_utc(1, 21, 59);
    expect(sub, false, true);
    put_model(store, "3.0.0", 3);
    now = at_utc(1, 22, 0);
    expect(sub, true, false);
    assert_float_equal(ask(sub, x, false), 3, 0);
    put_model(store, "4.0.0", 4);
    now = at_utc(2, 6, 0);
    expect(sub, false, true);
    assert_ok(tn_subscription_rollback(sub)); /* no window stands before a way back */
    assert_float_equal(ask(sub, x, false), 1, 0);
    assert_ok(tn_store_remove(store, "press:4.0.0"));
    expect(sub, false, false); /* 3.0.0 is blocked, and nothing waits any more */
    tn_subscription_close(sub);
    tn_tensor_destroy(x);
}

static void a_wait_ends_when_the_window_opens_that_a_version_waits_for(void **state) {
    (void)state;
    tn_subscription *sub;
    bool woken;
    now = at_utc(1, 22, 0) - 1;
    assert_ok(tn_subscription_open(at("s"), "press", &options, &sub));
    assert_ok(tn_subscription_wait(sub, 1, &woken));
    assert_false(woken);
    put_model(store, "2.0.0", 2);
    expect(sub, false, true);
    assert_ok(tn_subscription_wait(sub, 1, &woken)); /* it does not open so soon */
    assert_false(woken);
    assert_ok(tn_subscription_wait(sub, 3600000, &woken));
    assert_true(woken);
    tn_subscription_close(sub);
}

static void a_subscription_with_a_window_that_is_none_is_not_opened(void **state) {
    (void)state;
    tn_subscription *sub;
    tn_subscription_options o = options;
    o.window = "at night";
    assert_int_equal(tn_subscription_open(at("s"), "press", &o, &sub), TN_E_INVALID);
    assert_null(sub);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_is_from_its_first_minute_to_before_its_last),
        cmocka_unit_test(what_ends_before_it_starts_ends_on_the_next_day),
        cmocka_unit_test(it_says_when_it_opens_next),
        cmocka_unit_test(local_times_follow_the_clock_on_the_wall),
        cmocka_unit_test(what_is_no_window_is_refused_with_a_sentence),
        TEST(a_new_version_waits_for_its_window),
        TEST(a_wait_ends_when_the_window_opens_that_a_version_waits_for),
        TEST(a_subscription_with_a_window_that_is_none_is_not_opened),
    };
    if (tn_store_open("/nowhere", &store) == TN_E_UNSUPPORTED) {
        print_message("stores are left out of this build\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
