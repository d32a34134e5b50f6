/* Elements of any dtype. See element.h. One loop a dtype and direction; a dtype is looked at once a call. */
#include "base/element.h"

bool tn_dtype_is_float(tn_dtype dtype) {
    switch (dtype) {
    case TN_FLOAT32:
    case TN_FLOAT64:
    case TN_FLOAT16:
    case TN_BFLOAT16:
    case TN_FLOAT8E4M3FN:
    case TN_FLOAT8E4M3FNUZ:
    case TN_FLOAT8E5M2:
    case TN_FLOAT8E5M2FNUZ:
    case TN_FLOAT8E8M0:
    case TN_FLOAT4E2M1: return true;
    default: return false;
    }
}

bool tn_dtype_is_integer(tn_dtype dtype) {
    switch (dtype) {
    case TN_INT8:
    case TN_UINT8:
    case TN_INT16:
    case TN_UINT16:
    case TN_INT32:
    case TN_UINT32:
    case TN_INT64:
    case TN_UINT64:
    case TN_INT4:
    case TN_UINT4:
    case TN_INT2:
    case TN_UINT2: return true;
    default: return false;
    }
}

/* X(dtype, C type, float32 from element x, element from float32 f). Packed elements are apart: they have no address. */
#define SMALL(X)                                                                                                       \
    X(TN_FLOAT16, uint16_t, tn_half_to_float(x), tn_float_to_half(f))                                                  \
    X(TN_BFLOAT16, uint16_t, tn_bfloat_to_float(x), tn_float_to_bfloat(f))                                             \
    X(TN_FLOAT8E4M3FN, uint8_t, tn_float8e4m3fn_to_float(x), tn_float_to_float8e4m3fn(f, saturate))                    \
    X(TN_FLOAT8E4M3FNUZ, uint8_t, tn_float8e4m3fnuz_to_float(x), tn_float_to_float8e4m3fnuz(f, saturate))              \
    X(TN_FLOAT8E5M2, uint8_t, tn_float8e5m2_to_float(x), tn_float_to_float8e5m2(f, saturate))                          \
    X(TN_FLOAT8E5M2FNUZ, uint8_t, tn_float8e5m2fnuz_to_float(x), tn_float_to_float8e5m2fnuz(f, saturate))              \
    X(TN_FLOAT8E8M0, uint8_t, tn_float8e8m0_to_float(x), tn_float_to_float8e8m0(f, saturate, narrowing.round))

bool tn_dtype_is_signed(tn_dtype dtype) {
    switch (dtype) {
    case TN_INT8:
    case TN_INT16:
    case TN_INT32:
    case TN_INT64:
    case TN_INT4:
    case TN_INT2: return true;
    default: return false;
    }
}

static int packed_bits(tn_dtype dtype) {
    size_t bits = tn_dtype_bits(dtype);
    return bits < 8 ? (int)bits : 0;
}

static int64_t packed_int(tn_dtype dtype, const void *data, int bits, int64_t i) {
    return dtype == TN_INT4 || dtype == TN_INT2 ? tn_packed_get_signed(data, bits, i) : tn_packed_get(data, bits, i);
}

void tn_read_doubles(tn_dtype dtype, const void *data, int64_t first, size_t n, double *out) {
    int bits = packed_bits(dtype);
    switch (dtype) {
#define READ(name, suffix, T)                                                                                          \
    case name:                                                                                                         \
        for (size_t i = 0; i < n; i++) out[i] = (double)((const T *)data + first)[i];                                  \
        return;
        TN_EACH_NUMBER(READ)
#undef READ
#define READ(name, T, value, unused)                                                                                   \
    case name:                                                                                                         \
        for (size_t i = 0; i < n; i++) {                                                                               \
            T x = ((const T *)data + first)[i];                                                                        \
            out[i] = value;                                                                                            \
        }                                                                                                              \
        return;
        SMALL(READ)
#undef READ
    case TN_BOOL:
        for (size_t i = 0; i < n; i++) out[i] = ((const uint8_t *)data + first)[i] != 0;
        return;
    case TN_FLOAT4E2M1:
        for (size_t i = 0; i < n; i++) out[i] = tn_float4e2m1_to_float(tn_packed_get(data, 4, first + (int64_t)i));
        return;
    default:
        for (size_t i = 0; i < n; i++) out[i] = bits ? (double)packed_int(dtype, data, bits, first + (int64_t)i) : 0;
    }
}

void tn_read_ints(tn_dtype dtype, const void *data, int64_t first, size_t n, int64_t *out) {
    int bits = packed_bits(dtype);
    switch (dtype) {
#define READ(name, suffix, T)                                                                                          \
    case name:                                                                                                         \
        for (size_t i = 0; i < n; i++)                                                                                 \
            out[i] = (T)0.5 != 0 ? tn_double_to_int((double)((const T *)data + first)[i])                              \
                                 : (int64_t)((const T *)data + first)[i];                                              \
        return;
        TN_EACH_NUMBER(READ)
#undef READ
#define READ(name, T, value, unused)                                                                                   \
    case name:                                                                                                         \
        for (size_t i = 0; i < n; i++) {                                                                               \
            T x = ((const T *)data + first)[i];                                                                        \
            out[i] = tn_double_to_int(value);                                                                          \
        }                                                                                                              \
        return;
        SMALL(READ)
#undef READ
    case TN_BOOL:
        for (size_t i = 0; i < n; i++) out[i] = ((const uint8_t *)data + first)[i] != 0;
        return;
    case TN_FLOAT4E2M1:
        for (size_t i = 0; i < n; i++)
            out[i] = (int64_t)tn_float4e2m1_to_float(tn_packed_get(data, 4, first + (int64_t)i));
        return;
    default:
        for (size_t i = 0; i < n; i++) out[i] = bits ? packed_int(dtype, data, bits, first + (int64_t)i) : 0;
    }
}

/* The float32 that keeps in its last bit whether anything was cut off, so that rounding it to a smaller format gives
 * what rounding the double would (Boldo and Melquiond, "When double rounding is odd", 2005). */
static float to_odd(double x) {
    float f = (float)x;
    if ((double)f == x || x != x) return f;
    uint32_t bits = tn_float_bits(f);
    if ((f < 0 ? -(double)f : (double)f) > (x < 0 ? -x : x)) bits--; /* towards zero; infinity to the largest */
    return tn_bits_float(bits | 1);
}

void tn_write_doubles(tn_dtype dtype, void *data, int64_t first, size_t n, const double *in, tn_narrowing narrowing) {
    bool saturate = !narrowing.overflow;
    int bits = packed_bits(dtype);
    switch (dtype) {
    case TN_FLOAT32:
        for (size_t i = 0; i < n; i++) ((float *)data + first)[i] = (float)in[i];
        return;
    case TN_FLOAT64: memcpy((double *)data + first, in, n * sizeof *in); return;
    case TN_UINT64:
        for (size_t i = 0; i < n; i++)
            ((uint64_t *)data + first)[i] = in[i] >= 0x1p64   ? UINT64_MAX
                                            : in[i] >= 0x1p63 ? (uint64_t)in[i]
                                                              : (uint64_t)tn_double_to_int(in[i]);
        return;
#define WRITE(name, T)                                                                                                 \
    case name:                                                                                                         \
        for (size_t i = 0; i < n; i++) ((T *)data + first)[i] = (T)tn_double_to_int(in[i]);                            \
        return;
        WRITE(TN_INT8, int8_t)
        WRITE(TN_UINT8, uint8_t)
        WRITE(TN_INT16, int16_t)
        WRITE(TN_UINT16, uint16_t)
        WRITE(TN_INT32, int32_t)
        WRITE(TN_UINT32, uint32_t)
        WRITE(TN_INT64, int64_t)
#undef WRITE
#define WRITE(name, T, unused, code)                                                                                   \
    case name:                                                                                                         \
        for (size_t i = 0; i < n; i++) {                                                                               \
            float f = to_odd(in[i]);                                                                                   \
            ((T *)data + first)[i] = code;                                                                             \
        }                                                                                                              \
        return;
        SMALL(WRITE)
#undef WRITE
    case TN_BOOL:
        for (size_t i = 0; i < n; i++) ((uint8_t *)data + first)[i] = in[i] != 0;
        return;
    case TN_FLOAT4E2M1:
        for (size_t i = 0; i < n; i++)
            tn_packed_set(data, 4, first + (int64_t)i, tn_float_to_float4e2m1(to_odd(in[i])));
        return;
    default:
        for (size_t i = 0; bits && i < n; i++)
            tn_packed_set(data, bits, first + (int64_t)i, (unsigned)tn_double_to_int(in[i]));
    }
}

void tn_write_ints(tn_dtype dtype, void *data, int64_t first, size_t n, const int64_t *in, tn_narrowing narrowing) {
    int bits = packed_bits(dtype);
    switch (dtype) {
#define WRITE(name, suffix, T)                                                                                         \
    case name:                                                                                                         \
        for (size_t i = 0; i < n; i++) ((T *)data + first)[i] = (T)in[i];                                              \
        return;
        TN_EACH_NUMBER(WRITE)
#undef WRITE
    case TN_BOOL:
        for (size_t i = 0; i < n; i++) ((uint8_t *)data + first)[i] = in[i] != 0;
        return;
    case TN_FLOAT4E2M1: bits = 0; /* fall through */
    default:
        for (size_t i = 0; i < n; i++) {
            double x = (double)in[i];
            if (bits)
                tn_packed_set(data, bits, first + (int64_t)i, (unsigned)in[i]);
            else
                tn_write_doubles(dtype, data, first + (int64_t)i, 1, &x, narrowing);
        }
    }
}
