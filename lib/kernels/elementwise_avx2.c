/* Elementwise kernels for AVX2 and F16C. See elementwise.h. */
#include <immintrin.h>
#include <stdint.h>

#define TN_LEVEL avx2
#define TN_HALF_BLOCK 8

static inline void tn_halves_to_floats(float *y, const uint16_t *x) {
    _mm256_storeu_ps(y, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)x)));
}

static inline void tn_floats_to_halves(uint16_t *y, const float *x) {
    _mm_storeu_si128((__m128i *)y, _mm256_cvtps_ph(_mm256_loadu_ps(x), _MM_FROUND_TO_NEAREST_INT));
}

#include "kernels/elementwise.h"
