/* One head's elements turned by the angles of its position: see rotary.c. */
#ifndef TN_OPS_ROTARY_H
#define TN_OPS_ROTARY_H

#include "kernels/kernels.h"

/* y[size] = x[size] with `half` pairs turned by cos[half] and sin[half]; what is past the pairs is copied. x and y do
 * not overlap. */
static inline void tn_rotate_head(const tn_kernels *kernels, bool interleaved, size_t size, size_t half, const float *x,
                                  const float *cos, const float *sin, float *y) {
    if (interleaved)
        for (size_t i = 0; i < half; i++) {
            float a = x[2 * i], b = x[2 * i + 1];
            y[2 * i] = a * cos[i] - b * sin[i];
            y[2 * i + 1] = b * cos[i] + a * sin[i];
        }
    else
        kernels->rotate_f32(half, x, x + half, cos, sin, y, y + half);
    memcpy(y + 2 * half, x + 2 * half, (size - 2 * half) * sizeof *y);
}

#endif
