/* A table of 16 is a register; one of 256 is 16 of them, of which pairs are looked into, and the right pair's answer taken. */
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

#define LOOKUP_LANES 16
#define LOOKUP_BITS 8

typedef struct book_4 {
    __m512 all;
} book_4;
typedef struct book_8 {
    __m512 part[16];
} book_8;

static inline book_4 load_4(const float *table) {
    return (book_4){_mm512_loadu_ps(table)};
}
static inline void put_4(float *y, const uint8_t *codes, const book_4 *book, bool high) {
    __m512i at = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)codes));
    _mm512_storeu_ps(y, _mm512_permutexvar_ps(high ? _mm512_srli_epi32(at, 4) : at, book->all));
}

static inline book_8 load_8(const float *table) {
    book_8 book;
    for (int i = 0; i < 16; i++) book.part[i] = _mm512_loadu_ps(table + 16 * i);
    return book;
}
static inline void put_8(float *y, const uint8_t *codes, const book_8 *book) {
    const __m512i at = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)codes));
    const __mmask16 by_5 = _mm512_test_epi32_mask(at, _mm512_set1_epi32(32)),
                    by_6 = _mm512_test_epi32_mask(at, _mm512_set1_epi32(64)),
                    by_7 = _mm512_test_epi32_mask(at, _mm512_set1_epi32(128));
    __m512 found[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) found[i] = _mm512_permutex2var_ps(book->part[2 * i], at, book->part[2 * i + 1]);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) found[i] = _mm512_mask_blend_ps(by_5, found[2 * i], found[2 * i + 1]);
    found[0] = _mm512_mask_blend_ps(by_6, found[0], found[1]);
    found[2] = _mm512_mask_blend_ps(by_6, found[2], found[3]);
    found[0] = _mm512_mask_blend_ps(by_7, found[0], found[2]);
    _mm512_storeu_ps(y, found[0]);
}

#define TN_LEVEL_OVERLAY tn_lookup_avx512
#include "kernels/lookup_rows.h"
