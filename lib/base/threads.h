/* A thread pool whose work is split by shape, never by thread count.
 *
 * An operator says how many tasks its shape gives (each at least some ten thousand operations of work); the pool hands
 * task numbers to whoever is free. Since a task's result does not depend on who runs it, results are equal bit for bit
 * at any number of threads. Workers spin for a bounded time after a task, then park. A pool of one thread starts none.
 */
#ifndef TN_THREADS_H
#define TN_THREADS_H

#include "base/base.h"

typedef struct tn_pool tn_pool;

/* threads >= 1, the caller's included. */
tn_status tn_pool_create(int threads, const tn_allocator *allocator, tn_pool **out_pool);
void tn_pool_destroy(tn_pool *pool);      /* accepts NULL */
int tn_pool_threads(const tn_pool *pool); /* 1 for NULL */
/* Runs task(context, i) for i in [0, tasks) and returns when all are done. One caller at a time. A NULL pool runs
 * them in order on the caller's thread; so does a call from inside a task. */
void tn_parallel(tn_pool *pool, int64_t tasks, void (*task)(void *context, int64_t index), void *context);
/* Inside a task: who runs it, in [0, tn_pool_threads). For scratch memory, which each thread needs for itself. */
int tn_worker_index(void);

#endif
