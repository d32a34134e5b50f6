/* Vectors of one lane, plain C: the manual of the vec_<level>.h family, and what defines its results.
 *
 * A kernel is written once over these names and included by its per-level files, each after its own vec_<level>.h:
 *
 *   VF_WIDTH  lanes: 1 scalar, 8 avx2, 16 avx512, 4 neon
 *   vf  vi  vm   lanes of float, of int32_t, of truth
 *
 *   load, store      any address; _n: the first n lanes only, n in [0, VF_WIDTH]; lanes not loaded are 0
 *   load_even        p[0], p[2], p[4]...; may read the element after the last; _n: the first n of these, and no more
 *   set              all lanes alike;  first(n): true in the first n lanes
 *   fma(a, b, c)     a * b + c rounded once (in vec_scalar.h almost always);  fnma(a, b, c): c - a * b
 *   min(a, b)        a < b ? a : b, max(a, b)  a > b ? a : b: where either is NaN, the result is b
 *   round            to the nearest, ties to even
 *   lt le eq nan     comparisons; NaN is unequal to all.  select(m, a, b): m ? a : b
 *   even odd         every second lane of a, then of b
 *   zip              lanes of a and b in turn: low, the first half of them; high, the second
 *   sum high low     over all lanes, in a fixed order; high and low not for NaN
 *   scale(x, n)      x * 2^n rounded once, n a whole number in [-252, 252] and x in [0.5, 2]
 *   bits, float      the same bits as the other type;  to_int (nearest even; in range only), to_float: conversions
 *   shl shr sar      shifts by a constant: left, logical right, arithmetic right */
#ifndef TN_VEC_H
#define TN_VEC_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* One line a name, to be read as a table. */
/* clang-format off */
#define VF_WIDTH 1
typedef float vf;
typedef int32_t vi;
typedef int vm;

static inline vf vf_load(const float *p) { return *p; }
static inline void vf_store(float *p, vf a) { *p = a; }
static inline vf vf_load_n(const float *p, size_t n) { return n ? *p : 0; }
static inline void vf_store_n(float *p, vf a, size_t n) {
    if (n) *p = a;
}
static inline vf vf_load_even(const float *p) { return *p; }
static inline vf vf_load_even_n(const float *p, size_t n) { return n ? *p : 0; }
static inline vf vf_set(float a) { return a; }
static inline vf vf_add(vf a, vf b) { return a + b; }
static inline vf vf_sub(vf a, vf b) { return a - b; }
static inline vf vf_mul(vf a, vf b) { return a * b; }
static inline vf vf_div(vf a, vf b) { return a / b; }
/* Where the machine has no fused instruction, libm's is slow, and a double holds the product without error. */
static inline vf vf_fma(vf a, vf b, vf c) {
#ifdef __FP_FAST_FMAF
    return __builtin_fmaf(a, b, c);
#else
    return (float)((double)a * b + c);
#endif
}
static inline vf vf_fnma(vf a, vf b, vf c) { return vf_fma(-a, b, c); }
static inline vf vf_min(vf a, vf b) { return a < b ? a : b; }
static inline vf vf_max(vf a, vf b) { return a > b ? a : b; }
static inline vf vf_abs(vf a) { return __builtin_fabsf(a); }
static inline vf vf_neg(vf a) { return -a; }
static inline vf vf_copysign(vf a, vf sign) { return __builtin_copysignf(a, sign); }
static inline vf vf_sqrt(vf a) { return sqrtf(a); }
static inline vf vf_floor(vf a) { return floorf(a); }
static inline vf vf_ceil(vf a) { return ceilf(a); }
static inline vf vf_round(vf a) { return rintf(a); }
static inline vm vf_lt(vf a, vf b) { return a < b; }
static inline vm vf_le(vf a, vf b) { return a <= b; }
static inline vm vf_eq(vf a, vf b) { return a == b; }
static inline vm vf_nan(vf a) { return a != a; }
static inline vm vm_and(vm a, vm b) { return a & b; }
static inline vm vm_or(vm a, vm b) { return a | b; }
static inline vm vm_none(void) { return 0; }
static inline vm vm_first(size_t n) { return n != 0; }
static inline int vm_any(vm a) { return a; }
static inline vf vf_select(vm m, vf a, vf b) { return m ? a : b; }
static inline vf vf_even(vf a, vf b) { return (void)b, a; }
static inline vf vf_odd(vf a, vf b) { return (void)a, b; }
static inline vf vf_zip_low(vf a, vf b) { return (void)b, a; }
static inline vf vf_zip_high(vf a, vf b) { return (void)a, b; }
static inline float vf_sum(vf a) { return a; }
static inline float vf_high(vf a) { return a; }
static inline float vf_low(vf a) { return a; }

static inline vi vi_load(const int32_t *p) { return *p; }
static inline void vi_store(int32_t *p, vi a) { *p = a; }
static inline vi vi_load_n(const int32_t *p, size_t n) { return n ? *p : 0; }
static inline void vi_store_n(int32_t *p, vi a, size_t n) {
    if (n) *p = a;
}
static inline vi vi_set(int32_t a) { return a; }
static inline vi vi_add(vi a, vi b) { return (vi)((uint32_t)a + (uint32_t)b); }
static inline vi vi_sub(vi a, vi b) { return (vi)((uint32_t)a - (uint32_t)b); }
static inline vi vi_mul(vi a, vi b) { return (vi)((uint32_t)a * (uint32_t)b); }
static inline vi vi_min(vi a, vi b) { return a < b ? a : b; }
static inline vi vi_max(vi a, vi b) { return a > b ? a : b; }
static inline vi vi_and(vi a, vi b) { return a & b; }
static inline vi vi_or(vi a, vi b) { return a | b; }
static inline vi vi_xor(vi a, vi b) { return a ^ b; }
static inline vi vi_shl(vi a, int n) { return (vi)((uint32_t)a << n); }
static inline vi vi_shr(vi a, int n) { return (vi)((uint32_t)a >> n); }
static inline vi vi_sar(vi a, int n) { return a >> n; }
static inline vm vi_eq(vi a, vi b) { return a == b; }
static inline vm vi_lt(vi a, vi b) { return a < b; }
static inline vi vi_select(vm m, vi a, vi b) { return m ? a : b; }

static inline vi vf_bits(vf a) {
    vi r;
    memcpy(&r, &a, sizeof r);
    return r;
}
static inline vf vi_float(vi a) {
    vf r;
    memcpy(&r, &a, sizeof r);
    return r;
}
static inline vi vf_to_int(vf a) { return (vi)rintf(a); }
static inline vf vi_to_float(vi a) { return (vf)a; }
/* In two exact powers of two, of which only the second product may round. C has no integer for a NaN; a is one then. */
static inline vf vf_scale(vf a, vf n) {
    vi whole = n == n ? (vi)n : 0, half = whole >> 1;
    return a * vi_float(vi_shl(half + 127, 23)) * vi_float(vi_shl(whole - half + 127, 23));
}

/* clang-format on */

#endif
