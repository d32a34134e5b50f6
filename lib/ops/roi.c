/* RoiAlign and MaxRoiPool: pooling over regions of interest.
 *
 * RoiAlign (He et al., "Mask R-CNN", 2017) samples each bin of a region at a grid of points, interpolating between four
 * elements. Where the points lie is worked out once for all channels, a few hundred points at a time. Regions run in
 * parallel. */
#include "graph/op.h"
#include "ops/data.h"
#include <math.h>

enum { CHUNK = 256 };
#define MAX_POINTS (1 << 24) /* of one region: what a region of nonsense could ask for has no end */

typedef struct point {
    int32_t bin;
    int64_t at[4];
    double weight[4];
} point;

typedef struct state {
    int64_t height, width, ratio; /* of the output; points a bin and axis, 0: as many as fit */
    float scale;
    bool half_pixel, max, wide;
} state;

typedef struct job {
    const state *s;
    const tn_tensor *x, *rois;
    const int64_t *batch; /* of RoiAlign */
    void *y;
} job;

static tn_status check_inputs(const tn_infer *call, int columns) {
    TN_TRY(tn_infer_dtype(call, 0, TN_FLOATS));
    TN_TRY(tn_infer_dtype(call, 1, TN_FLOATS));
    TN_TRY(tn_infer_equal_dtype(call, 0, 1));
    const tn_type *x = call->in[0], *rois = call->in[1];
    if (x->rank >= 0 && x->rank != 4) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [N, C, H, W]");
    if (rois->rank >= 0 && (rois->rank != 2 || !tn_dim_fits(rois->dims[1], columns)))
        return tn_infer_fail(call, 1, TN_E_SHAPE, "expected [regions, %d]", columns);
    return TN_OK;
}

static tn_status infer_pooled(tn_infer *call, int64_t regions, int64_t height, int64_t width) {
    const tn_type *x = call->in[0];
    if (height < 1 || width < 1 || height > INT32_MAX || width > INT32_MAX || height * width > INT32_MAX)
        return tn_fail(TN_E_INVALID, "an output of %lld x %lld; expected at least 1 x 1 and at most 2^31 - 1 elements",
                       (long long)height, (long long)width);
    int64_t dims[] = {regions, x->rank == 4 ? x->dims[1] : -1, height, width};
    return tn_infer_out(call, 0, x->dtype, 4, dims);
}

static bool read_modes(const tn_node *node, state *s) {
    const char *mode = tn_attr_text(node, "mode", "avg"),
               *place = tn_attr_text(node, "coordinate_transformation_mode", "half_pixel");
    s->max = strcmp(mode, "max") == 0;
    s->half_pixel = strcmp(place, "half_pixel") == 0;
    return (s->max || strcmp(mode, "avg") == 0) && (s->half_pixel || strcmp(place, "output_half_pixel") == 0);
}

static tn_status align_infer(tn_infer *call) {
    static const tn_dtype longs[] = {TN_INT64, TN_UNDEFINED};
    state modes;
    TN_TRY(check_inputs(call, 4));
    TN_TRY(tn_infer_dtype(call, 2, longs));
    const tn_type *rois = call->in[1], *batch = call->in[2];
    if (!read_modes(call->node, &modes))
        return tn_fail(TN_E_INVALID,
                       "mode '%s' and coordinate_transformation_mode '%s'; expected avg or max, half_pixel or "
                       "output_half_pixel",
                       tn_attr_text(call->node, "mode", ""),
                       tn_attr_text(call->node, "coordinate_transformation_mode", ""));
    if (tn_attr_int(call->node, "sampling_ratio", 0) < 0 || tn_attr_int(call->node, "sampling_ratio", 0) > 1 << 12)
        return tn_fail(TN_E_INVALID, "attribute sampling_ratio is %lld; expected 0 to 4096",
                       (long long)tn_attr_int(call->node, "sampling_ratio", 0));
    int64_t regions = rois->rank == 2 ? rois->dims[0] : -1;
    if (batch->rank >= 0 && (batch->rank != 1 || !tn_dim_fits(batch->dims[0], regions)))
        return tn_infer_fail(call, 2, TN_E_SHAPE, "expected one number for each region");
    if (regions < 0 && batch->rank == 1) regions = batch->dims[0];
    return infer_pooled(call, regions, tn_attr_int(call->node, "output_height", 1),
                        tn_attr_int(call->node, "output_width", 1));
}

static tn_status prepare(tn_prepare *call) {
    state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    read_modes(call->node, s);
    s->height = call->out[0].dims[2];
    s->width = call->out[0].dims[3];
    s->ratio = tn_attr_int(call->node, "sampling_ratio", 0);
    s->scale = tn_attr_float(call->node, "spatial_scale", 1);
    s->wide = call->in[0]->dtype == TN_FLOAT64;
    return TN_OK;
}

static double real_at(const tn_tensor *t, int64_t i) {
    return t->dtype == TN_FLOAT64 ? ((const double *)t->data)[i] : (double)((const float *)t->data)[i];
}

/* Where y, x lies between elements of an [H, W] plane: all weights are 0 outside of it. */
static void place_point(point *p, double y, double x, int64_t height, int64_t width) {
    memset(p->at, 0, sizeof p->at);
    memset(p->weight, 0, sizeof p->weight);
    if (!(y >= -1 && y <= (double)height && x >= -1 && x <= (double)width)) return;
    y = TN_MAX(y, 0);
    x = TN_MAX(x, 0);
    int64_t y0 = TN_MIN((int64_t)y, height - 1), x0 = TN_MIN((int64_t)x, width - 1), y1 = TN_MIN(y0 + 1, height - 1),
            x1 = TN_MIN(x0 + 1, width - 1);
    double dy = y1 > y0 ? y - (double)y0 : 0, dx = x1 > x0 ? x - (double)x0 : 0;
    memcpy(p->at, (int64_t[]){y0 * width + x0, y0 * width + x1, y1 * width + x0, y1 * width + x1}, sizeof p->at);
    memcpy(p->weight, (double[]){(1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx}, sizeof p->weight);
}

/* The points of a region, one after the other: bins in order, and in each the rows of its grid. */
typedef struct grid {
    double y, x, bin_height, bin_width;
    int64_t rows, columns; /* of points in a bin */
    int64_t count;         /* in all bins */
} grid;

static grid grid_of(const state *s, const tn_tensor *rois, int64_t region) {
    double corner[4], offset = s->half_pixel ? 0.5 : 0;
    for (int i = 0; i < 4; i++) corner[i] = real_at(rois, 4 * region + i) * (double)s->scale - offset;
    double width = corner[2] - corner[0], height = corner[3] - corner[1];
    if (!s->half_pixel) {
        width = TN_MAX(width, 1);
        height = TN_MAX(height, 1);
    }
    grid g = {corner[1], corner[0], height / (double)s->height, width / (double)s->width, s->ratio, s->ratio, 0};
    double bins = (double)(s->height * s->width);
    if (!s->ratio) {
        double rows = ceil(g.bin_height), columns = ceil(g.bin_width);
        bool sane = rows >= 1 && columns >= 1 && rows * columns * bins <= MAX_POINTS;
        g.rows = sane ? (int64_t)rows : 0;
        g.columns = sane ? (int64_t)columns : 0;
        g.count = rows * columns * bins > MAX_POINTS ? -1 : 0;
    } else if ((double)(s->ratio * s->ratio) * bins > MAX_POINTS) {
        g.count = -1;
    }
    if (g.count == 0) g.count = g.rows * g.columns * s->height * s->width;
    return g;
}

static int fill_points(const state *s, const grid *g, const tn_tensor *x, int64_t first, point *points) {
    int64_t each = g->rows * g->columns;
    int n = (int)TN_MIN(g->count - first, CHUNK);
    for (int i = 0; i < n; i++) {
        int64_t bin = (first + i) / each, at = (first + i) % each;
        double row = (double)(bin / s->width) + ((double)(at / g->columns) + 0.5) / (double)g->rows,
               column = (double)(bin % s->width) + ((double)(at % g->columns) + 0.5) / (double)g->columns;
        points[i].bin = (int32_t)bin;
        place_point(&points[i], g->y + row * g->bin_height, g->x + column * g->bin_width, x->dims[2], x->dims[3]);
    }
    return n;
}

/* Takes n points into the bins of one channel; `fresh` bins (in max mode) take their first point's value. */
#define DEFINE_GATHER(name, type)                                                                                      \
    static void name(const state *s, const point *points, int n, int64_t each, int64_t first, const type *x,           \
                     type *y) {                                                                                        \
        for (int i = 0; i < n; i++) {                                                                                  \
            const point *p = &points[i];                                                                               \
            type v[4];                                                                                                 \
            for (int k = 0; k < 4; k++) v[k] = (type)p->weight[k] * x[p->at[k]];                                       \
            if (!s->max) {                                                                                             \
                y[p->bin] += v[0] + v[1] + v[2] + v[3];                                                                \
                continue;                                                                                              \
            }                                                                                                          \
            type best = TN_MAX(TN_MAX(v[0], v[1]), TN_MAX(v[2], v[3]));                                                \
            if ((first + i) % each == 0 || best > y[p->bin]) y[p->bin] = best;                                         \
        }                                                                                                              \
    }                                                                                                                  \
    static void name##_scale(type *y, int64_t n, int64_t each) {                                                       \
        for (int64_t i = 0; i < n; i++) y[i] /= (type)each;                                                            \
    }
DEFINE_GATHER(gather_float, float)
DEFINE_GATHER(gather_double, double)

static void align_region(void *context, int64_t region) {
    const job *j = context;
    const state *s = j->s;
    const tn_tensor *x = j->x;
    point points[CHUNK];
    int64_t plane = x->dims[2] * x->dims[3], bins = s->height * s->width, channels = x->dims[1];
    size_t element = s->wide ? sizeof(double) : sizeof(float);
    const char *from = (const char *)x->data + (size_t)(j->batch[region] * channels * plane) * element;
    char *to = (char *)j->y + (size_t)(region * channels * bins) * element;
    grid g = grid_of(s, j->rois, region);
    int64_t each = g.rows * g.columns;
    memset(to, 0, (size_t)(channels * bins) * element);
    for (int64_t first = 0; first < g.count && plane; first += CHUNK) {
        int n = fill_points(s, &g, x, first, points);
        for (int64_t c = 0; c < channels; c++) {
            const void *in = from + (size_t)(c * plane) * element;
            void *out = to + (size_t)(c * bins) * element;
            if (s->wide)
                gather_double(s, points, n, each, first, in, out);
            else
                gather_float(s, points, n, each, first, in, out);
        }
    }
    if (s->max || each <= 1) return;
    if (s->wide)
        gather_double_scale((double *)to, channels * bins, each);
    else
        gather_float_scale((float *)to, channels * bins, each);
}

static tn_status align_run(tn_run *call) {
    const state *s = call->state;
    job j = {s, tn_in(call, 0), tn_in(call, 1), tn_in(call, 2)->data, tn_out(call, 0)->data};
    for (int64_t i = 0; i < j.rois->dims[0]; i++) {
        if (j.batch[i] < 0 || j.batch[i] >= j.x->dims[0])
            return tn_fail(TN_E_INVALID, "batch_indices[%lld] is %lld; the batch has %lld images", (long long)i,
                           (long long)j.batch[i], (long long)j.x->dims[0]);
        if (grid_of(s, j.rois, i).count < 0)
            return tn_fail(TN_E_LIMIT, "region %lld asks for more than %d points; is it in the right units?",
                           (long long)i, MAX_POINTS);
    }
    tn_parallel(call->pool, j.rois->dims[0], align_region, &j);
    return TN_OK;
}

static tn_status pool_infer(tn_infer *call) {
    size_t count;
    TN_TRY(check_inputs(call, 5));
    const int64_t *shape = tn_attr_ints(call->node, "pooled_shape", &count);
    if (!shape || count != 2) return tn_fail(TN_E_FORMAT, "attribute pooled_shape has %zu values, not 2", count);
    return infer_pooled(call, call->in[1]->rank == 2 ? call->in[1]->dims[0] : -1, shape[0], shape[1]);
}

/* First and one past the last element of a bin along one axis. */
static void bin_range(double start, double end, int64_t bins, int64_t bin, int64_t size, int64_t *low, int64_t *high) {
    double length = TN_MAX(end - start + 1, 1) / (double)bins;
    *low = (int64_t)TN_MIN(TN_MAX(floor((double)bin * length) + start, 0), (double)size);
    *high = (int64_t)TN_MIN(TN_MAX(ceil((double)(bin + 1) * length) + start, 0), (double)size);
}

static void pool_region(void *context, int64_t region) {
    const job *j = context;
    const state *s = j->s;
    const tn_tensor *x = j->x;
    int64_t height = x->dims[2], width = x->dims[3], batch = (int64_t)real_at(j->rois, 5 * region), y0, y1, x0, x1;
    double corner[4];
    for (int i = 0; i < 4; i++) corner[i] = round(real_at(j->rois, 5 * region + 1 + i) * (double)s->scale);
    for (int64_t c = 0, at = region * x->dims[1] * s->height * s->width; c < x->dims[1]; c++)
        for (int64_t bin = 0; bin < s->height * s->width; bin++, at++) {
            int64_t plane = (batch * x->dims[1] + c) * height * width;
            bin_range(corner[1], corner[3], s->height, bin / s->width, height, &y0, &y1);
            bin_range(corner[0], corner[2], s->width, bin % s->width, width, &x0, &x1);
            double best = y1 > y0 && x1 > x0 ? -INFINITY : 0;
            for (int64_t row = y0; row < y1; row++)
                for (int64_t column = x0; column < x1; column++)
                    best = TN_MAX(best, real_at(x, plane + row * width + column));
            if (s->wide)
                ((double *)j->y)[at] = best;
            else
                ((float *)j->y)[at] = (float)best;
        }
}

static tn_status pool_run(tn_run *call) {
    job j = {call->state, tn_in(call, 0), tn_in(call, 1), NULL, tn_out(call, 0)->data};
    for (int64_t i = 0; i < j.rois->dims[0]; i++) {
        double batch = real_at(j.rois, 5 * i);
        if (!(batch >= 0 && batch < (double)j.x->dims[0]))
            return tn_fail(TN_E_INVALID, "region %lld is of image %g; the batch has %lld", (long long)i, batch,
                           (long long)j.x->dims[0]);
        for (int k = 1; k < 5; k++)
            if (!isfinite(real_at(j.rois, 5 * i + k)))
                return tn_fail(TN_E_INVALID, "region %lld has a corner that is not finite", (long long)i);
    }
    tn_parallel(call->pool, j.rois->dims[0], pool_region, &j);
    return TN_OK;
}

const tn_op tn_ops_roi[] = {
    {.domain = "",
     .name = "RoiAlign",
     .min_in = 3,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = align_infer,
     .prepare = prepare,
     .run = align_run},
    {.domain = "",
     .name = "MaxRoiPool",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = pool_infer,
     .prepare = prepare,
     .run = pool_run},
    {0},
};
