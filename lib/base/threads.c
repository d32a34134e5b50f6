/* The pool: a job is a counter of tasks that all threads draw from.
 *
 * A caller publishes a job (task function, context, count), raises the job number and wakes parked workers. Workers
 * see the number change while they spin, or wake from the condition variable. `pending` counts tasks that are not done;
 * `inside` counts workers that hold the job, so that the caller never returns (and never reuses the slot) under one. */
#include "base/threads.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define SPIN_ROUNDS 4000 /* some tens of microseconds: longer than the gap between two operators of one run */

typedef struct worker {
    pthread_t thread;
    tn_pool *pool;
    int index;
} worker;

struct tn_pool {
    const tn_allocator *allocator;
    int threads, started;
    worker *workers;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int parked; /* under the lock */
    atomic_uint job;
    atomic_bool stop;
    void (*task)(void *context, int64_t index);
    void *context;
    int64_t tasks;
    atomic_llong next, pending;
    atomic_int inside;
};

static _Thread_local bool in_task;
static _Thread_local int worker_index; /* 0 is every caller's */

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void work(tn_pool *pool) {
    int64_t done = 0;
    in_task = true;
    for (;;) {
        int64_t index = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (index >= pool->tasks) break;
        pool->task(pool->context, index);
        done++;
    }
    in_task = false;
    if (done) atomic_fetch_sub_explicit(&pool->pending, done, memory_order_acq_rel);
}

static void *run_worker(void *argument) {
    tn_pool *pool = ((worker *)argument)->pool;
    worker_index = ((worker *)argument)->index;
    unsigned seen = 0;
    for (;;) {
        int spins = 0;
        while (atomic_load_explicit(&pool->job, memory_order_acquire) == seen && !atomic_load(&pool->stop)) {
            if (spins++ < SPIN_ROUNDS) {
                relax();
                continue;
            }
            pthread_mutex_lock(&pool->lock);
            pool->parked++;
            while (atomic_load(&pool->job) == seen && !atomic_load(&pool->stop))
                pthread_cond_wait(&pool->wake, &pool->lock);
            pool->parked--;
            pthread_mutex_unlock(&pool->lock);
        }
        if (atomic_load(&pool->stop)) return NULL;
        /* The job may have ended meanwhile; then pending is 0 and the job's fields must not be touched. Entering first
         * and looking afterwards closes the window, because the caller waits for `inside` to drop. */
        atomic_fetch_add(&pool->inside, 1);
        seen = atomic_load(&pool->job);
        if (atomic_load(&pool->pending) > 0) work(pool);
        atomic_fetch_sub(&pool->inside, 1);
    }
}

tn_status tn_pool_create(int threads, const tn_allocator *allocator, tn_pool **out_pool) {
    *out_pool = NULL;
    if (threads < 1 || threads > 1024)
        return tn_fail(TN_E_INVALID, "%d threads asked for; a pool has 1 to 1024, the caller's included", threads);
    tn_pool *pool = tn_alloc_zero(allocator, sizeof *pool);
    if (!pool) return TN_E_MEMORY;
    pool->allocator = allocator;
    pool->threads = threads;
    pool->workers = tn_alloc_zero(allocator, (size_t)threads * sizeof *pool->workers);
    if (!pool->workers) {
        tn_free(allocator, pool, sizeof *pool);
        return TN_E_MEMORY;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    for (; pool->started < threads - 1; pool->started++) {
        worker *w = &pool->workers[pool->started];
        *w = (worker){.pool = pool, .index = pool->started + 1};
        if (pthread_create(&w->thread, NULL, run_worker, w) != 0) {
            int started = pool->started;
            tn_pool_destroy(pool);
            return tn_fail(TN_E_MEMORY, "the system started only %d of %d worker threads", started, threads - 1);
        }
    }
    *out_pool = pool;
    return TN_OK;
}

void tn_pool_destroy(tn_pool *pool) {
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->stop, true);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->started; i++) pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    tn_free(pool->allocator, pool->workers, (size_t)pool->threads * sizeof *pool->workers);
    tn_free(pool->allocator, pool, sizeof *pool);
}

int tn_worker_index(void) {
    return worker_index;
}

int tn_pool_threads(const tn_pool *pool) {
    return pool ? pool->threads : 1;
}

void tn_parallel(tn_pool *pool, int64_t tasks, void (*task)(void *context, int64_t index), void *context) {
    if (!pool || pool->threads == 1 || tasks < 2 || in_task) {
        for (int64_t i = 0; i < tasks; i++) task(context, i);
        return;
    }
    pool->task = task;
    pool->context = context;
    pool->tasks = tasks;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    atomic_store(&pool->pending, tasks);
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->job, 1);
    if (pool->parked) pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    work(pool);
    while (atomic_load(&pool->pending) > 0 || atomic_load(&pool->inside) > 0) relax();
}
