/* A table of 16 is two registers. One of 256 is read where it lies: gathering is no faster. */
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

#define LOOKUP_LANES 8
#define LOOKUP_BITS 4

typedef struct book_4 {
    __m256 low, high;
} book_4;
typedef const float *book_8;

static inline book_4 load_4(const float *table) {
    return (book_4){_mm256_loadu_ps(table), _mm256_loadu_ps(table + 8)};
}
static inline void put_4(float *y, const uint8_t *codes, const book_4 *book, bool high) {
    __m256i at = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)codes));
    if (high) at = _mm256_srli_epi32(at, 4);
    _mm256_storeu_ps(y,
                     _mm256_blendv_ps(_mm256_permutevar8x32_ps(book->low, at), _mm256_permutevar8x32_ps(book->high, at),
                                      _mm256_castsi256_ps(_mm256_slli_epi32(at, 28)))); /* by bit 3 */
}

static inline book_8 load_8(const float *table) {
    return table;
}
static inline void put_8(float *y, const uint8_t *codes, const book_8 *book) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) y[i] = (*book)[codes[i]];
}

#define TN_LEVEL_OVERLAY tn_lookup_avx2
#include "kernels/lookup_rows.h"
