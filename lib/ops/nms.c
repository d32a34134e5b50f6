/* NonMaxSuppression: of boxes that overlap, keeps the one with the best score, class by class.
 *
 * Each class of each image has an array of box numbers. It is a heap by score in front; what is taken off the heap makes
 * room at the end, where the boxes that stay are collected. So a class costs N numbers, and only as many boxes are put
 * in order as are looked at. Classes run in parallel. */
#include "graph/op.h"
#include "ops/data.h"

typedef struct box {
    float x0, y0, x1, y1, area;
} box;

typedef struct job {
    const float *boxes, *scores;
    box *corners;     /* [batches, boxes] */
    int32_t *numbers; /* [batches, classes, boxes] */
    int64_t *kept;    /* [batches, classes] */
    int64_t batches, classes, count, limit;
    float overlap, least;
    bool center, has_least;
    int64_t tasks;
} job;

static tn_status infer(tn_infer *call) {
    static const tn_dtype floats[] = {TN_FLOAT32, TN_UNDEFINED}, longs[] = {TN_INT64, TN_UNDEFINED};
    for (int i = 0; i < call->in_count; i++)
        if (tn_infer_has(call, i)) TN_TRY(tn_infer_dtype(call, i, i == 2 ? longs : floats));
    const tn_type *boxes = call->in[0], *scores = call->in[1];
    if (boxes->rank >= 0 && (boxes->rank != 3 || !tn_dim_fits(boxes->dims[2], 4)))
        return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [batches, boxes, 4]");
    if (scores->rank >= 0 && scores->rank != 3)
        return tn_infer_fail(call, 1, TN_E_SHAPE, "expected [batches, classes, boxes]");
    if (boxes->rank == 3 && scores->rank == 3 &&
        (!tn_dim_fits(boxes->dims[0], scores->dims[0]) || !tn_dim_fits(boxes->dims[1], scores->dims[2])))
        return tn_infer_fail(call, 1, TN_E_SHAPE, "it does not fit the boxes' batches and number");
    if (boxes->rank == 3 && boxes->dims[1] > INT32_MAX) return tn_infer_fail(call, 0, TN_E_LIMIT, "too many boxes");
    for (int i = 2; i < call->in_count; i++) {
        int64_t n = tn_infer_has(call, i) && call->in[i]->rank >= 0 ? tn_type_count(call->in[i]) : -1;
        if (n > 1) return tn_infer_fail(call, i, TN_E_SHAPE, "expected a scalar");
    }
    return tn_infer_out(call, 0, TN_INT64, 2, (int64_t[]){-1, 3});
}

typedef struct state {
    size_t corners, numbers; /* bytes before the next part of scratch */
    bool center;
} state;

static tn_status prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->center = tn_attr_int(call->node, "center_point_box", 0) != 0;
    size_t boxes = (size_t)tn_type_count(call->in[0]) / 4, scores = (size_t)tn_type_count(call->in[1]), kept;
    if (!tn_mul_size(boxes, sizeof(box), &s->corners) || !tn_mul_size(scores, sizeof(int32_t), &s->numbers) ||
        !tn_mul_size((size_t)(call->in[1]->dims[0] * call->in[1]->dims[1]), sizeof(int64_t), &kept) ||
        !tn_add_size(s->corners, 7, &s->corners) || !tn_add_size(s->numbers, 7, &s->numbers))
        return tn_fail(TN_E_LIMIT, "too many boxes");
    s->corners &= ~(size_t)7;
    s->numbers &= ~(size_t)7;
    if (!tn_add_size(s->corners, s->numbers, &call->scratch) || !tn_add_size(call->scratch, kept, &call->scratch))
        return tn_fail(TN_E_LIMIT, "too many boxes");
    return TN_OK;
}

static box corners_of(const float *b, bool center) {
    box c;
    if (center) {
        float w = b[2] / 2, h = b[3] / 2;
        c = (box){b[0] - w, b[1] - h, b[0] + w, b[1] + h, 0};
    } else {
        c = (box){TN_MIN(b[1], b[3]), TN_MIN(b[0], b[2]), TN_MAX(b[1], b[3]), TN_MAX(b[0], b[2]), 0};
    }
    c.area = (c.x1 - c.x0) * (c.y1 - c.y0);
    return c;
}

static bool overlaps(const box *a, const box *b, float threshold) {
    float w = TN_MIN(a->x1, b->x1) - TN_MAX(a->x0, b->x0), h = TN_MIN(a->y1, b->y1) - TN_MAX(a->y0, b->y0);
    if (w <= 0 || h <= 0 || a->area <= 0 || b->area <= 0) return false;
    float common = w * h;
    return common / (a->area + b->area - common) > threshold;
}

/* Whether box a comes out before b: by score, then by number. */
static bool before(const float *scores, int32_t a, int32_t b) {
    return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
}

static void sift(const float *scores, int32_t *heap, int64_t count, int64_t at) {
    int32_t moved = heap[at];
    for (int64_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && before(scores, heap[child + 1], heap[child])) child++;
        if (!before(scores, heap[child], moved)) break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static void suppress(const job *j, int64_t index) {
    const float *scores = j->scores + index * j->count;
    const box *corners = j->corners + index / j->classes * j->count;
    int32_t *heap = j->numbers + index * j->count, *end = heap + j->count;
    int64_t n = 0, kept = 0;
    for (int64_t i = 0; i < j->count; i++)
        if (!j->has_least || scores[i] > j->least) heap[n++] = (int32_t)i;
    for (int64_t i = n / 2 - 1; i >= 0; i--) sift(scores, heap, n, i);
    while (n && kept < j->limit) {
        int32_t best = heap[0];
        bool keep = true;
        heap[0] = heap[--n];
        if (n) sift(scores, heap, n, 0);
        for (int64_t k = 1; k <= kept && keep; k++) keep = !overlaps(&corners[best], &corners[end[-k]], j->overlap);
        if (keep) end[-++kept] = best;
    }
    j->kept[index] = kept;
}

static void suppress_some(void *context, int64_t task) {
    const job *j = context;
    int64_t all = j->batches * j->classes, each = all / j->tasks, more = all % j->tasks,
            first = task * each + TN_MIN(task, more);
    for (int64_t i = first; i < first + each + (task < more); i++) suppress(j, i);
}

static float scalar(const tn_run *call, int in) {
    const tn_tensor *t = tn_in(call, in);
    return t && tn_count(t) ? *(const float *)t->data : 0;
}

static tn_status run(tn_run *call) {
    const state *s = call->state;
    const tn_tensor *boxes = tn_in(call, 0), *scores = tn_in(call, 1), *limit = tn_in(call, 2), *least = tn_in(call, 4);
    char *scratch = call->scratch;
    job j = {.boxes = boxes->data,
             .scores = scores->data,
             .corners = (box *)scratch,
             .numbers = (int32_t *)(scratch + s->corners),
             .kept = (int64_t *)(scratch + s->corners + s->numbers),
             .batches = scores->dims[0],
             .classes = scores->dims[1],
             .count = scores->dims[2],
             .limit = limit && tn_count(limit) ? *(const int64_t *)limit->data : 0,
             .overlap = scalar(call, 3),
             .least = scalar(call, 4),
             .center = s->center,
             .has_least = least && tn_count(least)};
    int64_t all = j.batches * j.classes, total = 0;
    for (int64_t i = 0; i < j.batches * j.count; i++) j.corners[i] = corners_of(j.boxes + 4 * i, j.center);
    j.tasks = TN_MAX(1, TN_MIN(all, all * j.count / 2000));
    tn_parallel(call->pool, j.tasks, suppress_some, &j);
    for (int64_t i = 0; i < all; i++) total += j.kept[i];
    TN_TRY(tn_run_output(call, 0, TN_INT64, 2, (int64_t[]){total, 3}));
    int64_t *y = tn_out(call, 0)->data;
    for (int64_t i = 0; i < all; i++)
        for (int64_t k = 1; k <= j.kept[i]; k++, y += 3) {
            y[0] = i / j.classes;
            y[1] = i % j.classes;
            y[2] = j.numbers[(i + 1) * j.count - k];
        }
    return TN_OK;
}

const tn_op tn_ops_nms[] = {
    {.domain = "",
     .name = "NonMaxSuppression",
     .min_in = 2,
     .max_in = 5,
     .min_out = 1,
     .max_out = 1,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
