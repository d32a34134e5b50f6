/* What tensors contain, as numbers to compare and as text to read. */
#include "tool.h"
#include <math.h>
#include <string.h>

/* A float of few bits: sign, `exponent` bits, `mantissa` bits. finite: no infinities (all ones is NaN); zero_nan: the
 * only NaN is where minus zero would be. */
static double small_float(unsigned bits, int exponent, int mantissa, int bias, bool finite, bool zero_nan) {
    unsigned fraction = bits & ((1u << mantissa) - 1), ones = (1u << exponent) - 1;
    unsigned power = bits >> mantissa & ones, sign = bits >> (exponent + mantissa) & 1;
    if (zero_nan && sign && !power && !fraction) return NAN;
    if (!zero_nan && power == ones && !finite) return fraction ? NAN : sign ? -INFINITY : INFINITY;
    if (!zero_nan && power == ones && finite && mantissa > 1 && fraction == (1u << mantissa) - 1) return NAN;
    double value =
        power ? ldexp(1 + ldexp(fraction, -mantissa), (int)power - bias) : ldexp(fraction, 1 - bias - mantissa);
    return sign ? -value : value;
}

double tensor_element(const tn_tensor *t, int64_t i) {
    const void *data = tn_tensor_const_data(t);
    const uint8_t *bytes = data;
    float single;
    switch (tn_tensor_dtype(t)) {
    case TN_FLOAT32: return ((const float *)data)[i];
    case TN_FLOAT64: return ((const double *)data)[i];
    case TN_UINT8:
    case TN_BOOL: return bytes[i];
    case TN_INT8: return ((const int8_t *)data)[i];
    case TN_UINT16: return ((const uint16_t *)data)[i];
    case TN_INT16: return ((const int16_t *)data)[i];
    case TN_UINT32: return ((const uint32_t *)data)[i];
    case TN_INT32: return ((const int32_t *)data)[i];
    case TN_UINT64: return (double)((const uint64_t *)data)[i];
    case TN_INT64: return (double)((const int64_t *)data)[i];
    case TN_COMPLEX64: return hypot(((const float *)data)[2 * i], ((const float *)data)[2 * i + 1]);
    case TN_COMPLEX128: return hypot(((const double *)data)[2 * i], ((const double *)data)[2 * i + 1]);
    case TN_FLOAT16: return small_float(((const uint16_t *)data)[i], 5, 10, 15, false, false);
    case TN_BFLOAT16: memcpy(&single, &(uint32_t){(uint32_t)((const uint16_t *)data)[i] << 16}, 4); return single;
    case TN_FLOAT8E4M3FN: return small_float(bytes[i], 4, 3, 7, true, false);
    case TN_FLOAT8E4M3FNUZ: return small_float(bytes[i], 4, 3, 8, true, true);
    case TN_FLOAT8E5M2: return small_float(bytes[i], 5, 2, 15, false, false);
    case TN_FLOAT8E5M2FNUZ: return small_float(bytes[i], 5, 2, 16, true, true);
    case TN_FLOAT8E8M0: return bytes[i] == 255 ? NAN : ldexp(1, bytes[i] - 127);
    case TN_FLOAT4E2M1: return small_float(bytes[i / 2] >> (i % 2 * 4) & 15, 2, 1, 1, true, false);
    case TN_UINT4: return bytes[i / 2] >> (i % 2 * 4) & 15;
    case TN_INT4: return ((bytes[i / 2] >> (i % 2 * 4) & 15) ^ 8) - 8;
    case TN_UINT2: return bytes[i / 4] >> (i % 4 * 2) & 3;
    case TN_INT2: return ((bytes[i / 4] >> (i % 4 * 2) & 3) ^ 2) - 2;
    default: return NAN;
    }
}

void tensor_shape_text(const tn_tensor *t, char *text, size_t size) {
    int n = snprintf(text, size, "%s[", tn_dtype_name(tn_tensor_dtype(t)));
    for (int i = 0; i < tn_tensor_rank(t) && n > 0 && (size_t)n < size; i++)
        n += snprintf(text + n, size - (size_t)n, "%s%lld", i ? "," : "", (long long)tn_tensor_dims(t)[i]);
    if (n > 0 && (size_t)n < size) snprintf(text + n, size - (size_t)n, "]");
}

typedef struct summary {
    double least, most, mean;
    int64_t finite, other; /* elements; NaN and infinities are other */
} summary;

static summary summarise(const tn_tensor *t) {
    summary r = {INFINITY, -INFINITY, 0, 0, 0};
    for (int64_t i = 0; i < tn_tensor_count(t); i++) {
        double value = tensor_element(t, i);
        if (!isfinite(value)) {
            r.other++;
            continue;
        }
        r.least = fmin(r.least, value);
        r.most = fmax(r.most, value);
        r.mean += value;
        r.finite++;
    }
    r.mean = r.finite ? r.mean / (double)r.finite : NAN;
    return r;
}

void tensor_json(json *j, const tn_tensor *t) {
    emit_text(j, "dtype", tn_dtype_name(tn_tensor_dtype(t)));
    emit_array(j, "dims");
    for (int i = 0; i < tn_tensor_rank(t); i++) emit_int(j, NULL, tn_tensor_dims(t)[i]);
    emit_end(j);
    if (tn_tensor_dtype(t) == TN_STRING) return;
    summary r = summarise(t);
    emit_number(j, "min", r.least);
    emit_number(j, "max", r.most);
    emit_number(j, "mean", r.mean);
    emit_int(j, "not_finite", r.other);
}

void tensor_print(const char *name, const tn_tensor *t) {
    char text[256];
    int64_t count = tn_tensor_count(t), shown = count < 8 ? count : 8;
    tensor_shape_text(t, text, sizeof text);
    printf("%s: %s", name, text);
    if (tn_tensor_dtype(t) == TN_STRING) {
        const tn_string *strings = tn_tensor_const_data(t);
        for (int64_t i = 0; i < shown; i++) printf(" \"%.*s\"", (int)strings[i].size, strings[i].data);
        puts(count > shown ? " ..." : "");
        return;
    }
    summary r = summarise(t);
    if (count > shown && r.finite) printf("  min %.6g  max %.6g  mean %.6g", r.least, r.most, r.mean);
    if (r.other) printf("  %lld not finite", (long long)r.other);
    printf("\n ");
    for (int64_t i = 0; i < shown; i++) printf(" %.6g", tensor_element(t, i));
    puts(count > shown ? " ..." : "");
}
