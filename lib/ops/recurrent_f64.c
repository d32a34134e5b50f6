/* Recurrent layers in float64: each row of the batch by itself, gate by gate, as ONNX's formulas say. See recurrent.h. */
#include "ops/recurrent.h"
#include "ops/scratch.h"
#include <math.h>

typedef struct job {
    const tn_recurrent *r;
    const tn_run *call;
    const double *x, *w, *recurrent, *b, *peephole;
    const int32_t *lengths;
    double *y, *memory;
} job;

enum { STATES = 4 }; /* h, c, GRU's r * h, the new h */

bool tn_recurrent_scratch_f64(const tn_recurrent *r, size_t *total) {
    size_t count;
    return tn_mul_size(r->directions * r->batch, (r->gates + STATES) * r->hidden, &count) && r->batch < SIZE_MAX / 2 &&
           tn_scratch_add(total, count, sizeof(double));
}

static const double *contents(const tn_run *call, int in) {
    const tn_tensor *t = tn_in(call, in);
    return t ? t->data : NULL;
}

static double dot(const double *a, const double *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static double clipped(const tn_recurrent *r, double x) {
    const double most = (double)r->clip;
    return most > 0 ? fmin(fmax(x, -most), most) : x;
}
static double gate(const tn_recurrent *r, size_t d, int act, double x) {
    return tn_gate_f64(&r->act[d][act], clipped(r, x));
}

/* Gates from `first` to `last` times H: W x + R state + biases. */
static void sums(const job *j, size_t d, size_t first, size_t last, const double *x, const double *state, double *to) {
    const tn_recurrent *r = j->r;
    const size_t n = r->gates * r->hidden;
    for (size_t i = first * r->hidden; i < last * r->hidden; i++) {
        to[i] = x ? dot(j->w + (d * n + i) * r->input, x, r->input) + (j->b ? j->b[d * 2 * n + i] : 0) : 0;
        if (state)
            to[i] +=
                dot(j->recurrent + (d * n + i) * r->hidden, state, r->hidden) + (j->b ? j->b[(d * 2 + 1) * n + i] : 0);
    }
}

static void lstm(const job *j, size_t d, const double *x, double *gates, double *h, double *c, double *next) {
    const tn_recurrent *r = j->r;
    const size_t n = r->hidden;
    const double *p = j->peephole ? j->peephole + d * 3 * n : NULL;
    sums(j, d, 0, 4, x, h, gates);
    for (size_t i = 0; i < n; i++) {
        double input = gate(r, d, 0, gates[i] + (p ? p[i] * c[i] : 0));
        double forget = gate(r, d, 0, gates[2 * n + i] + (p ? p[2 * n + i] * c[i] : 0));
        if (r->input_forget) forget = 1 - input;
        c[i] = forget * c[i] + input * gate(r, d, 1, gates[3 * n + i]);
        double output = gate(r, d, 0, gates[n + i] + (p ? p[n + i] * c[i] : 0));
        next[i] = output * tn_gate_f64(&r->act[d][2], c[i]);
    }
}

static void gru(const job *j, size_t d, const double *x, double *gates, double *h, double *reset, double *next) {
    const tn_recurrent *r = j->r;
    const size_t n = r->hidden;
    sums(j, d, 0, 2, x, h, gates);
    for (size_t i = 0; i < 2 * n; i++) gates[i] = gate(r, d, 0, gates[i]);
    if (r->linear_before_reset) {
        sums(j, d, 2, 3, NULL, h, gates);
        for (size_t i = 0; i < n; i++) reset[i] = gates[n + i] * gates[2 * n + i];
        sums(j, d, 2, 3, x, NULL, gates);
        for (size_t i = 0; i < n; i++) gates[2 * n + i] += reset[i];
    } else {
        for (size_t i = 0; i < n; i++) reset[i] = gates[n + i] * h[i];
        sums(j, d, 2, 3, x, reset, gates);
    }
    for (size_t i = 0; i < n; i++) next[i] = (1 - gates[i]) * gate(r, d, 1, gates[2 * n + i]) + gates[i] * h[i];
}

static void one_step(const job *j, size_t d, const double *x, double *gates, double *states) {
    const tn_recurrent *r = j->r;
    const size_t n = r->hidden;
    double *h = states, *c = h + n, *reset = c + n, *next = reset + n;
    if (r->cell == TN_CELL_LSTM) {
        lstm(j, d, x, gates, h, c, next);
    } else if (r->cell == TN_CELL_GRU) {
        gru(j, d, x, gates, h, reset, next);
    } else {
        sums(j, d, 0, 1, x, h, gates);
        for (size_t i = 0; i < n; i++) next[i] = gate(r, d, 0, gates[i]);
    }
    memcpy(h, next, n * sizeof *h);
}

/* All steps of one row in one direction. */
static void one_row(void *context, int64_t index) {
    const job *j = context;
    const tn_recurrent *r = j->r;
    const size_t n = r->hidden, d = (size_t)index / r->batch, row = (size_t)index % r->batch;
    const size_t state = (r->batch_major ? row * r->directions + d : d * r->batch + row) * n;
    const size_t length = j->lengths ? (size_t)j->lengths[row] : r->seq;
    double *gates = j->memory + (size_t)index * (r->gates + STATES) * n, *states = gates + r->gates * n;
    for (int which = 0; which < 2; which++) {
        const double *from = which && r->cell != TN_CELL_LSTM ? NULL : contents(j->call, 5 + which);
        for (size_t i = 0; i < n; i++) states[(size_t)which * n + i] = from && length ? from[state + i] : 0;
    }
    for (size_t step = 0; step < length; step++) {
        size_t t = r->reverse[d] ? length - 1 - step : step;
        one_step(j, d, j->x + (r->batch_major ? row * r->seq + t : t * r->batch + row) * r->input, gates, states);
        size_t at = r->batch_major ? (row * r->seq + t) * r->directions + d : (t * r->directions + d) * r->batch + row;
        if (j->y) memcpy(j->y + at * n, states, n * sizeof *states);
    }
    for (int which = 0; which < (r->cell == TN_CELL_LSTM ? 2 : 1); which++) {
        tn_tensor *to = tn_out(j->call, 1 + which);
        if (to) memcpy((double *)to->data + state, states + (size_t)which * n, n * sizeof *states);
    }
}

tn_status tn_recurrent_run_f64(const tn_recurrent *r, tn_run *call) {
    const tn_tensor *lengths = tn_in(call, 4);
    tn_tensor *y = tn_out(call, 0);
    job j = {.r = r,
             .call = call,
             .x = contents(call, 0),
             .w = contents(call, 1),
             .recurrent = contents(call, 2),
             .b = contents(call, 3),
             .peephole = r->cell == TN_CELL_LSTM ? contents(call, 7) : NULL,
             .lengths = lengths ? lengths->data : NULL,
             .y = y ? y->data : NULL,
             .memory = call->scratch};
    TN_TRY(tn_recurrent_check_lengths(r, j.lengths));
    if (y && lengths) memset(y->data, 0, tn_dtype_bytes(y->dtype, tn_count(y)));
    if (r->hidden) tn_parallel(call->pool, (int64_t)(r->directions * r->batch), one_row, &j);
    return TN_OK;
}
