/* Channels-last bytes on AVX-512 without VNNI: taps of depthwise convolutions in pairs of 16 bits. */
#include "kernels/qlast_avx512.h"

#define QD_GROUP 2
#define QD_SIZE 2

static inline __m512i qd_tap(__m512i acc, __m512i pairs, const char *w) {
    return _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_loadu_si512(w)));
}
static inline void qd_add(__m512i *acc, const __m512i *x, const char *w) {
    const __m512i zero = _mm512_setzero_si512();
    __m512i low = _mm512_unpacklo_epi8(x[0], x[1]), high = _mm512_unpackhi_epi8(x[0], x[1]);
    acc[0] = qd_tap(acc[0], _mm512_unpacklo_epi8(low, zero), w);
    acc[1] = qd_tap(acc[1], _mm512_unpackhi_epi8(low, zero), w + 64);
    acc[2] = qd_tap(acc[2], _mm512_unpacklo_epi8(high, zero), w + 128);
    acc[3] = qd_tap(acc[3], _mm512_unpackhi_epi8(high, zero), w + 192);
}

/* Sixteen tables of sixteen: where x is not in one, the highest bit of the index clears what it gives. */
static void qlook_up(uint8_t *y, const uint8_t *x, size_t n, const uint8_t *table) {
    for (size_t i = 0; i < n; i += 64) {
        const __mmask64 live = n - i < 64 ? ((__mmask64)1 << (n - i)) - 1 : ~(__mmask64)0;
        __m512i at = _mm512_maskz_loadu_epi8(live, x + i), found = _mm512_setzero_si512();
        for (int k = 0; k < 16; k++) {
            __m512i part = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(table + 16 * k)));
            __m512i index = _mm512_adds_epu8(at, _mm512_set1_epi8(0x70));
            found = _mm512_or_si512(found, _mm512_shuffle_epi8(part, index));
            at = _mm512_sub_epi8(at, _mm512_set1_epi8(16));
        }
        _mm512_mask_storeu_epi8(y + i, live, found);
    }
}

#include "kernels/qlast_rows.h"

void tn_qlast_avx512(tn_kernels *table) {
    TN_QLAST_ROWS(table);
}
