/* What follows the sums of a bfloat16 product, and packing in plain C, once for all instruction sets. Include after
 * vec_<level>.h. */
#include "base/half.h"
#include "kernels/activate.h"
#include "kernels/kernels.h"

/* A block of sums, TN_BF16_COLUMNS apart, becomes `rows` x n elements of C at row and column. */
static void finish_block(const tn_gemm_bf16 *g, size_t row, size_t rows, size_t column, size_t n, float *sums) {
    const tn_epilogue *e = &g->epilogue;
    float *c = g->c + row * g->c_stride + column;
    if (e->activation > TN_ACT_CLIP) {
        for (size_t r = 0; r < rows; r++) {
            float *s = sums + r * TN_BF16_COLUMNS;
            for (size_t j = 0; j < n; j++) {
                if (e->row_bias) s[j] += e->row_bias[row + r];
                if (e->column_bias) s[j] += e->column_bias[column + j];
                if (e->residual) s[j] += e->residual[(row + r) * e->residual_stride + column + j];
            }
        }
        activate(rows, n, sums, TN_BF16_COLUMNS, e);
        for (size_t r = 0; r < rows; r++)
            for (size_t j = 0; j < n; j++) c[r * g->c_stride + j] = sums[r * TN_BF16_COLUMNS + j];
        return;
    }
    const bool clip = e->activation == TN_ACT_CLIP;
    const vf low = vf_set(e->alpha), high = vf_set(e->beta);
    for (size_t r = 0; r < rows; r++, c += g->c_stride) {
        const float *s = sums + r * TN_BF16_COLUMNS, *column_bias = e->column_bias ? e->column_bias + column : NULL;
        const float *residual = e->residual ? e->residual + (row + r) * e->residual_stride + column : NULL;
        const vf bias = vf_set(e->row_bias ? e->row_bias[row + r] : 0);
        for (size_t j = 0; j < n; j += VF_WIDTH) {
            const size_t left = n - j;
            const bool whole = left >= VF_WIDTH;
            vf x = vf_add(vf_load(s + j), bias);
            if (column_bias) x = vf_add(x, whole ? vf_load(column_bias + j) : vf_load_n(column_bias + j, left));
            if (residual) x = vf_add(x, whole ? vf_load(residual + j) : vf_load_n(residual + j, left));
            if (clip) x = vf_min(high, vf_max(low, x));
            if (whole)
                vf_store(c + j, x);
            else
                vf_store_n(c + j, x, left);
        }
    }
}

static inline void plain_pack_rows(size_t rows, size_t k, const float *a, size_t row_stride, size_t k_stride,
                                   float alpha, uint16_t *dst) {
    for (size_t r = 0; r < rows; r++, a += row_stride, dst += tn_bf16_k(k)) {
        for (size_t i = 0; i < k; i++) dst[i] = tn_float_to_bfloat(a[i * k_stride] * alpha);
        for (size_t i = k; i < tn_bf16_k(k); i++) dst[i] = 0;
    }
}
