/* Normalisations of rows, for one level; see reduce.inc. Included by reduce_<level>.c after softmax_rows.h.
 *
 * The variance is taken around the mean in a pass of its own: the sum of squares less the square of the sum would lose
 * all digits where the mean is large. */

static inline float squares_around(const float *x, size_t n, float mean) {
    vf m = vf_set(mean), a = vf_set(0), b = a;
    size_t i = 0;
    for (; i + 2 * VF_WIDTH <= n; i += 2 * VF_WIDTH) {
        a = vf_add(a, square(vf_sub(vf_load(x + i), m)));
        b = vf_add(b, square(vf_sub(vf_load(x + i + VF_WIDTH), m)));
    }
    for (; i < n; i += VF_WIDTH) {
        size_t lanes = n - i < VF_WIDTH ? n - i : VF_WIDTH;
        vf d = square(vf_sub(load(x + i, lanes), m));
        a = vf_add(a, vf_select(vm_first(lanes), d, vf_set(0)));
    }
    return vf_sum(vf_add(a, b));
}

static void rows_moments_f32(float *mean, float *variance, const float *x, size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r++) {
        mean[r] = sum_of(x + r * n, n) / (float)n;
        variance[r] = squares_around(x + r * n, n, mean[r]) / (float)n;
    }
}

/* y = (x - mean) * inverse * scale + bias */
static inline void normalize(float *y, const float *x, size_t n, float mean, float inverse, const float *scale,
                             const float *bias) {
    vf m = vf_set(mean), k = vf_set(inverse);
    for (size_t i = 0; i < n; i += VF_WIDTH) {
        size_t lanes = n - i < VF_WIDTH ? n - i : VF_WIDTH;
        vf v = vf_mul(vf_sub(load(x + i, lanes), m), k);
        if (scale) v = vf_mul(v, load(scale + i, lanes));
        if (bias) v = vf_add(v, load(bias + i, lanes));
        store(y + i, v, lanes);
    }
}

static void rows_layer_norm_f32(float *y, const float *x, size_t rows, size_t n, const float *scale, const float *bias,
                                float epsilon, float *mean, float *inverse) {
    for (size_t r = 0; r < rows; r++, x += n, y += n) {
        float m = sum_of(x, n) / (float)n, k = 1 / sqrtf(squares_around(x, n, m) / (float)n + epsilon);
        normalize(y, x, n, m, k, scale, bias);
        if (mean) mean[r] = m;
        if (inverse) inverse[r] = k;
    }
}

static void rows_rms_norm_f32(float *y, const float *x, size_t rows, size_t n, const float *scale, float epsilon,
                              float *inverse) {
    for (size_t r = 0; r < rows; r++, x += n, y += n) {
        float k = 1 / sqrtf(sum_squares_of(x, n) / (float)n + epsilon);
        normalize(y, x, n, 0, k, scale, NULL);
        if (inverse) inverse[r] = k;
    }
}

static void rows_affine_f32(float *y, const float *x, size_t rows, size_t n, const float *a, const float *b) {
    for (size_t r = 0; r < rows; r++) affine(y + r * n, x + r * n, n, vf_set(a[r]), vf_set(b[r]));
}

static void columns_affine_f32(float *y, const float *x, size_t rows, size_t n, const float *a, const float *b) {
    for (size_t r = 0; r < rows; r++, x += n, y += n)
        for (size_t j = 0; j < n; j += VF_WIDTH) {
            size_t lanes = n - j < VF_WIDTH ? n - j : VF_WIDTH;
            vf v = vf_fma(load(x + j, lanes), load(a + j, lanes), load(b + j, lanes));
            store(y + j, v, lanes);
        }
}

void TN_LEVEL_OVERLAY(tn_kernels *table) {
#define TN_KERNEL(name, parameters) table->name = name;
#include "kernels/reduce.inc"
#undef TN_KERNEL
}
