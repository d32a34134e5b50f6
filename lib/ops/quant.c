/* Elements of quantized types as float32, and back. See quant.h. */
#include "ops/quant.h"
#include "base/element.h"
#include <math.h>

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

void tn_quant_load(tn_dtype dtype, const void *x, int64_t first, size_t n, float *y) {
    double buffer[128];
    for (size_t done = 0, m; done < n; done += m) {
        m = TN_MIN(n - done, TN_COUNT(buffer));
        tn_read_doubles(dtype, x, first + (int64_t)done, m, buffer);
        for (size_t i = 0; i < m; i++) y[done + i] = (float)buffer[i];
    }
}

void tn_quant_store(tn_dtype dtype, void *y, int64_t first, size_t n, const float *x, bool saturate) {
    int32_t low = 0, high = 0;
    bool whole = tn_quant_limits(dtype, &low, &high);
    double buffer[128];
    for (size_t done = 0, m; done < n; done += m) {
        m = TN_MIN(n - done, TN_COUNT(buffer));
        for (size_t i = 0; i < m; i++) {
            float v = x[done + i];
            if (whole) {
                v = v > (float)low ? v : (float)low;
                v = __builtin_rintf(v < (float)high ? v : (float)high);
            }
            buffer[i] = v;
        }
        tn_write_doubles(dtype, y, first + (int64_t)done, m, buffer, (tn_narrowing){.overflow = !saturate});
    }
}

void tn_quant_zeros(const tn_tensor *zero, size_t n, int32_t *y) {
    for (size_t i = 0; i < n; i++)
        y[i] = !zero ? 0 : zero->dtype == TN_INT8 ? ((const int8_t *)zero->data)[i] : ((const uint8_t *)zero->data)[i];
}

void tn_quantize_dynamic(const tn_kernels *kernels, const float *x, size_t n, uint8_t *y, float *scale, uint8_t *zero) {
    float low, high;
    kernels->qrange(x, n, &low, &high);
    *scale = high == low ? 1.0f : (high - low) / 255.0f;
    float origin = __builtin_rintf(-low / *scale);
    *zero = (uint8_t)(origin > 0 ? origin < 255.0f ? origin : 255.0f : 0.0f);
    if (y) kernels->quantize(y, x, n, *scale, *zero, 0, 255);
}

tn_status tn_infer_single(const tn_infer *call, int in) {
    if (!tn_infer_has(call, in) || call->in[in]->rank <= 0) return TN_OK;
    if (call->in[in]->rank == 1 && (call->in[in]->dims[0] < 0 || call->in[in]->dims[0] == 1)) return TN_OK;
    return tn_infer_fail(call, in, TN_E_SHAPE, "expected a scalar");
}

tn_qsum_terms tn_qsum_of(tn_quantization a, tn_quantization b, tn_quantization y) {
    tn_qsum_terms t = {.a = a.scale / y.scale, .b = b.scale / y.scale};
    t.rest = (float)y.zero - fmaf(t.a, (float)a.zero, t.b * (float)b.zero);
    return t;
}

tn_quantization tn_quantization_at(const tn_run *call, int in) {
    tn_quantization q = {.scale = *(const float *)tn_in(call, in)->data};
    tn_quant_zeros(tn_in(call, in + 1), 1, &q.zero);
    return q;
}

tn_status tn_infer_bytes(const tn_infer *call, int in, int like) {
    TN_TRY(tn_infer_dtype(call, in, (const tn_dtype[]){TN_UINT8, TN_INT8, TN_UNDEFINED}));
    if (call->in[in]->dtype && call->in[like]->dtype && call->in[in]->dtype != call->in[like]->dtype)
        return tn_infer_fail(call, in, TN_E_TYPE, "expected the type of input %d, %s", like,
                             tn_dtype_name(call->in[like]->dtype));
    return TN_OK;
}

tn_status tn_infer_quantization(const tn_infer *call, int in, int of) {
    TN_TRY(tn_infer_dtype(call, in, (const tn_dtype[]){TN_FLOAT32, TN_UNDEFINED}));
    TN_TRY(tn_infer_single(call, in));
    if (!tn_infer_has(call, in + 1)) return TN_OK;
    TN_TRY(tn_infer_bytes(call, in + 1, of));
    return tn_infer_single(call, in + 1);
}

void tn_real_values(tn_dtype dtype, tn_quantization of, float *real) {
    for (int i = 0; i < 256; i++) {
        int value = dtype == TN_INT8 ? (int8_t)i : i;
        real[i] = (float)(value - of.zero) * of.scale;
    }
}

void tn_requantize_table(tn_dtype dtype, const float *real, tn_quantization to, uint8_t *table) {
    float x[256];
    for (int i = 0; i < 256; i++) x[i] = __builtin_rintf(real[i] / to.scale) + (float)to.zero;
    tn_quant_store(dtype, table, 0, 256, x, true);
}
