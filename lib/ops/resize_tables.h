/* Where Resize reads from: for each axis, the input positions and their weights for every output position.
 *
 * Coordinates are computed in float32 as ONNX Runtime does, since rounding decides which pixel "nearest" takes. An
 * interpolating filter of support s (linear 1, cubic 2) weighs the positions around x by their distance; antialiasing
 * stretches it by 1 / scale. Keys, "Cubic convolution interpolation for digital image processing", 1981. */
#ifndef TN_OPS_RESIZE_TABLES_H
#define TN_OPS_RESIZE_TABLES_H

#include "kernels/resample.h"
#include "ops/data.h"

typedef enum resize_mode { RESIZE_NEAREST, RESIZE_LINEAR, RESIZE_CUBIC } resize_mode;
typedef enum resize_coordinates {
    HALF_PIXEL,
    HALF_PIXEL_SYMMETRIC,
    PYTORCH_HALF_PIXEL,
    ALIGN_CORNERS,
    ASYMMETRIC,
    CROP_AND_RESIZE
} resize_coordinates;
typedef enum resize_nearest { PREFER_FLOOR, PREFER_CEIL, FLOOR, CEIL } resize_nearest;

/* The attributes. */
typedef struct resize_how {
    int mode, coordinates, nearest;
    bool antialias, exclude_outside;
    float cubic_a, extrapolation;
} resize_how;

/* One axis of the input: how it is resized. */
typedef struct resize_axis {
    int64_t in, out;
    float scale;
    float width;       /* `out` before it was rounded */
    float start, end;  /* of CROP_AND_RESIZE, normalized */
    bool same;         /* nothing to do */
    tn_resample table; /* of nearest: one tap without weights */
    bool *outside;     /* by output position: not to be read but extrapolated; NULL: none */
} resize_axis;

static inline float resize_coordinate(const resize_how *how, const resize_axis *a, int64_t position) {
    float x = (float)position, in = (float)a->in, half = (x + 0.5f) / a->scale - 0.5f;
    switch (how->coordinates) {
    case ALIGN_CORNERS: return a->width == 1 ? 0 : x * (in - 1) / (a->width - 1);
    case ASYMMETRIC: return x / a->scale;
    case PYTORCH_HALF_PIXEL: return a->out == 1 ? 0 : half;
    case HALF_PIXEL_SYMMETRIC: return in / 2 * (1 - (float)a->out / a->width) + half;
    case CROP_AND_RESIZE:
        return a->start * (in - 1) + (a->width == 1 ? 0.5f * (a->end - a->start) * (in - 1)
                                                    : x * (a->end - a->start) * (in - 1) / (a->width - 1));
    default: return half;
    }
}

static inline int64_t resize_clamp(float x, int64_t in) {
    return x >= (float)in ? in - 1 : x > 0 ? TN_MIN((int64_t)x, in - 1) : 0;
}

static inline float resize_nearest_of(const resize_how *how, float x) {
    switch (how->nearest) {
    case PREFER_CEIL: return floorf(x + 0.5f);
    case FLOOR: return floorf(x);
    case CEIL: return ceilf(x);
    default: return ceilf(x - 0.5f);
    }
}

static inline double resize_filter(const resize_how *how, double distance) {
    double d = fabs(distance), a = how->cubic_a;
    if (how->mode == RESIZE_LINEAR) return d < 1 ? 1 - d : 0;
    if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/* Weights of one output position at column j of the table; sums up to 1 where the filter does not by itself. */
static inline void resize_weigh(const resize_how *how, const resize_axis *a, double x, int64_t j) {
    const tn_resample *t = &a->table;
    double pace = how->antialias ? TN_MIN(a->scale, 1) : 1, sum = 0;
    /* The nearest positions to x, as many on each side; those beyond the ends are the ends. */
    double first = ceil(x) - (double)t->taps / 2;
    for (int64_t k = 0; k < t->taps; k++) {
        double at = first + (double)k, weight = resize_filter(how, (at - x) * pace);
        if (how->exclude_outside && (at < 0 || at >= (double)a->in)) weight = 0;
        sum += weight;
        t->index[k * t->out + j] = (int32_t)resize_clamp((float)at, a->in);
        t->wide[k * t->out + j] = weight;
    }
    if ((how->antialias || how->exclude_outside) && sum != 0)
        for (int64_t k = 0; k < t->taps; k++) t->wide[k * t->out + j] /= sum;
}

/* Fills the axis' table from its other fields. `narrow`: weights are wanted as float32. */
static inline tn_status resize_make_table(tn_prepare *call, const resize_how *how, resize_axis *a, bool narrow) {
    tn_resample *t = &a->table;
    size_t entries, bytes;
    double support = how->mode == RESIZE_CUBIC ? 2 : 1, stretch = how->antialias ? TN_MIN(a->scale, 1) : 1;
    double taps = how->mode == RESIZE_NEAREST ? 1 : -2 * floor(-support / stretch);
    if (a->in > INT32_MAX || a->out > INT32_MAX || !(taps <= INT32_MAX))
        return tn_fail(TN_E_UNSUPPORTED, "resizing an axis of %lld to %lld is not supported", (long long)a->in,
                       (long long)a->out);
    *t = (tn_resample){.in = a->in, .out = a->out, .taps = (int64_t)taps};
    if (!tn_mul_size((size_t)t->taps, (size_t)a->out, &entries) || !tn_mul_size(entries, sizeof *t->wide, &bytes))
        return tn_fail(TN_E_LIMIT, "the tables of an axis of %lld to %lld are too large", (long long)a->in,
                       (long long)a->out);
    t->index = tn_prepare_alloc(call, entries * sizeof *t->index);
    if (how->mode != RESIZE_NEAREST) t->wide = tn_prepare_alloc(call, bytes);
    if (how->coordinates == CROP_AND_RESIZE) a->outside = tn_prepare_alloc(call, (size_t)a->out);
    if (!t->index || (how->mode != RESIZE_NEAREST && !t->wide) || (how->coordinates == CROP_AND_RESIZE && !a->outside))
        return TN_E_MEMORY;
    for (int64_t j = 0; j < a->out; j++) {
        float x = resize_coordinate(how, a, j);
        bool outside = !(x >= 0 && x <= (float)(a->in - 1));
        if (a->outside) a->outside[j] = outside;
        if (a->outside && outside) continue; /* index 0, weight 0 */
        if (how->mode == RESIZE_NEAREST)
            t->index[j] = (int32_t)resize_clamp(resize_nearest_of(how, x), a->in);
        else
            resize_weigh(how, a, x, j);
    }
    if (!narrow || how->mode == RESIZE_NEAREST) return TN_OK;
    t->weights = tn_prepare_alloc(call, entries * sizeof *t->weights);
    if (!t->weights) return TN_E_MEMORY;
    for (size_t i = 0; i < entries; i++) t->weights[i] = (float)t->wide[i];
    return TN_OK;
}

#endif
