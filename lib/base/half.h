/* The small number formats: float16, bfloat16, the float8 family, float4e2m1, and integers of 4 and 2 bits.
 *
 * A format is a sign, e bits of exponent with a bias, and m bits of mantissa; codes of one sign are in the order of
 * their values, and so rounding may carry from mantissa to exponent. All conversions from float32 round to the nearest,
 * ties to even. What lies beyond the largest finite value is what the format (or ONNX's `saturate`) says. NaNs come out
 * quiet, with the bits that fit, as the F16C instructions make them. */
#ifndef TN_HALF_H
#define TN_HALF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t tn_float_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float tn_bits_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The code of the finite |x| given by its bits, as if the format had exponents without end: the caller compares it to
 * the format's largest. */
static inline uint32_t tn_minifloat_round(uint32_t magnitude, int mantissa, int bias) {
    int32_t exponent = (int32_t)(magnitude >> 23) - 127 + bias, shift = 23 - mantissa;
    uint32_t significand = magnitude & 0x7fffff;
    if (exponent >= 1) {
        significand |= (uint32_t)exponent << 23;
    } else {
        shift += 1 - exponent;
        if (shift > 25) return 0; /* below half of the smallest; float32's own denormals are all here */
        significand |= 0x800000;
    }
    return (significand + (1u << (shift - 1)) - 1 + (significand >> shift & 1)) >> shift;
}

/* The value of a finite code without its sign. */
static inline float tn_minifloat_value(uint32_t code, int mantissa, int bias) {
    uint32_t exponent = code >> mantissa, fraction = code & ((1u << mantissa) - 1);
    if (exponent) return tn_bits_float((exponent + 127 - (uint32_t)bias) << 23 | fraction << (23 - mantissa));
    return (float)fraction * tn_bits_float((uint32_t)(128 - bias - mantissa) << 23);
}

/* ---- 16 bits ---- */
static inline uint16_t tn_float_to_half(float x) {
    uint32_t bits = tn_float_bits(x), magnitude = bits & 0x7fffffff, sign = bits >> 16 & 0x8000;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x47800000) return (uint16_t)(sign | 0x7c00); /* 65536 and more */
    return (uint16_t)(sign | tn_minifloat_round(magnitude, 10, 15));
}

static inline float tn_half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, code = h & 0x7fff;
    if (code > 0x7c00) return tn_bits_float(sign | 0x7fc00000 | code << 13);
    if (code == 0x7c00) return tn_bits_float(sign | 0x7f800000);
    return tn_bits_float(sign | tn_float_bits(tn_minifloat_value(code, 10, 15)));
}

static inline uint16_t tn_float_to_bfloat(float x) {
    uint32_t bits = tn_float_bits(x);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float tn_bfloat_to_float(uint16_t h) {
    return tn_bits_float((uint32_t)h << 16);
}

/* ---- float8: 1-4-3 and 1-5-2. "fn": no infinity; "uz": no minus zero, whose code is the one NaN ---- */
static inline uint8_t tn_float8_from(float x, bool saturate, int mantissa, int bias, uint32_t largest, uint32_t nan,
                                     uint32_t beyond, bool uz) {
    uint32_t bits = tn_float_bits(x), magnitude = bits & 0x7fffffff, sign = bits >> 24 & 0x80;
    uint32_t code = magnitude < 0x7f800000 ? tn_minifloat_round(magnitude, mantissa, bias) : largest + 1;
    if (magnitude > 0x7f800000)
        code = nan;
    else if (code > largest)
        code = saturate ? largest : beyond;
    if (uz && (code == 0 || code == nan)) sign = 0;
    return (uint8_t)(sign | code);
}

static inline float tn_float8_to(uint8_t code, int mantissa, int bias) {
    return tn_bits_float((uint32_t)(code & 0x80) << 24 |
                         tn_float_bits(tn_minifloat_value(code & 0x7f, mantissa, bias)));
}

static inline uint8_t tn_float_to_float8e4m3fn(float x, bool saturate) {
    return tn_float8_from(x, saturate, 3, 7, 0x7e, 0x7f, 0x7f, false);
}
static inline uint8_t tn_float_to_float8e4m3fnuz(float x, bool saturate) {
    return tn_float8_from(x, saturate, 3, 8, 0x7f, 0x80, 0x80, true);
}
static inline uint8_t tn_float_to_float8e5m2(float x, bool saturate) {
    return tn_float8_from(x, saturate, 2, 15, 0x7b, 0x7e, 0x7c, false);
}
static inline uint8_t tn_float_to_float8e5m2fnuz(float x, bool saturate) {
    return tn_float8_from(x, saturate, 2, 16, 0x7f, 0x80, 0x80, true);
}
static inline float tn_float8e4m3fn_to_float(uint8_t code) {
    if ((code & 0x7f) == 0x7f) return tn_bits_float((uint32_t)(code & 0x80) << 24 | 0x7fc00000);
    return tn_float8_to(code, 3, 7);
}
static inline float tn_float8e4m3fnuz_to_float(uint8_t code) {
    return code == 0x80 ? tn_bits_float(0x7fc00000) : tn_float8_to(code, 3, 8);
}
static inline float tn_float8e5m2_to_float(uint8_t code) {
    uint32_t sign = (uint32_t)(code & 0x80) << 24;
    if ((code & 0x7f) > 0x7c) return tn_bits_float(sign | 0x7fc00000);
    if ((code & 0x7f) == 0x7c) return tn_bits_float(sign | 0x7f800000);
    return tn_float8_to(code, 2, 15);
}
static inline float tn_float8e5m2fnuz_to_float(uint8_t code) {
    return code == 0x80 ? tn_bits_float(0x7fc00000) : tn_float8_to(code, 2, 16);
}

/* ---- float8e8m0: 2^(code - 127), 255 is NaN; of a negative x the magnitude counts ---- */
typedef enum tn_round { TN_ROUND_UP, TN_ROUND_DOWN, TN_ROUND_NEAREST /* ties up */ } tn_round;

static inline uint8_t tn_float_to_float8e8m0(float x, bool saturate, tn_round round) {
    uint32_t magnitude = tn_float_bits(x) & 0x7fffffff, exponent = magnitude >> 23, fraction = magnitude & 0x7fffff;
    if (magnitude > 0x7f800000) return 0xff;
    if (magnitude < 0x400000) return saturate ? 0 : 0xff; /* below 2^-127, the smallest: a denormal float32 */
    if (exponent == 0) fraction = (fraction - 0x400000) << 1;
    if (round == TN_ROUND_UP)
        exponent += fraction > 0;
    else if (round == TN_ROUND_NEAREST)
        exponent += fraction >= 0x400000;
    return (uint8_t)(exponent < 0xff ? exponent : saturate ? 0xfe : 0xff);
}

static inline float tn_float8e8m0_to_float(uint8_t code) {
    return tn_bits_float(code == 0xff ? 0x7fc00000 : code ? (uint32_t)code << 23 : 0x400000);
}

/* ---- float4e2m1: 0 .5 1 1.5 2 3 4 6 and their negatives; always saturates; NaN becomes -0, as in ONNX's tests ---- */
static inline uint8_t tn_float_to_float4e2m1(float x) {
    uint32_t bits = tn_float_bits(x), magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return 8;
    uint32_t code = magnitude < 0x7f800000 ? tn_minifloat_round(magnitude, 1, 1) : 7;
    return (uint8_t)((bits >> 28 & 8) | (code < 7 ? code : 7));
}

static inline float tn_float4e2m1_to_float(uint8_t code) {
    float value = tn_minifloat_value(code & 7, 1, 1);
    return code & 8 ? -value : value;
}

/* ---- packed elements: `bits` is 4 or 2, the first element lies lowest in its byte ---- */
static inline uint8_t tn_packed_get(const void *data, int bits, int64_t i) {
    int shift = bits == 4 ? 1 : 2; /* elements a byte, as a power of two */
    int64_t rest = i & ((1 << shift) - 1);
    return (uint8_t)(((const uint8_t *)data)[i >> shift] >> (rest * bits) & ((1 << bits) - 1));
}
static inline int8_t tn_packed_get_signed(const void *data, int bits, int64_t i) {
    int v = tn_packed_get(data, bits, i);
    return (int8_t)(v >> (bits - 1) ? v - (1 << bits) : v);
}
/* Not for two threads in one byte. */
static inline void tn_packed_set(void *data, int bits, int64_t i, unsigned value) {
    int shift = bits == 4 ? 1 : 2;
    unsigned mask = (1u << bits) - 1, at = (unsigned)((i & ((1 << shift) - 1)) * bits);
    uint8_t *byte = (uint8_t *)data + (i >> shift);
    *byte = (uint8_t)((*byte & ~(mask << at)) | (value & mask) << at);
}

#endif
