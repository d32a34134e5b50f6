/* Unique: the different elements, or slices along an axis, with where each is first, which one each element is, and how
 * often it occurs.
 *
 * Items are sorted by a stable merge sort of their numbers, so that the first of a run of equal ones is the first in
 * the input; for sorted = 0 the runs are then put in the order of those. NaNs are one value, the last. */
#include "base/element.h"
#include "ops/data.h"

typedef struct {
    bool flat, sorted;
    int axis;
} unique_state;

static tn_status infer_unique(tn_infer *call) {
    TN_TRY(tn_infer_tensor(call, 0));
    const tn_type *x = call->in[0];
    const int64_t unknown = -1;
    int64_t items = -1;
    if (x->dtype && (tn_dtype_bits(x->dtype) < 8 || x->dtype == TN_COMPLEX64 || x->dtype == TN_COMPLEX128))
        return tn_infer_fail(call, 0, TN_E_TYPE, "there is no order of such elements");
    if (!tn_node_attr(call->node, "axis")) {
        TN_TRY(tn_infer_out(call, 0, x->dtype, 1, &unknown));
        if (x->rank >= 0) items = tn_dims_count(x->rank, x->dims);
    } else if (x->rank >= 0) {
        int64_t dims[TN_MAX_RANK];
        int axis;
        TN_TRY(tn_infer_axis(call, tn_attr_int(call->node, "axis", 0), x->rank, &axis));
        memcpy(dims, x->dims, sizeof dims);
        items = dims[axis];
        dims[axis] = -1;
        TN_TRY(tn_infer_out(call, 0, x->dtype, x->rank, dims));
    } else {
        TN_TRY(tn_infer_out(call, 0, x->dtype, -1, NULL));
    }
    for (int out = 1; out < call->out_count; out++)
        TN_TRY(tn_infer_out(call, out, TN_INT64, 1, out == 2 ? &items : &unknown));
    return TN_OK;
}

static tn_status prepare_unique(tn_prepare *call) {
    unique_state *s = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    call->state = s;
    s->flat = !tn_node_attr(call->node, "axis");
    s->sorted = tn_attr_int(call->node, "sorted", 1) != 0;
    if (!s->flat) TN_TRY(tn_infer_axis(NULL, tn_attr_int(call->node, "axis", 0), call->in[0]->rank, &s->axis));
    int64_t items = s->flat ? tn_type_count(call->in[0]) : call->in[0]->dims[s->axis];
    if (!tn_mul_size((size_t)items + 1, 3 * sizeof(int64_t), &call->scratch))
        return tn_fail(TN_E_LIMIT, "%lld items are too many", (long long)items);
    return TN_OK;
}

typedef struct {
    const tn_tensor *x;
    int64_t items, outer, inner; /* item i: elements [o, i, k] for all o and k */
} item_set;

static int compare_elements(const tn_tensor *x, int64_t i, int64_t k) {
    if (x->dtype == TN_STRING) {
        tn_string a = ((const tn_string *)x->data)[i], b = ((const tn_string *)x->data)[k];
        size_t common = TN_MIN(a.size, b.size);
        int order = common ? memcmp(a.data, b.data, common) : 0;
        return order ? order : (a.size > b.size) - (a.size < b.size);
    }
    if (tn_dtype_is_float(x->dtype)) {
        double a = tn_get_double(x->dtype, x->data, i), b = tn_get_double(x->dtype, x->data, k);
        if (a != a || b != b) return (a != a) - (b != b);
        return (a > b) - (a < b);
    }
    int64_t a = tn_get_int(x->dtype, x->data, i), b = tn_get_int(x->dtype, x->data, k);
    if (x->dtype == TN_UINT64) return ((uint64_t)a > (uint64_t)b) - ((uint64_t)a < (uint64_t)b);
    return (a > b) - (a < b);
}

static int compare_items(const item_set *set, int64_t i, int64_t k) {
    for (int64_t o = 0; o < set->outer; o++)
        for (int64_t e = 0; e < set->inner; e++) {
            int order =
                compare_elements(set->x, (o * set->items + i) * set->inner + e, (o * set->items + k) * set->inner + e);
            if (order) return order;
        }
    return 0;
}

/* Sorts item numbers from the bottom up, runs of 1, 2, 4...; returns which of the two buffers they end in. */
static int64_t *sort_items(const item_set *set, int64_t *from, int64_t *to) {
    int64_t n = set->items;
    for (int64_t i = 0; i < n; i++) from[i] = i;
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t low = 0; low < n; low += 2 * width) {
            int64_t middle = TN_MIN(low + width, n), high = TN_MIN(low + 2 * width, n);
            for (int64_t a = low, b = middle, at = low; at < high; at++)
                to[at] = b == high || (a < middle && compare_items(set, from[a], from[b]) <= 0) ? from[a++] : from[b++];
        }
        int64_t *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

static tn_status run_unique(tn_run *call) {
    const unique_state *s = call->state;
    const tn_tensor *x = tn_in(call, 0);
    item_set set = {x, tn_count(x), 1, 1};
    if (!s->flat) {
        set.items = x->dims[s->axis];
        set.outer = tn_dims_span(x->dims, 0, s->axis);
        set.inner = tn_dims_span(x->dims, s->axis + 1, x->rank);
    }
    int64_t n = set.items, groups = 0, *spare = call->scratch, *group_of = spare + 2 * n;
    int64_t *order = sort_items(&set, spare, spare + n);
    spare = order == spare ? spare + n : spare;
    /* group_of[item], in sorted order; spare[group]: its first item. */
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || compare_items(&set, order[i - 1], order[i])) spare[groups++] = order[i];
        group_of[order[i]] = groups - 1;
    }
    if (!s->sorted) {
        /* Groups get numbers as their first items come by; order[] is free now and holds group -> new number. */
        int64_t next = 0;
        for (int64_t i = 0; i < n; i++)
            if (spare[group_of[i]] == i) order[group_of[i]] = next++;
        for (int64_t i = 0; i < n; i++) group_of[i] = order[group_of[i]];
        for (int64_t i = n - 1; i >= 0; i--) spare[group_of[i]] = i;
    }
    int64_t dims[TN_MAX_RANK] = {groups};
    if (!s->flat) {
        memcpy(dims, x->dims, sizeof dims);
        dims[s->axis] = groups;
    }
    TN_TRY(tn_run_output(call, 0, x->dtype, s->flat ? 1 : x->rank, dims));
    TN_TRY(tn_run_output(call, 1, TN_INT64, 1, &groups));
    TN_TRY(tn_run_output(call, 2, TN_INT64, 1, &n));
    TN_TRY(tn_run_output(call, 3, TN_INT64, 1, &groups));
    size_t bytes = (size_t)set.inner * (tn_dtype_bits(x->dtype) / 8);
    for (int64_t o = 0; tn_out(call, 0) && o < set.outer; o++)
        for (int64_t g = 0; g < groups; g++)
            memcpy((char *)tn_out(call, 0)->data + (size_t)(o * groups + g) * bytes,
                   (const char *)x->data + (size_t)(o * n + spare[g]) * bytes, bytes);
    if (tn_out(call, 1)) memcpy(tn_out(call, 1)->data, spare, (size_t)groups * sizeof *spare);
    if (tn_out(call, 2)) memcpy(tn_out(call, 2)->data, group_of, (size_t)n * sizeof *group_of);
    if (tn_out(call, 3)) {
        int64_t *counts = tn_out(call, 3)->data;
        memset(counts, 0, (size_t)groups * sizeof *counts);
        for (int64_t i = 0; i < n; i++) counts[group_of[i]]++;
    }
    return TN_OK;
}

const tn_op tn_ops_unique[] = {
    {.domain = "",
     .name = "Unique",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 4,
     .infer = infer_unique,
     .prepare = prepare_unique,
     .run = run_unique},
    {0},
};
