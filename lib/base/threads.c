/* The pool: each thread has a share of a job's tasks, and takes over what is left of others' when its own is done.
 *
 * Shares are the same whenever the number of tasks is, so that a thread meets the weights again that its own cache still
 * holds. A share is one atomic word, the next task and the end, from which whoever has time takes; it is on a cache line of
 * its own. Taking comes first: a job lasts until all its tasks are done, so that what it is about may be read safely by
 * whoever has taken one of them, and by nobody else. Nobody waits for a worker that comes late. Workers see the number of
 * the job change while they spin, or wake from the condition variable. */
#include "base/threads.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define SPIN_ROUNDS 4000 /* some tens of microseconds: longer than the gap between two operators of one run */

typedef struct worker {
    _Alignas(64) atomic_ullong share; /* low half: the next task; high half: the end */
    pthread_t thread;
    tn_pool *pool;
    int index;
    char apart[64]; /* lines of the cache are fetched in pairs */
} worker;

struct tn_pool {
    const tn_allocator *allocator;
    int threads, started;
    worker *workers; /* [threads], the caller's first */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    void (*task)(void *context, int64_t index);
    void *context;
    _Alignas(64) atomic_uint job;
    atomic_bool stop;
    _Alignas(64) atomic_int parked;    /* raised under the lock */
    _Alignas(64) atomic_llong pending; /* tasks that are not done */
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

/* Does what is left of a share; returns how many tasks that was. */
static int64_t work_share(tn_pool *pool, atomic_ullong *share) {
    int64_t done = 0;
    for (;; done++) {
        unsigned long long at = atomic_load_explicit(share, memory_order_relaxed);
        if ((uint32_t)at >= at >> 32) break;
        at = atomic_fetch_add_explicit(share, 1, memory_order_acquire);
        if ((uint32_t)at >= at >> 32) break;
        pool->task(pool->context, (int64_t)(uint32_t)at);
    }
    return done;
}

static void work(tn_pool *pool, int index) {
    int64_t done = 0;
    in_task = true;
    for (int i = 0, at = index; i < pool->threads; i++, at = at + 1 < pool->threads ? at + 1 : 0)
        done += work_share(pool, &pool->workers[at].share);
    in_task = false;
    if (done) atomic_fetch_sub_explicit(&pool->pending, done, memory_order_acq_rel);
}

static void park(tn_pool *pool, unsigned seen) {
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->parked, 1);
    while (atomic_load(&pool->job) == seen && !atomic_load(&pool->stop)) pthread_cond_wait(&pool->wake, &pool->lock);
    atomic_fetch_sub(&pool->parked, 1);
    pthread_mutex_unlock(&pool->lock);
}

static void *run_worker(void *argument) {
    const worker *self = argument;
    tn_pool *pool = self->pool;
    worker_index = self->index;
    unsigned seen = 0;
    for (;;) {
        int spins = 0;
        while (atomic_load_explicit(&pool->job, memory_order_acquire) == seen && !atomic_load(&pool->stop)) {
            if (spins++ < SPIN_ROUNDS)
                relax();
            else
                park(pool, seen);
        }
        if (atomic_load(&pool->stop)) return NULL;
        seen = atomic_load(&pool->job);
        work(pool, self->index);
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
        worker *w = &pool->workers[pool->started + 1];
        w->pool = pool;
        w->index = pool->started + 1;
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
    for (int i = 0; i < pool->started; i++) pthread_join(pool->workers[i + 1].thread, NULL);
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
    if (!pool || pool->threads == 1 || tasks < 2 || tasks > INT32_MAX || in_task) {
        for (int64_t i = 0; i < tasks; i++) task(context, i);
        return;
    }
    pool->task = task;
    pool->context = context;
    atomic_store_explicit(&pool->pending, tasks, memory_order_relaxed);
    for (int i = 0; i < pool->threads; i++) {
        uint64_t from = (uint64_t)(tasks * i / pool->threads), end = (uint64_t)(tasks * (i + 1) / pool->threads);
        atomic_store_explicit(&pool->workers[i].share, end << 32 | from, memory_order_release);
    }
    atomic_fetch_add(&pool->job, 1);
    if (atomic_load(&pool->parked)) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->lock);
    }
    work(pool, 0);
    while (atomic_load_explicit(&pool->pending, memory_order_acquire) > 0) relax();
}
