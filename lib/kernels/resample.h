/* Resampling of dense arrays along their axes: each output position is a weighted sum of a few input positions.
 *
 * An array is seen as [outer, in, inner], which becomes [outer, out, inner]. */
#ifndef TN_KERNELS_RESAMPLE_H
#define TN_KERNELS_RESAMPLE_H

#include "base/threads.h"
#include "kernels/kernels.h"

typedef struct tn_resample {
    int64_t in, out, taps;
    int32_t *index; /* [taps][out], each in [0, in) */
    float *weights; /* [taps][out] */
    double *wide;   /* [taps][out]: for the double functions, instead of `weights` */
} tn_resample;

void tn_resample_f32(const tn_resample *r, const tn_kernels *kernels, tn_pool *pool, int64_t outer, int64_t inner,
                     const float *src, float *dst);
void tn_resample_f64(const tn_resample *r, tn_pool *pool, int64_t outer, int64_t inner, const double *src, double *dst);

/* Both of the two innermost axes at once, [planes, y->in, x->in] to [planes, y->out, x->out], with no array between.
 * y->taps is at most TN_RESAMPLE_ROWS. */
#define TN_RESAMPLE_ROWS 8
void tn_resample_planes_f32(const tn_resample *y, const tn_resample *x, const tn_kernels *kernels, tn_pool *pool,
                            int64_t planes, const float *src, float *dst);

#endif
