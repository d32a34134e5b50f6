/* The portable product of bfloat16, which defines the result: each product is exact in float32, sums are rounded one by
 * one in order of k. */
#include "kernels/vec_scalar.h"
#include "kernels/gemm_bf16_rows.h"

static void gemm_bf16(const tn_gemm_bf16 *g) {
    float sums[TN_BF16_COLUMNS];
    for (size_t i = 0; i < g->m; i++)
        for (size_t j = 0; j < g->n; j += TN_BF16_COLUMNS) {
            const uint16_t *a = g->a + i * tn_bf16_k(g->k), *b = g->b + j / TN_BF16_COLUMNS * g->b_panel;
            for (size_t c = 0; c < TN_BF16_COLUMNS; c++) sums[c] = 0;
            for (size_t k = 0; k < g->k; k++)
                for (size_t c = 0; c < TN_BF16_COLUMNS; c++)
                    sums[c] +=
                        tn_bfloat_to_float(a[k]) * tn_bfloat_to_float(b[k / 2 * 2 * TN_BF16_COLUMNS + 2 * c + k % 2]);
            finish_block(g, i, 1, j, TN_LEAST(g->n - j, (size_t)TN_BF16_COLUMNS), sums);
        }
}

static void pack_panel_bf16(size_t k, size_t n, const float *b, size_t k_stride, const uint32_t *offset,
                            uint16_t *dst) {
    for (size_t i = 0; i < tn_bf16_k(k); i++)
        for (size_t j = 0; j < TN_BF16_COLUMNS; j++)
            dst[i / 2 * 2 * TN_BF16_COLUMNS + 2 * j + i % 2] =
                i < k && j < n ? tn_float_to_bfloat(b[(offset ? offset[i] : i * k_stride) + j]) : 0;
}

static void pack_columns_bf16(size_t k, size_t n, const float *b, size_t column_stride, uint16_t *dst) {
    for (size_t i = 0; i < tn_bf16_k(k); i++)
        for (size_t j = 0; j < TN_BF16_COLUMNS; j++)
            dst[i / 2 * 2 * TN_BF16_COLUMNS + 2 * j + i % 2] =
                i < k && j < n ? tn_float_to_bfloat(b[j * column_stride + i]) : 0;
}

void tn_gemm_bf16_scalar(tn_kernels *table) {
    table->gemm_bf16 = gemm_bf16;
    table->pack_rows_bf16 = plain_pack_rows;
    table->pack_panel_bf16 = pack_panel_bf16;
    table->pack_columns_bf16 = pack_columns_bf16;
}
