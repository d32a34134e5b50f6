/* What the operators of ai.onnx.ml share. See ml.h. */
#include "ops/ml.h"
#include "base/element.h"
#include <math.h>
#include <stdio.h>

void tn_ml_rows(const tn_type *x, int64_t *out_rows, int64_t *out_features) {
    *out_rows = x->rank == 1 ? 1 : x->rank == 2 ? x->dims[0] : -1;
    *out_features = x->rank == 1 ? x->dims[0] : x->rank == 2 ? x->dims[1] : -1;
}

tn_status tn_ml_infer_rows(const tn_infer *call, int64_t *out_rows, int64_t *out_features) {
    static const tn_dtype allowed[] = {TN_FLOAT32, TN_FLOAT64, TN_INT64, TN_INT32, TN_UNDEFINED};
    TN_TRY(tn_infer_dtype(call, 0, allowed));
    const tn_type *x = call->in[0];
    if (x->rank >= 0 && x->rank != 1 && x->rank != 2)
        return tn_infer_fail(call, 0, TN_E_SHAPE, "expected [N, F] or [F]");
    tn_ml_rows(x, out_rows, out_features);
    return TN_OK;
}

size_t tn_ml_float_bytes(const tn_type *x) {
    return x->dtype == TN_FLOAT32 ? 0 : tn_dtype_bytes(TN_FLOAT32, tn_type_count(x));
}

const float *tn_ml_floats(const tn_tensor *x, void *scratch) {
    if (x->dtype == TN_FLOAT32) return x->data;
    float *y = scratch;
    for (int64_t i = 0, n = tn_count(x); i < n; i++)
        y[i] = x->dtype == TN_FLOAT64 ? (float)((const double *)x->data)[i]
               : x->dtype == TN_INT64 ? (float)((const int64_t *)x->data)[i]
                                      : (float)((const int32_t *)x->data)[i];
    return y;
}

tn_status tn_ml_labels(const tn_node *node, const char *ints_name, tn_labels *out) {
    const tn_attr *strings = tn_node_attr(node, "classlabels_strings");
    size_t count;
    out->ints = tn_attr_ints(node, ints_name, &count);
    out->strings = NULL;
    if (strings && strings->kind == TN_ATTR_STRINGS && strings->count) {
        if (count) return tn_fail(TN_E_INVALID, "expected either %s or classlabels_strings", ints_name);
        out->strings = strings->strings;
        count = strings->count;
    }
    out->count = (int64_t)count;
    return count ? TN_OK : tn_fail(TN_E_INVALID, "neither %s nor classlabels_strings is given", ints_name);
}

tn_status tn_ml_infer_labels(tn_infer *call, const tn_labels *labels, int64_t rows) {
    return tn_infer_out(call, 0, labels->strings ? TN_STRING : TN_INT64, 1, &rows);
}

void tn_ml_put_label(const tn_labels *labels, tn_tensor *y, int64_t row, int64_t number) {
    static const tn_string text[] = {{"0", 1}, {"1", 1}};
    if (!y) return;
    bool listed = number < labels->count && labels->count > 1;
    if (labels->strings)
        ((tn_string *)y->data)[row] = listed ? labels->strings[number] : text[number > 0];
    else
        ((int64_t *)y->data)[row] = listed ? labels->ints[number] : number > 0;
}

tn_status tn_ml_post(const tn_node *node, tn_post *out) {
    static const char *const names[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
    const char *text = tn_attr_text(node, "post_transform", "NONE");
    for (size_t i = 0; i < TN_COUNT(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (tn_post)i;
            return TN_OK;
        }
    return tn_fail(TN_E_INVALID, "attribute post_transform is '%s'", text);
}

static float logistic(float x) {
    float v = 1 / (1 + expf(-fabsf(x)));
    return x < 0 ? 1 - v : v;
}

/* sqrt(2) times the inverse of erf at 2x - 1, by the approximation of Winitzki that runtimes share. */
static float probit(float x) {
    float y = 2 * x - 1, l = logf((1 - y) * (1 + y)), v = 2 / (3.14159f * 0.147f) + 0.5f * l;
    return copysignf(1.41421356f * sqrtf(sqrtf(v * v - l / 0.147f) - v), y);
}

/* Zeros stay next to nothing with `skip_zeros`: they are no scores. */
static void softmax(float *x, int64_t n, bool skip_zeros) {
    float best = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) best = fmaxf(best, x[i]);
    for (int64_t i = 0; i < n; i++) {
        bool zero = skip_zeros && fabsf(x[i]) <= 1e-7f;
        x[i] = zero ? x[i] * expf(-best) : expf(x[i] - best);
        if (!zero) sum += x[i];
    }
    for (int64_t i = 0; i < n; i++) x[i] = sum == 0 ? 0.5f : x[i] / sum;
}

void tn_ml_transform(tn_post post, float *scores, int64_t n) {
    switch (post) {
    case TN_POST_NONE: break;
    case TN_POST_SOFTMAX:
    case TN_POST_SOFTMAX_ZERO: softmax(scores, n, post == TN_POST_SOFTMAX_ZERO); break;
    case TN_POST_LOGISTIC:
        for (int64_t i = 0; i < n; i++) scores[i] = logistic(scores[i]);
        break;
    case TN_POST_PROBIT:
        for (int64_t i = 0; i < n; i++) scores[i] = probit(scores[i]);
        break;
    }
}

float tn_ml_dot(const float *a, const float *b, int64_t n) {
    float sums[8] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++) sums[k] += a[i + k] * b[i + k];
    for (; i < n; i++) sum += a[i] * b[i];
    return sum + ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

/* An element as 64 bits that are equal where elements are. */
static uint64_t number_key(const tn_tensor *t, int64_t i) {
    if (!tn_dtype_is_float(t->dtype)) return (uint64_t)tn_get_int(t->dtype, t->data, i);
    double x = tn_get_double(t->dtype, t->data, i);
    uint64_t bits;
    if (x == 0) x = 0; /* of either sign */
    if (x != x) x = NAN;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static uint64_t hash(const tn_tensor *t, int64_t i) {
    uint64_t h = 0xCBF29CE484222325u;
    if (t->dtype == TN_STRING) {
        tn_string s = ((const tn_string *)t->data)[i];
        for (size_t k = 0; k < s.size; k++) h = (h ^ (uint8_t)s.data[k]) * 0x100000001B3u;
    } else {
        h = number_key(t, i);
    }
    h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9u;
    h = (h ^ (h >> 27)) * 0x94D049BB133111EBu;
    return h ^ (h >> 31);
}

static bool same(const tn_tensor *a, int64_t i, const tn_tensor *b, int64_t k) {
    if (a->dtype != TN_STRING) return number_key(a, i) == number_key(b, k);
    tn_string x = ((const tn_string *)a->data)[i], y = ((const tn_string *)b->data)[k];
    return x.size == y.size && (!x.size || memcmp(x.data, y.data, x.size) == 0);
}

static int32_t *slot_of(const tn_ml_table *table, const tn_tensor *x, int64_t i) {
    for (size_t at = hash(x, i);; at++) {
        int32_t *slot = &table->slots[at & (table->slot_count - 1)];
        if (!*slot || same(x, i, table->keys, *slot - 1)) return slot;
    }
}

tn_status tn_ml_table_make(tn_prepare *call, const tn_tensor *keys, tn_ml_table *out) {
    int64_t count = tn_count(keys);
    if (count > INT32_MAX / 4) return tn_fail(TN_E_LIMIT, "a table of %lld keys is too large", (long long)count);
    tn_tensor *copy = tn_prepare_alloc(call, sizeof *copy);
    out->slot_count = 16;
    while (out->slot_count < 2 * (size_t)count) out->slot_count *= 2;
    out->slots = tn_prepare_alloc(call, out->slot_count * sizeof *out->slots);
    if (!copy || !out->slots) return TN_E_MEMORY;
    *copy = *keys;
    out->keys = copy;
    for (int64_t i = 0; i < count; i++) *slot_of(out, keys, i) = (int32_t)i + 1;
    return TN_OK;
}

int64_t tn_ml_table_find(const tn_ml_table *table, const tn_tensor *x, int64_t i) {
    return *slot_of(table, x, i) - 1;
}

bool tn_ml_list(const tn_node *node, const char *prefix, tn_tensor *out) {
    *out = (tn_tensor){0};
    static const char *const suffixes[] = {"tensor", "strings", "int64s", "floats"};
    for (size_t i = 0; i < TN_COUNT(suffixes); i++) {
        char name[40];
        snprintf(name, sizeof name, "%s%s", prefix, suffixes[i]);
        const tn_attr *attr = tn_node_attr(node, name);
        if (!attr) continue;
        if (attr->kind == TN_ATTR_TENSOR) {
            *out = *attr->t;
            out->buffer = NULL;
            return true;
        }
        int64_t count = (int64_t)attr->count;
        tn_dtype dtype = attr->kind == TN_ATTR_STRINGS  ? TN_STRING
                         : attr->kind == TN_ATTR_INTS   ? TN_INT64
                         : attr->kind == TN_ATTR_FLOATS ? TN_FLOAT32
                                                        : TN_UNDEFINED;
        if (dtype && count) return tn_tensor_set_dense(out, dtype, 1, &count, (void *)attr->ints) == TN_OK;
    }
    return false;
}
