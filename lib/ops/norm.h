/* What normalisations share: statistics of a run of elements, and y = x * a + b, for float32 and float64. */
#ifndef TN_OPS_NORM_H
#define TN_OPS_NORM_H

#include "graph/op.h"

enum { TN_NORM_TASK = 8192 }; /* elements a task is worth */

static inline size_t tn_norm_size(tn_dtype dtype) {
    return dtype == TN_FLOAT64 ? sizeof(double) : sizeof(float);
}

/* Mean and variance (of the population) of n elements, n > 0. */
static inline void tn_moments(const tn_kernels *kernels, tn_dtype dtype, const void *x, size_t n, double *mean,
                              double *variance) {
    if (dtype == TN_FLOAT32) {
        float m, v;
        kernels->rows_moments_f32(&m, &v, x, 1, n);
        *mean = (double)m;
        *variance = (double)v;
        return;
    }
    const double *p = x;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += p[i];
    *mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += (p[i] - *mean) * (p[i] - *mean);
    *variance = squares / (double)n;
}

/* Joins the moments of set number `i`, from 0 on, to those of the i sets of the same size before it (Chan, Golub, LeVeque
 * 1979). */
static inline void tn_moments_join(double m, double v, size_t i, double *mean, double *variance) {
    const double d = m - *mean, share = 1 / (double)(i + 1);
    *mean += d * share;
    *variance += (v - *variance) * share + d * d * share * (1 - share);
}

/* Likewise of `count` runs that lie `apart` elements apart, as one set. */
static inline void tn_moments_of_runs(const tn_kernels *kernels, tn_dtype dtype, const void *x, size_t n, size_t count,
                                      size_t apart, double *mean, double *variance) {
    *mean = *variance = 0;
    for (size_t i = 0; i < count; i++) {
        double m, v;
        tn_moments(kernels, dtype, (const char *)x + i * apart * tn_norm_size(dtype), n, &m, &v);
        tn_moments_join(m, v, i, mean, variance);
    }
}

/* Channels of [N, C, spatial] that a task takes together: as many as lie side by side in some kilobytes, so that memory is
 * gone through in longer pieces, but not so many that there would be few tasks. */
enum { TN_NORM_TOGETHER = 2048, TN_NORM_MOST = 32 };
static inline size_t tn_norm_channels(size_t channels, size_t spatial) {
    size_t n = TN_NORM_TOGETHER / TN_MAX(spatial, (size_t)1);
    n = TN_MIN(TN_MIN(n, channels / 8), (size_t)TN_NORM_MOST);
    return TN_MAX(n, (size_t)1);
}

/* tn_moments_of_runs of n <= TN_NORM_MOST channels of `batch` images in float32, x from the first of them on, image by
 * image. `apart`: elements from one image to the next. */
static inline void tn_moments_of_channels(const tn_kernels *kernels, const float *x, size_t n, size_t spatial,
                                          size_t batch, size_t apart, double *mean, double *variance) {
    for (size_t c = 0; c < n; c++) mean[c] = variance[c] = 0;
    for (size_t i = 0; i < batch; i++) {
        float m[TN_NORM_MOST], v[TN_NORM_MOST];
        kernels->rows_moments_f32(m, v, x + i * apart, n, spatial);
        for (size_t c = 0; c < n; c++) tn_moments_join((double)m[c], (double)v[c], i, &mean[c], &variance[c]);
    }
}

static inline void tn_affine(const tn_kernels *kernels, tn_dtype dtype, void *y, const void *x, size_t n, double a,
                             double b) {
    if (dtype == TN_FLOAT32) {
        float a32 = (float)a, b32 = (float)b;
        kernels->rows_affine_f32(y, x, 1, n, &a32, &b32);
        return;
    }
    for (size_t i = 0; i < n; i++) ((double *)y)[i] = ((const double *)x)[i] * a + b;
}

/* Fails unless inputs [first, last) are floats of one dimension that has as many elements as input 0 has channels. */
static inline tn_status tn_infer_channels(const tn_infer *call, int first, int last) {
    const tn_type *x = call->in[0];
    for (int i = first; i < last; i++) {
        TN_TRY(tn_infer_dtype(call, i, TN_FLOATS));
        const tn_type *p = call->in[i];
        if (p->rank >= 0 && p->rank != 1) return tn_infer_fail(call, i, TN_E_SHAPE, "expected one dimension");
        if (p->rank == 1 && p->dims[0] >= 0 && x->rank > 1 && x->dims[1] >= 0 && p->dims[0] != x->dims[1])
            return tn_infer_fail(call, i, TN_E_SHAPE, "input 0 has %lld channels", (long long)x->dims[1]);
    }
    return TN_OK;
}

#endif
