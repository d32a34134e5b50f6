/* Layers whose steps are one kernel each: an LSTM or GRU with the activations that all have, constant weights, and
 * sequences of one length. See recurrent.h, and kernels/recurrent.h for the packed weights.
 *
 * A step reads the state where the step before it was written: in the output Y where there is one, else in one of two
 * buffers that take turns. */
#include "ops/recurrent.h"
#include <stdio.h>

#define TASK_WORK 131072        /* multiplications: some microseconds */
#define NEAR_WEIGHTS (1u << 20) /* bytes that each thread's second cache holds beside what it works on */

enum { R = 2, LENGTHS = 4, PEEPHOLE = 7 };

typedef struct pack_call {
    const tn_recurrent *r;
    const float *from; /* [directions, gates * hidden, hidden] */
    size_t lanes;
} pack_call;

/* Zeros fill the last block: dst comes with zeros. */
static void pack(void *dst, const void *context) {
    const pack_call *c = context;
    const tn_recurrent *r = c->r;
    const float *from = c->from;
    for (size_t d = 0; d < r->directions; d++) {
        float *to = (float *)(void *)((uint8_t *)dst + d * r->fused_bytes);
        for (size_t g = 0; g < r->gates; g++)
            for (size_t unit = 0; unit < r->hidden; unit++, from += r->hidden) {
                float *column = to + (unit / c->lanes * r->hidden * r->gates + g) * c->lanes + unit % c->lanes;
                for (size_t k = 0; k < r->hidden; k++) column[k * r->gates * c->lanes] = from[k];
            }
    }
}

static bool fits(const tn_prepare *call, const tn_recurrent *r) {
    if (!r->plain || !call->value[R] || tn_prepare_has(call, LENGTHS)) return false;
    if (r->cell == TN_CELL_LSTM) return !tn_prepare_has(call, PEEPHOLE);
    return r->cell == TN_CELL_GRU && r->linear_before_reset;
}

tn_status tn_recurrent_prepare_fused(tn_prepare *call, tn_recurrent *r) {
    size_t rows, columns, lanes, bytes;
    if (!fits(call, r)) return TN_OK;
    call->kernels->gemm_f32_tile(&rows, &columns, &lanes);
    r->fused_blocks = (r->hidden + lanes - 1) / lanes;
    if (!tn_mul_size(r->fused_blocks * lanes, r->hidden, &bytes) || bytes > SIZE_MAX / 64)
        return tn_fail(TN_E_SHAPE, "the layer is too large");
    r->fused_bytes = (bytes * r->gates * sizeof(float) + 63) / 64 * 64;
    size_t work = bytes * r->gates / TASK_WORK * r->batch;
    r->fused_tasks = TN_MAX(TN_MIN(work, r->fused_blocks / 2), (size_t)1);
    const pack_call context = {r, call->value[R]->data, lanes};
    char layout[96];
    const void *packed;
    snprintf(layout, sizeof layout, "recurrent step %zu %zux%zu, %zu", lanes, r->gates, r->hidden, r->directions);
    TN_TRY(tn_prepare_pack(call, R, layout, r->directions * r->fused_bytes, pack, &context, &packed));
    r->fused = packed;
    return TN_OK;
}

typedef struct step_call {
    const tn_recurrent_job *job;
    const tn_recurrent_step *step;
} step_call;

static void run_step(const tn_recurrent_job *job, const tn_recurrent_step *step) {
    (job->r->cell == TN_CELL_LSTM ? job->kernels->lstm_step_f32 : job->kernels->gru_step_f32)(step);
}

static void step_task(void *context, int64_t task) {
    const step_call *c = context;
    const tn_recurrent *r = c->job->r;
    tn_recurrent_step step = *c->step;
    step.first = r->fused_blocks * (size_t)task / r->fused_tasks;
    step.last = r->fused_blocks * ((size_t)task + 1) / r->fused_tasks;
    run_step(c->job, &step);
}

size_t tn_recurrent_parts(const tn_recurrent *r, size_t threads) {
    const size_t parts = (threads + r->directions - 1) / r->directions;
    return r->fused && r->batch >= parts && r->fused_bytes <= NEAR_WEIGHTS ? parts : 1;
}

void tn_recurrent_run_fused(const tn_recurrent_job *job, size_t direction, size_t part) {
    const tn_recurrent *r = job->r;
    const size_t first = r->batch * part / job->parts, rows = r->batch * (part + 1) / job->parts - first;
    const tn_recurrent_state *own = &job->states[direction];
    const size_t n = r->hidden, gates = r->gates * n;
    const size_t x_time = (r->batch_major ? 1 : r->batch) * r->directions * gates;
    const size_t y_time = (r->batch_major ? 1 : r->batch) * r->directions * n;
    const size_t x_row = (r->batch_major ? r->seq : 1) * r->directions * gates;
    const size_t y_row = (r->batch_major ? r->seq * r->directions : 1) * n;
    const float *x = job->xw + direction * gates + first * x_row;
    float *h = own->h + first * n, *other = own->reset + first * n;
    float *y = job->y ? job->y + direction * n * (r->batch_major ? 1 : r->batch) + first * y_row : NULL;
    tn_recurrent_step step = {
        .rows = rows,
        .hidden = n,
        .last = r->fused_blocks,
        .weights = (const float *)(const void *)((const uint8_t *)(const void *)r->fused + direction * r->fused_bytes),
        .x_stride = x_row,
        .bias = r->cell == TN_CELL_GRU && job->b ? job->b + direction * 2 * gates + gates + 2 * n : NULL,
        .h = h,
        .h_stride = n,
        .c = own->c + first * n,
        .y_stride = y ? y_row : n,
    };
    const step_call call = {job, &step};
    bool apart = r->fused_tasks > 1 && tn_pool_threads(job->pool) > 1;
    for (size_t i = 0; i < r->seq; i++) {
        size_t time = r->reverse[direction] ? r->seq - 1 - i : i;
        step.x = x + time * x_time;
        step.y = y ? y + time * y_time : i % 2 ? h : other;
        step.backwards = i % 2;
        if (apart)
            tn_parallel(job->pool, (int64_t)r->fused_tasks, step_task, (void *)(uintptr_t)&call);
        else
            run_step(job, &step);
        step.h = step.y;
        step.h_stride = step.y_stride;
    }
    for (size_t row = 0; step.h != h && row < rows; row++)
        memcpy(h + row * n, step.h + row * step.h_stride, n * sizeof *h);
}
