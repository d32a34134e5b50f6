/* Products of recurrent layers in float32. See recurrent.h. One product makes X * W^T of all steps and directions; W and
 * R are packed when the layer is prepared, if they are constant. */
#include "ops/recurrent.h"
#include "ops/scratch.h"
#include <stdio.h>

static void pack_w(void *dst, const void *context) {
    const tn_recurrent_job *job = context;
    const tn_product *p = &job->r->xw;
    for (size_t i = 0; i < p->column_panels; i++) tn_product_pack_b(p, job->w, 1, p->k, dst, i);
}

/* For each direction: the gates that see the state, then GRU's hidden gate. */
static void pack_r(void *dst, const void *context) {
    const tn_recurrent_job *job = context;
    const tn_recurrent *r = job->r;
    const float *from = job->w;
    uint8_t *to = dst;
    for (size_t d = 0; d < r->directions; d++, from += r->gates * r->hidden * r->hidden) {
        for (size_t i = 0; i < r->hr.column_panels; i++)
            tn_product_pack_b(&r->hr, from, 1, r->hidden, (float *)(void *)to, i);
        to += r->r_bytes;
        for (size_t i = 0; i < r->hh.column_panels; i++)
            tn_product_pack_b(&r->hh, from + r->hr.n * r->hidden, 1, r->hidden, (float *)(void *)to, i);
        to += r->hh_bytes;
    }
}

static void pack_x(void *context, int64_t panel) {
    const tn_recurrent_job *job = context;
    tn_product_pack_a(&job->r->xw, job->x, job->r->input, 1, job->packed_x, (size_t)panel);
}

static float *buffer(const tn_recurrent_job *job) {
    return (float *)(void *)(job->buffers + (size_t)tn_worker_index() * job->r->buffer_bytes);
}

static void input_task(void *context, int64_t task) {
    const tn_recurrent_job *job = context;
    const tn_recurrent *r = job->r;
    const tn_panels w = tn_panels_packed(job->w_packed, r->xw.k);
    const tn_epilogue epilogue = {.column_bias = job->bias};
    tn_product_task(&r->xw, (size_t)task, r->xw.m == 1 ? job->x : job->packed_x, &w, job->xw, r->xw.n, &epilogue,
                    buffer(job));
}

static void input_product(const tn_recurrent_job *job) {
    const tn_recurrent *r = job->r;
    if (!r->w_packed) {
        tn_recurrent_job w = *job;
        w.w = tn_in(job->call, 1)->data;
        pack_w(job->w_pack, &w);
    }
    if (!r->r_packed && !r->fused) {
        tn_recurrent_job w = *job;
        w.w = tn_in(job->call, 2)->data;
        pack_r(job->r_pack, &w);
    }
    if (r->xw.m > 1)
        tn_parallel(r->xw.tasks > 1 ? job->call->pool : NULL, (int64_t)r->xw.row_panels, pack_x,
                    (void *)(uintptr_t)job);
    tn_parallel(job->call->pool, (int64_t)r->xw.tasks, input_task, (void *)(uintptr_t)job);
}

typedef struct step_call {
    const tn_recurrent_job *job;
    const tn_product *product;
    const float *left;
    tn_panels right;
    float *to;
    size_t stride;
    tn_epilogue epilogue;
} step_call;

static void step_task(void *context, int64_t task) {
    const step_call *s = context;
    tn_product_task(s->product, (size_t)task, s->left, &s->right, s->to, s->stride, &s->epilogue, buffer(s->job));
}

static void step_product(const tn_recurrent_job *job, int direction, int part, const float *state,
                         const float *residual, size_t residual_stride, const float *bias) {
    const tn_recurrent *r = job->r;
    const tn_recurrent_state *own = &job->states[direction];
    const tn_product *p = part ? &r->hh : &r->hr;
    const uint8_t *right =
        (const uint8_t *)job->r_packed + (size_t)direction * (r->r_bytes + r->hh_bytes) + (part ? r->r_bytes : 0);
    step_call s = {.job = job,
                   .product = p,
                   .left = p->m == 1 ? state : own->packed,
                   .right = tn_panels_packed((const float *)(const void *)right, p->k),
                   .to = own->gates + (part ? r->hr.n : 0),
                   .stride = r->gates * r->hidden,
                   .epilogue = {.residual = residual, .residual_stride = residual_stride, .column_bias = bias}};
    if (p->m > 1) tn_product_pack_all_a(p, state, r->hidden, 1, own->packed);
    tn_parallel(job->pool, (int64_t)p->tasks, step_task, &s);
}

static const tn_recurrent_products products = {input_product, step_product};

static tn_status pack_constant(tn_prepare *call, int in, const tn_recurrent *r, size_t bytes,
                               void (*pack)(void *, const void *), const float **out) {
    char layout[120];
    const tn_recurrent_job job = {.r = r, .w = call->value[in]->data};
    const void *packed;
    snprintf(layout, sizeof layout, "recurrent %d %zu %zu %zux%zu %zu", in, r->xw.columns, r->gates, r->hidden,
             r->input, r->directions);
    TN_TRY(tn_prepare_pack(call, in, layout, bytes, pack, &job, &packed));
    *out = packed;
    return TN_OK;
}

static size_t round_up(size_t bytes) {
    return bytes > SIZE_MAX / 4 ? SIZE_MAX / 4 : (bytes + 63) / 64 * 64;
}

tn_status tn_recurrent_prepare_products(tn_prepare *call, tn_recurrent *r) {
    size_t rows = r->seq * r->batch, own = r->hidden * (r->cell == TN_CELL_GRU ? 2 : r->gates);
    r->products = &products;
    if (rows * r->hidden == 0) return TN_OK;
    (rows > 1 ? tn_product_plan_fast : tn_product_plan_threads)(&r->xw, call->kernels, 0, rows,
                                                                r->directions * r->gates * r->hidden, r->input, 1, 1);
    tn_product_plan(&r->hr, call->kernels, r->batch, own, r->hidden, 1, 1);
    tn_product_plan(&r->hh, call->kernels, r->batch, r->cell == TN_CELL_GRU ? r->hidden : 0, r->hidden, 1, 1);
    r->r_bytes = round_up(tn_product_b_bytes(&r->hr));
    r->hh_bytes = round_up(tn_product_b_bytes(&r->hh));
    size_t w_bytes = round_up(tn_product_b_bytes(&r->xw)), r_bytes = r->directions * (r->r_bytes + r->hh_bytes);
    r->buffer_bytes = round_up(TN_MAX(tn_product_buffer_bytes(&r->xw), tn_product_buffer_bytes(&r->hr)));
    bool fits = w_bytes < SIZE_MAX / 4 && r->r_bytes < SIZE_MAX / 8 && r->hh_bytes < SIZE_MAX / 8;
    if (fits && call->value[1]) TN_TRY(pack_constant(call, 1, r, w_bytes, pack_w, &r->w_packed));
    TN_TRY(tn_recurrent_prepare_fused(call, r));
    if (r->fused) r_bytes = 0;
    if (fits && call->value[2] && !r->fused) TN_TRY(pack_constant(call, 2, r, r_bytes, pack_r, &r->r_packed));
    if (!r->w_packed) fits = fits && tn_scratch_add(&call->scratch, w_bytes, 1);
    if (!r->r_packed && !r->fused) fits = fits && tn_scratch_add(&call->scratch, r_bytes, 1);
    size_t x_bytes = r->xw.m > 1 ? tn_product_a_bytes(&r->xw) : 0;
    fits = fits && tn_scratch_add(&call->scratch, x_bytes, 1) &&
           tn_scratch_add(&call->scratch, (size_t)call->threads, r->buffer_bytes);
    return fits ? TN_OK : tn_fail(TN_E_SHAPE, "the layer is too large");
}

void tn_recurrent_take_products(tn_recurrent_job *job, uint8_t **scratch) {
    const tn_recurrent *r = job->r;
    if (r->seq * r->batch * r->hidden == 0) return;
    job->w_packed = r->w_packed;
    job->r_packed = r->r_packed;
    if (!r->w_packed) job->w_packed = job->w_pack = tn_scratch_take(scratch, round_up(tn_product_b_bytes(&r->xw)), 1);
    if (!r->r_packed && !r->fused)
        job->r_packed = job->r_pack = tn_scratch_take(scratch, r->directions * (r->r_bytes + r->hh_bytes), 1);
    job->packed_x = tn_scratch_take(scratch, r->xw.m > 1 ? tn_product_a_bytes(&r->xw) : 0, 1);
    job->buffers = *scratch; /* one for each thread, to the end */
}
