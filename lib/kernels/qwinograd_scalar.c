/* The portable kernels of Winograd convolution of bytes. */
#include "kernels/kernels.h"

#define QW_LANES 1
#define QW_V int16_t
#define QW_SUMS 1
#define QW_S uint32_t

static inline int16_t qw_bytes(const uint8_t *p) {
    return *p;
}
static inline int16_t qw_add(int16_t a, int16_t b) {
    return (int16_t)(a + b);
}
static inline int16_t qw_sub(int16_t a, int16_t b) {
    return (int16_t)(a - b);
}
static inline void qw_store(int16_t *p, int16_t v) {
    *p = v;
}
static inline uint32_t qs_load(const int32_t *p) {
    return (uint32_t)*p;
}
static inline uint32_t qs_add(uint32_t a, uint32_t b) {
    return a + b;
}
static inline uint32_t qs_sub(uint32_t a, uint32_t b) {
    return a - b;
}
static inline uint32_t qs_quarter(uint32_t v) {
    return (uint32_t)((int32_t)v >> 2);
}
static inline void qs_store(int32_t *p, uint32_t v) {
    *p = (int32_t)v;
}

#include "kernels/qwinograd_rows.h"

static void qwinograd_product(size_t m, size_t n, size_t k, const int16_t *a, const int16_t *b, int32_t *c,
                              size_t ldc) {
    enum { WIDE = TN_QWINOGRAD_STEP };
    for (size_t j = 0; j < n; j += WIDE, b += k * WIDE)
        for (size_t i = 0; i < m; i++) {
            uint32_t sum[WIDE] = {0};
            for (size_t p = 0; p < k; p++)
                for (size_t l = 0; l < WIDE; l++)
                    sum[l] += (uint32_t)(a[i * k + p] * b[p / 2 * 2 * WIDE + 2 * l + p % 2]);
            for (size_t l = 0; l < WIDE; l++) c[i * ldc + j + l] = (int32_t)sum[l];
        }
}

void tn_qwinograd_scalar(tn_kernels *table) {
    TN_QWINOGRAD_ROWS(table);
}
