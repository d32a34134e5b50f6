/* DynamicQuantizeLSTM of com.microsoft: an LSTM whose weights are 8-bit integers. X is quantized once, the state at each
 * step, to uint8 by their range; products are those of qmatmul.c; all else is as in recurrent.h. */
#include "ops/qmatmul.h"
#include "ops/quant.h"
#include "ops/recurrent.h"
#include "ops/scratch.h"

/* Inputs after those of LSTM. W and R are [directions, input (H), 4 * H]. */
enum { W = 1, R, W_SCALE = 8, W_ZERO, R_SCALE, R_ZERO };

typedef struct lstm_quantized {
    tn_recurrent r;
    tn_qmatmul w, h; /* X times W; the state times R, one direction at a time */
} lstm_quantized;

static tn_status check_scale(const tn_infer *call, int scale, int of) {
    const tn_type *w = call->in[of];
    TN_TRY(tn_infer_dtype(call, scale, (const tn_dtype[]){TN_FLOAT32, TN_UNDEFINED}));
    TN_TRY(tn_infer_bytes(call, scale + 1, of));
    for (int in = scale; in <= scale + 1; in++) {
        const tn_type *t = call->in[in];
        if (t->rank < 0 || w->rank != 3) continue;
        bool fits = t->rank == 1 || t->rank == 2;
        if (fits) fits = t->dims[0] < 0 || w->dims[0] < 0 || t->dims[0] == w->dims[0];
        if (fits && t->rank == 2) fits = t->dims[1] < 0 || w->dims[2] < 0 || t->dims[1] == w->dims[2];
        if (!fits)
            return tn_infer_fail(call, in, TN_E_SHAPE, "expected one value for each direction, or each gate of each");
    }
    return TN_OK;
}

static tn_status infer(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, (const tn_dtype[]){TN_FLOAT32, TN_UNDEFINED}));
    for (int i = 0; i < 2; i++) {
        TN_TRY(tn_infer_bytes(call, W + i, W + i));
        TN_TRY(check_scale(call, W_SCALE + 2 * i, W + i));
    }
    return tn_recurrent_infer(call, TN_CELL_LSTM, true);
}

/* What a run has for one of both sides. */
typedef struct side {
    uint8_t *bytes, *scratch;
    float *scale, *scaled, *product;
    uint8_t *zero;
    bool multiplied; /* in this run: then the product knows its right side */
} side;

typedef struct sides {
    side w, h[2]; /* h: of each direction; they share their scale and zero */
} sides;

static bool add_scratch(const lstm_quantized *s, size_t *total) {
    const tn_recurrent *r = &s->r;
    size_t gates = r->directions * 4 * r->hidden, rows;
    bool fits = tn_scratch_add(total, 1, sizeof(sides)) && tn_mul_size(r->seq * r->batch, r->input, &rows) &&
                tn_scratch_add(total, rows, 1) && tn_scratch_add(total, s->w.scratch, 1);
    for (size_t d = 0; d < r->directions; d++)
        fits = fits && tn_scratch_add(total, r->batch * r->hidden, 1) && tn_scratch_add(total, s->h.scratch, 1) &&
               tn_scratch_add(total, r->batch * 4 * r->hidden, sizeof(float));
    for (size_t i = 0; i <= r->directions; i++) fits = fits && tn_scratch_add(total, gates, sizeof(float));
    for (int i = 0; i < 2; i++)
        fits = fits && tn_scratch_add(total, gates, sizeof(float)) && tn_scratch_add(total, gates, 1);
    return fits;
}

static sides *take_scratch(const lstm_quantized *s, uint8_t **at) {
    const tn_recurrent *r = &s->r;
    size_t gates = r->directions * 4 * r->hidden;
    sides *all = tn_scratch_take(at, 1, sizeof *all);
    all->w.multiplied = all->h[0].multiplied = all->h[1].multiplied = false;
    all->w.bytes = tn_scratch_take(at, r->seq * r->batch * r->input, 1);
    all->w.scratch = tn_scratch_take(at, s->w.scratch, 1);
    for (size_t d = 0; d < r->directions; d++) {
        all->h[d].bytes = tn_scratch_take(at, r->batch * r->hidden, 1);
        all->h[d].scratch = tn_scratch_take(at, s->h.scratch, 1);
        all->h[d].product = tn_scratch_take(at, r->batch * 4 * r->hidden, sizeof(float));
    }
    all->w.scaled = tn_scratch_take(at, gates, sizeof(float));
    for (size_t d = 0; d < r->directions; d++) all->h[d].scaled = tn_scratch_take(at, gates, sizeof(float));
    for (int i = 0; i < 2; i++) {
        side *to = i ? &all->h[0] : &all->w;
        to->scale = tn_scratch_take(at, gates, sizeof(float));
        to->zero = tn_scratch_take(at, gates, 1);
    }
    all->h[1].scale = all->h[0].scale;
    all->h[1].zero = all->h[0].zero;
    return all;
}

/* One value for each gate, from one for each or one for each direction. */
static void spread(const tn_recurrent_job *job, int in, side *to) {
    const tn_tensor *scale = tn_in(job->call, in), *zero = tn_in(job->call, in + 1);
    size_t gates = 4 * job->r->hidden;
    for (size_t i = 0; i < job->r->directions * gates; i++) {
        to->scale[i] = ((const float *)scale->data)[scale->rank == 2 ? i : i / gates];
        to->zero[i] = ((const uint8_t *)zero->data)[zero->rank == 2 ? i : i / gates];
    }
}

/* y = x * b, x quantized first. direction -1: of all directions. */
static void multiply(const tn_recurrent_job *job, const tn_qmatmul *q, side *s, int direction, int b_in, const float *x,
                     size_t count, float *y, size_t y_row, size_t y_batch) {
    const size_t gates = job->r->directions * 4 * job->r->hidden;
    const tn_tensor *b = tn_in(job->call, b_in);
    float scale;
    uint8_t zero;
    tn_quantize_dynamic(job->kernels, x, count, s->bytes, &scale, &zero);
    /* Of the directions that are wanted. */
    size_t first = direction < 0 ? 0 : (size_t)direction * 4 * job->r->hidden;
    size_t wanted = direction < 0 ? gates : 4 * job->r->hidden;
    job->kernels->mul_f32(1, wanted, s->scaled + first, s->scale + first, 0, 1, &scale, 0, 0);
    const tn_tensor a_zero = {.dtype = TN_UINT8, .data = &zero};
    const tn_tensor b_zero = {.dtype = b->dtype, .rank = 1, .dims = {(int64_t)gates}, .data = s->zero};
    const tn_qmatmul_call product = {.a = s->bytes,
                                     .b = b->data,
                                     .a_zero = &a_zero,
                                     .b_zero = &b_zero,
                                     .y = y,
                                     .y_type = TN_FLOAT32,
                                     .scale = s->scaled,
                                     .scale_step = 1,
                                     .y_row = y_row,
                                     .y_batch = y_batch,
                                     .only = direction + 1,
                                     .keeps_b = s->multiplied};
    tn_qmatmul_run(q, job->call, &product, s->scratch);
    s->multiplied = true;
}

static void input_product(const tn_recurrent_job *job) {
    const tn_recurrent *r = job->r;
    const lstm_quantized *s = r->extra;
    sides *all = (sides *)(void *)job->extra;
    size_t rows = r->seq * r->batch, gates = r->directions * 4 * r->hidden;
    spread(job, W_SCALE, &all->w);
    spread(job, R_SCALE, &all->h[0]);
    /* The range is that of the steps that are done. */
    size_t steps = job->lengths ? 0 : r->seq;
    for (size_t row = 0; job->lengths && row < r->batch; row++) steps = TN_MAX(steps, (size_t)job->lengths[row]);
    memset(all->w.bytes, 0, rows * r->input);
    multiply(job, &s->w, &all->w, -1, W, job->x, steps * r->batch * r->input, job->xw, gates, 4 * r->hidden);
    for (size_t row = 0; row < rows; row++) {
        float *xw = job->xw + row * gates;
        job->kernels->add_f32(1, gates, xw, xw, 0, 1, job->bias, 0, 1);
    }
}

static void step_product(const tn_recurrent_job *job, int direction, int part, const float *state,
                         const float *residual, size_t residual_stride, const float *bias) {
    const tn_recurrent *r = job->r;
    const lstm_quantized *s = r->extra;
    sides *all = (sides *)(void *)job->extra;
    size_t gates = 4 * r->hidden;
    float *product = all->h[direction].product, *to = job->states[direction].gates;
    (void)part, (void)bias;
    multiply(job, &s->h, &all->h[direction], direction, R, state, r->batch * r->hidden, product, gates, 0);
    job->kernels->add_f32(r->batch, gates, to, product, gates, 1, residual, residual_stride, 1);
}

static const tn_recurrent_products products = {input_product, step_product};

static tn_status prepare(tn_prepare *call) {
    lstm_quantized *s = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    tn_recurrent *r = &s->r;
    TN_TRY(tn_recurrent_decode(call, TN_CELL_LSTM, true, r));
    r->products = &products;
    r->extra = s;
    call->state = s;
    tn_type x, h;
    tn_type_tensor(&x, TN_UINT8, 2, (int64_t[]){(int64_t)(r->seq * r->batch), (int64_t)r->input});
    tn_type_tensor(&h, TN_UINT8, 2, (int64_t[]){(int64_t)r->batch, (int64_t)r->hidden});
    TN_TRY(tn_qmatmul_prepare(call, &s->w, &x, false, false, W, false));
    TN_TRY(tn_qmatmul_prepare(call, &s->h, &h, false, false, R, false));
    if (!add_scratch(s, &call->scratch)) return tn_fail(TN_E_SHAPE, "the layer is too large");
    return TN_OK;
}

static tn_status run(tn_run *call) {
    const lstm_quantized *s = call->state;
    const tn_tensor *b = tn_in(call, 3), *peephole = tn_in(call, 7);
    tn_recurrent_job job = {.r = &s->r, .call = call, .kernels = call->kernels, .x = tn_in(call, 0)->data};
    uint8_t *scratch = call->scratch;
    job.b = b ? b->data : NULL;
    job.peephole = peephole ? peephole->data : NULL;
    tn_recurrent_take(&job, &scratch);
    job.extra = (uint8_t *)take_scratch(s, &scratch);
    return tn_recurrent_run(&job);
}

const tn_op tn_ops_lstm_quantized[] = {
    {.domain = "com.microsoft",
     .name = "DynamicQuantizeLSTM",
     .min_in = 3,
     .max_in = 12,
     .min_out = 0,
     .max_out = 3,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
