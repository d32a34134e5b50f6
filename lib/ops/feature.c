/* Operators of ai.onnx.ml on columns of features: Scaler, Normalizer, Imputer, Binarizer, ArrayFeatureExtractor,
 * FeatureVectorizer. */
#include "base/element.h"
#include "graph/op.h"
#include "ops/data.h"
#include <math.h>

static const tn_dtype features_of[] = {TN_FLOAT32, TN_FLOAT64, TN_INT64, TN_INT32, TN_UNDEFINED};

/* A list of numbers of the length of the last dim, or one for all. */
static tn_status check_list(const tn_infer *call, const char *name, size_t count) {
    const tn_type *x = call->in[0];
    int64_t features = x->rank > 0 ? x->dims[x->rank - 1] : -1;
    if (count == 1 || (count && (features < 0 || (int64_t)count == features))) return TN_OK;
    return tn_infer_fail(call, 0, TN_E_INVALID, "attribute %s has %zu values; expected 1 or one for each feature", name,
                         count);
}

static tn_status scaler_infer(tn_infer *call) {
    size_t count;
    TN_TRY(tn_infer_dtype(call, 0, features_of));
    tn_attr_floats(call->node, "scale", &count);
    TN_TRY(check_list(call, "scale", count));
    tn_attr_floats(call->node, "offset", &count);
    TN_TRY(check_list(call, "offset", count));
    return tn_infer_out(call, 0, TN_FLOAT32, call->in[0]->rank, call->in[0]->dims);
}

typedef struct scaler_state {
    const float *scale, *offset;
    int64_t scale_step, offset_step; /* 0: one for all */
} scaler_state;

static tn_status scaler_prepare(tn_prepare *call) {
    size_t scales, offsets;
    scaler_state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    s->scale = tn_attr_floats(call->node, "scale", &scales);
    s->offset = tn_attr_floats(call->node, "offset", &offsets);
    s->scale_step = scales > 1;
    s->offset_step = offsets > 1;
    return TN_OK;
}

static tn_status scaler_run(tn_run *call) {
    const scaler_state *s = call->state;
    const tn_tensor *x = tn_in(call, 0);
    float *y = tn_out(call, 0)->data;
    int64_t n = tn_count(x), features = x->rank ? x->dims[x->rank - 1] : 1;
    for (int64_t i = 0, f = 0; i < n; i++, f = f + 1 == features ? 0 : f + 1) {
        float offset = s->offset[f * s->offset_step], scale = s->scale[f * s->scale_step];
        if (x->dtype == TN_FLOAT32)
            y[i] = (((const float *)x->data)[i] - offset) * scale;
        else
            y[i] = (float)((tn_get_double(x->dtype, x->data, i) - (double)offset) * (double)scale);
    }
    return TN_OK;
}

static int norm_of(const tn_node *node) {
    static const char *const names[] = {"MAX", "L1", "L2"};
    const char *text = tn_attr_text(node, "norm", "MAX");
    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) return i;
    return -1;
}

static tn_status normalizer_infer(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, features_of));
    if (norm_of(call->node) < 0)
        return tn_fail(TN_E_INVALID, "attribute norm is '%s', not MAX, L1 or L2", tn_attr_text(call->node, "norm", ""));
    const tn_type *x = call->in[0];
    if (x->rank >= 0 && x->rank != 1 && x->rank != 2)
        return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [N, C] or [C]");
    return tn_infer_out(call, 0, TN_FLOAT32, x->rank, x->dims);
}

static tn_status normalizer_prepare(tn_prepare *call) {
    int *norm = call->state = tn_prepare_alloc(call, sizeof *norm);
    if (!norm) return TN_E_MEMORY;
    *norm = norm_of(call->node);
    return TN_OK;
}

static tn_status normalizer_run(tn_run *call) {
    int norm = *(const int *)call->state;
    const tn_tensor *x = tn_in(call, 0);
    float *y = tn_out(call, 0)->data;
    int64_t width = x->dims[x->rank - 1], rows = width ? tn_count(x) / width : 0;
    for (int64_t r = 0; r < rows; r++, y += width) {
        double size = norm == 0 ? -INFINITY : 0;
        for (int64_t i = 0; i < width; i++) {
            double v = tn_get_double(x->dtype, x->data, r * width + i);
            y[i] = (float)v;
            size = norm == 0 ? fmax(size, v) : size + (norm == 1 ? fabs(v) : v * v);
        }
        if (norm == 2) size = sqrt(size);
        for (int64_t i = 0; i < width && size != 0; i++) y[i] = (float)((double)y[i] / size);
    }
    return TN_OK;
}

static bool is_float_dtype(tn_dtype dtype) {
    return dtype == TN_FLOAT32 || dtype == TN_FLOAT64;
}

static tn_status imputer_infer(tn_infer *call) {
    size_t count;
    TN_TRY(tn_infer_dtype(call, 0, features_of));
    tn_dtype dtype = call->in[0]->dtype;
    if (dtype && is_float_dtype(dtype)) {
        tn_attr_floats(call->node, "imputed_value_floats", &count);
        TN_TRY(check_list(call, "imputed_value_floats", count));
    } else if (dtype) {
        tn_attr_ints(call->node, "imputed_value_int64s", &count);
        TN_TRY(check_list(call, "imputed_value_int64s", count));
    }
    return tn_infer_same(call, 0, 0);
}

typedef struct imputer_state {
    const float *floats;
    const int64_t *ints;
    int64_t step, missing_int;
    float missing_float;
} imputer_state;

static tn_status imputer_prepare(tn_prepare *call) {
    imputer_state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    size_t floats, ints;
    if (!s) return TN_E_MEMORY;
    s->floats = tn_attr_floats(call->node, "imputed_value_floats", &floats);
    s->ints = tn_attr_ints(call->node, "imputed_value_int64s", &ints);
    s->step = (is_float_dtype(call->in[0]->dtype) ? floats : ints) > 1;
    s->missing_float = tn_attr_float(call->node, "replaced_value_float", 0);
    s->missing_int = tn_attr_int(call->node, "replaced_value_int64", 0);
    return TN_OK;
}

static tn_status imputer_run(tn_run *call) {
    const imputer_state *s = call->state;
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    int64_t n = tn_count(x), features = x->rank ? x->dims[x->rank - 1] : 1;
    for (int64_t i = 0, f = 0; i < n; i++, f = f + 1 == features ? 0 : f + 1) {
        if (is_float_dtype(x->dtype)) {
            double v = tn_get_double(x->dtype, x->data, i);
            bool missing = isnan(s->missing_float) ? isnan(v) : v == (double)s->missing_float;
            tn_set_double(y->dtype, y->data, i, missing ? (double)s->floats[f * s->step] : v);
        } else {
            int64_t v = tn_get_int(x->dtype, x->data, i);
            tn_set_int(y->dtype, y->data, i, v == s->missing_int ? s->ints[f * s->step] : v);
        }
    }
    return TN_OK;
}

static tn_status binarizer_infer(tn_infer *call) {
    TN_TRY(tn_infer_dtype(call, 0, features_of));
    return tn_infer_same(call, 0, 0);
}

static tn_status binarizer_prepare(tn_prepare *call) {
    float *threshold = call->state = tn_prepare_alloc(call, sizeof *threshold);
    if (!threshold) return TN_E_MEMORY;
    *threshold = tn_attr_float(call->node, "threshold", 0);
    return TN_OK;
}

static tn_status binarizer_run(tn_run *call) {
    double threshold = (double)*(const float *)call->state;
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    for (int64_t i = 0, n = tn_count(x); i < n; i++)
        tn_set_double(y->dtype, y->data, i, tn_get_double(x->dtype, x->data, i) > threshold);
    return TN_OK;
}

static tn_status extractor_infer(tn_infer *call) {
    static const tn_dtype any[] = {TN_FLOAT32, TN_FLOAT64, TN_INT64, TN_INT32, TN_STRING, TN_UNDEFINED},
                          longs[] = {TN_INT64, TN_UNDEFINED};
    TN_TRY(tn_infer_dtype(call, 0, any));
    TN_TRY(tn_infer_dtype(call, 1, longs));
    const tn_type *x = call->in[0], *index = call->in[1];
    if (x->rank < 0) return tn_infer_out(call, 0, x->dtype, -1, NULL);
    if (x->rank == 0) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected at least one dimension");
    int64_t dims[TN_MAX_RANK] = {1, 1};
    int rank = TN_MAX(x->rank, 2);
    for (int i = 0; i + 1 < x->rank; i++) dims[i] = x->dims[i];
    dims[rank - 1] = index->rank >= 0 ? tn_dims_count(index->rank, index->dims) : -1;
    return tn_infer_out(call, 0, x->dtype, rank, dims);
}

static tn_status extractor_run(tn_run *call) {
    const tn_tensor *x = tn_in(call, 0), *index = tn_in(call, 1);
    const int64_t *at = index->data;
    int64_t width = x->dims[x->rank - 1], rows = tn_dims_span(x->dims, 0, x->rank - 1), n = tn_count(index);
    size_t size = tn_dtype_bits(x->dtype) / 8;
    char *to = tn_out(call, 0)->data;
    for (int64_t i = 0; i < n; i++)
        if (at[i] < 0 || at[i] >= width)
            return tn_fail(TN_E_INVALID, "index %lld is %lld; the last dimension has %lld", (long long)i,
                           (long long)at[i], (long long)width);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++, to += size)
            memcpy(to, (const char *)x->data + (size_t)(r * width + at[i]) * size, size);
    return TN_OK;
}

/* How many columns input i gives: as the attribute says, else all it has; -1 if unknown. */
static int64_t width_of(const tn_node *node, const tn_type *x, int i) {
    size_t count;
    const int64_t *widths = tn_attr_ints(node, "inputdimensions", &count);
    if ((size_t)i < count) return widths[i];
    return x->rank > 0 ? x->dims[x->rank - 1] : -1;
}

static tn_status vectorizer_infer(tn_infer *call) {
    int64_t rows = -1, columns = 0;
    size_t given;
    const int64_t *widths = tn_attr_ints(call->node, "inputdimensions", &given);
    for (size_t i = 0; i < given; i++)
        if (widths[i] < 0) return tn_fail(TN_E_INVALID, "inputdimensions[%zu] is %lld", i, (long long)widths[i]);
    for (int i = 0; i < call->in_count; i++) {
        TN_TRY(tn_infer_dtype(call, i, features_of));
        const tn_type *x = call->in[i];
        if (x->rank >= 0 && x->rank != 1 && x->rank != 2)
            return tn_infer_fail(call, i, TN_E_SHAPE, "expected [N, C] or [C]");
        int64_t n = x->rank == 1 ? 1 : x->rank == 2 ? x->dims[0] : -1, width = width_of(call->node, x, i);
        if (!tn_dim_fits(rows, n)) return tn_infer_fail(call, i, TN_E_SHAPE, "expected %lld rows", (long long)rows);
        if (rows < 0) rows = n;
        if (columns >= 0 && width >= 0 && __builtin_add_overflow(columns, width, &columns))
            return tn_fail(TN_E_INVALID, "inputdimensions are too large together");
        if (width < 0) columns = -1;
    }
    return tn_infer_out(call, 0, TN_FLOAT32, 2, (int64_t[]){rows, columns});
}

static tn_status vectorizer_prepare(tn_prepare *call) {
    int64_t *widths = call->state = tn_prepare_alloc(call, (size_t)call->in_count * sizeof *widths);
    if (!widths) return TN_E_MEMORY;
    for (int i = 0; i < call->in_count; i++) widths[i] = width_of(call->node, call->in[i], i);
    return TN_OK;
}

static tn_status vectorizer_run(tn_run *call) {
    const int64_t *widths = call->state;
    tn_tensor *y = tn_out(call, 0);
    float *to = y->data;
    for (int64_t r = 0; r < y->dims[0]; r++)
        for (int i = 0; i < call->in_count; i++) {
            const tn_tensor *x = tn_in(call, i);
            int64_t has = x->dims[x->rank - 1];
            for (int64_t k = 0; k < widths[i]; k++)
                *to++ = k < has ? (float)tn_get_double(x->dtype, x->data, r * has + k) : 0;
        }
    return TN_OK;
}

#define FEATURE(name_, inputs, most, infer_, prepare_, run_)                                                           \
    {                                                                                                                  \
        .domain = "ai.onnx.ml", .name = name_, .min_in = inputs, .max_in = most, .min_out = 1, .max_out = 1,           \
        .infer = infer_, .prepare = prepare_, .run = run_                                                              \
    }

const tn_op tn_ops_feature[] = {
    FEATURE("Scaler", 1, 1, scaler_infer, scaler_prepare, scaler_run),
    FEATURE("Normalizer", 1, 1, normalizer_infer, normalizer_prepare, normalizer_run),
    FEATURE("Imputer", 1, 1, imputer_infer, imputer_prepare, imputer_run),
    FEATURE("Binarizer", 1, 1, binarizer_infer, binarizer_prepare, binarizer_run),
    FEATURE("ArrayFeatureExtractor", 2, 2, extractor_infer, NULL, extractor_run),
    FEATURE("FeatureVectorizer", 1, -1, vectorizer_infer, vectorizer_prepare, vectorizer_run),
    {0},
};
