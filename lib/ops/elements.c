/* Elements of a tensor by tasks. See elements.h. */
#include "ops/elements.h"

#define LINE 16 /* elements */

typedef struct walk {
    int64_t count, tasks;
    int64_t plane, planes, parts, per_task; /* parts of a plane; planes of a task */
    tn_elements_fn range;
    void *context;
} walk;

tn_elements tn_elements_of(int rank, const int64_t *dims) {
    tn_elements e = {.count = tn_dims_count(rank, dims), .images = rank > 0 ? dims[0] : 1};
    if (rank > 3) e.plane = tn_dims_count(rank - 2, dims + 2);
    return e;
}

/* Where the part `index` of `parts` begins: with a line of the cache, if the whole does. */
static int64_t part_of(int64_t count, int64_t index, int64_t parts) {
    const int64_t at = count / parts * index + count % parts * index / parts;
    return index == parts ? count : at / LINE * LINE;
}

static void range_task(void *context, int64_t index) {
    const walk *w = context;
    w->range(w->context, part_of(w->count, index, w->tasks), part_of(w->count, index + 1, w->tasks));
}

static void plane_task(void *context, int64_t index) {
    const walk *w = context;
    const int64_t part = index / w->tasks, first = index % w->tasks * w->per_task;
    const int64_t from = part_of(w->plane, part, w->parts), to = part_of(w->plane, part + 1, w->parts);
    for (int64_t i = first; i < TN_MIN(first + w->per_task, w->planes); i++)
        w->range(w->context, i * w->plane + from, i * w->plane + to);
}

static int64_t divide_up(int64_t a, int64_t b) {
    return a / b + (a % b != 0);
}

void tn_elements_run(const tn_elements *e, tn_pool *pool, int64_t grain, tn_elements_fn range, void *context) {
    const int64_t threads = tn_pool_threads(pool);
    walk w = {.count = e->count, .range = range, .context = context};
    if (e->count <= grain) {
        if (e->count > 0) range(context, 0, e->count);
        return;
    }
    if (tn_planes_in_parts(e->images, e->plane, threads)) {
        w.plane = e->plane;
        w.planes = e->count / e->plane;
        w.parts = divide_up(divide_up(e->plane, grain), threads) * threads;
        w.per_task = TN_MAX(grain / (e->plane / w.parts), 1);
        w.tasks = divide_up(w.planes, w.per_task);
        tn_parallel(pool, w.tasks * w.parts, plane_task, &w);
        return;
    }
    w.tasks = divide_up(divide_up(e->count, grain), threads) * threads;
    tn_parallel(pool, w.tasks, range_task, &w);
}
