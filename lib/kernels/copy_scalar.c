/* Transpose and copies in plain C. */
#include "kernels/registry.h"
#include "kernels/transpose.h"

typedef struct pair {
    uint64_t low, high;
} pair;

TN_TRANSPOSE_ONE(transpose_1, uint8_t)
TN_TRANSPOSE_ONE(transpose_2, uint16_t)
TN_TRANSPOSE_ONE(transpose_4, uint32_t)
TN_TRANSPOSE_ONE(transpose_8, uint64_t)
TN_TRANSPOSE_ONE(transpose_16, pair)

static void strided_4(int64_t n, const void *src, int64_t stride, void *dst) {
    for (int64_t i = 0; i < n; i++) memcpy((char *)dst + i * 4, (const char *)src + i * stride, 4);
}

static void take_4(int64_t n, const void *src, const int32_t *index, void *dst) {
    for (int64_t i = 0; i < n; i++) memcpy((char *)dst + i * 4, (const char *)src + index[i] * (int64_t)4, 4);
}

static void weigh_taps_f32(int64_t n, int64_t taps, const float *src, const int32_t *index, const float *weights,
                           int64_t step, float *dst) {
    for (int64_t i = 0; i < n; i++) {
        float sum = 0;
        for (int64_t k = 0; k < taps; k++) sum += weights[k * step + i] * src[index[k * step + i]];
        dst[i] = sum;
    }
}

static void weigh_rows_f32(int64_t n, int64_t taps, const float *src, int64_t row, const int32_t *index,
                           const float *weights, int64_t step, float *dst) {
    for (int64_t i = 0; i < n; i++) {
        float sum = 0;
        for (int64_t k = 0; k < taps; k++) sum += weights[k * step] * src[index[k * step] * row + i];
        dst[i] = sum;
    }
}

static void rotate_f32(int64_t n, const float *a, const float *b, const float *cos, const float *sin, float *out_a,
                       float *out_b) {
    for (int64_t i = 0; i < n; i++) {
        float x = a[i], y = b[i];
        out_a[i] = cos[i] * x - sin[i] * y;
        out_b[i] = sin[i] * x + cos[i] * y;
    }
}

void tn_copy_scalar(tn_kernels *table) {
    table->transpose_1 = transpose_1;
    table->transpose_2 = transpose_2;
    table->transpose_4 = transpose_4;
    table->transpose_8 = transpose_8;
    table->transpose_16 = transpose_16;
    table->strided_4 = strided_4;
    table->take_4 = take_4;
    table->weigh_taps_f32 = weigh_taps_f32;
    table->weigh_rows_f32 = weigh_rows_f32;
    table->rotate_f32 = rotate_f32;
}
