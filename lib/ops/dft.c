/* DFT and STFT: transforms of many signals, each gathered from the input, transformed in double precision (fft.h) and
 * scattered to the output. The signals are shared out over the threads. */
#include "graph/op.h"
#include "ops/data.h"
#include "ops/fft.h"

/* Signal number i begins at (i / inner) * outer_step + (i % inner) * inner_step, its elements `step` apart. */
typedef struct layout {
    int64_t inner, outer_step, inner_step, step;
} layout;

typedef struct state {
    tn_fft fft;
    layout in, out;
    int64_t lines, take, give; /* signals; elements taken of each and given of its transform */
    int in_parts, out_parts;   /* 1: real, 2: complex */
    bool inverse, half;        /* half: the input is the first half of a symmetric spectrum */
    bool wide;                 /* float64 */
    int64_t tasks;
    size_t work; /* bytes of each task */
    bool window; /* input 2 scales what is taken */
} state;

static double read_real(const state *s, const void *data, int64_t i) {
    return s->wide ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

static void write_real(const state *s, void *data, int64_t i, double x) {
    if (s->wide)
        ((double *)data)[i] = x;
    else
        ((float *)data)[i] = (float)x;
}

static int64_t start_of(const layout *l, int64_t line) {
    return line / l->inner * l->outer_step + line % l->inner * l->inner_step;
}

static void load(const state *s, const void *data, const void *window, int64_t line, tn_complex *x) {
    int64_t n = s->fft.n, at = start_of(&s->in, line);
    for (int64_t k = 0; k < s->take; k++, at += s->in.step) {
        double scale = window ? read_real(s, window, k) : 1;
        x[k].re = scale * read_real(s, data, at);
        x[k].im = s->in_parts == 2 ? scale * read_real(s, data, at + 1) : 0;
    }
    for (int64_t k = s->take; k < n; k++) x[k] = (tn_complex){0, 0};
    if (s->half) {
        x[0].im = 0;
        if (n % 2 == 0) x[n / 2].im = 0;
        for (int64_t k = 1; k < n - k; k++) x[n - k] = (tn_complex){x[k].re, -x[k].im};
    }
    /* The inverse is the transform with real and imaginary parts exchanged before and after. */
    for (int64_t k = 0; s->inverse && k < n; k++) x[k] = (tn_complex){x[k].im, x[k].re};
}

static void store(const state *s, void *data, int64_t line, const tn_complex *x) {
    int64_t at = start_of(&s->out, line);
    double scale = s->inverse ? 1 / (double)s->fft.n : 1;
    for (int64_t k = 0; k < s->give; k++, at += s->out.step) {
        write_real(s, data, at, scale * (s->inverse ? x[k].im : x[k].re));
        if (s->out_parts == 2) write_real(s, data, at + 1, scale * (s->inverse ? x[k].re : x[k].im));
    }
}

typedef struct job {
    const state *s;
    const void *in, *window;
    void *out;
    char *scratch;
} job;

static void transform_some(void *context, int64_t task) {
    const job *j = context;
    const state *s = j->s;
    tn_complex *x = (tn_complex *)(j->scratch + (size_t)task * s->work), *work = x + s->fft.n;
    int64_t each = s->lines / s->tasks, more = s->lines % s->tasks, first = task * each + TN_MIN(task, more);
    for (int64_t line = first; line < first + each + (task < more); line++) {
        load(s, j->in, j->window, line, x);
        tn_fft_run(&s->fft, x, work);
        store(s, j->out, line, x);
    }
}

static tn_status run(tn_run *call) {
    const state *s = call->state;
    const tn_tensor *window = s->window ? tn_in(call, 2) : NULL;
    if (!s->lines || !s->give) return TN_OK;
    job j = {s, tn_in(call, 0)->data, window ? window->data : NULL, tn_out(call, 0)->data, call->scratch};
    tn_parallel(call->pool, s->tasks, transform_some, &j);
    return TN_OK;
}

/* Plans transforms of length n once the rest of the state is filled in. */
static tn_status finish(tn_prepare *call, state *s, int64_t n) {
    size_t tables = tn_fft_table_bytes(n), work = tn_fft_work_bytes(n), all;
    s->wide = call->in[0]->dtype == TN_FLOAT64;
    /* About 64 operations an element and a pass; enough tasks to share, few enough to bound the memory. */
    int64_t lines_a_task = TN_MAX(1, 500 / n);
    s->tasks = TN_MAX(1, TN_MIN(64, s->lines / lines_a_task));
    if (tables == SIZE_MAX || work == SIZE_MAX || !tn_add_size(work, (size_t)n * sizeof(tn_complex), &s->work) ||
        !tn_add_size(s->work, 63, &s->work) || !tn_mul_size(s->work &= ~(size_t)63, (size_t)s->tasks, &all))
        return tn_fail(TN_E_LIMIT, "a transform of length %lld is too large", (long long)n);
    void *table = tn_prepare_alloc(call, tables), *once = tn_prepare_alloc(call, work);
    if (!table || !once) return TN_E_MEMORY;
    tn_fft_plan(&s->fft, n, table, once);
    call->scratch = all;
    return TN_OK;
}

static const tn_dtype real_floats[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64, TN_UNDEFINED};

static tn_status check_signal(const tn_infer *call, int min_rank) {
    TN_TRY(tn_infer_dtype(call, 0, real_floats));
    const tn_type *in = call->in[0];
    if (in->rank < 0) return TN_OK;
    int64_t parts = in->rank >= min_rank ? in->dims[in->rank - 1] : 0;
    if (parts >= 0 && parts != 1 && parts != 2)
        return tn_infer_fail(call, 0, TN_E_SHAPE,
                             "expected at least %d dimensions, the last of 1 (real) or 2 (complex)", min_rank);
    return TN_OK;
}

/* One integer input: its contents, or `fallback` if absent; -1 in *out_known if it is there but unknown. */
static tn_status scalar(const tn_infer *call, int in, int64_t fallback, int64_t *out, bool *out_known) {
    size_t count;
    *out = fallback;
    *out_known = true;
    if (!tn_infer_has(call, in)) return TN_OK;
    TN_TRY(tn_infer_index(call, in));
    int64_t elements = call->in[in]->rank >= 0 ? tn_dims_count(call->in[in]->rank, call->in[in]->dims) : -1;
    if (elements >= 0 && elements != 1) return tn_infer_fail(call, in, TN_E_SHAPE, "expected a scalar");
    *out_known = tn_infer_ints(call, in, out, 1, &count) && count == 1;
    return TN_OK;
}

static tn_status dft_infer(tn_infer *call) {
    int64_t axis64, length, dims[TN_MAX_RANK];
    bool axis_known, length_known;
    TN_TRY(check_signal(call, 2));
    TN_TRY(scalar(call, 1, -1, &length, &length_known));
    TN_TRY(scalar(call, 2, -2, &axis64, &axis_known));
    const tn_type *in = call->in[0];
    bool given = tn_infer_has(call, 1), inverse = tn_attr_int(call->node, "inverse", 0) != 0,
         onesided = tn_attr_int(call->node, "onesided", 0) != 0;
    if (given && length_known && (length < 1 || length > INT32_MAX))
        return tn_fail(TN_E_INVALID, "dft_length is %lld; expected 1 to 2^31 - 1", (long long)length);
    if (in->rank < 0) return tn_infer_out(call, 0, in->dtype, -1, NULL);
    int axis = 0;
    if (axis_known) TN_TRY(tn_infer_axis(call, axis64, in->rank, &axis));
    if (axis_known && axis == in->rank - 1)
        return tn_fail(TN_E_INVALID, "axis %lld is the one of real and imaginary parts", (long long)axis64);
    for (int i = 0; i < in->rank; i++) dims[i] = axis_known ? in->dims[i] : -1;
    dims[in->rank - 1] = inverse && onesided ? 1 : 2;
    if (axis_known) {
        int64_t dim = in->dims[axis], n = given ? (length_known ? length : -1) : dim;
        if (!given && inverse && onesided) n = dim > 0 ? 2 * (dim - 1) : -1;
        if (!given && ((dim == 0) || (dim == 1 && inverse && onesided)))
            return tn_infer_fail(call, 0, TN_E_SHAPE, "axis %d is too short for a transform", axis);
        dims[axis] = onesided && !inverse ? (n >= 0 ? n / 2 + 1 : -1) : n;
    }
    return tn_infer_out(call, 0, in->dtype, in->rank, dims);
}

/* Contents of a scalar input that preparation needs. */
static tn_status need(const tn_prepare *call, int in, int64_t fallback, int64_t *out) {
    *out = fallback;
    if (!tn_prepare_has(call, in)) return TN_OK;
    if (!call->value[in]) return tn_fail(TN_E_UNSUPPORTED, "input %d changes from run to run; expected a constant", in);
    *out = tn_index_at(call->value[in], 0);
    return TN_OK;
}

static tn_status dft_prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    const tn_type *in = call->in[0], *out = &call->out[0];
    int64_t axis64, n;
    if (!s) return TN_E_MEMORY;
    TN_TRY(need(call, 2, -2, &axis64));
    int axis = (int)(axis64 < 0 ? axis64 + in->rank : axis64);
    s->inverse = tn_attr_int(call->node, "inverse", 0) != 0;
    s->half = s->inverse && tn_attr_int(call->node, "onesided", 0);
    TN_TRY(need(call, 1, s->half ? 2 * (in->dims[axis] - 1) : in->dims[axis], &n));
    s->in_parts = (int)in->dims[in->rank - 1];
    s->out_parts = (int)out->dims[in->rank - 1];
    s->take = TN_MIN(in->dims[axis], s->half ? n / 2 + 1 : n);
    s->give = out->dims[axis];
    int64_t inner = tn_dims_span(in->dims, axis + 1, in->rank - 1);
    s->lines = tn_dims_span(in->dims, 0, axis) * inner;
    s->in = (layout){TN_MAX(inner, 1), in->dims[axis] * inner * s->in_parts, s->in_parts, inner * s->in_parts};
    s->out = (layout){TN_MAX(inner, 1), s->give * inner * s->out_parts, s->out_parts, inner * s->out_parts};
    return finish(call, s, n);
}

static tn_status stft_infer(tn_infer *call) {
    int64_t step, length, dims[4] = {-1, -1, -1, 2};
    bool step_known, length_known;
    TN_TRY(check_signal(call, 3));
    const tn_type *in = call->in[0], *window = tn_infer_has(call, 2) ? call->in[2] : NULL;
    if (in->rank > 3) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [batch, length, 1 or 2]");
    TN_TRY(scalar(call, 1, 1, &step, &step_known));
    TN_TRY(scalar(call, 3, -1, &length, &length_known));
    int64_t window_length = -1;
    if (window) {
        TN_TRY(tn_infer_dtype(call, 2, real_floats));
        TN_TRY(tn_infer_equal_dtype(call, 0, 2));
        if (window->rank >= 0 && window->rank != 1) return tn_infer_fail(call, 2, TN_E_SHAPE, "expected one dimension");
        window_length = window->rank == 1 ? window->dims[0] : -1;
    }
    if (!tn_infer_has(call, 3))
        length = window ? window_length : in->rank == 3 ? in->dims[1] : -1;
    else if (!length_known)
        length = -1;
    else if (length < 1)
        return tn_fail(TN_E_INVALID, "frame_length is %lld; expected at least 1", (long long)length);
    if (length == 0 || length > INT32_MAX)
        return tn_fail(TN_E_SHAPE, "frames of %lld elements; expected 1 to 2^31 - 1", (long long)length);
    if (length > 0 && window_length > length)
        return tn_infer_fail(call, 2, TN_E_SHAPE, "expected at most frame_length, %lld", (long long)length);
    if (step_known && step < 1)
        return tn_fail(TN_E_INVALID, "frame_step is %lld; expected at least 1", (long long)step);
    bool onesided = tn_attr_int(call->node, "onesided", 1) != 0;
    if (onesided && in->rank == 3 && in->dims[2] == 2)
        return tn_infer_fail(call, 0, TN_E_INVALID, "a complex signal has no one-sided transform; set onesided to 0");
    if (in->rank == 3) {
        dims[0] = in->dims[0];
        if (in->dims[1] >= 0 && length > 0 && in->dims[1] < length)
            return tn_infer_fail(call, 0, TN_E_SHAPE, "the signal is shorter than a frame of %lld", (long long)length);
        if (in->dims[1] >= 0 && length > 0 && step_known) dims[1] = 1 + (in->dims[1] - length) / step;
    }
    if (length > 0) dims[2] = onesided ? length / 2 + 1 : length;
    return tn_infer_out(call, 0, in->dtype, 4, dims);
}

static tn_status stft_prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    const tn_type *in = call->in[0], *out = &call->out[0], *window = tn_prepare_has(call, 2) ? call->in[2] : NULL;
    int64_t step, n;
    if (!s) return TN_E_MEMORY;
    TN_TRY(need(call, 1, 1, &step));
    step = TN_MIN(step, in->dims[1] + 1); /* beyond the end there is but one frame */
    TN_TRY(need(call, 3, window ? window->dims[0] : in->dims[1], &n));
    s->window = window != NULL;
    s->in_parts = (int)in->dims[2];
    s->out_parts = 2;
    s->take = window ? window->dims[0] : n;
    s->give = out->dims[2];
    s->lines = in->dims[0] * out->dims[1];
    s->in = (layout){TN_MAX(out->dims[1], 1), in->dims[1] * s->in_parts, step * s->in_parts, s->in_parts};
    s->out = (layout){TN_MAX(out->dims[1], 1), out->dims[1] * s->give * 2, s->give * 2, 2};
    return finish(call, s, n);
}

const tn_op tn_ops_dft[] = {
    {.domain = "",
     .name = "DFT",
     .min_in = 1,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = dft_infer,
     .prepare = dft_prepare,
     .run = run},
    {.domain = "",
     .name = "STFT",
     .min_in = 2,
     .max_in = 4,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = stft_infer,
     .prepare = stft_prepare,
     .run = run},
    {0},
};
