/* RNN, GRU and LSTM: reading and checking nodes. See recurrent.h. */
#include "ops/data.h"
#include "ops/recurrent.h"

/* Inputs: X, W, R, B, sequence_lens, initial_h, then of LSTM initial_c and P. */
enum { X, W, R, B, LENGTHS, INITIAL_H, INITIAL_C, PEEPHOLE };

static size_t gate_count(tn_cell cell) {
    return cell == TN_CELL_RNN ? 1 : cell == TN_CELL_GRU ? 3 : 4;
}

typedef struct shape {
    int64_t directions, seq, batch, input, hidden; /* as in tn_type */
    bool batch_major;
} shape;

/* Fails unless the input, if present, has these dims; -1 is any. */
static tn_status check_dims(const tn_infer *call, int in, int rank, const int64_t *dims) {
    if (!tn_infer_has(call, in) || call->in[in]->rank < 0) return TN_OK;
    const tn_type *t = call->in[in];
    bool fits = t->rank == rank;
    for (int i = 0; fits && i < rank; i++) fits = t->dims[i] < 0 || dims[i] < 0 || t->dims[i] == dims[i];
    if (fits) return TN_OK;
    char text[160];
    return tn_infer_fail(call, in, TN_E_SHAPE, "expected %s",
                         tn_shape_text(text, sizeof text, TN_UNDEFINED, rank, dims));
}

static tn_status read_shape(const tn_infer *call, int64_t gates, bool transposed, shape *s) {
    const char *direction = tn_attr_text(call->node, "direction", "forward");
    int64_t layout = tn_attr_int(call->node, "layout", 0), given = tn_attr_int(call->node, "hidden_size", -1);
    bool both = strcmp(direction, "bidirectional") == 0;
    if (!both && strcmp(direction, "forward") != 0 && strcmp(direction, "reverse") != 0)
        return tn_fail(TN_E_INVALID, "direction is '%.40s'; expected forward, reverse or bidirectional", direction);
    if (layout != 0 && layout != 1) return tn_fail(TN_E_INVALID, "layout is %lld; expected 0 or 1", (long long)layout);
    const tn_type *x = call->in[X], *r = call->in[R];
    *s = (shape){both ? 2 : 1, -1, -1, -1, -1, layout == 1};
    if (x->rank >= 0 && x->rank != 3)
        return tn_infer_fail(call, X, TN_E_SHAPE, "expected three dimensions: %s",
                             s->batch_major ? "batch, sequence, input" : "sequence, batch, input");
    if (x->rank == 3) {
        s->seq = x->dims[s->batch_major ? 1 : 0];
        s->batch = x->dims[s->batch_major ? 0 : 1];
        s->input = x->dims[2];
    }
    if (r->rank == 3 && r->dims[transposed ? 1 : 2] >= 0) s->hidden = r->dims[transposed ? 1 : 2];
    if (given >= 0 && s->hidden >= 0 && given != s->hidden)
        return tn_infer_fail(call, R, TN_E_SHAPE, "but hidden_size is %lld", (long long)given);
    if (given >= 0) s->hidden = given;
    if (s->hidden > INT32_MAX) return tn_fail(TN_E_SHAPE, "hidden_size %lld is too large", (long long)s->hidden);
    int64_t all = s->hidden < 0 ? -1 : gates * s->hidden;
    const int64_t w_dims[] = {s->directions, transposed ? s->input : all, transposed ? all : s->input};
    const int64_t r_dims[] = {s->directions, transposed ? s->hidden : all, transposed ? all : s->hidden};
    const int64_t b_dims[] = {s->directions, s->hidden < 0 ? -1 : 2 * all};
    const int64_t p_dims[] = {s->directions, s->hidden < 0 ? -1 : 3 * s->hidden};
    const int64_t state[] = {s->batch_major ? s->batch : s->directions, s->batch_major ? s->directions : s->batch,
                             s->hidden};
    TN_TRY(check_dims(call, W, 3, w_dims));
    TN_TRY(check_dims(call, R, 3, r_dims));
    TN_TRY(check_dims(call, B, 2, b_dims));
    TN_TRY(check_dims(call, LENGTHS, 1, &s->batch));
    TN_TRY(check_dims(call, INITIAL_H, 3, state));
    if (gates != 4) return TN_OK;
    TN_TRY(check_dims(call, INITIAL_C, 3, state));
    return check_dims(call, PEEPHOLE, 2, p_dims);
}

tn_status tn_recurrent_infer(tn_infer *call, tn_cell cell, bool quantized) {
    static const tn_dtype most[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};
    const tn_dtype *floats = quantized ? most : TN_FLOATS;
    shape s;
    tn_gate_activation act[2][3];
    bool all_default;
    for (int in = 0; in < call->in_count && in <= PEEPHOLE; in++) {
        if (!tn_infer_has(call, in) || (quantized && (in == W || in == R))) continue;
        TN_TRY(tn_infer_dtype(call, in, in == LENGTHS ? (const tn_dtype[]){TN_INT32, TN_UNDEFINED} : floats));
        if (in != X && in != LENGTHS && !quantized) TN_TRY(tn_infer_equal_dtype(call, X, in));
    }
    TN_TRY(read_shape(call, (int64_t)gate_count(cell), quantized, &s));
    TN_TRY(tn_gate_activations(call->node, NULL, cell, (size_t)s.directions, act, &all_default));
    const int64_t y[] = {s.seq, s.directions, s.batch, s.hidden}, state[] = {s.directions, s.batch, s.hidden};
    const int64_t y_batch[] = {s.batch, s.seq, s.directions, s.hidden},
                  state_batch[] = {s.batch, s.directions, s.hidden};
    tn_dtype dtype = call->in[X]->dtype;
    TN_TRY(tn_infer_out(call, 0, dtype, 4, s.batch_major ? y_batch : y));
    for (int out = 1; out < call->out_count; out++)
        TN_TRY(tn_infer_out(call, out, dtype, 3, s.batch_major ? state_batch : state));
    return TN_OK;
}

tn_status tn_recurrent_decode(tn_prepare *call, tn_cell cell, bool quantized, tn_recurrent *r) {
    const tn_infer types = {.node = call->node, .in_count = call->in_count, .in = call->in};
    shape s;
    bool all_default;
    TN_TRY(read_shape(&types, (int64_t)gate_count(cell), quantized, &s));
    *r = (tn_recurrent){.cell = cell,
                        .gates = gate_count(cell),
                        .directions = (size_t)s.directions,
                        .seq = (size_t)s.seq,
                        .batch = (size_t)s.batch,
                        .input = (size_t)s.input,
                        .hidden = (size_t)s.hidden,
                        .batch_major = s.batch_major,
                        .reverse = {strcmp(tn_attr_text(call->node, "direction", "forward"), "reverse") == 0, true},
                        .linear_before_reset = tn_attr_int(call->node, "linear_before_reset", 0) != 0,
                        .input_forget = tn_attr_int(call->node, "input_forget", 0) != 0,
                        .clip = tn_attr_float(call->node, "clip", 0)};
    TN_TRY(tn_gate_activations(call->node, call->kernels, cell, r->directions, r->act, &all_default));
    r->plain = all_default && !r->input_forget && !(r->clip > 0);
    if (!tn_recurrent_scratch(r, &call->scratch)) return tn_fail(TN_E_SHAPE, "the layer is too large");
    return TN_OK;
}

static tn_status prepare(tn_prepare *call, tn_cell cell) {
    tn_recurrent *r = tn_prepare_alloc(call, sizeof *r);
    if (!r) return TN_E_MEMORY;
    TN_TRY(tn_recurrent_decode(call, cell, false, r));
    call->state = r;
    if (call->in[X]->dtype != TN_FLOAT64) return tn_recurrent_prepare_products(call, r);
    call->scratch = 0;
    return tn_recurrent_scratch_f64(r, &call->scratch) ? TN_OK : tn_fail(TN_E_SHAPE, "the layer is too large");
}

static tn_status run(tn_run *call) {
    if (tn_in(call, X)->dtype == TN_FLOAT64) return tn_recurrent_run_f64(call->state, call);
    tn_recurrent_job job = {.r = call->state, .call = call, .kernels = call->kernels, .x = tn_in(call, X)->data};
    const tn_tensor *b = tn_in(call, B), *peephole = job.r->cell == TN_CELL_LSTM ? tn_in(call, PEEPHOLE) : NULL;
    uint8_t *scratch = call->scratch;
    job.b = b ? b->data : NULL;
    job.peephole = peephole ? peephole->data : NULL;
    tn_recurrent_take(&job, &scratch);
    tn_recurrent_take_products(&job, &scratch);
    return tn_recurrent_run(&job);
}

#define CELL(name, cell)                                                                                               \
    static tn_status infer_##name(tn_infer *call) {                                                                    \
        return tn_recurrent_infer(call, cell, false);                                                                  \
    }                                                                                                                  \
    static tn_status prepare_##name(tn_prepare *call) {                                                                \
        return prepare(call, cell);                                                                                    \
    }
CELL(rnn, TN_CELL_RNN)
CELL(gru, TN_CELL_GRU)
CELL(lstm, TN_CELL_LSTM)

#define ROW(title, most_in, most_out, cell)                                                                            \
    {                                                                                                                  \
        .domain = "", .name = title, .min_in = 3, .max_in = most_in, .min_out = 0, .max_out = most_out,                \
        .flags = TN_OP_WIDEN, .infer = infer_##cell, .prepare = prepare_##cell, .run = run                             \
    }

const tn_op tn_ops_recurrent[] = {
    ROW("RNN", 6, 2, rnn),
    ROW("GRU", 6, 2, gru),
    ROW("LSTM", 8, 3, lstm),
    {0},
};
