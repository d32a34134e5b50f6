/* Channels-last bytes on AVX-512 VNNI: four taps of a depthwise convolution in one instruction; tables of 256 bytes in four
 * registers where the CPU permutes bytes (VBMI), as all with VNNI but the first do. */
#include "kernels/qlast_avx512.h"

#define QD_GROUP 4
#define QD_SIZE 1

static inline __m512i qd_tap(__m512i acc, __m512i fours, const char *w) {
    return _mm512_dpbusd_epi32(acc, fours, _mm512_loadu_si512(w));
}
static inline void qd_add(__m512i *acc, const __m512i *x, const char *w) {
    __m512i low01 = _mm512_unpacklo_epi8(x[0], x[1]), high01 = _mm512_unpackhi_epi8(x[0], x[1]);
    __m512i low23 = _mm512_unpacklo_epi8(x[2], x[3]), high23 = _mm512_unpackhi_epi8(x[2], x[3]);
    acc[0] = qd_tap(acc[0], _mm512_unpacklo_epi16(low01, low23), w);
    acc[1] = qd_tap(acc[1], _mm512_unpackhi_epi16(low01, low23), w + 64);
    acc[2] = qd_tap(acc[2], _mm512_unpacklo_epi16(high01, high23), w + 128);
    acc[3] = qd_tap(acc[3], _mm512_unpackhi_epi16(high01, high23), w + 192);
}

__attribute__((target("avx512vbmi"))) static void qlook_up(uint8_t *y, const uint8_t *x, size_t n,
                                                           const uint8_t *table) {
    const __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64);
    const __m512i t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
    for (size_t i = 0; i < n; i += 64) {
        const __mmask64 live = n - i < 64 ? ((__mmask64)1 << (n - i)) - 1 : ~(__mmask64)0;
        __m512i at = _mm512_maskz_loadu_epi8(live, x + i);
        __m512i low = _mm512_permutex2var_epi8(t0, at, t1), high = _mm512_permutex2var_epi8(t2, at, t3);
        _mm512_mask_storeu_epi8(y + i, live, _mm512_mask_blend_epi8(_mm512_movepi8_mask(at), low, high));
    }
}

#include "kernels/qlast_rows.h"

void tn_qlast_vnni(tn_kernels *table) {
    void (*before)(uint8_t *, const uint8_t *, size_t, const uint8_t *) = table->qlook_up;
    TN_QLAST_ROWS(table);
    if (!__builtin_cpu_supports("avx512vbmi")) table->qlook_up = before;
}
