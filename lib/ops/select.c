/* NonZero, Compress: elements chosen by what they are; only run knows how many. */
#include "base/element.h"
#include "ops/data.h"

/* ---- NonZero ---- */

static tn_status infer_nonzero(tn_infer *call) {
    TN_TRY(tn_infer_tensor(call, 0));
    int rank = call->in[0]->rank;
    return tn_infer_out(call, 0, TN_INT64, 2, (int64_t[]){rank, -1});
}

enum { BLOCK = 512 };

typedef struct {
    float real, imaginary;
} complex64;
typedef struct {
    double real, imaginary;
} complex128;

/* flags[i] = element first + i is not zero. */
static void find_nonzero(const tn_tensor *x, int64_t first, size_t n, uint8_t *flags) {
    double reals[BLOCK];
    switch (x->dtype) {
#define FLAGS(T, test)                                                                                                 \
    for (size_t i = 0; i < n; i++) {                                                                                   \
        const T *e = (const T *)x->data + (size_t)first + i;                                                           \
        flags[i] = test;                                                                                               \
    }                                                                                                                  \
    return
    case TN_STRING: FLAGS(tn_string, e->size > 0);
    case TN_COMPLEX64: FLAGS(complex64, e->real != 0 || e->imaginary != 0);
    case TN_COMPLEX128: FLAGS(complex128, e->real != 0 || e->imaginary != 0);
    case TN_BOOL: FLAGS(uint8_t, *e != 0);
    case TN_FLOAT32: FLAGS(float, *e != 0);
    case TN_INT64: FLAGS(int64_t, *e != 0);
#undef FLAGS
    default: break;
    }
    tn_read_doubles(x->dtype, x->data, first, n, reals);
    for (size_t i = 0; i < n; i++) flags[i] = reals[i] != 0;
}

static tn_status run_nonzero(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0);
    int64_t count = tn_count(x), found = 0, at = 0;
    uint8_t flags[BLOCK];
    for (int64_t first = 0; first < count; first += BLOCK) {
        size_t n = (size_t)TN_MIN(count - first, (int64_t)BLOCK);
        find_nonzero(x, first, n, flags);
        for (size_t i = 0; i < n; i++) found += flags[i];
    }
    TN_TRY(tn_run_output(call, 0, TN_INT64, 2, (int64_t[]){x->rank, found}));
    if (!tn_out(call, 0)) return TN_OK;
    int64_t *y = tn_out(call, 0)->data;
    for (int64_t first = 0; first < count; first += BLOCK) {
        size_t n = (size_t)TN_MIN(count - first, (int64_t)BLOCK);
        find_nonzero(x, first, n, flags);
        for (size_t i = 0; i < n; i++) {
            if (!flags[i]) continue;
            int64_t rest = first + (int64_t)i;
            for (int axis = x->rank - 1; axis >= 0; axis--) {
                y[axis * found + at] = rest % x->dims[axis];
                rest /= x->dims[axis];
            }
            at++;
        }
    }
    return TN_OK;
}

/* ---- Compress ---- */

static tn_status infer_compress(tn_infer *call) {
    TN_TRY(tn_infer_tensor(call, 0));
    TN_TRY(tn_infer_dtype(call, 1, (const tn_dtype[]){TN_BOOL, TN_UNDEFINED}));
    const tn_type *x = call->in[0], *condition = call->in[1];
    int64_t dims[TN_MAX_RANK] = {-1};
    int axis;
    if (x->dtype && tn_dtype_bits(x->dtype) < 8)
        return tn_infer_fail(call, 0, TN_E_TYPE, "expected elements of whole bytes");
    if (condition->rank >= 0 && condition->rank != 1)
        return tn_infer_fail(call, 1, TN_E_SHAPE, "expected one dimension");
    if (!tn_node_attr(call->node, "axis")) return tn_infer_out(call, 0, x->dtype, 1, dims);
    if (x->rank < 0) return tn_infer_out(call, 0, x->dtype, -1, NULL);
    TN_TRY(tn_infer_axis(call, tn_attr_int(call->node, "axis", 0), x->rank, &axis));
    memcpy(dims, x->dims, sizeof dims);
    dims[axis] = -1;
    return tn_infer_out(call, 0, x->dtype, x->rank, dims);
}

static tn_status prepare_compress(tn_prepare *call) {
    int *axis = tn_prepare_alloc(call, sizeof *axis);
    if (!axis) return TN_E_MEMORY;
    call->state = axis;
    *axis = -1; /* the input counts as flat */
    if (!tn_node_attr(call->node, "axis")) return TN_OK;
    return tn_infer_axis(NULL, tn_attr_int(call->node, "axis", 0), call->in[0]->rank, axis);
}

static tn_status run_compress(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0), *condition = tn_in(call, 1);
    const uint8_t *wanted = condition->data;
    int axis = *(const int *)call->state, rank = axis < 0 ? 1 : x->rank;
    int64_t dims[TN_MAX_RANK], kept = 0, tests = tn_count(condition);
    int64_t size = axis < 0 ? tn_count(x) : x->dims[axis], outer = tn_dims_span(x->dims, 0, TN_MAX(axis, 0));
    int64_t inner = axis < 0 ? 1 : tn_dims_span(x->dims, axis + 1, x->rank);
    for (int64_t i = 0; i < tests; i++) {
        if (wanted[i] && i >= size)
            return tn_fail(TN_E_SHAPE, "the condition wants element %lld of %lld", (long long)i, (long long)size);
        kept += wanted[i] != 0;
    }
    if (axis >= 0) memcpy(dims, x->dims, sizeof dims);
    dims[TN_MAX(axis, 0)] = kept;
    TN_TRY(tn_run_output(call, 0, x->dtype, rank, dims));
    if (!tn_out(call, 0)) return TN_OK;
    size_t bytes = (size_t)inner * (tn_dtype_bits(x->dtype) / 8);
    char *y = tn_out(call, 0)->data;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < TN_MIN(tests, size); i++)
            if (wanted[i]) {
                memcpy(y, (const char *)x->data + (size_t)(o * size + i) * bytes, bytes);
                y += bytes;
            }
    return TN_OK;
}

const tn_op tn_ops_select[] = {
    {.domain = "",
     .name = "NonZero",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = infer_nonzero,
     .run = run_nonzero},
    {.domain = "",
     .name = "Compress",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .infer = infer_compress,
     .prepare = prepare_compress,
     .run = run_compress},
    {0},
};
