/* GridSample: the input [N, C, spatial...] read at the positions of grid [N, out..., k], which are normalized to
 * [-1, 1] and name the innermost axis first. Any number of spatial axes up to 3.
 *
 * Each position's taps (offsets and weights) are worked out once and used for all channels. Keys' cubic with a = -0.75;
 * linear and cubic are products over the axes. Positions are computed in float32. */
#include "ops/data.h"

enum { AXES = 3, TAPS = 4 * 4 * 4, CHUNK = 64 /* positions a task's share is made of */ };

typedef enum sample_mode { SAMPLE_NEAREST, SAMPLE_LINEAR, SAMPLE_CUBIC } sample_mode;
typedef enum sample_padding { PAD_ZEROS, PAD_BORDER, PAD_REFLECTION } sample_padding;

typedef struct sample_how {
    sample_mode mode;
    sample_padding padding;
    bool align;
} sample_how;

static tn_status get_how(const tn_node *node, sample_how *how) {
    const char *mode = tn_attr_text(node, "mode", "linear"), *padding = tn_attr_text(node, "padding_mode", "zeros");
    /* Before opset 20 the modes were called after two dimensions. */
    bool linear = strcmp(mode, "linear") == 0 || strcmp(mode, "bilinear") == 0;
    bool cubic = strcmp(mode, "cubic") == 0 || strcmp(mode, "bicubic") == 0;
    if (!linear && !cubic && strcmp(mode, "nearest") != 0)
        return tn_fail(TN_E_INVALID, "mode is '%s'; expected linear, nearest or cubic", mode);
    how->mode = linear ? SAMPLE_LINEAR : cubic ? SAMPLE_CUBIC : SAMPLE_NEAREST;
    how->padding = strcmp(padding, "zeros") == 0    ? PAD_ZEROS
                   : strcmp(padding, "border") == 0 ? PAD_BORDER
                                                    : PAD_REFLECTION;
    if (how->padding == PAD_REFLECTION && strcmp(padding, "reflection") != 0)
        return tn_fail(TN_E_INVALID, "padding_mode is '%s'; expected zeros, border or reflection", padding);
    how->align = tn_attr_int(node, "align_corners", 0) != 0;
    return TN_OK;
}

static tn_status sample_infer(tn_infer *call) {
    sample_how how;
    int64_t dims[TN_MAX_RANK];
    TN_TRY(tn_infer_whole(call, 0));
    TN_TRY(tn_infer_dtype(call, 1, TN_FLOATS));
    TN_TRY(get_how(call->node, &how));
    const tn_type *data = call->in[0], *grid = call->in[1];
    bool number = tn_dtype_is_float(data->dtype) || tn_dtype_is_integer(data->dtype) || data->dtype == TN_BOOL;
    if (data->dtype && !number && how.mode != SAMPLE_NEAREST)
        return tn_infer_fail(call, 0, TN_E_TYPE, "only mode 'nearest' takes it");
    int rank = data->rank >= 0 ? data->rank : grid->rank;
    if (rank < 0) return tn_infer_out(call, 0, data->dtype, -1, NULL);
    if (rank < 3 || rank > 2 + AXES)
        return tn_infer_fail(call, data->rank >= 0 ? 0 : 1, TN_E_SHAPE, "expected 3 to %d dimensions", 2 + AXES);
    if (grid->rank >= 0 && grid->rank != rank)
        return tn_infer_fail(call, 1, TN_E_SHAPE, "expected %d dimensions, as input 0 has", rank);
    if (grid->rank >= 0 && !tn_dim_fits(grid->dims[rank - 1], rank - 2))
        return tn_infer_fail(call, 1, TN_E_SHAPE, "expected a last dimension of %d", rank - 2);
    for (int i = 0; i < rank; i++) dims[i] = i == 1 || grid->rank < 0 ? -1 : grid->dims[i - (i > 1)];
    if (data->rank >= 0) {
        if (!tn_dim_fits(data->dims[0], dims[0]))
            return tn_infer_fail(call, 1, TN_E_SHAPE, "expected a batch of %lld", (long long)data->dims[0]);
        dims[1] = data->dims[1];
        if (dims[0] < 0) dims[0] = data->dims[0];
        for (int i = 2; i < rank; i++)
            if (data->dims[i] == 0) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected no empty spatial dimension");
    }
    return tn_infer_out(call, 0, data->dtype, rank, dims);
}

static tn_status sample_prepare(tn_prepare *call) {
    sample_how *how = tn_prepare_alloc(call, sizeof *how);
    if (!how) return TN_E_MEMORY;
    call->state = how;
    return get_how(call->node, how);
}

/* Mirrors x at low and high until it is between them. */
static double reflect(double x, double low, double high) {
    double range = high - low;
    if (!(range > 0)) return low;
    if (x >= low && x <= high) return x;
    double past = x < low ? low - x : x - high, times = floor(past / range), rest = past - times * range;
    bool from_low = (x < low) == (fmod(times, 2) == 0);
    return from_low ? low + rest : high - rest;
}

/* The input position that tap `at` of an axis reads; -1: none. */
static int64_t tap_position(const sample_how *how, double at, int64_t size) {
    if (how->padding == PAD_REFLECTION)
        at = trunc(how->align ? reflect(at, 0, (double)size - 1) : reflect(at, -0.5, (double)size - 0.5));
    if (how->padding == PAD_ZEROS && !(at >= 0 && at < (double)size)) return -1;
    return at >= (double)size ? size - 1 : at > 0 ? (int64_t)at : 0;
}

/* Taps of one axis for the normalized coordinate; how many. */
static int axis_taps(const sample_how *how, float coordinate, int64_t size, int64_t *position, double *weight) {
    float length = (float)size, low = how->align ? 0 : -0.5f, high = how->align ? length - 1 : length - 0.5f;
    float x = how->align ? (coordinate + 1) / 2 * (length - 1) : ((coordinate + 1) * length - 1) / 2;
    if (!isfinite(x)) x = x > 0 ? length * 2 : -length * 2; /* far outside, as NaN is */
    if (how->mode == SAMPLE_NEAREST) x = rintf(x);
    if (x < low || x > high) {
        if (how->padding == PAD_BORDER) x = x < 0 ? 0 : length - 1;
        if (how->padding == PAD_REFLECTION) x = (float)reflect(x, low, high);
    }
    if (how->mode == SAMPLE_NEAREST) {
        position[0] = tap_position(how, x, size);
        weight[0] = 1;
        return 1;
    }
    double first = floor(x), t = x - first, a = -0.75;
    if (how->mode == SAMPLE_LINEAR) {
        weight[0] = 1 - t;
        weight[1] = t;
        for (int k = 0; k < 2; k++) position[k] = tap_position(how, first + k, size);
        return 2;
    }
    for (int k = 0; k < 4; k++) {
        double d = fabs(t + 1 - k);
        weight[k] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
        position[k] = tap_position(how, first - 1 + k, size);
    }
    return 4;
}

typedef struct sample_job {
    const sample_how *how;
    const tn_tensor *data, *grid;
    tn_tensor *out;
    int64_t positions, in_plane, chunks; /* of a batch element: outputs and inputs of a channel, chunks of outputs */
} sample_job;

/* All taps of position p (of all batch elements): offsets into a channel, and weights. */
static int position_taps(const sample_job *job, int64_t p, int64_t *offset, double *weight) {
    int axes = job->data->rank - 2, count = 1;
    offset[0] = 0;
    weight[0] = 1;
    for (int i = 0; i < axes; i++) {
        int64_t position[4], size = job->data->dims[2 + i], before_offset[TAPS];
        double along[4], before[TAPS];
        float x = (float)tn_get_double(job->grid->dtype, job->grid->data, p * axes + axes - 1 - i);
        int taps = axis_taps(job->how, x, size, position, along), had = count;
        memcpy(before_offset, offset, sizeof *offset * (size_t)had);
        memcpy(before, weight, sizeof *weight * (size_t)had);
        count = 0;
        for (int b = 0; b < had; b++)
            for (int k = 0; k < taps; k++) {
                if (position[k] < 0) continue;
                offset[count] = before_offset[b] * size + position[k];
                weight[count++] = before[b] * along[k];
            }
    }
    return count;
}

static void sample_task(void *context, int64_t task) {
    const sample_job *job = context;
    const tn_tensor *data = job->data;
    tn_dtype dtype = data->dtype;
    size_t element = tn_dtype_bits(dtype) / 8;
    static const char zeros[16];
    const tn_string empty = {"", 0};
    const void *nothing = dtype == TN_STRING ? (const void *)&empty : zeros;
    int64_t offset[TAPS], batch = task / job->chunks, first = task % job->chunks * CHUNK, channels = data->dims[1];
    double weight[TAPS];
    for (int64_t p = first; p < TN_MIN(first + CHUNK, job->positions); p++) {
        int taps = position_taps(job, batch * job->positions + p, offset, weight);
        for (int64_t c = 0; c < channels; c++) {
            int64_t from = (batch * channels + c) * job->in_plane, to = (batch * channels + c) * job->positions + p;
            double sum = 0;
            if (job->how->mode == SAMPLE_NEAREST) {
                const char *pixel = taps ? (const char *)data->data + (from + offset[0]) * (int64_t)element : nothing;
                tn_copy_run((char *)job->out->data + to * (int64_t)element, pixel, element);
            } else if (dtype == TN_FLOAT32) {
                for (int k = 0; k < taps; k++) sum += weight[k] * (double)((const float *)data->data)[from + offset[k]];
                ((float *)job->out->data)[to] = (float)sum;
            } else {
                for (int k = 0; k < taps; k++) sum += weight[k] * tn_get_double(dtype, data->data, from + offset[k]);
                tn_saturate(dtype, 1, &sum);
                tn_set_double(dtype, job->out->data, to, sum);
            }
        }
    }
}

static tn_status sample_run(tn_run *call) {
    sample_job job = {.how = call->state, .data = tn_in(call, 0), .grid = tn_in(call, 1), .out = tn_out(call, 0)};
    if (!job.out || tn_count(job.out) == 0) return TN_OK;
    job.positions = tn_dims_span(job.out->dims, 2, job.out->rank);
    job.in_plane = tn_dims_span(job.data->dims, 2, job.data->rank);
    job.chunks = (job.positions + CHUNK - 1) / CHUNK;
    tn_parallel(call->pool, job.data->dims[0] * job.chunks, sample_task, &job);
    return TN_OK;
}

const tn_op tn_ops_grid_sample[] = {
    {.domain = "",
     .name = "GridSample",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = sample_infer,
     .prepare = sample_prepare,
     .run = sample_run},
    {0},
};
