/* What the quantizing operators share: elements of any quantized or float type as float32, and back. */
#ifndef TN_OPS_QUANT_H
#define TN_OPS_QUANT_H

#include "base/element.h"
#include "graph/op.h"

/* Values that an integer type of at most 16 bits takes; false for other types. */
bool tn_quant_limits(tn_dtype dtype, int32_t *low, int32_t *high);
static inline bool tn_is_byte(tn_dtype dtype) {
    return dtype == TN_INT8 || dtype == TN_UINT8;
}

/* y[i] = x[first + i] for integers up to 32 bits and floats, float8, float4, packed ones as well. */
void tn_quant_load(tn_dtype dtype, const void *x, int64_t first, size_t n, float *y);
/* y[first + i] = x[i]: integers rounded to even and saturated (NaN becomes the lowest), floats rounded; saturate is for
 * float8. */
void tn_quant_store(tn_dtype dtype, void *y, int64_t first, size_t n, const float *x, bool saturate);
/* The same for zero points (integers up to 8 bits). */
void tn_quant_zeros(const tn_tensor *zero, size_t n, int32_t *y);

/* Quantizes n numbers to uint8 so that their range, 0 included, fits: DynamicQuantizeLinear. y NULL: only
 * tells scale and zero point. */
void tn_quantize_dynamic(const tn_kernels *kernels, const float *x, size_t n, uint8_t *y, float *scale, uint8_t *zero);

typedef struct tn_quantization {
    float scale;
    int32_t zero;
} tn_quantization;

/* y = a * terms.a + b * terms.b + terms.rest of two quantized values, in units of y's scale with y's zero point added. */
typedef struct tn_qsum_terms {
    float a, b, rest;
} tn_qsum_terms;
tn_qsum_terms tn_qsum_of(tn_quantization a, tn_quantization b, tn_quantization y);

/* From the inputs `in` (scale) and `in` + 1 (zero point, may be absent) of one element each, of 8-bit integers. */
tn_quantization tn_quantization_at(const tn_run *call, int in);
/* Checks these two inputs; `of` is what they belong to. */
tn_status tn_infer_quantization(const tn_infer *call, int in, int of);
/* Fails unless input `in` is of 8-bit integers, of the same type as input `like`. */
tn_status tn_infer_bytes(const tn_infer *call, int in, int like);
/* What the 256 bytes stand for, and back: table[byte] is real[byte] quantized. */
void tn_real_values(tn_dtype dtype, tn_quantization of, float *real);
void tn_requantize_table(tn_dtype dtype, const float *real, tn_quantization to, uint8_t *table);

/* Fails unless input `in`, if present, is a scalar or one element. */
tn_status tn_infer_single(const tn_infer *call, int in);

#endif
