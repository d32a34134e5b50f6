/* Running one operator in a test: makers of small tensors, and a runner that destroys its inputs. */
#ifndef TN_UNIT_OPS_H
#define TN_UNIT_OPS_H

#include "unit.h"
#include "base/element.h"
#include "exec/eager.h"

#define DIMS(...)                                                                                                      \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) {                                           \
        __VA_ARGS__                                                                                                    \
    }
#define SCALAR 0, NULL
#define VALUES(...)                                                                                                    \
    (const double[]) {                                                                                                 \
        __VA_ARGS__                                                                                                    \
    }
#define ATTR_INT(name_, value) ((tn_attr){.name = name_, .kind = TN_ATTR_INT, .i = value})
#define ATTR_FLOAT(name_, value) ((tn_attr){.name = name_, .kind = TN_ATTR_FLOAT, .f = value})
#define ATTR_TEXT(name_, value) ((tn_attr){.name = name_, .kind = TN_ATTR_STRING, .s = {value, sizeof(value) - 1}})
#define ATTR_INTS(name_, ...)                                                                                          \
    ((tn_attr){.name = name_,                                                                                          \
               .kind = TN_ATTR_INTS,                                                                                   \
               .count = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t),                                            \
               .ints = (int64_t[]){__VA_ARGS__}})
#define ATTR_FLOATS(name_, ...)                                                                                        \
    ((tn_attr){.name = name_,                                                                                          \
               .kind = TN_ATTR_FLOATS,                                                                                 \
               .count = sizeof((float[]){__VA_ARGS__}) / sizeof(float),                                                \
               .floats = (float[]){__VA_ARGS__}})
/* Of literals: ATTR_TEXTS("keys_strings", TEXT("a"), TEXT("bc")). */
#define TEXT(literal)                                                                                                  \
    { literal, sizeof(literal) - 1 }
#define ATTR_TEXTS(name_, ...)                                                                                         \
    ((tn_attr){.name = name_,                                                                                          \
               .kind = TN_ATTR_STRINGS,                                                                                \
               .count = sizeof((tn_string[]){__VA_ARGS__}) / sizeof(tn_string),                                        \
               .strings = (tn_string[]){__VA_ARGS__}})
#define ATTR_TENSOR(name_, value) ((tn_attr){.name = name_, .kind = TN_ATTR_TENSOR, .t = value})

/* make(TN_INT8, DIMS(2, 2), VALUES(1, 2, 3, 4)); values NULL: zeros. */
static inline tn_tensor *make(tn_dtype dtype, int rank, const int64_t *dims, const double *values) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(dtype, rank, dims, NULL, &t));
    for (int64_t i = 0; values && i < tn_count(t); i++) tn_set_double(dtype, t->data, i, values[i]);
    return t;
}
/* Literals, borrowed. */
static inline tn_tensor *make_strings(int rank, const int64_t *dims, const char *const *texts) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(TN_STRING, rank, dims, NULL, &t));
    for (int64_t i = 0; i < tn_count(t); i++) ((tn_string *)t->data)[i] = (tn_string){texts[i], strlen(texts[i])};
    return t;
}

/* "Add", "ai.onnx.ml:Scaler" */
static inline const tn_op *op_named(const char *name) {
    char domain[64] = "";
    const char *colon = strchr(name, ':');
    if (colon) memcpy(domain, name, (size_t)(colon - name));
    const tn_op *op = tn_op_find(domain, colon ? colon + 1 : name);
    if (!op) fail_msg("no operator %s", name);
    return op;
}
/* Destroys the inputs (NULL: absent). */
static inline tn_status run_op(const char *name, int attr_count, const tn_attr *attrs, int in_count, tn_tensor **in,
                               int out_count, tn_tensor **out) {
    tn_status status =
        tn_eager_run(NULL, op_named(name), attr_count, attrs, in_count, (const tn_tensor *const *)in, out_count, out);
    for (int i = 0; i < in_count; i++) tn_tensor_destroy(in[i]);
    return status;
}
/* The one output of an operator that must succeed: run1("Add", NO_ATTRS, make(...), make(...)). */
#define NO_ATTRS 0, NULL
#define ATTRS(...)                                                                                                     \
    (int)(sizeof((tn_attr[]){__VA_ARGS__}) / sizeof(tn_attr)), (tn_attr[]) {                                           \
        __VA_ARGS__                                                                                                    \
    }
#define ATTR_ARRAY(count, attrs) count, attrs
#define run1(name, attrs, ...)                                                                                         \
    unit_run1(name, attrs, sizeof((tn_tensor *[]){__VA_ARGS__}) / sizeof(tn_tensor *), (tn_tensor *[]){__VA_ARGS__})
static inline tn_tensor *unit_run1(const char *name, int attr_count, const tn_attr *attrs, size_t in_count,
                                   tn_tensor **in) {
    tn_tensor *y = NULL;
    tn_status status = run_op(name, attr_count, attrs, (int)in_count, in, 1, &y);
    if (status != TN_OK) fail_msg("%s: %s: %s", name, tn_status_text(status), tn_last_error());
    return y;
}
/* refused("Add", NO_ATTRS, TN_E_TYPE, "sentence", make(...)...): must fail with that status and a part of the sentence. */
#define refused(name, attrs, status, part, ...)                                                                        \
    unit_refused(name, attrs, status, part, sizeof((tn_tensor *[]){__VA_ARGS__}) / sizeof(tn_tensor *),                \
                 (tn_tensor *[]){__VA_ARGS__})
static inline void unit_refused(const char *name, int attr_count, const tn_attr *attrs, tn_status status,
                                const char *part, size_t in_count, tn_tensor **in) {
    tn_tensor *y = NULL;
    tn_status got = run_op(name, attr_count, attrs, (int)in_count, in, 1, &y);
    if (got != status)
        fail_msg("%s: %s (%s), not %s", name, tn_status_text(got), tn_last_error(), tn_status_text(status));
    if (!strstr(tn_last_error(), part)) fail_msg("%s: '%s' does not say '%s'", name, tn_last_error(), part);
}

/* Bytes that look random. */
static inline tn_tensor *make_noise(tn_dtype dtype, int rank, const int64_t *dims) {
    tn_tensor *t = make(dtype, rank, dims, NULL);
    uint32_t seed = (uint32_t)tn_count(t);
    for (size_t i = 0; i < tn_tensor_bytes(t); i++)
        ((uint8_t *)t->data)[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
    return t;
}
/* The one output has the same bits at every CPU level of this machine, on one thread and on three. */
#define expect_same_bits_everywhere(name, attrs, ...)                                                                  \
    unit_same_bits(name, attrs, sizeof((tn_tensor *[]){__VA_ARGS__}) / sizeof(tn_tensor *),                            \
                   (tn_tensor *[]){__VA_ARGS__})
static inline void unit_same_bits(const char *name, int attr_count, const tn_attr *attrs, size_t in_count,
                                  tn_tensor **in) {
    tn_tensor *want = NULL;
    tn_pool *pool;
    assert_ok(tn_pool_create(3, NULL, &pool));
    for (int run = 0; run < 2 * TN_CPU_LEVELS; run++) {
        const tn_eager options = {NULL, tn_kernels_at((tn_cpu_level)(run / 2)), run % 2 ? pool : NULL};
        tn_tensor *y = NULL;
        if (!options.kernels) continue;
        assert_ok(tn_eager_run(&options, op_named(name), attr_count, attrs, (int)in_count, (const tn_tensor *const *)in,
                               1, &y));
        if (!want)
            want = y;
        else if (memcmp(y->data, want->data, tn_tensor_bytes(want)) != 0)
            fail_msg("%s at %s, %d thread(s), differs", name, tn_cpu_level_name((tn_cpu_level)(run / 2)),
                     run % 2 ? 3 : 1);
        if (y != want) tn_tensor_destroy(y);
    }
    tn_pool_destroy(pool);
    tn_tensor_destroy(want);
    for (size_t i = 0; i < in_count; i++) tn_tensor_destroy(in[i]);
}

/* Infers output 0 from types and the contents that are known (NULL: none); values are destroyed. */
#define TYPE(dtype_, ...) unit_type(dtype_, DIMS(__VA_ARGS__))
static inline tn_type unit_type(tn_dtype dtype, int rank, const int64_t *dims) {
    tn_type type;
    tn_type_tensor(&type, dtype, rank, dims);
    return type;
}
static inline tn_status infer_op(const char *name, int attr_count, const tn_attr *attrs, int in_count,
                                 const tn_type *types, tn_tensor **values, int out_count, tn_type *out) {
    const tn_type *in[8];
    const tn_tensor *known[8];
    tn_node node = {.op = op_named(name), .name = "", .attr_count = attr_count, .attrs = (tn_attr *)attrs};
    for (int i = 0; i < in_count; i++)
        in[i] = types[i].kind == TN_KIND_UNKNOWN ? NULL : &types[i], known[i] = values[i];
    for (int i = 0; i < out_count; i++) tn_type_unknown(&out[i]);
    tn_infer call = {&node, in_count, out_count, in, known, out, NULL};
    tn_status status = node.op->infer(&call);
    for (int i = 0; i < in_count; i++) tn_tensor_destroy(values[i]);
    return status;
}
/* The dims that a node with one output infers, as numbers; -1 unknown, -2 the first symbol. */
static inline void expect_dims(const char *name, int attr_count, const tn_attr *attrs, int in_count,
                               const tn_type *types, tn_tensor **values, int rank, const int64_t *dims) {
    tn_type out;
    assert_ok(infer_op(name, attr_count, attrs, in_count, types, values, 1, &out));
    assert_int_equal(out.rank, rank);
    for (int i = 0; i < rank; i++) assert_int_equal(out.dims[i], dims[i]);
}
#define INPUTS(...)                                                                                                    \
    (int)(sizeof((tn_type[]){__VA_ARGS__}) / sizeof(tn_type)), (tn_type[]) {                                           \
        __VA_ARGS__                                                                                                    \
    }
#define KNOWN(...) ((tn_tensor *[]){__VA_ARGS__})

/* Compares dtype, shape and contents (NaN equals NaN), then destroys y. */
static inline void expect(tn_tensor *y, tn_dtype dtype, int rank, const int64_t *dims, const double *values) {
    char text[200], wanted[200];
    assert_non_null(y);
    tn_shape_text(text, sizeof text, y->dtype, y->rank, y->dims);
    assert_string_equal(text, tn_shape_text(wanted, sizeof wanted, dtype, rank, dims));
    for (int64_t i = 0; i < tn_count(y); i++) {
        double got = tn_get_double(dtype, y->data, i), want = values[i];
        if (got != want && (got == got || want == want)) fail_msg("element %d: %.17g, not %.17g", (int)i, got, want);
    }
    tn_tensor_destroy(y);
}

/* Likewise, for results that are rounded: within `tolerance` of the value, relative where that is above 1. */
static inline void expect_near(tn_tensor *y, tn_dtype dtype, int rank, const int64_t *dims, const double *values,
                               double tolerance) {
    for (int64_t i = 0; y && i < tn_count(y); i++) {
        double got = tn_get_double(y->dtype, y->data, i), want = values[i];
        double size = want > 1 ? want : want < -1 ? -want : 1;
        if (got - want <= tolerance * size && want - got <= tolerance * size)
            tn_set_double(y->dtype, y->data, i, want);
        else if (got != want && (got == got || want == want))
            fail_msg("element %d: %.9g, not %.9g", (int)i, got, want);
    }
    double rounded[64];
    assert_true(y && tn_count(y) <= 64);
    for (int64_t i = 0; i < tn_count(y); i++) rounded[i] = tn_get_double(y->dtype, y->data, i);
    expect(y, dtype, rank, dims, rounded);
}
static inline void expect_strings(tn_tensor *y, int rank, const int64_t *dims, const char *const *texts) {
    char text[200], wanted[200];
    assert_non_null(y);
    tn_shape_text(text, sizeof text, y->dtype, y->rank, y->dims);
    assert_string_equal(text, tn_shape_text(wanted, sizeof wanted, TN_STRING, rank, dims));
    for (int64_t i = 0; i < tn_count(y); i++) {
        tn_string s = ((const tn_string *)y->data)[i];
        if (s.size != strlen(texts[i]) || memcmp(s.data, texts[i], s.size) != 0)
            fail_msg("element %d: '%.*s', not '%s'", (int)i, (int)s.size, s.data, texts[i]);
    }
    tn_tensor_destroy(y);
}
#define STRINGS(...)                                                                                                   \
    (const char *const[]) {                                                                                            \
        __VA_ARGS__                                                                                                    \
    }

#endif
