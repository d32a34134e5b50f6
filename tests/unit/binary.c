/* Operators of two and more broadcasting inputs: all of them on all dtypes against plain C. */
#include "ops.h"
#include <tenon/session.h>
#include <math.h>

static uint64_t seed = 3;
static uint32_t random_bits(void) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 32);
}

static const tn_dtype INTEGERS[] = {TN_INT8, TN_INT16, TN_INT32, TN_INT64, TN_UINT8, TN_UINT16, TN_UINT32, TN_UINT64};
static bool is_unsigned(tn_dtype dtype) {
    return dtype == TN_UINT8 || dtype == TN_UINT16 || dtype == TN_UINT32 || dtype == TN_UINT64;
}

/* Extremes, zeros, minus ones and anything else. */
static tn_tensor *random_tensor(tn_dtype dtype, int rank, const int64_t *dims) {
    tn_tensor *t = make(dtype, rank, dims, NULL);
    size_t bits = tn_dtype_bits(dtype);
    for (int64_t i = 0; i < tn_count(t); i++) {
        uint32_t r = random_bits();
        uint64_t any = (uint64_t)random_bits() << 32 | random_bits();
        if (dtype == TN_BOOL)
            tn_set_int(dtype, t->data, i, r & 1);
        else if (tn_dtype_is_float(dtype))
            tn_set_double(dtype, t->data, i, r % 3 ? ((double)(int32_t)random_bits()) * 0x1p-26 : (double)(r % 7) - 3);
        else
            tn_set_int(dtype, t->data, i,
                       r % 8 == 0   ? 0
                       : r % 8 == 1 ? -1
                       : r % 8 == 2 ? (int64_t)((uint64_t)1 << (bits - 1))
                       : r % 8 < 6  ? (int64_t)(any % 11) - 5
                                    : (int64_t)any);
    }
    return t;
}

typedef __int128 wide;
static wide int_at(const tn_tensor *t, int64_t i) {
    int64_t v = tn_get_int(t->dtype, t->data, i);
    return t->dtype == TN_UINT64 ? (wide)(uint64_t)v : v;
}

static wide int_result(const char *op, wide p, wide q, size_t bits) {
    if (!strcmp(op, "Add")) return p + q;
    if (!strcmp(op, "Sub")) return p - q;
    if (!strcmp(op, "Mul")) return (wide)((unsigned __int128)p * (unsigned __int128)q);
    if (!strcmp(op, "Div")) return q ? p / q : 0;
    if (!strcmp(op, "Mod")) return !q ? 0 : p % q && (p % q < 0) != (q < 0) ? p % q + q : p % q;
    if (!strcmp(op, "Min")) return p < q ? p : q;
    if (!strcmp(op, "Max")) return p > q ? p : q;
    if (!strcmp(op, "And") || !strcmp(op, "BitwiseAnd")) return p & q;
    if (!strcmp(op, "Or") || !strcmp(op, "BitwiseOr")) return p | q;
    if (!strcmp(op, "Xor") || !strcmp(op, "BitwiseXor")) return p ^ q;
    if (!strcmp(op, "Equal")) return p == q;
    if (!strcmp(op, "Less")) return p < q;
    if (!strcmp(op, "LessOrEqual")) return p <= q;
    if (!strcmp(op, "Greater")) return p > q;
    if (!strcmp(op, "GreaterOrEqual")) return p >= q;
    if (!strcmp(op, "LEFT")) return q < (wide)bits ? p << (int)q : 0;
    if (!strcmp(op, "RIGHT")) return q < (wide)bits ? p >> (int)q : 0;
    fail_msg("what is %s?", op);
    return 0;
}
/* In double: for float32 the same after rounding, since a double holds twice its bits. */
static double float_result(const char *op, double p, double q) {
    if (!strcmp(op, "Add") || !strcmp(op, "Sum")) return p + q;
    if (!strcmp(op, "Sub")) return p - q;
    if (!strcmp(op, "Mul")) return p * q;
    if (!strcmp(op, "Div")) return p / q;
    if (!strcmp(op, "Mod")) return fmod(p, q);
    if (!strcmp(op, "Min")) return p < q ? p : q;
    if (!strcmp(op, "Max")) return p > q ? p : q;
    return (double)int_result(op, p < q ? 1 : p > q ? 3 : 2, 2, 0);
}

static const struct {
    int a_rank, b_rank, y_rank;
    int64_t a[4], b[4], y[4];
} SHAPES[] = {
    {0, 0, 0, {0}, {0}, {0}},
    {2, 2, 2, {3, 50}, {3, 50}, {3, 50}},
    {1, 0, 1, {70}, {0}, {70}},
    {0, 1, 1, {0}, {33}, {33}},
    {2, 1, 2, {40, 5}, {5}, {40, 5}},
    {2, 2, 2, {7, 1}, {1, 9}, {7, 9}},
    {4, 3, 4, {2, 3, 4, 5}, {3, 1, 1}, {2, 3, 4, 5}},
    {4, 4, 4, {2, 1, 4, 1}, {1, 3, 1, 5}, {2, 3, 4, 5}},
    {3, 4, 4, {3, 1, 5}, {2, 1, 4, 5}, {2, 3, 4, 5}},
    {2, 1, 2, {3, 0}, {1}, {3, 0}},
};

static int64_t source(const tn_tensor *y, int64_t index, const tn_tensor *x) {
    int64_t at = 0, stride = 1;
    for (int i = y->rank - 1; i >= 0; i--, index /= y->dims[i + 1]) {
        int own = i - (y->rank - x->rank);
        if (own < 0) break;
        if (x->dims[own] != 1) at += index % y->dims[i] * stride;
        stride *= x->dims[own];
        if (i == 0) break;
    }
    return at;
}

static void check(const char *op, const char *direction, tn_dtype dtype) {
    bool compare = strstr("Equal Less LessOrEqual Greater GreaterOrEqual", op) != NULL;
    tn_dtype result = compare ? TN_BOOL : dtype;
    for (size_t s = 0; s < TN_COUNT(SHAPES); s++) {
        tn_tensor *a = random_tensor(dtype, SHAPES[s].a_rank, SHAPES[s].a), *y = NULL;
        tn_tensor *b = random_tensor(dtype, SHAPES[s].b_rank, SHAPES[s].b);
        tn_attr attrs[2] = {ATTR_INT("fmod", tn_dtype_is_float(dtype)), {.name = "direction", .kind = TN_ATTR_STRING}};
        if (direction) attrs[1].s = (tn_string){direction, strlen(direction)};
        assert_ok(tn_eager_run(NULL, tn_op_find("", op), 2, attrs, 2, (const tn_tensor *[]){a, b}, 1, &y));
        assert_int_equal(y->dtype, result);
        assert_int_equal(y->rank, SHAPES[s].y_rank);
        for (int i = 0; i < y->rank; i++) assert_int_equal(y->dims[i], SHAPES[s].y[i]);
        for (int64_t i = 0; i < tn_count(y); i++) {
            int64_t ia = source(y, i, a), ib = source(y, i, b);
            uint64_t want = 0, got = 0;
            size_t bytes = tn_dtype_bits(result) / 8;
            if (tn_dtype_is_float(dtype)) {
                double r = float_result(op, tn_get_double(dtype, a->data, ia), tn_get_double(dtype, b->data, ib));
                /* Half precision is computed in float32. */
                tn_set_double(result, &want, 0, dtype == TN_FLOAT64 ? r : (double)(float)r);
            } else {
                tn_set_int(result, &want, 0,
                           (int64_t)int_result(direction ? direction : op, int_at(a, ia), int_at(b, ib),
                                               tn_dtype_bits(dtype)));
            }
            memcpy(&got, (char *)y->data + (size_t)i * bytes, bytes);
            if (got != want && !isnan(tn_get_double(result, &want, 0)))
                fail_msg("%s %s shape %d element %d: %llx, not %llx", op, tn_dtype_name(dtype), (int)s, (int)i,
                         (unsigned long long)got, (unsigned long long)want);
        }
        tn_tensor_destroy(a), tn_tensor_destroy(b), tn_tensor_destroy(y);
    }
}

static void every_operator_matches_plain_c_on_every_dtype(void **state) {
    (void)state;
    static const char *const numeric[] = {
        "Add", "Sub", "Mul", "Div", "Mod", "Min", "Max", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"};
    static const char *const bits[] = {"BitwiseAnd", "BitwiseOr", "BitwiseXor"};
    static const char *const logic[] = {"And", "Or", "Xor", "Equal"};
    for (size_t o = 0; o < TN_COUNT(numeric); o++)
        for (const tn_dtype *d = TN_NUMBERS; *d; d++) check(numeric[o], NULL, *d);
    for (size_t o = 0; o < TN_COUNT(bits); o++)
        for (size_t d = 0; d < TN_COUNT(INTEGERS); d++) check(bits[o], NULL, INTEGERS[d]);
    for (size_t o = 0; o < TN_COUNT(logic); o++) check(logic[o], NULL, TN_BOOL);
    for (size_t d = 0; d < TN_COUNT(INTEGERS); d++) {
        if (!is_unsigned(INTEGERS[d])) continue;
        check("BitShift", "LEFT", INTEGERS[d]);
        check("BitShift", "RIGHT", INTEGERS[d]);
    }
    for (const tn_dtype *d = TN_FLOATS; *d; d++) check("Sum", NULL, *d);
}

static void integer_division_does_not_trap(void **state) {
    (void)state;
    expect(run1("Div", NO_ATTRS, make(TN_INT32, DIMS(3), VALUES(7, INT32_MIN, -7)),
                make(TN_INT32, DIMS(3), VALUES(0, -1, 2))),
           TN_INT32, DIMS(3), VALUES(0, INT32_MIN, -3));
    expect(run1("Mod", ATTRS(ATTR_INT("fmod", 1)), make(TN_INT64, DIMS(4), VALUES(-4, 7, INT64_MIN, 5)),
                make(TN_INT64, DIMS(4), VALUES(3, -3, -1, 0))),
           TN_INT64, DIMS(4), VALUES(-1, 1, 0, 0));
}

static void strings_are_equal_by_their_bytes(void **state) {
    (void)state;
    expect(run1("Equal", NO_ATTRS, make_strings(DIMS(2, 2), (const char *[]){"a", "", "bc", "bd"}),
                make_strings(DIMS(2), (const char *[]){"a", "bd"})),
           TN_BOOL, DIMS(2, 2), VALUES(1, 0, 0, 1));
}

static void many_inputs_are_folded(void **state) {
    (void)state;
    expect(run1("Max", NO_ATTRS, make(TN_INT8, DIMS(3), VALUES(1, -2, 3)), make(TN_INT8, SCALAR, VALUES(0)),
                make(TN_INT8, DIMS(2, 1), VALUES(2, -5))),
           TN_INT8, DIMS(2, 3), VALUES(2, 2, 3, 1, 0, 3));
    expect(run1("Mean", NO_ATTRS, make(TN_FLOAT16, DIMS(2), VALUES(1, 2)), make(TN_FLOAT16, DIMS(2), VALUES(3, 6))),
           TN_FLOAT16, DIMS(2), VALUES(2, 4));
    expect(run1("Sum", NO_ATTRS, make(TN_FLOAT64, DIMS(2), VALUES(1, 2))), TN_FLOAT64, DIMS(2), VALUES(1, 2));
    expect(run1("Min", NO_ATTRS, make(TN_FLOAT32, DIMS(2), VALUES(NAN, 2)), make(TN_FLOAT32, DIMS(2), VALUES(1, NAN)),
                make(TN_FLOAT32, DIMS(2), VALUES(0, 0))),
           TN_FLOAT32, DIMS(2), VALUES(NAN, NAN));
}

/* More blocks and tasks than one, and the same at any number of threads. */
static void large_folds_equal_small_ones(void **state) {
    (void)state;
    enum { ROWS = 50, COLUMNS = 1333 };
    tn_tensor *a = random_tensor(TN_FLOAT32, DIMS(ROWS, COLUMNS)), *b = random_tensor(TN_FLOAT32, DIMS(COLUMNS));
    tn_tensor *c = random_tensor(TN_FLOAT32, DIMS(ROWS, 1)), *y = NULL;
    tn_pool *pool;
    assert_ok(tn_pool_create(3, NULL, &pool));
    assert_ok(tn_eager_run(&(tn_eager){.pool = pool}, tn_op_find("", "Sum"), 0, NULL, 3, (const tn_tensor *[]){a, b, c},
                           1, &y));
    const float *p = a->data, *q = b->data, *r = c->data, *z = y->data;
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLUMNS; j++) assert_true(z[i * COLUMNS + j] == p[i * COLUMNS + j] + q[j] + r[i]);
    tn_pool_destroy(pool);
    tn_tensor_destroy(a), tn_tensor_destroy(b), tn_tensor_destroy(c), tn_tensor_destroy(y);
}

static void powers_of_mixed_dtypes(void **state) {
    (void)state;
    expect(run1("Pow", NO_ATTRS, make(TN_FLOAT32, DIMS(3), VALUES(-2, 3, 0)), make(TN_INT64, SCALAR, VALUES(3))),
           TN_FLOAT32, DIMS(3), VALUES(-8, 27, 0));
    expect(run1("Pow", NO_ATTRS, make(TN_FLOAT32, DIMS(3), VALUES(4, -INFINITY, 2.25)),
                make(TN_FLOAT32, DIMS(1), VALUES(0.5))),
           TN_FLOAT32, DIMS(3), VALUES(2, INFINITY, 1.5));
    expect(run1("Pow", NO_ATTRS, make(TN_INT32, DIMS(3), VALUES(1, 2, 3)), make(TN_FLOAT32, DIMS(3), VALUES(4, 5, 6))),
           TN_INT32, DIMS(3), VALUES(1, 32, 729));
    expect(run1("Pow", NO_ATTRS, make(TN_INT64, DIMS(4), VALUES(-1, 3, 2, 0)),
                make(TN_INT8, DIMS(4), VALUES(-3, -1, 62, 0))),
           TN_INT64, DIMS(4), VALUES(-1, 0, 0x1p62, 1));
    expect(run1("Pow", NO_ATTRS, make(TN_FLOAT16, DIMS(2, 1), VALUES(2, 3)), make(TN_UINT8, DIMS(2), VALUES(1, 2))),
           TN_FLOAT16, DIMS(2, 2), VALUES(2, 4, 3, 9));
    expect(run1("Pow", NO_ATTRS, make(TN_FLOAT64, DIMS(2), VALUES(2, -2)), make(TN_FLOAT32, DIMS(2), VALUES(-1, 0.5))),
           TN_FLOAT64, DIMS(2), VALUES(0.5, NAN));
}

static void where_chooses_elements_of_any_size(void **state) {
    (void)state;
    static const tn_dtype dtypes[] = {TN_FLOAT32, TN_INT8, TN_FLOAT16, TN_INT64, TN_BOOL};
    for (size_t d = 0; d < TN_COUNT(dtypes); d++)
        expect(run1("Where", NO_ATTRS, make(TN_BOOL, DIMS(2, 1), VALUES(1, 0)),
                    make(dtypes[d], DIMS(3), VALUES(0, 1, 0)), make(dtypes[d], SCALAR, VALUES(1))),
               dtypes[d], DIMS(2, 3), VALUES(0, 1, 0, 1, 1, 1));
    tn_tensor *y = run1("Where", NO_ATTRS, make(TN_BOOL, DIMS(2), VALUES(0, 1)),
                        make_strings(DIMS(2), (const char *[]){"a", "b"}), make_strings(SCALAR, (const char *[]){"c"}));
    const tn_string *s = y->data;
    assert_true(s[0].size == 1 && s[0].data[0] == 'c' && s[1].size == 1 && s[1].data[0] == 'b');
    tn_tensor_destroy(y);
    refused("Where", NO_ATTRS, TN_E_TYPE, "expected one of bool", make(TN_INT8, DIMS(1), NULL),
            make(TN_INT8, DIMS(1), NULL), make(TN_INT8, DIMS(1), NULL));
}

static void clip_takes_absent_bounds_on_every_dtype(void **state) {
    (void)state;
    for (const tn_dtype *d = TN_NUMBERS; *d; d++) {
        expect(run1("Clip", NO_ATTRS, make(*d, DIMS(4), VALUES(1, 2, 3, 4)), make(*d, SCALAR, VALUES(2)),
                    make(*d, SCALAR, VALUES(3))),
               *d, DIMS(4), VALUES(2, 2, 3, 3));
        expect(run1("Clip", NO_ATTRS, make(*d, DIMS(3), VALUES(1, 2, 3)), NULL, make(*d, SCALAR, VALUES(2))), *d,
               DIMS(3), VALUES(1, 2, 2));
        expect(run1("Clip", NO_ATTRS, make(*d, DIMS(3), VALUES(1, 2, 3)), make(*d, SCALAR, VALUES(2))), *d, DIMS(3),
               VALUES(2, 2, 3));
        expect(run1("Clip", NO_ATTRS, make(*d, DIMS(2), VALUES(1, 9)), make(*d, SCALAR, VALUES(5)),
                    make(*d, SCALAR, VALUES(3))),
               *d, DIMS(2), VALUES(3, 3));
    }
    refused("Clip", NO_ATTRS, TN_E_SHAPE, "expected a scalar", make(TN_INT8, DIMS(2), NULL),
            make(TN_INT8, DIMS(2), NULL));
}

static void expand_repeats_both_ways(void **state) {
    (void)state;
    expect(
        run1("Expand", NO_ATTRS, make(TN_FLOAT32, DIMS(2, 1), VALUES(1, 2)), make(TN_INT64, DIMS(3), VALUES(2, 1, 3))),
        TN_FLOAT32, DIMS(2, 2, 3), VALUES(1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2));
    expect(run1("Expand", NO_ATTRS, make(TN_UINT8, DIMS(1, 2), VALUES(1, 2)), make(TN_INT64, DIMS(1), VALUES(1))),
           TN_UINT8, DIMS(1, 2), VALUES(1, 2));
    expect(run1("Expand", NO_ATTRS, make(TN_FLOAT16, DIMS(1, 2), NULL), make(TN_INT64, DIMS(2), VALUES(0, 1))),
           TN_FLOAT16, DIMS(0, 2), NULL);
    refused("Expand", NO_ATTRS, TN_E_SHAPE, "does not broadcast to 3", make(TN_UINT8, DIMS(2), NULL),
            make(TN_INT64, DIMS(1), VALUES(3)));
    refused("Expand", NO_ATTRS, TN_E_INVALID, "-1", make(TN_UINT8, DIMS(1), NULL), make(TN_INT64, DIMS(1), VALUES(-1)));
    refused("Expand", NO_ATTRS, TN_E_SHAPE, "too large", make(TN_UINT8, DIMS(1), NULL),
            make(TN_INT64, DIMS(2), VALUES(0x1p62, 0x1p62)));
}

static void wrong_inputs_are_refused(void **state) {
    (void)state;
    refused("Add", NO_ATTRS, TN_E_TYPE, "expected float32, as input 0 is", make(TN_FLOAT32, DIMS(1), NULL),
            make(TN_INT32, DIMS(1), NULL));
    refused("Add", NO_ATTRS, TN_E_TYPE, "expected one of", make(TN_BOOL, DIMS(1), NULL), make(TN_BOOL, DIMS(1), NULL));
    refused("Mul", NO_ATTRS, TN_E_SHAPE, "does not broadcast with 2", make(TN_INT32, DIMS(2), NULL),
            make(TN_INT32, DIMS(3), NULL));
    refused("Mod", NO_ATTRS, TN_E_TYPE, "must be integers", make(TN_FLOAT32, DIMS(1), NULL),
            make(TN_FLOAT32, DIMS(1), NULL));
    refused("BitShift", NO_ATTRS, TN_E_INVALID, "LEFT or RIGHT", make(TN_UINT8, DIMS(1), NULL),
            make(TN_UINT8, DIMS(1), NULL));
    refused("Sum", NO_ATTRS, TN_E_SHAPE, "inputs before it", make(TN_FLOAT32, DIMS(2), NULL),
            make(TN_FLOAT32, DIMS(1), NULL), make(TN_FLOAT32, DIMS(3), NULL));
}

static void inversions(void **state) {
    (void)state;
    expect(run1("Not", NO_ATTRS, make(TN_BOOL, DIMS(2), VALUES(1, 0))), TN_BOOL, DIMS(2), VALUES(0, 1));
    expect(run1("BitwiseNot", NO_ATTRS, make(TN_INT16, DIMS(2), VALUES(1, -300))), TN_INT16, DIMS(2), VALUES(-2, 299));
}

/* Every intermediate result dies in the next node, which may write over it: as its first, second or third input. */
static void results_in_the_memory_of_inputs_are_right(void **state) {
    (void)state;
    enum { ROWS = 40, COLUMNS = 1100, CELLS = ROWS * COLUMNS };
    tn_graph *g;
    tn_model *model;
    tn_session *session;
    const tn_tensor *y;
    int a, row, t, u, v, w, low;
    tn_tensor *x = random_tensor(TN_FLOAT32, DIMS(ROWS, COLUMNS)), *r = random_tensor(TN_FLOAT32, DIMS(COLUMNS));
    tn_tensor *half = make(TN_FLOAT32, SCALAR, VALUES(0.5));
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "a", TN_FLOAT32, DIMS(ROWS, COLUMNS), &a));
    assert_ok(tn_graph_input(g, "row", TN_FLOAT32, DIMS(COLUMNS), &row));
    assert_ok(tn_graph_constant(g, "low", half, &low));
    assert_ok(tn_graph_node(g, "Sub", "t", 2, (int[]){a, row}, 1, &t, NULL));
    assert_ok(tn_graph_node(g, "Div", "u", 2, (int[]){row, t}, 1, &u, NULL));
    assert_ok(tn_graph_node(g, "Max", "v", 3, (int[]){low, row, u}, 1, &v, NULL));
    assert_ok(tn_graph_node(g, "Clip", "w", 2, (int[]){v, low}, 1, &w, NULL));
    assert_ok(tn_graph_output(g, w, "w"));
    assert_ok(tn_model_from_graph(g, NULL, &model));
    assert_ok(tn_session_create(model, NULL, &session));
    assert_ok(tn_session_set_input(session, 0, x));
    assert_ok(tn_session_set_input(session, 1, r));
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output(session, 0, &y));
    for (int i = 0; i < CELLS; i++) {
        float p = ((float *)x->data)[i], q = ((float *)r->data)[i % COLUMNS], got = ((float *)y->data)[i];
        float quotient = q / (p - q), want = q > 0.5f ? q : 0.5f;
        want = quotient > want || quotient != quotient ? quotient : want;
        if (got != want && (got == got || want == want)) fail_msg("element %d: %g, not %g", i, got, want);
    }
    tn_session_destroy(session);
    tn_model_destroy(model);
    tn_tensor_destroy(x), tn_tensor_destroy(r), tn_tensor_destroy(half);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_matches_plain_c_on_every_dtype),
        cmocka_unit_test(integer_division_does_not_trap),
        cmocka_unit_test(strings_are_equal_by_their_bytes),
        cmocka_unit_test(many_inputs_are_folded),
        cmocka_unit_test(large_folds_equal_small_ones),
        cmocka_unit_test(powers_of_mixed_dtypes),
        cmocka_unit_test(where_chooses_elements_of_any_size),
        cmocka_unit_test(clip_takes_absent_bounds_on_every_dtype),
        cmocka_unit_test(expand_repeats_both_ways),
        cmocka_unit_test(wrong_inputs_are_refused),
        cmocka_unit_test(inversions),
        cmocka_unit_test(results_in_the_memory_of_inputs_are_right),
    };
    return cmocka_run_group_tests_name("binary", tests, NULL, NULL);
}
