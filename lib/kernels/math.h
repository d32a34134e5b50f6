/* Functions of float vectors, written once over the names of vec_<level>.h, which must be included before.
 *
 * The largest error in units of the last place, tested at every level over all of float32 by tests/unit/kernels_math.c:
 *   exp 1.1, log 0.9, sin and cos 1.7, tanh 2.3, sigmoid 2.2, swish 3.2, softplus 2.5, erf 1.1, mish 4, elu 1.6;
 *   gelu and its tanh form: 2^-22 of |x|.
 * NaN gives NaN; infinities give the limits. exp gives denormals and overflows as it must; the functions made of
 * exp_low (sigmoid, swish, gelu...) give 0 where the result would be denormal. The polynomials are minimax fits, their
 * coefficients rounded to float32 one after the other, the rest fitted anew. */
#ifndef TN_KERNELS_MATH_H
#define TN_KERNELS_MATH_H

#define TN_INFINITY __builtin_inff()
#define TN_NAN __builtin_nanf("")

/* c[0] + c[1] x + ... + c[n - 1] x^(n - 1); unrolled, as n is constant. */
static inline vf vf_polynomial(vf x, const float *c, int n) {
    vf y = vf_set(c[n - 1]);
    for (int i = n - 2; i >= 0; i--) y = vf_fma(y, x, vf_set(c[i]));
    return y;
}

/* q with exp(x) = 2^n (1 + q), |q| < 0.42, for |x| < 2^20; *n is a whole number, *bits an integer that is n modulo 2^9.
 * Adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits. */
static inline vf vf_exp_reduce(vf x, vf *n, vi *bits) {
    static const float c[] = {0x1.fffffep-2f, 0x1.5554b0p-3f, 0x1.555718p-5f, 0x1.1227a2p-7f, 0x1.6b7138p-10f};
    vf shift = vf_set(0x1.8p23f), t = vf_fma(x, vf_set(0x1.715476p+0f), shift);
    *bits = vf_bits(t);
    *n = vf_sub(t, shift);
    vf r = vf_fnma(*n, vf_set(0x1.62e400p-1f), x); /* ln 2 in two pieces */
    r = vf_fnma(*n, vf_set(0x1.7f7d1cp-20f), r);
    return vf_fma(vf_mul(r, r), vf_polynomial(r, c, 5), r);
}

/* 2^n from the bits of vf_exp_reduce, n in [-126, 127]. */
static inline vf vf_exp2_bits(vi bits) {
    return vi_float(vi_shl(vi_add(bits, vi_set(127)), 23));
}

static inline vf vf_exp(vf x) {
    vf n;
    vi bits;
    vf q = vf_exp_reduce(vf_min(vf_set(89), vf_max(vf_set(-104), x)), &n, &bits);
    return vf_scale(vf_add(q, vf_set(1)), n);
}

/* exp for x <= 88: 0 below -87.3, where the result would be denormal. */
static inline vf vf_exp_low(vf x) {
    vf n, limit = vf_set(-87.3f);
    vi bits;
    vf q = vf_exp_reduce(vf_max(limit, x), &n, &bits), s = vf_exp2_bits(bits);
    return vf_select(vf_lt(x, limit), vf_set(0), vf_fma(s, q, s));
}

/* exp(x) - 1 for x <= 88. */
static inline vf vf_expm1(vf x) {
    vf n;
    vi bits;
    vf q = vf_exp_reduce(vf_max(vf_set(-87), x), &n, &bits), s = vf_exp2_bits(bits);
    return vf_fma(s, q, vf_sub(s, vf_set(1)));
}

/* x = 2^e m with m in [sqrt(1/2), sqrt(2)), then a polynomial in m - 1. */
static inline vf vf_log(vf x) {
    static const float c[] = {0x1.555554p-2f, -0x1.000228p-2f, 0x1.99a028p-3f, -0x1.54720cp-3f,
                              0x1.22d782p-3f, -0x1.0d852ep-3f, 0x1.056ceap-3f, -0x1.38dfb0p-4f};
    vm denormal = vf_lt(x, vf_set(0x1p-126f));
    vi bits = vf_bits(vf_select(denormal, vf_mul(x, vf_set(0x1p23f)), x));
    vi e = vi_sar(vi_sub(bits, vi_set(0x3f3504f3)), 23);
    vf f = vf_sub(vi_float(vi_sub(bits, vi_shl(e, 23))), vf_set(1));
    vf n = vf_sub(vi_to_float(e), vf_select(denormal, vf_set(23), vf_set(0)));
    vf square = vf_mul(f, f), tail = vf_mul(vf_mul(square, f), vf_polynomial(f, c, 8));
    tail = vf_fma(n, vf_set(0x1.7f7d1cp-20f), tail);
    tail = vf_fnma(square, vf_set(0.5f), tail);
    vf y = vf_fma(n, vf_set(0x1.62e400p-1f), vf_add(tail, f));
    y = vf_select(vf_lt(x, vf_set(TN_INFINITY)), y, x);
    y = vf_select(vf_lt(x, vf_set(0)), vf_set(TN_NAN), y);
    return vf_select(vf_eq(x, vf_set(0)), vf_set(-TN_INFINITY), y);
}

/* log(1 + z) for z in [0, 1]: twice the artanh of z / (2 + z). */
static inline vf vf_log1p_unit(vf z) {
    static const float c[] = {0x1.555558p-1f, 0x1.9996dap-2f, 0x1.2504bep-2f, 0x1.b733f4p-3f, 0x1.f06944p-3f};
    vf s = vf_div(z, vf_add(z, vf_set(2))), s2 = vf_mul(s, s);
    return vf_fma(vf_mul(s, s2), vf_polynomial(s2, c, 5), vf_add(s, s));
}

/* From expm1(2|x|) = e: e / (e + 2). */
static inline vf vf_tanh(vf x) {
    vf e = vf_abs(x);
    e = vf_expm1(vf_min(vf_set(20), vf_add(e, e)));
    return vf_copysign(vf_div(e, vf_add(e, vf_set(2))), x);
}

static inline vf vf_sigmoid(vf x) {
    vf z = vf_exp_low(vf_neg(vf_abs(x)));
    return vf_div(vf_select(vf_lt(x, vf_set(0)), z, vf_set(1)), vf_add(z, vf_set(1)));
}

/* x sigmoid(a x), a > 0 for the limit at -infinity. */
static inline vf vf_swish(vf x, vf a) {
    vf y = vf_sigmoid(vf_mul(x, a));
    return vf_select(vf_eq(y, vf_set(0)), y, vf_mul(x, y));
}

static inline vf vf_softplus(vf x) {
    return vf_add(vf_max(vf_set(0), x), vf_log1p_unit(vf_exp_low(vf_neg(vf_abs(x)))));
}

/* x tanh(softplus(x)); with e = exp(x), the tanh is e (e + 2) / (e (e + 2) + 2). */
static inline vf vf_mish(vf x) {
    vf e = vf_exp_low(vf_min(vf_set(20), x)), n = vf_mul(e, vf_add(e, vf_set(2)));
    return vf_mul(vf_max(vf_set(-128), x), vf_div(n, vf_add(n, vf_set(2))));
}

/* erf(t) for |t| <= 0.93, and erfc(t) for t >= 0.92 as the exp of a polynomial: close in relative terms up to 4, in
 * absolute ones beyond. */
static inline vf vf_erf_small(vf t) {
    static const float c[] = {0x1.06eba6p-3f,  -0x1.8126e2p-2f, 0x1.ce1986p-4f,
                              -0x1.b67c04p-6f, 0x1.46d9e6p-8f,  -0x1.387442p-11f};
    return vf_fma(vf_polynomial(vf_mul(t, t), c, 6), t, t);
}
static inline vf vf_erfc_large(vf t) {
    static const float c[] = {-0x1.077628p-3f, -0x1.452dbap-1f, -0x1.b3c9a8p-4f, 0x1.88d18ap-6f,
                              -0x1.ef12e4p-9f, 0x1.7c887ep-12f, -0x1.08e11cp-16f};
    return vf_exp_low(vf_sub(vf_mul(vf_polynomial(t, c, 7), t), t));
}

static inline vf vf_erf(vf x) {
    vf t = vf_abs(x), large = vf_copysign(vf_sub(vf_set(1), vf_erfc_large(t)), x);
    return vf_select(vf_lt(vf_set(0.925f), t), large, vf_erf_small(x));
}

/* x (1 + erf(x / sqrt 2)) / 2, as max(x, 0) - |x| erfc(|x| / sqrt 2) / 2, which loses nothing on the negative side. */
static inline vf vf_gelu(vf x) {
    vf a = vf_min(vf_set(16), vf_abs(x)), t = vf_mul(a, vf_set(0x1.6a09e6p-1f));
    vf c = vf_select(vf_lt(vf_set(0.925f), t), vf_erfc_large(t), vf_sub(vf_set(1), vf_erf_small(t)));
    return vf_fnma(vf_mul(a, vf_set(0.5f)), c, vf_max(vf_set(0), x));
}

/* x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3), which is x sigmoid(2 u). */
static inline vf vf_gelu_tanh(vf x) {
    vf a = vf_min(vf_set(16), vf_max(vf_set(-16), x));
    vf u = vf_mul(a, vf_fma(vf_mul(a, a), vf_set(0.0713548162726f), vf_set(1.59576912161f)));
    return vf_mul(vf_max(vf_set(-16), x), vf_sigmoid(u));
}

/* x < 0: scale (exp(x inverse) - 1); else x slope. With these, elu, celu and selu. */
static inline vf vf_elu(vf x, vf scale, vf inverse, vf slope) {
    vf negative = vf_mul(scale, vf_expm1(vf_min(vf_set(88), vf_mul(x, inverse))));
    return vf_select(vf_lt(x, vf_set(0)), negative, vf_mul(x, slope));
}

/* Beyond this the reduction below runs out of bits, and libm does it, lane for lane. */
#define TN_SIN_LIMIT 1e5f

/* sin(x + quarter pi / 2), |x| <= TN_SIN_LIMIT: what is left of the nearest multiple of pi / 2 is taken in three pieces,
 * the first without error. */
static inline vf vf_sin_quarter(vf x, int quarter) {
    static const float s[] = {-0x1.555546p-3f, 0x1.110776p-7f, -0x1.9952dap-13f};
    static const float c[] = {0x1.55554ap-5f, -0x1.6c0c28p-10f, 0x1.99e818p-16f};
    vf shift = vf_set(0x1.8p23f), t = vf_fma(x, vf_set(0x1.45f306p-1f), shift), n = vf_sub(t, shift);
    vi q = vi_add(vf_bits(t), vi_set(quarter));
    vf r = vf_fnma(n, vf_set(0x1.921fb6p+0f), x);
    r = vf_fnma(n, vf_set(-0x1.777a5cp-25f), r);
    r = vf_fnma(n, vf_set(-0x1.ee59dap-50f), r);
    vf r2 = vf_mul(r, r);
    vf sine = vf_fma(vf_mul(r, r2), vf_polynomial(r2, s, 3), r);
    vf cosine = vf_fma(vf_mul(r2, r2), vf_polynomial(r2, c, 3), vf_fnma(r2, vf_set(0.5f), vf_set(1)));
    vf y = vf_select(vi_eq(vi_and(q, vi_set(1)), vi_set(0)), sine, cosine);
    return vi_float(vi_xor(vf_bits(y), vi_shl(vi_and(q, vi_set(2)), 30)));
}

static inline vf vf_sin_or_cos(vf x, int quarter) {
    if (!vm_any(vf_lt(vf_set(TN_SIN_LIMIT), vf_abs(x)))) return vf_sin_quarter(x, quarter);
    float lanes[VF_WIDTH];
    vf_store(lanes, x);
    for (int i = 0; i < VF_WIDTH; i++) lanes[i] = (float)(quarter ? cos((double)lanes[i]) : sin((double)lanes[i]));
    return vf_load(lanes);
}

#endif
