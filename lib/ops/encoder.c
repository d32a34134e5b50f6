/* Operators of ai.onnx.ml that look things up: LabelEncoder, CategoryMapper, OneHotEncoder; and ZipMap.
 *
 * ZipMap would make maps from class to probability of a classifier's output; hosts of this library get the tensor of
 * probabilities as it is, in the order of the classes. */
#include "ops/ml.h"
#include "base/element.h"

/* A lookup: keys, what they stand for, and what stands for all else. */
typedef struct lookup {
    tn_tensor keys, values;
    tn_dtype in, out;
    tn_string default_string;
    const tn_tensor *default_tensor;
    int64_t default_int;
    float default_float;
} lookup;

static tn_string text_attr(const tn_node *node, const char *name) {
    const tn_attr *attr = tn_node_attr(node, name);
    return attr && attr->kind == TN_ATTR_STRING ? attr->s : (tn_string){"_Unused", 7};
}

/* The first version had a list of classes, and did both from string to number and back. */
static tn_status read_classes(const tn_attr *classes, tn_dtype in, lookup *l) {
    int64_t count = (int64_t)classes->count;
    tn_tensor *strings = in == TN_STRING ? &l->keys : &l->values;
    TN_TRY(tn_tensor_set_dense(strings, TN_STRING, 1, &count, (void *)classes->strings));
    l->in = in;
    l->out = in == TN_STRING ? TN_INT64 : in ? TN_STRING : TN_UNDEFINED;
    return TN_OK;
}

static tn_status read_lookup(const tn_node *node, tn_dtype in, lookup *l) {
    *l = (lookup){.default_string = text_attr(node, "default_string"),
                  .default_int = tn_attr_int(node, "default_int64", -1),
                  .default_float = tn_attr_float(node, "default_float", -0.0f)};
    const tn_attr *classes = tn_node_attr(node, "classes_strings");
    if (classes && classes->kind == TN_ATTR_STRINGS && classes->count) return read_classes(classes, in, l);
    if (!tn_ml_list(node, "keys_", &l->keys) || !tn_ml_list(node, "values_", &l->values))
        return tn_fail(TN_E_INVALID, "expected one of attributes keys_* and one of values_*");
    if (tn_count(&l->keys) != tn_count(&l->values))
        return tn_fail(TN_E_INVALID, "%lld keys for %lld values", (long long)tn_count(&l->keys),
                       (long long)tn_count(&l->values));
    l->in = l->keys.dtype;
    l->out = l->values.dtype;
    l->default_tensor = tn_attr_tensor(node, "default_tensor");
    if (tn_dtype_bits(l->in) < 8 || tn_dtype_bits(l->out) < 8)
        return tn_fail(TN_E_TYPE, "keys or values of %s", tn_dtype_name(tn_dtype_bits(l->in) < 8 ? l->in : l->out));
    if (l->default_tensor && (l->default_tensor->dtype != l->out || tn_count(l->default_tensor) != 1))
        return tn_fail(TN_E_TYPE, "attribute default_tensor is not one %s", tn_dtype_name(l->out));
    return TN_OK;
}

/* CategoryMapper: strings to integers or back, whichever comes in. */
static tn_status read_categories(const tn_node *node, tn_dtype in, lookup *l) {
    const tn_attr *strings = tn_node_attr(node, "cats_strings");
    size_t count;
    const int64_t *ints = tn_attr_ints(node, "cats_int64s", &count);
    *l = (lookup){.default_string = text_attr(node, "default_string"),
                  .default_int = tn_attr_int(node, "default_int64", -1),
                  .in = in,
                  .out = in == TN_STRING ? TN_INT64
                         : in            ? TN_STRING
                                         : TN_UNDEFINED};
    if (!strings || strings->kind != TN_ATTR_STRINGS || strings->count != count || !count)
        return tn_fail(TN_E_INVALID, "attributes cats_strings and cats_int64s are not lists of the same length");
    int64_t n = (int64_t)count;
    TN_TRY(tn_tensor_set_dense(in == TN_STRING ? &l->keys : &l->values, TN_STRING, 1, &n, (void *)strings->strings));
    return tn_tensor_set_dense(in == TN_STRING ? &l->values : &l->keys, TN_INT64, 1, &n, (void *)ints);
}

static bool is_mapper(const tn_node *node) {
    return strcmp(node->op->name, "CategoryMapper") == 0;
}

static tn_status encoder_infer(tn_infer *call) {
    static const tn_dtype all[] = {TN_STRING, TN_INT64, TN_FLOAT32, TN_INT32, TN_INT16, TN_FLOAT64, TN_UNDEFINED},
                          either[] = {TN_STRING, TN_INT64, TN_UNDEFINED};
    const tn_type *x = call->in[0];
    lookup l;
    bool two = is_mapper(call->node) || tn_node_attr(call->node, "classes_strings");
    TN_TRY(tn_infer_dtype(call, 0, two ? either : all));
    TN_TRY(is_mapper(call->node) ? read_categories(call->node, x->dtype, &l) : read_lookup(call->node, x->dtype, &l));
    if (x->dtype && x->dtype != l.in) return tn_infer_fail(call, 0, TN_E_TYPE, "the keys are %s", tn_dtype_name(l.in));
    return tn_infer_out(call, 0, l.out, x->rank, x->dims);
}

typedef struct encoder_state {
    tn_ml_table table;
    lookup lookup;
    union {
        uint8_t bytes[sizeof(tn_string)];
        tn_string string;
    } fallback; /* an element of the output */
} encoder_state;

static tn_status encoder_prepare(tn_prepare *call) {
    encoder_state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    lookup *l = s ? &s->lookup : NULL;
    tn_dtype in = call->in[0]->dtype;
    if (!s) return TN_E_MEMORY;
    TN_TRY(is_mapper(call->node) ? read_categories(call->node, in, l) : read_lookup(call->node, in, l));
    if (l->default_tensor)
        memcpy(s->fallback.bytes, l->default_tensor->data, tn_dtype_bits(l->out) / 8);
    else if (l->out == TN_STRING)
        s->fallback.string = l->default_string;
    else if (l->out == TN_INT64)
        memcpy(s->fallback.bytes, &l->default_int, sizeof l->default_int);
    else if (l->out == TN_FLOAT32)
        memcpy(s->fallback.bytes, &l->default_float, sizeof l->default_float);
    else if (tn_dtype_is_float(l->out))
        tn_set_double(l->out, s->fallback.bytes, 0, -0.0);
    else
        tn_set_int(l->out, s->fallback.bytes, 0, -1);
    return l->keys.data ? tn_ml_table_make(call, &l->keys, &s->table) : TN_OK;
}

/* Without keys a number is its own position. */
static int64_t find(const encoder_state *s, const tn_tensor *x, int64_t i) {
    if (s->lookup.keys.data) return tn_ml_table_find(&s->table, x, i);
    int64_t position = ((const int64_t *)x->data)[i];
    return position >= 0 && position < tn_count(&s->lookup.values) ? position : -1;
}

static tn_status encoder_run(tn_run *call) {
    const encoder_state *s = call->state;
    const tn_tensor *x = tn_in(call, 0), *values = &s->lookup.values;
    tn_tensor *y = tn_out(call, 0);
    size_t size = tn_dtype_bits(y->dtype) / 8;
    for (int64_t i = 0, n = tn_count(x); i < n; i++) {
        int64_t at = find(s, x, i);
        if (at >= 0 && !values->data) {
            ((int64_t *)y->data)[i] = at; /* the position is the value */
            continue;
        }
        const void *from = at < 0 ? s->fallback.bytes : (const uint8_t *)values->data + (size_t)at * size;
        memcpy((uint8_t *)y->data + (size_t)i * size, from, size);
    }
    return TN_OK;
}

/* The categories, strings or integers. */
static tn_status read_cats(const tn_node *node, tn_tensor *out) {
    return tn_ml_list(node, "cats_", out) && (out->dtype == TN_STRING || out->dtype == TN_INT64)
               ? TN_OK
               : tn_fail(TN_E_INVALID, "neither cats_int64s nor cats_strings is given");
}

static tn_status one_hot_infer(tn_infer *call) {
    static const tn_dtype strings[] = {TN_STRING, TN_UNDEFINED},
                          numbers[] = {TN_INT64, TN_INT32, TN_FLOAT32, TN_FLOAT64, TN_UNDEFINED};
    const tn_type *x = call->in[0];
    tn_tensor cats;
    int64_t dims[TN_MAX_RANK];
    TN_TRY(read_cats(call->node, &cats));
    TN_TRY(tn_infer_dtype(call, 0, cats.dtype == TN_STRING ? strings : numbers));
    if (x->rank < 0) return tn_infer_out(call, 0, TN_FLOAT32, -1, NULL);
    if (x->rank >= TN_MAX_RANK)
        return tn_infer_fail(call, 0, TN_E_SHAPE, "expected at most %d dimensions", TN_MAX_RANK - 1);
    memcpy(dims, x->dims, sizeof dims);
    dims[x->rank] = tn_count(&cats);
    return tn_infer_out(call, 0, TN_FLOAT32, x->rank + 1, dims);
}

typedef struct one_hot_state {
    tn_ml_table table;
    int64_t count;
    bool zeros;
} one_hot_state;

static tn_status one_hot_prepare(tn_prepare *call) {
    one_hot_state *s = call->state = tn_prepare_alloc(call, sizeof *s);
    tn_tensor cats;
    if (!s) return TN_E_MEMORY;
    TN_TRY(read_cats(call->node, &cats));
    s->count = tn_count(&cats);
    s->zeros = tn_attr_int(call->node, "zeros", 1) != 0;
    return tn_ml_table_make(call, &cats, &s->table);
}

static tn_status one_hot_run(tn_run *call) {
    const one_hot_state *s = call->state;
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    int64_t n = tn_count(x), key;
    tn_tensor one;
    TN_TRY(tn_tensor_set_dense(&one, TN_INT64, 0, NULL, &key));
    memset(y->data, 0, tn_dtype_bytes(y->dtype, tn_count(y)));
    for (int64_t i = 0; i < n; i++) {
        int64_t at;
        if (x->dtype == TN_STRING) {
            at = tn_ml_table_find(&s->table, x, i);
        } else {
            key = tn_get_int(x->dtype, x->data, i);
            at = tn_ml_table_find(&s->table, &one, 0);
        }
        if (at >= 0)
            ((float *)y->data)[i * s->count + at] = 1;
        else if (!s->zeros)
            return tn_fail(TN_E_INVALID, "element %lld is none of the categories", (long long)i);
    }
    return TN_OK;
}

static tn_status zip_map_infer(tn_infer *call) {
    static const tn_dtype floats[] = {TN_FLOAT32, TN_UNDEFINED};
    TN_TRY(tn_infer_dtype(call, 0, floats));
    return tn_infer_same(call, 0, 0);
}

static tn_status zip_map_run(tn_run *call) {
    return tn_run_copy(call, 0, call->in[0]);
}

static bool zip_map_view(const tn_prepare *call, int out, int *in, size_t *byte_offset) {
    (void)call;
    (void)out;
    *in = 0;
    *byte_offset = 0;
    return true;
}

#define LOOKUP(name_, infer_, prepare_, run_)                                                                          \
    {                                                                                                                  \
        .domain = "ai.onnx.ml", .name = name_, .min_in = 1, .max_in = 1, .min_out = 1, .max_out = 1, .infer = infer_,  \
        .prepare = prepare_, .run = run_                                                                               \
    }

const tn_op tn_ops_encoder[] = {
    LOOKUP("LabelEncoder", encoder_infer, encoder_prepare, encoder_run),
    LOOKUP("CategoryMapper", encoder_infer, encoder_prepare, encoder_run),
    LOOKUP("OneHotEncoder", one_hot_infer, one_hot_prepare, one_hot_run),
    {.domain = "ai.onnx.ml",
     .name = "ZipMap",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = zip_map_infer,
     .run = zip_map_run,
     .view = zip_map_view},
    {0},
};
