/* The walk over time steps. See recurrent.h.
 *
 * Row b is at time t = step, or length - 1 - step backwards: each sequence is turned round by its own length. Steps past
 * a row's length leave its state alone and its part of Y zero. */
#include "ops/recurrent.h"
#include "ops/scratch.h"

bool tn_recurrent_scratch(const tn_recurrent *r, size_t *total) {
    size_t rows = 0, gates = r->gates * r->hidden, state = 0;
    bool fits = tn_mul_size(r->seq, r->batch, &rows) && tn_scratch_add(total, r->directions * gates, sizeof(float)) &&
                tn_mul_size(r->batch, r->hidden, &state) && state < SIZE_MAX / 64 && gates < SIZE_MAX / 64 &&
                tn_mul_size(rows, r->directions * gates, &rows) && tn_scratch_add(total, rows, sizeof(float));
    for (size_t d = 0; d < r->directions; d++) {
        fits = fits && tn_mul_size(r->batch, gates, &rows) && tn_scratch_add(total, rows, sizeof(float));
        for (int i = 0; i < 4; i++) fits = fits && tn_scratch_add(total, state, sizeof(float));
    }
    return fits;
}

void tn_recurrent_take(tn_recurrent_job *job, uint8_t **scratch) {
    const tn_recurrent *r = job->r;
    size_t gates = r->gates * r->hidden, state = r->batch * r->hidden;
    job->bias = tn_scratch_take(scratch, r->directions * gates, sizeof(float));
    job->xw = tn_scratch_take(scratch, r->seq * r->batch * r->directions * gates, sizeof(float));
    for (size_t d = 0; d < r->directions; d++) {
        tn_recurrent_state *s = &job->states[d];
        s->gates = tn_scratch_take(scratch, r->batch * gates, sizeof(float));
        s->h = tn_scratch_take(scratch, state, sizeof(float));
        s->c = tn_scratch_take(scratch, state, sizeof(float));
        s->reset = tn_scratch_take(scratch, state, sizeof(float));
        s->packed = tn_scratch_take(scratch, state, sizeof(float));
    }
}

static size_t length_of(const tn_recurrent_job *job, size_t row) {
    return job->lengths ? (size_t)job->lengths[row] : job->r->seq;
}
static size_t time_of(const tn_recurrent_job *job, size_t direction, size_t step, size_t row) {
    return job->r->reverse[direction] ? length_of(job, row) - 1 - step : step;
}
/* X * W^T of a batch row at a time. */
static float *input_of(const tn_recurrent_job *job, size_t direction, size_t time, size_t row) {
    const tn_recurrent *r = job->r;
    size_t at = r->batch_major ? row * r->seq + time : time * r->batch + row;
    return job->xw + (at * r->directions + direction) * r->gates * r->hidden;
}

/* Sums of both biases, but GRU's recurrent one of the hidden gate where the reset comes after it. */
static void add_biases(const tn_recurrent_job *job) {
    const tn_recurrent *r = job->r;
    size_t n = r->gates * r->hidden, alone = r->cell == TN_CELL_GRU && r->linear_before_reset ? 2 * r->hidden : n;
    for (size_t d = 0; d < r->directions; d++)
        for (size_t i = 0; i < n; i++) {
            const float *b = job->b ? job->b + d * 2 * n : NULL;
            job->bias[d * n + i] = !b ? 0 : i < alone ? b[i] + b[n + i] : b[i];
        }
}

typedef struct step_job {
    const tn_recurrent_job *job;
    size_t direction, step;
    int part;
} step_job;

enum { ROW_TASK = 8192 }; /* gates of the rows of a task */

static size_t task_rows(const tn_recurrent *r) {
    return TN_MAX(ROW_TASK / (r->gates * r->hidden), (size_t)1);
}

static void put_row(const tn_recurrent_job *job, size_t direction, size_t time, size_t row) {
    const tn_recurrent *r = job->r;
    if (!job->y) return;
    size_t at = r->batch_major ? (row * r->seq + time) * r->directions + direction
                               : (time * r->directions + direction) * r->batch + row;
    memcpy(job->y + at * r->hidden, job->states[direction].h + row * r->hidden, r->hidden * sizeof *job->y);
}

static void cell_task(void *context, int64_t task) {
    const step_job *s = context;
    const tn_recurrent_job *job = s->job;
    const tn_recurrent *r = job->r;
    int d = (int)s->direction;
    size_t rows = task_rows(r), first = (size_t)task * rows, last = TN_MIN(first + rows, r->batch);
    for (size_t row = first; row < last; row++) {
        if (s->step >= length_of(job, row)) continue;
        size_t time = time_of(job, s->direction, s->step, row);
        if (r->cell == TN_CELL_GRU && s->part == 0) {
            tn_cell_gru_gates(job, d, row);
            continue;
        }
        if (r->cell == TN_CELL_RNN)
            tn_cell_rnn(job, d, row);
        else if (r->cell == TN_CELL_LSTM)
            tn_cell_lstm(job, d, row);
        else
            tn_cell_gru_state(job, d, row, input_of(job, s->direction, time, row) + 2 * r->hidden);
        put_row(job, s->direction, time, row);
    }
}

static void run_cells(const tn_recurrent_job *job, size_t direction, size_t step, int part) {
    step_job s = {job, direction, step, part};
    size_t rows = task_rows(job->r);
    tn_parallel(job->pool, (int64_t)((job->r->batch + rows - 1) / rows), cell_task, &s);
}

static void run_step(const tn_recurrent_job *job, size_t direction, size_t step) {
    const tn_recurrent *r = job->r;
    const tn_recurrent_state *s = &job->states[direction];
    size_t n = r->gates * r->hidden, stride = (r->batch_major ? r->seq : 1) * r->directions * n;
    const float *input;
    int d = (int)direction;
    if (job->lengths && r->reverse[direction]) { /* rows are at different times */
        for (size_t row = 0; row < r->batch; row++)
            if (step < length_of(job, row))
                memcpy(s->gates + row * n, input_of(job, direction, time_of(job, direction, step, row), row),
                       n * sizeof(float));
        input = s->gates;
        stride = n;
    } else {
        input = input_of(job, direction, r->reverse[direction] ? r->seq - 1 - step : step, 0);
    }
    r->products->step(job, d, 0, s->h, input, stride, NULL);
    if (r->cell == TN_CELL_GRU) {
        const float *bias = job->b ? job->b + direction * 2 * n + n + 2 * r->hidden : NULL;
        if (r->linear_before_reset) r->products->step(job, d, 1, s->h, NULL, 0, bias);
        run_cells(job, direction, step, 0);
        if (!r->linear_before_reset) r->products->step(job, d, 1, s->reset, input + 2 * r->hidden, stride, NULL);
    }
    run_cells(job, direction, step, 1);
}

static void run_direction(void *context, int64_t index) {
    const tn_recurrent_job *job = context;
    const size_t direction = (size_t)index / job->parts, part = (size_t)index % job->parts;
    size_t steps = 0;
    if (job->r->fused) {
        tn_recurrent_run_fused(job, direction, part);
        return;
    }
    for (size_t row = 0; row < job->r->batch; row++) steps = TN_MAX(steps, length_of(job, row));
    for (size_t step = 0; step < steps; step++) run_step(job, direction, step);
}

/* Rows of no steps at all end with zeros, not with their initial state, as in ONNX Runtime. */
static void clear_empty(const tn_recurrent_job *job) {
    const tn_recurrent *r = job->r;
    for (size_t d = 0; d < r->directions; d++)
        for (size_t row = 0; row < r->batch; row++)
            if (length_of(job, row) == 0) {
                memset(job->states[d].h + row * r->hidden, 0, r->hidden * sizeof(float));
                memset(job->states[d].c + row * r->hidden, 0, r->hidden * sizeof(float));
            }
}

/* A state [directions, batch, H] (layout 1: [batch, directions, H]) from or to the directions' own. */
static void move_state(const tn_recurrent *r, size_t d, size_t row, bool in, const float *from, float *state,
                       float *to) {
    size_t at = (r->batch_major ? row * r->directions + d : d * r->batch + row) * r->hidden, bytes = r->hidden * 4;
    if (!in)
        memcpy(to + at, state, bytes);
    else if (from)
        memcpy(state, from + at, bytes);
    else
        memset(state, 0, bytes);
}

static void move_states(const tn_recurrent_job *job, bool in) {
    const tn_recurrent *r = job->r;
    const tn_run *call = job->call;
    for (int which = 0; which < (r->cell == TN_CELL_LSTM ? 2 : 1); which++) {
        const tn_tensor *from = tn_in(call, 5 + which);
        tn_tensor *to = tn_out(call, 1 + which);
        if (!in && !to) continue;
        for (size_t d = 0; d < r->directions; d++)
            for (size_t row = 0; row < r->batch; row++)
                move_state(r, d, row, in, from ? from->data : NULL,
                           (which ? job->states[d].c : job->states[d].h) + row * r->hidden, to ? to->data : NULL);
    }
}

tn_status tn_recurrent_check_lengths(const tn_recurrent *r, const int32_t *lengths) {
    for (size_t row = 0; lengths && row < r->batch; row++)
        if (lengths[row] < 0 || (size_t)lengths[row] > r->seq)
            return tn_fail(TN_E_INVALID, "sequence_lens has %d; expected 0 to %zu, the length of X", lengths[row],
                           r->seq);
    return TN_OK;
}

tn_status tn_recurrent_run(tn_recurrent_job *job) {
    const tn_recurrent *r = job->r;
    const tn_run *call = job->call;
    const tn_tensor *lengths = tn_in(call, 4);
    tn_tensor *y = tn_out(call, 0);
    job->lengths = lengths ? lengths->data : NULL;
    TN_TRY(tn_recurrent_check_lengths(r, job->lengths));
    job->y = y ? y->data : NULL;
    if (y && job->lengths) memset(y->data, 0, tn_dtype_bytes(y->dtype, tn_count(y)));
    move_states(job, true);
    if (r->seq * r->batch * r->hidden > 0) {
        add_biases(job);
        r->products->input(job);
        /* Small products leave the threads to the directions. */
        bool small = r->fused ? r->fused_tasks <= 1 || tn_pool_threads(call->pool) <= 2 : r->hr.tasks <= 1;
        job->parts = tn_recurrent_parts(r, (size_t)tn_pool_threads(call->pool));
        bool side_by_side = job->parts > 1 || (r->directions > 1 && small);
        job->pool = side_by_side ? NULL : call->pool;
        tn_parallel(side_by_side ? call->pool : NULL, (int64_t)(r->directions * job->parts), run_direction, job);
    }
    clear_empty(job);
    move_states(job, false);
    return TN_OK;
}
