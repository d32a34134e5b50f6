/* com.microsoft SkipLayerNormalization, SkipSimplifiedLayerNormalization and EmbedLayerNormalization: sums of rows (an
 * input, what skipped past it, a bias; or embeddings looked up) and their layer normalisation, row by row while the sum
 * is in cache. */
#include "ops/norm.h"

typedef struct state {
    bool rms;
    float epsilon;
    size_t rows, n, batch, skip_rows; /* skip repeats after skip_rows rows */
} state;

typedef struct job {
    const state *s;
    const tn_kernels *kernels;
    const float *x, *skip, *gamma, *beta, *bias;
    float *y, *sum, *mean, *inverse;
} job;

static const tn_dtype singles[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};

static bool is_rms(const tn_node *node) {
    return strcmp(node->op->name, "SkipSimplifiedLayerNormalization") == 0;
}

static tn_status check_row(const tn_infer *call, int in, int64_t n) {
    if (!tn_infer_has(call, in)) return TN_OK;
    TN_TRY(tn_infer_dtype(call, in, singles));
    const tn_type *p = call->in[in];
    if (p->rank >= 0 && p->rank != 1) return tn_infer_fail(call, in, TN_E_SHAPE, "expected one dimension");
    if (p->rank == 1 && p->dims[0] >= 0 && n >= 0 && p->dims[0] != n)
        return tn_infer_fail(call, in, TN_E_SHAPE, "expected %lld elements", (long long)n);
    return TN_OK;
}

static tn_status skip_infer(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, singles));
    TN_TRY(tn_infer_dtype(call, 1, singles));
    const tn_type *x = call->in[0], *skip = call->in[1];
    if (x->rank == 0) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [batch, sequence, hidden]");
    if (x->rank > 0 && skip->rank >= 0) {
        /* x's shape, but for outer dims that are missing or 1. */
        bool same = skip->rank <= x->rank && skip->rank > 0, leading = true;
        for (int i = 0; same && i < skip->rank; i++) {
            int64_t a = skip->dims[i], b = x->dims[x->rank - skip->rank + i];
            leading = leading && a == 1;
            same = a < 0 || b < 0 || a == b || (leading && i < skip->rank - 1);
        }
        if (!same) return tn_infer_fail(call, 1, TN_E_SHAPE, "it does not repeat to input 0's shape");
    }
    int64_t n = x->rank > 0 ? x->dims[x->rank - 1] : -1;
    for (int i = 2; i < call->in_count; i++) TN_TRY(check_row(call, i, n));
    int64_t dims[TN_MAX_RANK];
    for (int i = 0; i < x->rank; i++) dims[i] = i < x->rank - 1 ? x->dims[i] : 1;
    for (int i = 1; i < TN_MIN(call->out_count, 3); i++) TN_TRY(tn_infer_out(call, i, TN_FLOAT32, x->rank, dims));
    TN_TRY(tn_infer_same(call, 3, 0));
    return tn_infer_same(call, 0, 0);
}

static tn_status skip_prepare(tn_prepare *call) {
    const tn_type *x = call->in[0];
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->rms = is_rms(call->node);
    s->epsilon = tn_attr_float(call->node, "epsilon", 1e-12f);
    s->n = (size_t)x->dims[x->rank - 1];
    s->rows = 1;
    for (int i = 0; i < x->rank - 1; i++) s->rows *= (size_t)x->dims[i];
    s->skip_rows = s->n ? (size_t)tn_type_count(call->in[1]) / s->n : 1;
    s->batch = TN_MAX(TN_NORM_TASK / TN_MAX(s->n, 1), 1);
    return TN_OK;
}

static void normalize(const job *j, size_t row, float *sum) {
    const state *s = j->s;
    float *y = j->y + row * s->n, *inverse = j->inverse ? j->inverse + row : NULL;
    if (s->rms)
        j->kernels->rows_rms_norm_f32(y, sum, 1, s->n, j->gamma, s->epsilon, inverse);
    else
        j->kernels->rows_layer_norm_f32(y, sum, 1, s->n, j->gamma, j->beta, s->epsilon, j->mean ? j->mean + row : NULL,
                                        inverse);
}

static void skip_task(void *context, int64_t index) {
    const job *j = context;
    const state *s = j->s;
    size_t row = (size_t)index * s->batch, end = TN_MIN(row + s->batch, s->rows);
    for (; row < end; row++) {
        float *sum = (j->sum ? j->sum : j->y) + row * s->n;
        j->kernels->add_f32(1, s->n, sum, j->x + row * s->n, 0, 1, j->skip + row % s->skip_rows * s->n, 0, 1);
        if (j->bias) j->kernels->add_f32(1, s->n, sum, sum, 0, 1, j->bias, 0, 1);
        normalize(j, row, sum);
    }
}

static float *data_of(const tn_tensor *t) {
    return t ? t->data : NULL;
}

static tn_status skip_run(tn_run *call) {
    const state *s = call->state;
    int bias = s->rms ? 3 : 4;
    job j = {.s = s,
             .kernels = call->kernels,
             .x = data_of(tn_in(call, 0)),
             .skip = data_of(tn_in(call, 1)),
             .gamma = data_of(tn_in(call, 2)),
             .beta = s->rms ? NULL : data_of(tn_in(call, 3)),
             .bias = data_of(tn_in(call, bias)),
             .y = data_of(tn_out(call, 0)),
             .mean = data_of(tn_out(call, 1)),
             .inverse = data_of(tn_out(call, 2)),
             .sum = data_of(tn_out(call, 3))};
    if (s->rows == 0 || s->n == 0) return TN_OK;
    if (!j.y) return tn_fail(TN_E_UNSUPPORTED, "output 0 is not wanted");
    tn_parallel(call->pool, (int64_t)((s->rows + s->batch - 1) / s->batch), skip_task, &j);
    return TN_OK;
}

/* ---- EmbedLayerNormalization ---- */
enum { IDS, SEGMENT_IDS, WORDS, POSITIONS, SEGMENTS, GAMMA, BETA, MASK, POSITION_IDS };

static tn_status embed_infer(tn_infer *call) {
    static const tn_dtype ids[] = {TN_INT32, TN_UNDEFINED};
    static const int required[] = {IDS, WORDS, POSITIONS, GAMMA, BETA};
    for (size_t i = 0; i < TN_COUNT(required); i++)
        if (!tn_infer_has(call, required[i])) return tn_infer_fail(call, required[i], TN_E_INVALID, "it is required");
    const tn_type *in = call->in[IDS];
    int64_t n = call->in[WORDS]->rank == 2 ? call->in[WORDS]->dims[1] : -1;
    for (int i = 0; i < call->in_count; i++) {
        if (!tn_infer_has(call, i)) continue;
        bool is_ids = i == IDS || i == SEGMENT_IDS || i == MASK || i == POSITION_IDS;
        const tn_type *p = call->in[i];
        if (i == GAMMA || i == BETA) {
            TN_TRY(check_row(call, i, n));
            continue;
        }
        TN_TRY(tn_infer_dtype(call, i, is_ids ? ids : singles));
        if (p->rank >= 0 && p->rank != 2) return tn_infer_fail(call, i, TN_E_SHAPE, "expected two dimensions");
        if (p->rank != 2) continue;
        if (!is_ids && n >= 0 && p->dims[1] >= 0 && p->dims[1] != n)
            return tn_infer_fail(call, i, TN_E_SHAPE, "expected rows of %lld", (long long)n);
        for (int k = 0; is_ids && in->rank == 2 && k < 2; k++)
            if (p->dims[k] >= 0 && in->dims[k] >= 0 && p->dims[k] != in->dims[k] &&
                !(i == POSITION_IDS && k == 0 && p->dims[k] == 1))
                return tn_infer_fail(call, i, TN_E_SHAPE, "it differs from the shape of input 0");
    }
    if (tn_infer_has(call, SEGMENT_IDS) != tn_infer_has(call, SEGMENTS))
        return tn_fail(TN_E_INVALID, "inputs 1 and 4 (segments) come together or not at all");
    int64_t dims[3] = {in->rank == 2 ? in->dims[0] : -1, in->rank == 2 ? in->dims[1] : -1, n};
    TN_TRY(tn_infer_out(call, 1, TN_INT32, 1, dims));
    TN_TRY(tn_infer_out(call, 2, call->in[WORDS]->dtype, 3, dims));
    return tn_infer_out(call, 0, call->in[WORDS]->dtype, 3, dims);
}

static tn_status embed_prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->epsilon = tn_attr_float(call->node, "epsilon", 1e-12f);
    s->rows = (size_t)tn_type_count(call->in[IDS]);
    s->n = (size_t)call->in[WORDS]->dims[1];
    return TN_OK;
}

/* Adds (or, first, copies) the row that ids[at] names. */
static tn_status look_up(tn_run *call, float *sum, int table, int ids, int64_t index) {
    const tn_tensor *t = tn_in(call, table);
    if (index < 0 || index >= t->dims[0])
        return tn_fail(TN_E_INVALID, "input %d names row %lld; input %d has %lld rows", ids, (long long)index, table,
                       (long long)t->dims[0]);
    size_t n = (size_t)t->dims[1];
    const float *row = (const float *)t->data + (size_t)index * n;
    if (table == WORDS)
        memcpy(sum, row, n * sizeof *row);
    else
        call->kernels->add_f32(1, n, sum, sum, 0, 1, row, 0, 1);
    return TN_OK;
}

static tn_status embed_run(tn_run *call) {
    const state *s = call->state;
    const tn_tensor *ids = tn_in(call, IDS), *segments = tn_in(call, SEGMENT_IDS), *mask = tn_in(call, MASK);
    const tn_tensor *positions = tn_in(call, POSITION_IDS);
    tn_tensor *mask_index = tn_out(call, 1);
    size_t sequence = (size_t)ids->dims[1];
    job j = {.s = s,
             .kernels = call->kernels,
             .gamma = data_of(tn_in(call, GAMMA)),
             .beta = data_of(tn_in(call, BETA)),
             .y = data_of(tn_out(call, 0)),
             .sum = data_of(tn_out(call, 2))};
    if (!j.y) return tn_fail(TN_E_UNSUPPORTED, "output 0 is not wanted");
    for (size_t i = 0; mask_index && i < (size_t)ids->dims[0]; i++) {
        int32_t count = 0;
        for (size_t k = 0; mask && k < sequence; k++) count += ((const int32_t *)mask->data)[i * sequence + k] == 1;
        ((int32_t *)mask_index->data)[i] = count;
    }
    for (size_t r = 0; r < s->rows; r++) {
        float *sum = (j.sum ? j.sum : j.y) + r * s->n;
        size_t at = positions ? r % (size_t)tn_count(positions) : 0;
        int64_t position = positions ? ((const int32_t *)positions->data)[at] : (int64_t)(r % sequence);
        TN_TRY(look_up(call, sum, WORDS, IDS, ((const int32_t *)ids->data)[r]));
        TN_TRY(look_up(call, sum, POSITIONS, POSITION_IDS, position));
        if (segments) TN_TRY(look_up(call, sum, SEGMENTS, SEGMENT_IDS, ((const int32_t *)segments->data)[r]));
        normalize(&j, r, sum);
    }
    return TN_OK;
}

#define SKIP_OP(name_, most_in)                                                                                        \
    {                                                                                                                  \
        .domain = "com.microsoft", .name = name_, .min_in = 3, .max_in = most_in, .min_out = 1, .max_out = 4,          \
        .flags = TN_OP_WIDEN, .infer = skip_infer, .prepare = skip_prepare, .run = skip_run                            \
    }

const tn_op tn_ops_skip_norm[] = {
    SKIP_OP("SkipLayerNormalization", 5),
    SKIP_OP("SkipSimplifiedLayerNormalization", 4),
    {.domain = "com.microsoft",
     .name = "EmbedLayerNormalization",
     .min_in = 1,
     .max_in = 9,
     .min_out = 1,
     .max_out = 3,
     .flags = TN_OP_WIDEN,
     .infer = embed_infer,
     .prepare = embed_prepare,
     .run = embed_run},
    {0},
};
