/* Col2Im: columns [N, C * block, L] summed back into images [N, C, image...]; the reverse of what a convolution gathers.
 * Column l of row (c, k) is what tap k of the block at place l saw of channel c. */
#include "ops/data.h"

enum { AXES = TN_MAX_RANK - 2 };

typedef struct col_state {
    int axes;
    int64_t image[AXES], block[AXES], places[AXES], strides[AXES], pads[AXES], dilations[AXES];
    int64_t taps, columns;
} col_state;

static tn_status attribute(const tn_node *node, const char *name, int axes, int64_t least, int64_t fallback,
                           int64_t *begin, int64_t *end) {
    size_t count;
    const int64_t *given = tn_attr_ints(node, name, &count);
    size_t want = (size_t)axes * (end ? 2 : 1);
    if (given && count != want)
        return tn_fail(TN_E_INVALID, "attribute %s has %zu values; expected %zu", name, count, want);
    for (size_t i = 0; i < want; i++) {
        int64_t v = given ? given[i] : fallback;
        if (v < least || v > INT32_MAX) return tn_fail(TN_E_INVALID, "attribute %s holds %lld", name, (long long)v);
        if (i < (size_t)axes)
            begin[i] = v;
        else
            end[i - (size_t)axes] = v;
    }
    return TN_OK;
}

static tn_status get_state(const tn_node *node, const tn_tensor *image, const tn_tensor *block, col_state *s) {
    int64_t ends[AXES];
    if (tn_count(image) != tn_count(block) || tn_count(image) < 1 || tn_count(image) > AXES)
        return tn_fail(TN_E_SHAPE, "image_shape has %lld elements and block_shape %lld; expected as many, 1 to %d",
                       (long long)tn_count(image), (long long)tn_count(block), AXES);
    *s = (col_state){.axes = (int)tn_count(image), .taps = 1, .columns = 1};
    TN_TRY(attribute(node, "strides", s->axes, 1, 1, s->strides, NULL));
    TN_TRY(attribute(node, "dilations", s->axes, 1, 1, s->dilations, NULL));
    TN_TRY(attribute(node, "pads", s->axes, 0, 0, s->pads, ends));
    for (int i = 0; i < s->axes; i++) {
        s->image[i] = tn_index_at(image, i);
        s->block[i] = tn_index_at(block, i);
        if (s->image[i] < 1 || s->image[i] > INT32_MAX || s->block[i] < 1 || s->block[i] > INT32_MAX)
            return tn_fail(TN_E_INVALID, "axis %d has an image of %lld and a block of %lld; expected at least 1", i,
                           (long long)s->image[i], (long long)s->block[i]);
        int64_t room = s->image[i] + s->pads[i] + ends[i] - (s->dilations[i] * (s->block[i] - 1) + 1);
        if (room < 0) return tn_fail(TN_E_SHAPE, "the block does not fit into the image along axis %d", i);
        s->places[i] = room / s->strides[i] + 1;
        if (__builtin_mul_overflow(s->taps, s->block[i], &s->taps) ||
            __builtin_mul_overflow(s->columns, s->places[i], &s->columns))
            return tn_fail(TN_E_SHAPE, "the image or the block is too large");
    }
    return TN_OK;
}

static tn_status col_infer(tn_infer *call) {
    int64_t image = -1, block = -1, dims[TN_MAX_RANK] = {-1, -1, -1, -1, -1, -1, -1, -1};
    TN_TRY(tn_infer_dtype(call, 0, TN_NUMBERS));
    TN_TRY(tn_infer_list(call, 1, &image));
    TN_TRY(tn_infer_list(call, 2, &block));
    const tn_type *data = call->in[0];
    if (data->rank >= 0 && data->rank != 3) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected 3 dimensions");
    int64_t axes = image >= 0 ? image : block;
    if (axes > AXES) return tn_infer_fail(call, 1, TN_E_SHAPE, "expected at most %d elements", AXES);
    if (axes < 0) return tn_infer_out(call, 0, data->dtype, -1, NULL);
    if (data->rank == 3) dims[0] = data->dims[0];
    if (call->value[1] && call->value[2]) {
        col_state s;
        TN_TRY(get_state(call->node, call->value[1], call->value[2], &s));
        for (int i = 0; i < s.axes; i++) dims[2 + i] = s.image[i];
        if (data->rank == 3 && data->dims[1] >= 0) {
            if (data->dims[1] % s.taps)
                return tn_infer_fail(call, 0, TN_E_SHAPE, "dimension 1 does not divide by the block's %lld elements",
                                     (long long)s.taps);
            dims[1] = data->dims[1] / s.taps;
        }
        if (data->rank == 3 && !tn_dim_fits(data->dims[2], s.columns))
            return tn_infer_fail(call, 0, TN_E_SHAPE, "expected dimension 2 to be %lld, the number of places",
                                 (long long)s.columns);
    }
    return tn_infer_out(call, 0, data->dtype, 2 + (int)axes, dims);
}

static tn_status col_prepare(tn_prepare *call) {
    col_state *state = tn_prepare_alloc(call, sizeof *state);
    if (!state) return TN_E_MEMORY;
    call->state = state;
    return get_state(call->node, call->value[1], call->value[2], state);
}

/* dst[i * step] += src[i] */
static void add(tn_dtype dtype, int64_t n, void *dst, int64_t step, const void *src) {
    switch (dtype) {
#define CASE(code, type, wide)                                                                                         \
    case code:                                                                                                         \
        for (int64_t i = 0; i < n; i++)                                                                                \
            ((type *)dst)[i * step] = (type)((wide)((type *)dst)[i * step] + (wide)((const type *)src)[i]);            \
        break;
        CASE(TN_FLOAT32, float, float)
        CASE(TN_FLOAT64, double, double)
        CASE(TN_INT8, uint8_t, unsigned)
        CASE(TN_UINT8, uint8_t, unsigned)
        CASE(TN_INT16, uint16_t, unsigned)
        CASE(TN_UINT16, uint16_t, unsigned)
        CASE(TN_INT32, uint32_t, uint32_t)
        CASE(TN_UINT32, uint32_t, uint32_t)
        CASE(TN_INT64, uint64_t, uint64_t)
        CASE(TN_UINT64, uint64_t, uint64_t)
#undef CASE
    default: break; /* refused by infer, or widened */
    }
}

typedef struct col_job {
    const col_state *s;
    const tn_tensor *data;
    tn_tensor *out;
    int64_t pixels;
} col_job;

/* One channel of one image. */
static void col_task(void *context, int64_t channel) {
    const col_job *job = context;
    const col_state *s = job->s;
    const int last = s->axes - 1;
    int64_t element = (int64_t)tn_dtype_bits(job->data->dtype) / 8, width = s->places[last];
    char *image = (char *)job->out->data + channel * job->pixels * element;
    const char *src = (const char *)job->data->data + channel * s->taps * s->columns * element;
    memset(image, 0, (size_t)(job->pixels * element));
    for (int64_t k = 0; k < s->taps; k++)
        for (int64_t r = 0; r < s->columns / width; r++, src += width * element) {
            int64_t tap = k, place = r, offset = 0, stride = 1, first = 0;
            bool inside = true;
            for (int i = last; i >= 0; i--) {
                int64_t at = tap % s->block[i] * s->dilations[i] - s->pads[i];
                tap /= s->block[i];
                if (i == last) {
                    first = at;
                } else {
                    at += place % s->places[i] * s->strides[i];
                    place /= s->places[i];
                    inside &= at >= 0 && at < s->image[i];
                    offset += at * stride;
                }
                stride *= s->image[i];
            }
            if (!inside) continue;
            /* Places j whose pixel first + j * step lies in the row. */
            int64_t step = s->strides[last], from = first < 0 ? (-first + step - 1) / step : 0;
            int64_t end = first < s->image[last] ? TN_MIN(width, (s->image[last] - 1 - first) / step + 1) : 0;
            if (from < end)
                add(job->data->dtype, end - from, image + (offset + first + from * step) * element, step,
                    src + from * element);
        }
}

static tn_status col_run(tn_run *call) {
    col_job job = {.s = call->state, .data = tn_in(call, 0), .out = tn_out(call, 0)};
    if (!job.out || tn_count(job.out) == 0) return TN_OK;
    job.pixels = tn_dims_span(job.out->dims, 2, job.out->rank);
    tn_parallel(call->pool, job.out->dims[0] * job.out->dims[1], col_task, &job);
    return TN_OK;
}

const tn_op tn_ops_col2im[] = {
    {.domain = "",
     .name = "Col2Im",
     .min_in = 3,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = col_infer,
     .prepare = col_prepare,
     .run = col_run},
    {0},
};
