/* LayerNormGrad, of the domain `tenon`: gradients of LayerNormalization over the last axis, float32, from dy and x [..., n]
 * and the scale [n]: by x, by the scale and by the bias. The last two are sums over all rows; parts of so many rows have
 * sums of their own, which do not depend on how many threads there are, and are added up in their order. */
#include "ops/data.h"
#include "ops/scratch.h"

enum { ROWS = 64 };

typedef struct state {
    int64_t rows, n, parts;
    double epsilon;
} state;

typedef struct job {
    const state *s;
    const tn_kernels *kernels;
    const float *dy, *x, *scale;
    float *dx;   /* NULL: not wanted */
    float *sums; /* of each part: by scale, by bias, and a row of dx where that is not wanted */
} job;

static tn_status infer(tn_infer *call) {
    static const tn_dtype reals[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};
    const tn_type *x = call->in[1], *scale = call->in[2];
    for (int i = 0; i < 3; i++) TN_TRY(tn_infer_dtype(call, i, reals));
    for (int i = 1; i < 3; i++) TN_TRY(tn_infer_equal_dtype(call, 0, i));
    if (x->rank == 0) return tn_infer_fail(call, 1, TN_E_SHAPE, "expected an axis");
    TN_TRY(tn_infer_fits(call, 0, 1));
    if (scale->rank >= 0 && (scale->rank != 1 || (x->rank > 0 && !tn_dim_fits(scale->dims[0], x->dims[x->rank - 1]))))
        return tn_infer_fail(call, 2, TN_E_SHAPE, "expected the size of input 1's last axis");
    TN_TRY(tn_infer_same(call, 0, 1));
    for (int i = 1; i < call->out_count; i++) TN_TRY(tn_infer_same(call, i, 2));
    return TN_OK;
}

static tn_status prepare(tn_prepare *call) {
    const tn_type *x = call->in[1];
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->n = x->dims[x->rank - 1];
    s->rows = tn_dims_span(x->dims, 0, x->rank - 1);
    s->parts = (s->rows + ROWS - 1) / ROWS;
    s->epsilon = (double)tn_attr_float(call->node, "epsilon", 1e-5f);
    return tn_scratch_add(&call->scratch, (size_t)s->parts * 3 * (size_t)s->n, sizeof(float))
               ? TN_OK
               : tn_fail(TN_E_LIMIT, "it needs too much memory");
}

static void one_part(void *context, int64_t part) {
    const job *j = context;
    const int64_t n = j->s->n, last = TN_MIN((part + 1) * ROWS, j->s->rows);
    float *by_scale = j->sums + part * 3 * n, *unwanted = by_scale + 2 * n;
    memset(by_scale, 0, (size_t)(2 * n) * sizeof *by_scale);
    for (int64_t r = part * ROWS; r < last; r++)
        j->kernels->layer_norm_grad_f32((size_t)n, j->dy + r * n, j->x + r * n, j->scale, j->s->epsilon,
                                        j->dx ? j->dx + r * n : unwanted, by_scale, by_scale + n);
}

static tn_status run(tn_run *call) {
    const state *s = call->state;
    job j = {.s = s,
             .kernels = call->kernels,
             .dy = tn_in(call, 0)->data,
             .x = tn_in(call, 1)->data,
             .scale = tn_in(call, 2)->data,
             .sums = call->scratch};
    if (tn_out(call, 0)) j.dx = tn_out(call, 0)->data;
    if (s->n) tn_parallel(call->pool, s->parts, one_part, &j);
    for (int which = 0; which < 2 && which + 1 < call->out_count; which++) {
        tn_tensor *out = tn_out(call, 1 + which);
        for (int64_t i = 0; out && i < s->n; i++) {
            double sum = 0;
            for (int64_t p = 0; p < s->parts; p++) sum += (double)j.sums[(3 * p + which) * s->n + i];
            ((float *)out->data)[i] = (float)sum;
        }
    }
    return TN_OK;
}

const tn_op tn_ops_layer_norm_grad[] = {
    {.domain = "tenon",
     .name = "LayerNormGrad",
     .min_in = 3,
     .max_in = 3,
     .min_out = 1,
     .max_out = 3,
     .flags = TN_OP_WIDEN,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
