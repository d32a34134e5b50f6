/* The portable 8-bit product, which defines the result. */
#include "kernels/kernels.h"

enum { COLUMNS = 8 };

static inline __attribute__((always_inline)) void product(bool us, size_t m, size_t n, size_t k, const int16_t *a,
                                                          const uint8_t *b, int32_t *c, size_t ldc) {
    for (size_t j = 0; j < n; j += COLUMNS)
        for (size_t i = 0; i < m; i++) {
            const uint8_t *panel = b + j * k;
            uint32_t sum[COLUMNS] = {0};
            for (size_t p = 0; p < k; p++)
                for (size_t l = 0; l < COLUMNS; l++) {
                    int right = us ? (int8_t)panel[p * COLUMNS + l] : panel[p * COLUMNS + l];
                    sum[l] += (uint32_t)(a[i * k + p] * right);
                }
            for (size_t l = 0; l < COLUMNS && j + l < n; l++) c[i * ldc + j + l] = (int32_t)sum[l];
        }
}

static void qgemm_us(size_t m, size_t n, size_t k, const void *a, const void *b, int32_t *c, size_t ldc) {
    product(true, m, n, k, a, b, c, ldc);
}
static void qgemm_su(size_t m, size_t n, size_t k, const void *a, const void *b, int32_t *c, size_t ldc) {
    product(false, m, n, k, a, b, c, ldc);
}

#include "kernels/quant_rows.h"

void tn_quant_scalar(tn_kernels *table) {
    TN_QUANT_ROWS(table);
}
