/* A table of 16 is four registers of bytes: those of 32 elements are looked up one plane after the other, and put together. It
 * takes a third of the time of looking up whole elements, of which a register holds 8. One of 256 is read where it lies:
 * gathering is no faster. */
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

#define LOOKUP_LANES 8
#define LOOKUP_PAIRS 16
#define LOOKUP_BITS 4

typedef struct book_4 {
    __m256i plane[4]; /* byte p of each entry, in both halves */
} book_4;
typedef const float *book_8;

static inline book_4 load_4(const float *table) {
    const uint8_t *bytes = (const uint8_t *)table;
    uint8_t plane[4][16];
    book_4 book;
    for (int i = 0; i < 64; i++) plane[i % 4][i / 4] = bytes[i];
    for (int p = 0; p < 4; p++) book.plane[p] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)plane[p]));
    return book;
}

static inline void put_pair(float *y, const uint8_t *codes, const book_4 *book) {
    /* Of each row, elements 0 to 3 and 8 to 11 below, 4 to 7 and 12 to 15 above: unpacking works on halves. */
    const __m256i turned = _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)codes)),
                                                       _mm256_setr_epi32(0, 0, 2, 2, 1, 1, 3, 3)),
                  at = _mm256_and_si256(_mm256_srlv_epi32(turned, _mm256_setr_epi32(0, 4, 0, 4, 0, 4, 0, 4)),
                                        _mm256_set1_epi8(15)),
                  p0 = _mm256_shuffle_epi8(book->plane[0], at), p1 = _mm256_shuffle_epi8(book->plane[1], at),
                  p2 = _mm256_shuffle_epi8(book->plane[2], at), p3 = _mm256_shuffle_epi8(book->plane[3], at),
                  low = _mm256_unpacklo_epi8(p0, p1), low_up = _mm256_unpacklo_epi8(p2, p3),
                  high = _mm256_unpackhi_epi8(p0, p1), high_up = _mm256_unpackhi_epi8(p2, p3);
    _mm256_storeu_si256((__m256i *)y, _mm256_unpacklo_epi16(low, low_up));
    _mm256_storeu_si256((__m256i *)(y + 8), _mm256_unpackhi_epi16(low, low_up));
    _mm256_storeu_si256((__m256i *)(y + 16), _mm256_unpacklo_epi16(high, high_up));
    _mm256_storeu_si256((__m256i *)(y + 24), _mm256_unpackhi_epi16(high, high_up));
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
