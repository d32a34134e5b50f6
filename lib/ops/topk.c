/* TopK: the k largest or smallest elements of each line of an axis, in order.
 *
 * A heap of the k best so far lives in the outputs themselves, the worst of them at its root; most elements meet only
 * the root. Sorting the heap in place then puts the best first. Of equal elements the one of lower index is better; NaN
 * is above all. Where float32 is to be sorted whole or nearly so, a radix sort of all elements is quicker. */
#include "base/element.h"
#include "ops/data.h"
#include "ops/scratch.h"

typedef struct state {
    bool largest;
    int axis;
    size_t n, k, inner, lines, batch, tasks;
    bool radix;
} state;

typedef struct job {
    const state *s;
    const tn_tensor *x;
    void *values;
    int64_t *indices;
    uint64_t *keys; /* 2 n for each task, if radix */
} job;

enum { TASK = 8192, MOST_TASKS = 64, DIGIT = 11, DIGITS = 3 };

static tn_status topk_infer(tn_infer *call) {
    const tn_type *x = call->in[0];
    int axis;
    int64_t k = -1, dims[TN_MAX_RANK];
    size_t count = 0;
    TN_TRY(tn_infer_dtype(call, 0, TN_NUMBERS));
    TN_TRY(tn_infer_dtype(call, 1, (const tn_dtype[]){TN_INT64, TN_UNDEFINED}));
    bool known = tn_infer_ints(call, 1, &k, 1, &count) && count == 1;
    if (known && k < 0) return tn_infer_fail(call, 1, TN_E_INVALID, "k is %lld", (long long)k);
    if (x->rank < 0) {
        TN_TRY(tn_infer_out(call, 1, TN_INT64, -1, NULL));
        return tn_infer_out(call, 0, x->dtype, -1, NULL);
    }
    TN_TRY(tn_infer_axis(call, tn_attr_int(call->node, "axis", -1), x->rank, &axis));
    for (int i = 0; i < x->rank; i++) dims[i] = x->dims[i];
    dims[axis] = known ? k : -1;
    if (known && x->dims[axis] >= 0 && k > x->dims[axis])
        return tn_infer_fail(call, 0, TN_E_INVALID, "k is %lld; axis %d has fewer elements", (long long)k, axis);
    TN_TRY(tn_infer_out(call, 1, TN_INT64, x->rank, dims));
    return tn_infer_out(call, 0, x->dtype, x->rank, dims);
}

static tn_status topk_prepare(tn_prepare *call) {
    const tn_type *x = call->in[0];
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->axis = (int)tn_attr_int(call->node, "axis", -1);
    s->axis += s->axis < 0 ? x->rank : 0;
    s->largest = tn_attr_int(call->node, "largest", 1) != 0;
    s->n = (size_t)x->dims[s->axis];
    s->k = (size_t)call->out[0].dims[s->axis];
    s->inner = (size_t)tn_dims_span(x->dims, s->axis + 1, x->rank);
    s->lines = (size_t)tn_dims_span(x->dims, 0, s->axis) * s->inner;
    /* The heaps need both arrays, also where an output is not wanted. */
    if (s->k > s->n || !tn_scratch_add(&call->scratch, s->lines * s->k, sizeof(int64_t)) ||
        !tn_scratch_add(&call->scratch, s->lines * s->k, sizeof(int64_t)))
        return tn_fail(TN_E_SHAPE, "k is %zu; the axis has %zu elements", s->k, s->n);
    if (s->lines * s->k == 0) return TN_OK;
    s->batch = TN_MAX(TN_MAX(TASK / s->n, 1), (s->lines + MOST_TASKS - 1) / MOST_TASKS);
    s->tasks = (s->lines + s->batch - 1) / s->batch;
    s->radix = x->dtype == TN_FLOAT32 && s->k > s->n / 16 && s->n > 256 && s->n <= UINT32_MAX;
    if (s->radix && !tn_scratch_add(&call->scratch, s->tasks * 2 * s->n, sizeof(uint64_t)))
        return tn_fail(TN_E_SHAPE, "an axis of %zu elements is too long", s->n);
    return TN_OK;
}

/* The heap's element i is at i * step of v and at. sink_ moves the element at `hole` down to where it belongs among the
 * first `count`. */
#define TOPK(dtype, name, T)                                                                                           \
    static inline bool better_##name(bool largest, T a, int64_t ia, T b, int64_t ib) {                                 \
        if (a != a || b != b) return a != a && b != b ? ia < ib : (a != a) == largest;                                 \
        if (a == b) return ia < ib;                                                                                    \
        return largest ? a > b : a < b;                                                                                \
    }                                                                                                                  \
    static void sink_##name(bool largest, T *v, int64_t *at, size_t step, size_t hole, size_t count, T value,          \
                            int64_t index) {                                                                           \
        for (size_t child; (child = 2 * hole + 1) < count; hole = child) {                                             \
            if (child + 1 < count && better_##name(largest, v[child * step], at[child * step], v[(child + 1) * step],  \
                                                   at[(child + 1) * step]))                                            \
                child++;                                                                                               \
            if (!better_##name(largest, value, index, v[child * step], at[child * step])) break;                       \
            v[hole * step] = v[child * step];                                                                          \
            at[hole * step] = at[child * step];                                                                        \
        }                                                                                                              \
        v[hole * step] = value;                                                                                        \
        at[hole * step] = index;                                                                                       \
    }                                                                                                                  \
    static void line_##name(const state *s, size_t k, const T *x, T *v, int64_t *at) {                                 \
        size_t step = s->inner;                                                                                        \
        bool largest = s->largest;                                                                                     \
        for (size_t i = 0; i < k; i++) v[i * step] = x[i * step], at[i * step] = (int64_t)i;                           \
        for (size_t i = k / 2; i-- > 0;) sink_##name(largest, v, at, step, i, k, v[i * step], at[i * step]);           \
        for (size_t i = k; i < s->n; i++) {                                                                            \
            T value = x[i * step];                                                                                     \
            if (largest ? value <= v[0] : value >= v[0]) continue; /* the usual case, quickly */                       \
            if (!better_##name(largest, value, (int64_t)i, v[0], at[0])) continue;                                     \
            sink_##name(largest, v, at, step, 0, k, value, (int64_t)i);                                                \
        }                                                                                                              \
        for (size_t i = k; i-- > 1;) {                                                                                 \
            T value = v[i * step];                                                                                     \
            int64_t index = at[i * step];                                                                              \
            v[i * step] = v[0];                                                                                        \
            at[i * step] = at[0];                                                                                      \
            sink_##name(largest, v, at, step, 0, i, value, index);                                                     \
        }                                                                                                              \
    }
TN_EACH_NUMBER(TOPK)

/* Sorts (key, index) pairs by their keys, digit by digit from the lowest; each pass keeps the order of the one before.
 * Keys are the floats' bits in an order of unsigned numbers, the best first. */
static void line_radix(const state *s, const float *x, float *v, int64_t *at, uint64_t *keys) {
    uint64_t *from = keys, *to = keys + s->n;
    uint32_t starts[DIGITS][1 << DIGIT] = {0};
    for (size_t i = 0; i < s->n; i++) {
        uint32_t bits = tn_float_bits(x[i * s->inner] + 0.0f); /* no -0 */
        bits = (bits & 0x7fffffff) > 0x7f800000 ? UINT32_MAX : bits >> 31 ? ~bits : bits | 0x80000000;
        if (s->largest) bits = ~bits;
        for (int d = 0; d < DIGITS; d++) starts[d][bits >> (d * DIGIT) & ((1 << DIGIT) - 1)]++;
        from[i] = (uint64_t)bits << 32 | i;
    }
    for (int d = 0; d < DIGITS; d++) {
        uint32_t sum = 0;
        for (size_t i = 0; i < (size_t)1 << DIGIT; i++) {
            uint32_t count = starts[d][i];
            starts[d][i] = sum;
            sum += count;
        }
        for (size_t i = 0; i < s->n; i++) to[starts[d][from[i] >> (32 + d * DIGIT) & ((1 << DIGIT) - 1)]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to = swap;
    }
    for (size_t i = 0; i < s->k; i++) {
        at[i * s->inner] = (int64_t)(from[i] & UINT32_MAX);
        v[i * s->inner] = x[(from[i] & UINT32_MAX) * s->inner];
    }
}

static void topk_task(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->s;
    size_t line = (size_t)index * s->batch, end = TN_MIN(line + s->batch, s->lines);
    for (; line < end; line++) {
        size_t outer = line / s->inner, column = line % s->inner;
        size_t from = outer * s->n * s->inner + column, to = outer * s->k * s->inner + column;
        if (s->radix) {
            line_radix(s, (const float *)j->x->data + from, (float *)j->values + to, j->indices + to,
                       j->keys + (size_t)index * 2 * s->n);
            continue;
        }
        switch (j->x->dtype) {
#define CASE(dtype, name, T)                                                                                           \
    case dtype: line_##name(s, s->k, (const T *)j->x->data + from, (T *)j->values + to, j->indices + to); break;
            TN_EACH_NUMBER(CASE)
#undef CASE
        default: break;
        }
    }
}

static tn_status topk_run(tn_run *call) {
    const state *s = call->state;
    const tn_tensor *x = tn_in(call, 0), *k = tn_in(call, 1);
    tn_tensor *values = tn_out(call, 0), *indices = tn_out(call, 1);
    if (tn_count(k) != 1) return tn_fail(TN_E_SHAPE, "input 1 has %lld elements; expected one", (long long)tn_count(k));
    int64_t wanted = ((const int64_t *)k->data)[0];
    if (wanted < 0 || (uint64_t)wanted != s->k)
        return tn_fail(TN_E_INVALID, "k is %lld; the output was declared with %zu", (long long)wanted, s->k);
    uint8_t *scratch = call->scratch;
    int64_t *spare_indices = tn_scratch_take(&scratch, s->lines * s->k, sizeof(int64_t));
    void *spare_values = tn_scratch_take(&scratch, s->lines * s->k, sizeof(int64_t));
    if (s->lines * s->k == 0) return TN_OK;
    job j = {s, x, values ? values->data : spare_values, indices ? indices->data : spare_indices,
             (uint64_t *)(void *)scratch};
    tn_parallel(call->pool, (int64_t)s->tasks, topk_task, &j);
    return TN_OK;
}

const tn_op tn_ops_topk[] = {
    {.domain = "",
     .name = "TopK",
     .min_in = 2,
     .max_in = 2,
     .min_out = 2,
     .max_out = 2,
     .flags = TN_OP_WIDEN,
     .infer = topk_infer,
     .prepare = topk_prepare,
     .run = topk_run},
    {0},
};
