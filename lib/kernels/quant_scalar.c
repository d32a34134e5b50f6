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

static void qgemm_us(size_t m, size_t n, size_t k, const void *a, const void *b, const uint32_t *order, int32_t *c,
                     size_t ldc, const void *next, size_t next_bytes) {
    (void)order, (void)next, (void)next_bytes;
    product(true, m, n, k, a, b, c, ldc);
}
static void qgemm_su(size_t m, size_t n, size_t k, const void *a, const void *b, int32_t *c, size_t ldc) {
    product(false, m, n, k, a, b, c, ldc);
}

typedef struct {
    int16_t v[8];
} qc_values;
typedef struct {
    uint32_t v[8];
} qc_sums;

#define QC_WIDTH 8
#define QC_V qc_values
#define QC_SUMS qc_sums

static inline qc_sums qc_zero(void) {
    return (qc_sums){{0}};
}
static inline qc_values qc_load(const uint8_t *p, size_t stride, bool x_signed) {
    qc_values values;
    for (int i = 0; i < QC_WIDTH; i++) values.v[i] = x_signed ? (int8_t)p[i * (int)stride] : p[i * (int)stride];
    return values;
}
static inline qc_sums qc_add(qc_sums sums, qc_values v0, qc_values v1, int32_t w0, int32_t w1) {
    for (int i = 0; i < QC_WIDTH; i++) sums.v[i] += (uint32_t)(v0.v[i] * w0) + (uint32_t)(v1.v[i] * w1);
    return sums;
}
static inline void qc_store(int32_t *c, qc_sums sums) {
    for (int i = 0; i < QC_WIDTH; i++) c[i] = (int32_t)((uint32_t)c[i] + sums.v[i]);
}

#include "kernels/qconv_row.h"
#include "kernels/quant_rows.h"

void tn_quant_scalar(tn_kernels *table) {
    TN_QUANT_ROWS(table);
}
