/* The pool: every task runs once, whatever the number of threads; calls may nest and follow each other at once. */
#include "unit.h"
#include "base/threads.h"
#include <stdatomic.h>

#define TASKS 1000

typedef struct {
    atomic_int runs[TASKS];
    tn_pool *pool;
} job;

static void count(void *context, int64_t index) {
    atomic_fetch_add(&((job *)context)->runs[index], 1);
}

static void nested(void *context, int64_t index) {
    job *j = context;
    atomic_fetch_add(&j->runs[index], 1);
    tn_parallel(j->pool, 2, count, j);
}

static void every_task_runs_once_at_any_thread_count(void **state) {
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        job j = {0};
        assert_ok(tn_pool_create(threads, NULL, &j.pool));
        for (int round = 1; round <= 200; round++) {
            tn_parallel(j.pool, TASKS, count, &j);
            for (int i = 0; i < TASKS; i++) assert_int_equal(atomic_load(&j.runs[i]), round);
        }
        tn_pool_destroy(j.pool);
    }
}

static void calls_from_inside_a_task_run_in_place(void **state) {
    (void)state;
    job j = {0};
    assert_ok(tn_pool_create(3, NULL, &j.pool));
    tn_parallel(j.pool, 10, nested, &j);
    assert_int_equal(atomic_load(&j.runs[0]), 11);
    assert_int_equal(atomic_load(&j.runs[5]), 1);
    tn_pool_destroy(j.pool);
}

static void absurd_counts_are_refused(void **state) {
    (void)state;
    tn_pool *pool;
    assert_int_equal(tn_pool_create(0, NULL, &pool), TN_E_INVALID);
    assert_int_equal(tn_pool_create(1 << 20, NULL, &pool), TN_E_INVALID);
    assert_null(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_runs_once_at_any_thread_count),
        cmocka_unit_test(calls_from_inside_a_task_run_in_place),
        cmocka_unit_test(absurd_counts_are_refused),
    };
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
