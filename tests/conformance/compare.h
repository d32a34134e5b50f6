/* Whether an output is what a test expects: kind, dtype and shape always, and elements but for random ones. */
#ifndef TN_CONFORMANCE_COMPARE_H
#define TN_CONFORMANCE_COMPARE_H

#include <math.h>
#include <tenon/session.h>
#include "base/element.h"
#include "values.h"

typedef struct {
    double absolute, relative;
} tolerance;

/* ONNX's own; or, of the real models' outputs, a share of the largest element, and no less than 1e-7: of small sigmoids
 * ONNX Runtime computes no more places. */
static tolerance tolerance_of(double relative, tn_dtype dtype, const void *data, int64_t count) {
    double largest = 0;
    if (relative <= 0) return (tolerance){1e-7, 1e-3};
    for (int64_t i = 0; i < count; i++) {
        double x = fabs(tn_get_double(dtype, data, i));
        if (isfinite(x) && x > largest) largest = x;
    }
    /* Half-precision outputs are rounded where ONNX Runtime rounds them, or one place off. */
    double least = dtype == TN_FLOAT16 ? 0x1p-9 : dtype == TN_BFLOAT16 ? 0x1p-6 : 0;
    return (tolerance){fmax(fmax(relative, least) * largest, 1e-7), 0};
}

static bool close_enough(tolerance t, double expected, double found) {
    if (isnan(expected) || isnan(found)) return isnan(expected) && isnan(found);
    if (isinf(expected) || isinf(found)) return expected == found;
    return fabs(expected - found) <= t.absolute + t.relative * fabs(expected);
}

static tn_status differs(const tn_tensor *expected, int64_t at, int64_t wrong, double e, double f) {
    return tn_fail(TN_E_INVALID, "%lld of %lld elements differ, the first at %lld: expected %.9g, found %.9g",
                   (long long)wrong, (long long)tn_tensor_count(expected), (long long)at, e, f);
}

static tn_status compare_floats(const tn_tensor *expected, const tn_tensor *found, double relative) {
    tn_dtype dtype = tn_tensor_dtype(expected);
    int64_t wrong = 0, first = 0, n = tn_tensor_count(expected);
    const void *a = tn_tensor_const_data(expected), *b = tn_tensor_const_data(found);
    bool complex = dtype == TN_COMPLEX64 || dtype == TN_COMPLEX128;
    if (complex) dtype = dtype == TN_COMPLEX64 ? TN_FLOAT32 : TN_FLOAT64, n *= 2;
    tolerance t = tolerance_of(relative, dtype, a, n);
    for (int64_t i = 0; i < n; i++)
        if (!close_enough(t, tn_get_double(dtype, a, i), tn_get_double(dtype, b, i)) && wrong++ == 0) first = i;
    return wrong ? differs(expected, first, wrong, tn_get_double(dtype, a, first), tn_get_double(dtype, b, first))
                 : TN_OK;
}

static tn_status compare_strings(const tn_tensor *expected, const tn_tensor *found) {
    const tn_string *a = tn_tensor_const_data(expected), *b = tn_tensor_const_data(found);
    for (int64_t i = 0; i < tn_tensor_count(expected); i++)
        if (!tn_string_equal(a[i], b[i]))
            return tn_fail(TN_E_INVALID, "element %lld is '%.*s', expected '%.*s'", (long long)i,
                           (int)TN_MIN(b[i].size, 50u), b[i].data, (int)TN_MIN(a[i].size, 50u), a[i].data);
    return TN_OK;
}

static tn_status compare_tensors(const tn_tensor *expected, const tn_tensor *found, bool values_too, double relative) {
    tn_dtype dtype = tn_tensor_dtype(expected);
    if (dtype != tn_tensor_dtype(found) || tn_tensor_rank(expected) != tn_tensor_rank(found) ||
        (tn_tensor_rank(found) &&
         memcmp(tn_tensor_dims(expected), tn_tensor_dims(found), (size_t)tn_tensor_rank(found) * sizeof(int64_t)))) {
        char a[160], b[160];
        return tn_fail(
            TN_E_SHAPE, "expected %s, found %s",
            tn_shape_text(a, sizeof a, dtype, tn_tensor_rank(expected), tn_tensor_dims(expected)),
            tn_shape_text(b, sizeof b, tn_tensor_dtype(found), tn_tensor_rank(found), tn_tensor_dims(found)));
    }
    if (!values_too) return TN_OK;
    if (dtype == TN_STRING) return compare_strings(expected, found);
    if (tn_dtype_is_float(dtype) || dtype == TN_COMPLEX64 || dtype == TN_COMPLEX128)
        return compare_floats(expected, found, relative);
    const void *a = tn_tensor_const_data(expected), *b = tn_tensor_const_data(found);
    int64_t wrong = 0, first = 0;
    for (int64_t i = 0; i < tn_tensor_count(expected); i++)
        if (tn_get_int(dtype, a, i) != tn_get_int(dtype, b, i) && wrong++ == 0) first = i;
    return wrong ? differs(expected, first, wrong, tn_get_double(dtype, a, first), tn_get_double(dtype, b, first))
                 : TN_OK;
}

static tn_status compare_output(const tn_session *session, int output, const value *expected, bool values_too,
                                double relative) {
    const tn_tensor *found;
    if (!expected->sequence) {
        TN_TRY(tn_session_output(session, output, &found));
        if (!found != !expected->present)
            return tn_fail(TN_E_INVALID, found ? "expected an empty optional" : "found an empty optional");
        return found ? compare_tensors(expected->tensors[0], found, values_too, relative) : TN_OK;
    }
    size_t count;
    TN_TRY(tn_session_output_length(session, output, &count));
    if (count != expected->count)
        return tn_fail(TN_E_INVALID, "expected a sequence of %zu, found one of %zu", expected->count, count);
    for (size_t i = 0; i < count; i++) {
        TN_TRY(tn_session_output_element(session, output, i, &found));
        tn_status status = compare_tensors(expected->tensors[i], found, values_too, relative);
        if (status != TN_OK) return tn_fail_context(status, "element %zu", i);
    }
    return TN_OK;
}

#endif
