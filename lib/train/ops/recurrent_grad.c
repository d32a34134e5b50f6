/* LSTMGrad, GRUGrad and RNNGrad, of the domain `tenon`: back over the steps of one direction of a layer.
 *
 * Inputs: the gates before their activations [T * N, G * H], which one product for all steps has made of X and of the
 * states before each step; those states [T, N, H]; R [G * H, H]; the gradients of all states [T, N, H] and of the last one
 * [N, H] (either may be absent); of LSTM's last cell [N, H], or of GRU the products of its states with R [T * N, 3 H]
 * (linear_before_reset); LSTM's first cell [N, H]. Outputs: the gradient by the gates, by the first state, by LSTM's first
 * cell or by GRU's products. Attributes: reverse (the last step of T comes first), linear_before_reset, activation (of RNN:
 * Tanh or Relu). What is left, the gradients of X, W, R and B, are products of matrices for all steps at once.
 *
 * (Werbos, "Backpropagation through time: what it does and how to do it", 1990.) */
#include <math.h>
#include "kernels/product.h"
#include "kernels/product_f64.h"
#include "ops/data.h"
#include "ops/scratch.h"

typedef enum cell { RNN, GRU, LSTM } cell;
enum { GATES, STATES, WEIGHTS, BY_STATES, BY_LAST, EXTRA, FIRST_CELL };
enum { TASK_ROWS = 16 }; /* of the batch; of a task at most */

typedef struct state {
    cell cell;
    bool reverse, reset_last, relu, wide;
    int64_t gates, seq, batch, hidden, tasks;
    tn_product products[2][2]; /* of both parts of a step, with the rows of a task rounded up, and down */
    size_t a_bytes, buffer_bytes, b_bytes[2];
} state;

typedef struct task_memory {
    void *dh, *dc, *through, *packed, *buffer;
} task_memory;

typedef struct job {
    const state *s;
    const tn_kernels *kernels;
    const tn_tensor *h, *weights, *dy, *by_last_h, *by_last_c, *hidden, *first_cell;
    tn_tensor *gates, *by_first_h, *by_first_c;
    void *d_hidden, *cells, *zeros;
    float *packed[2];
    uint8_t *memory;
    size_t each; /* bytes of a task */
} job;

static int64_t time_of(const state *s, int64_t step) {
    return s->reverse ? s->seq - 1 - step : step;
}

static cell cell_of(const tn_node *node) {
    return node->op->name[0] == 'L' ? LSTM : node->op->name[0] == 'G' ? GRU : RNN;
}

static tn_status expect(const tn_infer *call, int in, int rank, const int64_t *dims) {
    if (!tn_infer_has(call, in)) return TN_OK;
    const tn_type *t = call->in[in];
    TN_TRY(tn_infer_equal_dtype(call, 0, in));
    bool fits = t->rank < 0 || t->rank == rank;
    for (int i = 0; fits && i < t->rank; i++) fits = tn_dim_fits(t->dims[i], dims[i]);
    char text[160];
    return fits ? TN_OK
                : tn_infer_fail(call, in, TN_E_SHAPE, "expected %s",
                                tn_shape_text(text, sizeof text, TN_UNDEFINED, rank, dims));
}

static tn_status infer(tn_infer *call) {
    static const tn_dtype reals[] = {TN_FLOAT32, TN_FLOAT64, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};
    const cell kind = cell_of(call->node);
    TN_TRY(tn_infer_dtype(call, GATES, reals));
    const tn_type *h = call->in[STATES];
    if (h->rank >= 0 && h->rank != 3) return tn_infer_fail(call, STATES, TN_E_SHAPE, "expected [T, N, H]");
    int64_t seq = h->rank < 0 ? -1 : h->dims[0], batch = h->rank < 0 ? -1 : h->dims[1];
    int64_t hidden = h->rank < 0 ? -1 : h->dims[2], width = -1, rows = -1;
    if (hidden >= 0 && __builtin_mul_overflow(hidden, kind == LSTM ? 4 : kind == GRU ? 3 : 1, &width))
        return tn_infer_fail(call, STATES, TN_E_SHAPE, "it is too large");
    if (seq >= 0 && batch >= 0 && __builtin_mul_overflow(seq, batch, &rows))
        return tn_infer_fail(call, STATES, TN_E_SHAPE, "it is too large");
    const int64_t gates[] = {rows, width}, states[] = {seq, batch, hidden}, weights[] = {width, hidden};
    const int64_t last[] = {batch, hidden};
    TN_TRY(expect(call, GATES, 2, gates));
    TN_TRY(expect(call, STATES, 3, states));
    TN_TRY(expect(call, WEIGHTS, 2, weights));
    TN_TRY(expect(call, BY_STATES, 3, states));
    TN_TRY(expect(call, BY_LAST, 2, last));
    TN_TRY(expect(call, EXTRA, 2, kind == GRU ? gates : last));
    TN_TRY(expect(call, FIRST_CELL, 2, last));
    if (kind == GRU && tn_attr_int(call->node, "linear_before_reset", 0) != 0 && !tn_infer_has(call, EXTRA))
        return tn_fail(TN_E_FORMAT, "input %d, the products of the states, is absent", EXTRA);
    TN_TRY(tn_infer_same(call, 0, GATES));
    for (int i = 1; i < call->out_count; i++)
        TN_TRY(i == 2 && kind == GRU ? tn_infer_same(call, i, GATES)
                                     : tn_infer_out(call, i, call->in[GATES]->dtype, 2, last));
    return TN_OK;
}

static int64_t task_start(const state *s, int64_t task) {
    return tn_task_start(s->batch, s->tasks, task);
}

static size_t rounded(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

static tn_status prepare(tn_prepare *call) {
    const tn_type *h = call->in[STATES];
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->cell = cell_of(call->node);
    s->wide = h->dtype == TN_FLOAT64;
    s->reverse = tn_attr_int(call->node, "reverse", 0) != 0;
    s->reset_last = s->cell == GRU && tn_attr_int(call->node, "linear_before_reset", 0) != 0;
    s->relu = strcmp(tn_attr_text(call->node, "activation", "Tanh"), "Relu") == 0;
    s->gates = s->cell == LSTM ? 4 : s->cell == GRU ? 3 : 1;
    s->seq = h->dims[0];
    s->batch = h->dims[1];
    s->hidden = h->dims[2];
    s->tasks = TN_MAX((s->batch + TASK_ROWS - 1) / TASK_ROWS, 1);
    const size_t n = (size_t)s->hidden, size = s->wide ? sizeof(double) : sizeof(float);
    const size_t most = (size_t)((s->batch + s->tasks - 1) / s->tasks), least = (size_t)(s->batch / s->tasks);
    s->buffer_bytes = rounded(tn_product_f64_buffer(call->kernels) * sizeof(double));
    for (int part = 0; part < 2 && !s->wide; part++) {
        bool apart = s->cell == GRU && !s->reset_last;
        size_t k = n * (size_t)(!apart ? (part ? 0 : s->gates) : part ? 1 : 2);
        for (int low = 0; low < 2 && k; low++) {
            tn_product *p = &s->products[part][low];
            tn_product_plan_threads(p, call->kernels, 1, low ? least : most, n, k, 1, 1);
            s->buffer_bytes = TN_MAX(s->buffer_bytes, rounded(tn_product_buffer_bytes(p)));
            s->a_bytes = TN_MAX(s->a_bytes, rounded(tn_product_a_bytes(p)));
            s->b_bytes[part] = TN_MAX(s->b_bytes[part], rounded(tn_product_b_bytes(p)));
        }
    }
    size_t all = 0, elements;
    bool fits = tn_mul_size((size_t)(s->seq * s->batch), n, &elements) && n < SIZE_MAX / 64 / TASK_ROWS &&
                (s->cell != LSTM || tn_scratch_add(&all, elements, size)) && tn_scratch_add(&all, n, size) &&
                (!s->reset_last || (tn_mul_size(elements, 3, &elements) && tn_scratch_add(&all, elements, size))) &&
                tn_scratch_add(&all, s->b_bytes[0], 1) && tn_scratch_add(&all, s->b_bytes[1], 1) &&
                tn_scratch_add(&all, (size_t)s->tasks, 3 * rounded(most * n * size) + s->a_bytes + s->buffer_bytes);
    call->scratch = all;
    return fits ? TN_OK : tn_fail(TN_E_SHAPE, "the layer is too large");
}

#define REAL_HELPERS(real)                                                                                             \
    static const real *NAME(old_cell)(const job *j, int64_t step, int64_t row) {                                       \
        const state *s = j->s;                                                                                         \
        if (step) return (const real *)j->cells + (time_of(s, step - 1) * s->batch + row) * s->hidden;                 \
        return j->first_cell ? (const real *)j->first_cell->data + row * s->hidden : (const real *)j->zeros;           \
    }                                                                                                                  \
    static void NAME(start)(const tn_tensor *from, const state *s, int64_t first, size_t rows, real *to) {             \
        const size_t count = rows * (size_t)s->hidden;                                                                 \
        const real *at = from ? (const real *)from->data + first * s->hidden : NULL;                                   \
        for (size_t i = 0; i < count; i++) to[i] = at ? at[i] : 0;                                                     \
    }                                                                                                                  \
    /* RNN's activation, and the gradient by what comes before it. */                                                  \
    static void NAME(first_function)(const job *j, size_t n, real *x) {                                                \
        if (!j->s->relu) NAME(tangent)(j, n, x);                                                                       \
        for (size_t i = 0; j->s->relu && i < n; i++) x[i] = x[i] > 0 ? x[i] : 0;                                       \
    }                                                                                                                  \
    static void NAME(first_slope)(const job *j, size_t n, real *y, const real *dh) {                                   \
        for (size_t i = 0; i < n; i++) y[i] = dh[i] * (j->s->relu ? (real)(y[i] > 0) : 1 - y[i] * y[i]);               \
    }

/* to [rows, H] = residual + gates [rows, k], `width` apart, times the rows of R that belong to the part. */
static void multiply_f32(const job *j, task_memory *m, int part, size_t rows, const float *gates, size_t width,
                         const float *residual, float *to) {
    const state *s = j->s;
    const size_t n = (size_t)s->hidden;
    const tn_product *p = &s->products[part][s->products[part][0].m != rows];
    const tn_panels weights = tn_panels_packed(j->packed[part], p->k);
    const tn_epilogue e = {.residual = residual, .residual_stride = n};
    if (p->m > 1) tn_product_pack_all_a(p, gates, width, 1, m->packed);
    for (size_t task = 0; task < p->tasks; task++)
        tn_product_task(p, task, p->m > 1 ? m->packed : gates, &weights, to, n, &e, m->buffer);
}

static void multiply_f64(const job *j, task_memory *m, int part, size_t rows, const double *gates, size_t width,
                         const double *residual, double *to) {
    const state *s = j->s;
    const size_t n = (size_t)s->hidden;
    const bool apart = s->cell == GRU && !s->reset_last;
    const size_t k = apart ? (part ? n : 2 * n) : (size_t)s->gates * n;
    const tn_matrix_f64 a = {gates, width, 1};
    const tn_matrix_f64 b = {(const double *)j->weights->data + (part ? 2 * n * n : 0), n, 1};
    double *sum = residual == to ? m->through : to;
    tn_product_f64(j->kernels, rows, n, k, &a, &b, sum, n, m->buffer);
    for (size_t i = 0; residual && i < rows * n; i++) to[i] = residual[i] + sum[i];
}

#define NAME(x) x##_f32
#define real float
static void sigmoid_f32(const job *j, size_t n, float *x) {
    j->kernels->sigmoid_f32(x, x, n, NULL);
}
static void tangent_f32(const job *j, size_t n, float *x) {
    j->kernels->tanh_f32(x, x, n, NULL);
}
static void lstm_f32(const job *j, size_t n, float *gates, const float *t, const float *c, const float *dh, float *dc) {
    j->kernels->lstm_grad_f32(n, gates, t, c, dh, dc);
}
REAL_HELPERS(float)
#include "train/ops/recurrent_grad.h"
#undef NAME
#undef real
#define NAME(x) x##_f64
#define real double
static void sigmoid_f64(const job *j, size_t n, double *x) {
    (void)j;
    for (size_t i = 0; i < n; i++) x[i] = 1 / (1 + exp(-x[i]));
}
static void tangent_f64(const job *j, size_t n, double *x) {
    (void)j;
    for (size_t i = 0; i < n; i++) x[i] = tanh(x[i]);
}
static void lstm_f64(const job *j, size_t n, double *gates, const double *t, const double *c, const double *dh,
                     double *dc) {
    j->kernels->lstm_grad_f64(n, gates, t, c, dh, dc);
}
REAL_HELPERS(double)
#include "train/ops/recurrent_grad.h"
#undef NAME
#undef real

static void some_rows(void *context, int64_t task) {
    const job *j = context;
    const state *s = j->s;
    int64_t first = task_start(s, task), last = task_start(s, task + 1);
    const size_t size = s->wide ? sizeof(double) : sizeof(float);
    size_t part = rounded((size_t)((s->batch + s->tasks - 1) / s->tasks * s->hidden) * size);
    uint8_t *at = j->memory + (size_t)task * j->each;
    task_memory m = {at, at + part, at + 2 * part, at + 3 * part, at + 3 * part + s->a_bytes};
    if (s->wide) {
        activate_f64(j, first, last);
        back_f64(j, &m, first, last);
    } else {
        activate_f32(j, first, last);
        back_f32(j, &m, first, last);
    }
}

static void pack_weights(job *j, uint8_t **scratch) {
    const state *s = j->s;
    for (int part = 0; part < 2; part++) {
        const tn_product *p = &s->products[part][0];
        const float *from = (const float *)j->weights->data + (part ? 2 * s->hidden * s->hidden : 0);
        j->packed[part] = tn_scratch_take(scratch, s->b_bytes[part], 1);
        for (size_t i = 0; !s->wide && p->k && i < p->column_panels; i++)
            tn_product_pack_b(p, from, (size_t)s->hidden, 1, j->packed[part], i);
    }
}

static tn_status run(tn_run *call) {
    const state *s = call->state;
    const tn_tensor *extra = tn_in(call, EXTRA), *given = tn_in(call, GATES);
    const size_t n = (size_t)s->hidden, size = s->wide ? sizeof(double) : sizeof(float);
    const size_t elements = (size_t)(s->seq * s->batch) * n;
    uint8_t *scratch = call->scratch;
    tn_tensor *by_extra = tn_out(call, 2);
    job j = {.s = s,
             .kernels = call->kernels,
             .h = tn_in(call, STATES),
             .weights = tn_in(call, WEIGHTS),
             .dy = tn_in(call, BY_STATES),
             .by_last_h = tn_in(call, BY_LAST),
             .by_last_c = s->cell == LSTM ? extra : NULL,
             .hidden = s->cell == GRU ? extra : NULL,
             .first_cell = tn_in(call, FIRST_CELL),
             .gates = tn_out(call, 0),
             .by_first_h = tn_out(call, 1),
             .by_first_c = s->cell == LSTM ? by_extra : NULL};
    if (!j.gates) return tn_fail(TN_E_UNSUPPORTED, "output 0 is read by nobody; the gates' gradient must be");
    if (s->cell == LSTM) j.cells = tn_scratch_take(&scratch, elements, size);
    j.zeros = tn_scratch_take(&scratch, n, size);
    memset(j.zeros, 0, n * size);
    if (s->reset_last) {
        void *own = tn_scratch_take(&scratch, 3 * elements, size);
        j.d_hidden = by_extra ? by_extra->data : own;
    }
    if (j.gates->data != given->data) memcpy(j.gates->data, given->data, tn_dtype_bytes(given->dtype, tn_count(given)));
    if (!s->batch || !n) return TN_OK;
    pack_weights(&j, &scratch);
    j.memory = scratch;
    j.each =
        rounded(3 * rounded((size_t)((s->batch + s->tasks - 1) / s->tasks) * n * size) + s->a_bytes + s->buffer_bytes);
    tn_parallel(call->pool, s->tasks, some_rows, &j);
    return TN_OK;
}

#define RECURRENT_GRAD(name_, most_in, most_out)                                                                       \
    {                                                                                                                  \
        .domain = "tenon", .name = name_, .min_in = 3, .max_in = most_in, .min_out = 1, .max_out = most_out,           \
        .flags = TN_OP_WIDEN | TN_OP_IN_PLACE_FIRST, .infer = infer, .prepare = prepare, .run = run                    \
    }

const tn_op tn_ops_recurrent_grad[] = {
    RECURRENT_GRAD("RNNGrad", 5, 2),
    RECURRENT_GRAD("GRUGrad", 6, 3),
    RECURRENT_GRAD("LSTMGrad", 7, 3),
    {0},
};
