/* MaxUnpool: elements go back to where MaxPool found them, all else is 0. */
#include "ops/data.h"
#include "ops/window.h"

typedef struct state {
    int64_t dims[TN_MAX_RANK], count; /* that the attributes give, and their product */
} state;

/* The output's dims by the attributes; unknown where the input's are. */
static tn_status natural_dims(const tn_node *node, const tn_type *x, int64_t *dims) {
    tn_window w;
    TN_TRY(tn_window_attributes(&w, node, x->rank - 2, NULL));
    for (int i = 0; i < x->rank; i++) {
        dims[i] = i < 2 ? x->dims[i] : -1;
        if (i < 2 || x->dims[i] < 0) continue;
        int64_t size, stride = w.stride[i - 2];
        if (__builtin_mul_overflow(x->dims[i] - 1, stride, &size) || size > INT64_MAX / 2)
            return tn_fail(TN_E_SHAPE, "dimension %d of the output would be too large", i);
        dims[i] = size + w.kernel[i - 2] - w.pad_begin[i - 2] - w.pad_end[i - 2];
        if (dims[i] < 0) return tn_fail(TN_E_SHAPE, "padding leaves nothing of axis %d", i);
    }
    return TN_OK;
}

static tn_status unpool_infer(tn_infer *call) {
    const tn_type *x = call->in[0], *indices = call->in[1];
    int64_t dims[TN_MAX_RANK];
    size_t count = 0;
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    TN_TRY(tn_infer_dtype(call, 1, (const tn_dtype[]){TN_INT64, TN_UNDEFINED}));
    if (x->rank < 0) return tn_infer_out(call, 0, x->dtype, -1, NULL);
    if (x->rank < 3) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [N, C, ...]");
    if (indices->rank >= 0) {
        bool same = indices->rank == x->rank;
        for (int i = 0; same && i < x->rank; i++) same = tn_dim_fits(indices->dims[i], x->dims[i]);
        if (!same) return tn_infer_fail(call, 1, TN_E_SHAPE, "it differs from the shape of input 0");
    }
    TN_TRY(natural_dims(call->node, x, dims));
    if (tn_infer_has(call, 2)) {
        int64_t given = -1;
        TN_TRY(tn_infer_list(call, 2, &given));
        if (given >= 0 && given != x->rank)
            return tn_infer_fail(call, 2, TN_E_SHAPE, "expected a shape of %d dimensions", x->rank);
        bool known = tn_infer_ints(call, 2, dims, TN_MAX_RANK, &count);
        for (int i = 0; i < x->rank; i++) {
            if (!known) dims[i] = -1;
            if (known && dims[i] < 0) return tn_infer_fail(call, 2, TN_E_INVALID, "dimension %d is negative", i);
        }
        return tn_infer_out(call, 0, x->dtype, x->rank, dims);
    }
    return tn_infer_out(call, 0, x->dtype, x->rank, dims);
}

static tn_status unpool_prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    TN_TRY(natural_dims(call->node, call->in[0], s->dims));
    s->count = tn_dims_count(call->in[0]->rank, s->dims);
    return TN_OK;
}

/* Indices are of the shape that the attributes give, whatever output_shape says; that one only puts zeros around it. */
static tn_status unpool_run(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0), *indices = tn_in(call, 1);
    const state *s = call->state;
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    size_t size = tn_dtype_bits(x->dtype) / 8;
    int64_t count = tn_count(x), room = tn_count(y);
    if (room) memset(y->data, 0, (size_t)room * size);
    for (int64_t i = 0; i < count; i++) {
        int64_t index = ((const int64_t *)indices->data)[i], rest = index, to = 0, stride = 1;
        if (index < 0 || index >= s->count)
            return tn_fail(TN_E_INVALID, "input 1 holds the index %lld, outside of [0, %lld)", (long long)index,
                           (long long)s->count);
        bool inside = true;
        for (int k = x->rank - 1; k >= 0; k--) {
            int64_t at = rest % s->dims[k];
            rest /= s->dims[k];
            inside = inside && at < y->dims[k];
            to += at * stride;
            stride *= y->dims[k];
        }
        if (inside) memcpy((char *)y->data + (size_t)to * size, (const char *)x->data + (size_t)i * size, size);
    }
    return TN_OK;
}

const tn_op tn_ops_unpool[] = {
    {.domain = "",
     .name = "MaxUnpool",
     .min_in = 2,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .infer = unpool_infer,
     .prepare = unpool_prepare,
     .run = unpool_run},
    {0},
};
