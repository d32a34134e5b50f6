/* Elementwise kernels for AVX-512. See elementwise.h. */
#include <immintrin.h>
#include <stdint.h>

#define TN_LEVEL avx512
#define TN_HALF_BLOCK 16

static inline void tn_halves_to_floats(float *y, const uint16_t *x) {
    _mm512_storeu_ps(y, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)x)));
}

static inline void tn_floats_to_halves(uint16_t *y, const float *x) {
    _mm256_storeu_si256((__m256i *)y, _mm512_cvtps_ph(_mm512_loadu_ps(x), _MM_FROUND_TO_NEAREST_INT));
}

#include "kernels/elementwise.h"
