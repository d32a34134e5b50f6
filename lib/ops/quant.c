/* Elements of quantized types as float32, and back. See quant.h. */
#include "ops/quant.h"
#include "base/half.h"

bool tn_quant_limits(tn_dtype dtype, int32_t *low, int32_t *high) {
    int bits = 0;
    bool is_signed = true;
    switch (dtype) {
    case TN_UINT8: bits = 8, is_signed = false; break;
    case TN_INT8: bits = 8; break;
    case TN_UINT16: bits = 16, is_signed = false; break;
    case TN_INT16: bits = 16; break;
    case TN_UINT4: bits = 4, is_signed = false; break;
    case TN_INT4: bits = 4; break;
    case TN_UINT2: bits = 2, is_signed = false; break;
    case TN_INT2: bits = 2; break;
    default: return false;
    }
    *low = is_signed ? -(1 << (bits - 1)) : 0;
    *high = is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
    return true;
}

#define LOAD(type, expression)                                                                                         \
    do {                                                                                                               \
        const type *p = (const type *)x + first;                                                                       \
        for (size_t i = 0; i < n; i++) y[i] = expression;                                                              \
    } while (0)
#define LOAD_PACKED(expression)                                                                                        \
    for (size_t i = 0; i < n; i++) y[i] = (float)(expression)

void tn_quant_load(tn_dtype dtype, const void *x, int64_t first, size_t n, float *y) {
    switch (dtype) {
    case TN_FLOAT32: memcpy(y, (const float *)x + first, n * sizeof *y); break;
    case TN_FLOAT64: LOAD(double, (float)p[i]); break;
    case TN_FLOAT16: LOAD(uint16_t, tn_half_to_float(p[i])); break;
    case TN_BFLOAT16: LOAD(uint16_t, tn_bfloat_to_float(p[i])); break;
    case TN_INT32: LOAD(int32_t, (float)p[i]); break;
    case TN_INT16: LOAD(int16_t, (float)p[i]); break;
    case TN_UINT16: LOAD(uint16_t, (float)p[i]); break;
    case TN_INT8: LOAD(int8_t, (float)p[i]); break;
    case TN_UINT8: LOAD(uint8_t, (float)p[i]); break;
    case TN_FLOAT8E4M3FN: LOAD(uint8_t, tn_float8e4m3fn_to_float(p[i])); break;
    case TN_FLOAT8E4M3FNUZ: LOAD(uint8_t, tn_float8e4m3fnuz_to_float(p[i])); break;
    case TN_FLOAT8E5M2: LOAD(uint8_t, tn_float8e5m2_to_float(p[i])); break;
    case TN_FLOAT8E5M2FNUZ: LOAD(uint8_t, tn_float8e5m2fnuz_to_float(p[i])); break;
    case TN_FLOAT8E8M0: LOAD(uint8_t, tn_float8e8m0_to_float(p[i])); break;
    case TN_INT4: LOAD_PACKED(tn_packed_get_signed(x, 4, first + (int64_t)i)); break;
    case TN_UINT4: LOAD_PACKED(tn_packed_get(x, 4, first + (int64_t)i)); break;
    case TN_INT2: LOAD_PACKED(tn_packed_get_signed(x, 2, first + (int64_t)i)); break;
    case TN_UINT2: LOAD_PACKED(tn_packed_get(x, 2, first + (int64_t)i)); break;
    case TN_FLOAT4E2M1: LOAD_PACKED(tn_float4e2m1_to_float(tn_packed_get(x, 4, first + (int64_t)i))); break;
    default: memset(y, 0, n * sizeof *y);
    }
}

static inline int32_t clamp(float x, int32_t low, int32_t high) {
    x = x > (float)low ? x : (float)low;
    x = x < (float)high ? x : (float)high;
    return (int32_t)__builtin_rintf(x);
}

#define STORE(type, expression)                                                                                        \
    do {                                                                                                               \
        type *p = (type *)y + first;                                                                                   \
        for (size_t i = 0; i < n; i++) p[i] = (type)(expression);                                                      \
    } while (0)
#define STORE_PACKED(bits, expression)                                                                                 \
    for (size_t i = 0; i < n; i++) tn_packed_set(y, bits, first + (int64_t)i, (unsigned)(expression))

void tn_quant_store(tn_dtype dtype, void *y, int64_t first, size_t n, const float *x, bool saturate) {
    int32_t low = 0, high = 0;
    tn_quant_limits(dtype, &low, &high);
    switch (dtype) {
    case TN_FLOAT32: memcpy((float *)y + first, x, n * sizeof *x); break;
    case TN_FLOAT64: STORE(double, x[i]); break;
    case TN_FLOAT16: STORE(uint16_t, tn_float_to_half(x[i])); break;
    case TN_BFLOAT16: STORE(uint16_t, tn_float_to_bfloat(x[i])); break;
    case TN_INT16: STORE(int16_t, clamp(x[i], low, high)); break;
    case TN_UINT16: STORE(uint16_t, clamp(x[i], low, high)); break;
    case TN_INT8: STORE(int8_t, clamp(x[i], low, high)); break;
    case TN_UINT8: STORE(uint8_t, clamp(x[i], low, high)); break;
    case TN_FLOAT8E4M3FN: STORE(uint8_t, tn_float_to_float8e4m3fn(x[i], saturate)); break;
    case TN_FLOAT8E4M3FNUZ: STORE(uint8_t, tn_float_to_float8e4m3fnuz(x[i], saturate)); break;
    case TN_FLOAT8E5M2: STORE(uint8_t, tn_float_to_float8e5m2(x[i], saturate)); break;
    case TN_FLOAT8E5M2FNUZ: STORE(uint8_t, tn_float_to_float8e5m2fnuz(x[i], saturate)); break;
    case TN_INT4:
    case TN_UINT4: STORE_PACKED(4, clamp(x[i], low, high)); break;
    case TN_INT2:
    case TN_UINT2: STORE_PACKED(2, clamp(x[i], low, high)); break;
    case TN_FLOAT4E2M1: STORE_PACKED(4, tn_float_to_float4e2m1(x[i])); break;
    default: break;
    }
}

void tn_quant_zeros(const tn_tensor *zero, size_t n, int32_t *y) {
    for (size_t i = 0; i < n; i++)
        y[i] = !zero ? 0 : zero->dtype == TN_INT8 ? ((const int8_t *)zero->data)[i] : ((const uint8_t *)zero->data)[i];
}

tn_status tn_infer_single(const tn_infer *call, int in) {
    if (!tn_infer_has(call, in) || call->in[in]->rank <= 0) return TN_OK;
    if (call->in[in]->rank == 1 && (call->in[in]->dims[0] < 0 || call->in[in]->dims[0] == 1)) return TN_OK;
    return tn_infer_fail(call, in, TN_E_SHAPE, "expected a scalar");
}
