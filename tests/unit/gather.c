/* Gather, GatherElements, GatherND, GatherBlockQuantized, ScatterElements, ScatterND, TensorScatter: results, inferred
 * dims, bad indices. */
#include "ops.h"

enum { BATCH = -2, TIME = -3 };

static tn_tensor *ints(int rank, const int64_t *dims, const double *values) {
    return make(TN_INT64, rank, dims, values);
}
static tn_tensor *count_up(tn_dtype dtype, int rank, const int64_t *dims) {
    tn_tensor *t = make(dtype, rank, dims, NULL);
    for (int64_t i = 0; i < tn_count(t); i++) tn_set_double(dtype, t->data, i, (double)i);
    return t;
}

static void gather_picks_along_an_axis(void **state) {
    (void)state;
    expect(
        run1("Gather", ATTRS(ATTR_INT("axis", 1)), count_up(TN_FLOAT32, DIMS(2, 3)), ints(DIMS(1, 2), VALUES(-1, 0))),
        TN_FLOAT32, DIMS(2, 1, 2), VALUES(2, 0, 5, 3));
    expect(run1("Gather", NO_ATTRS, count_up(TN_INT8, DIMS(3, 2)), make(TN_INT32, SCALAR, VALUES(1))), TN_INT8, DIMS(2),
           VALUES(2, 3));
    expect(run1("Gather", NO_ATTRS, count_up(TN_INT8, DIMS(3, 2)), ints(DIMS(0), NULL)), TN_INT8, DIMS(0, 2), NULL);
    expect_dims("Gather", ATTRS(ATTR_INT("axis", 0)), INPUTS(TYPE(TN_INT64, 4), unit_type(TN_INT64, 0, NULL)),
                KNOWN(NULL, NULL), 0, NULL);
    expect_dims("Gather", ATTRS(ATTR_INT("axis", 1)), INPUTS(TYPE(TN_FLOAT32, BATCH, 5), TYPE(TN_INT64, TIME, 2)),
                KNOWN(NULL, NULL), DIMS(BATCH, TIME, 2));
    refused("Gather", NO_ATTRS, TN_E_INVALID, "index 3, outside of [-3, 3) for axis 0 of size 3",
            count_up(TN_INT8, DIMS(3)), ints(DIMS(1), VALUES(3)));
    refused("Gather", NO_ATTRS, TN_E_INVALID, "index -1", make(TN_INT8, DIMS(0), NULL), ints(DIMS(1), VALUES(-1)));
    refused("Gather", NO_ATTRS, TN_E_SHAPE, "rank 9", make(TN_INT8, DIMS(1, 1, 1, 1, 1), NULL),
            ints(DIMS(1, 1, 1, 1, 1), VALUES(0)));
}

static void gather_elements_picks_one_by_one(void **state) {
    (void)state;
    expect(run1("GatherElements", ATTRS(ATTR_INT("axis", 1)), count_up(TN_INT16, DIMS(2, 3)),
                ints(DIMS(2, 2), VALUES(2, 0, -1, -3))),
           TN_INT16, DIMS(2, 2), VALUES(2, 0, 5, 3));
    expect(run1("GatherElements", NO_ATTRS, count_up(TN_FLOAT64, DIMS(2, 3)), ints(DIMS(1, 3), VALUES(1, 0, 1))),
           TN_FLOAT64, DIMS(1, 3), VALUES(3, 1, 5));
    refused("GatherElements", NO_ATTRS, TN_E_INVALID, "index 2", count_up(TN_INT16, DIMS(2, 3)),
            ints(DIMS(1, 1), VALUES(2)));
    refused("GatherElements", NO_ATTRS, TN_E_SHAPE, "dimension 1 is larger", count_up(TN_INT16, DIMS(2, 3)),
            ints(DIMS(1, 4), NULL));
}

static void index_tuples_pick_and_replace_slices(void **state) {
    (void)state;
    expect(run1("GatherND", ATTRS(ATTR_INT("batch_dims", 1)), count_up(TN_INT32, DIMS(2, 2, 2)),
                ints(DIMS(2, 1), VALUES(1, 0))),
           TN_INT32, DIMS(2, 2), VALUES(2, 3, 4, 5));
    expect(run1("GatherND", NO_ATTRS, count_up(TN_INT32, DIMS(2, 2)), ints(DIMS(2, 2), VALUES(0, -1, 1, 0))), TN_INT32,
           DIMS(2), VALUES(1, 2));
    expect(run1("ScatterND", NO_ATTRS, count_up(TN_INT8, DIMS(3, 2)), ints(DIMS(1, 1), VALUES(-1)),
                make(TN_INT8, DIMS(1, 2), VALUES(8, 9))),
           TN_INT8, DIMS(3, 2), VALUES(0, 1, 2, 3, 8, 9));
    refused("GatherND", NO_ATTRS, TN_E_INVALID, "index 5", count_up(TN_INT32, DIMS(2, 2)),
            ints(DIMS(1, 2), VALUES(0, 5)));
    refused("GatherND", NO_ATTRS, TN_E_SHAPE, "must be 1 to 2", count_up(TN_INT32, DIMS(2, 2)), ints(DIMS(1, 3), NULL));
    refused("GatherND", ATTRS(ATTR_INT("batch_dims", 2)), TN_E_INVALID, "batch_dims is 2",
            count_up(TN_INT32, DIMS(2, 2)), ints(DIMS(2, 2), NULL));
    refused("ScatterND", NO_ATTRS, TN_E_INVALID, "index -4", count_up(TN_INT8, DIMS(3, 2)),
            ints(DIMS(1, 1), VALUES(-4)), make(TN_INT8, DIMS(1, 2), NULL));
    refused("ScatterND", NO_ATTRS, TN_E_SHAPE, "dimension 1 to be 2", count_up(TN_INT8, DIMS(3, 2)),
            ints(DIMS(1, 1), NULL), make(TN_INT8, DIMS(1, 3), NULL));
}

static void repeated_indices_reduce_in_every_number_type(void **state) {
    (void)state;
    static const tn_dtype dtypes[] = {TN_FLOAT32, TN_FLOAT64, TN_FLOAT16, TN_BFLOAT16, TN_INT8,   TN_INT16,
                                      TN_INT32,   TN_INT64,   TN_UINT8,   TN_UINT16,   TN_UINT32, TN_UINT64};
    const double data[] = {5, 6, 7}, wanted[4][3] = {{5, 6, 16}, {5, 6, 126}, {5, 6, 3}, {5, 6, 7}};
    const tn_attr how[] = {ATTR_TEXT("reduction", "add"), ATTR_TEXT("reduction", "mul"), ATTR_TEXT("reduction", "min"),
                           ATTR_TEXT("reduction", "max")};
    for (size_t d = 0; d < TN_COUNT(dtypes); d++)
        for (int r = 0; r < 4; r++) {
            expect(run1("ScatterElements", ATTR_ARRAY(1, &how[r]), make(dtypes[d], DIMS(3), data),
                        ints(DIMS(2), VALUES(2, -1)), make(dtypes[d], DIMS(2), VALUES(6, 3))),
                   dtypes[d], DIMS(3), wanted[r]);
            expect(run1("ScatterND", ATTR_ARRAY(1, &how[r]), make(dtypes[d], DIMS(3), data),
                        ints(DIMS(2, 1), VALUES(2, -1)), make(dtypes[d], DIMS(2), VALUES(6, 3))),
                   dtypes[d], DIMS(3), wanted[r]);
        }
    expect(run1("ScatterElements", ATTRS(ATTR_INT("axis", 1)), count_up(TN_INT8, DIMS(2, 3)),
                ints(DIMS(2, 1), VALUES(2, 0)), make(TN_INT8, DIMS(2, 1), VALUES(7, 8))),
           TN_INT8, DIMS(2, 3), VALUES(0, 1, 7, 8, 4, 5));
    refused("ScatterElements", NO_ATTRS, TN_E_INVALID, "index 9", count_up(TN_INT8, DIMS(3)), ints(DIMS(1), VALUES(9)),
            make(TN_INT8, DIMS(1), NULL));
    refused("ScatterElements", NO_ATTRS, TN_E_SHAPE, "shape of the indices", count_up(TN_INT8, DIMS(3)),
            ints(DIMS(1), NULL), make(TN_INT8, DIMS(2), NULL));
    refused("ScatterElements", ATTRS(ATTR_TEXT("reduction", "add")), TN_E_TYPE, "numbers",
            make_strings(DIMS(1), (const char *const[]){"a"}), ints(DIMS(1), NULL),
            make_strings(DIMS(1), (const char *const[]){"b"}));
    refused("ScatterElements", ATTRS(ATTR_TEXT("reduction", "avg")), TN_E_INVALID, "'avg'", count_up(TN_INT8, DIMS(3)),
            ints(DIMS(1), NULL), make(TN_INT8, DIMS(1), NULL));
}

static void caches_are_written_from_each_rows_position(void **state) {
    (void)state;
    expect(run1("TensorScatter", NO_ATTRS, count_up(TN_FLOAT32, DIMS(2, 3, 1)),
                make(TN_FLOAT32, DIMS(2, 2, 1), VALUES(10, 11, 12, 13)), ints(DIMS(2), VALUES(1, 0))),
           TN_FLOAT32, DIMS(2, 3, 1), VALUES(0, 10, 11, 12, 13, 5));
    expect(run1("TensorScatter", ATTRS(ATTR_TEXT("mode", "circular"), ATTR_INT("axis", 1)),
                count_up(TN_INT8, DIMS(1, 4)), make(TN_INT8, DIMS(1, 3), VALUES(10, 11, 12)), ints(DIMS(1), VALUES(6))),
           TN_INT8, DIMS(1, 4), VALUES(12, 1, 10, 11));
    refused("TensorScatter", NO_ATTRS, TN_E_INVALID, "index 2", count_up(TN_FLOAT32, DIMS(1, 3, 1)),
            make(TN_FLOAT32, DIMS(1, 2, 1), NULL), ints(DIMS(1), VALUES(2)));
    refused("TensorScatter", NO_ATTRS, TN_E_SHAPE, "dimension 1 does not fit", count_up(TN_FLOAT32, DIMS(1, 3, 1)),
            make(TN_FLOAT32, DIMS(1, 4, 1), NULL));
    refused("TensorScatter", ATTRS(ATTR_INT("axis", 0)), TN_E_INVALID, "batch dimension",
            count_up(TN_FLOAT32, DIMS(1, 3, 1)), make(TN_FLOAT32, DIMS(1, 2, 1), NULL));
}

static void quantized_tables_are_gathered_and_dequantized(void **state) {
    (void)state;
    /* Rows of 20 four-bit numbers, in blocks of 16 and 4; the second row's scales are 1 and 10. */
    double table[40], wanted[20];
    for (int i = 0; i < 40; i++) table[i] = i % 16;
    for (int i = 0; i < 20; i++) wanted[i] = (table[20 + i] - (i < 16 ? 3 : 5)) * (i < 16 ? 1 : 10);
    const tn_op *op = tn_op_find("com.microsoft", "GatherBlockQuantized");
    const tn_attr attr = ATTR_INT("block_size", 16);
    tn_tensor *in[] = {make(TN_UINT4, DIMS(2, 20), table), ints(DIMS(1), VALUES(-1)),
                       make(TN_FLOAT32, DIMS(2, 2), VALUES(7, 7, 1, 10)),
                       make(TN_UINT4, DIMS(2, 2), VALUES(1, 1, 3, 5))};
    tn_tensor *out;
    assert_ok(tn_eager_run(NULL, op, 1, &attr, 4, (const tn_tensor *const *)in, 1, &out));
    expect(out, TN_FLOAT32, DIMS(1, 20), wanted);
    ((int64_t *)in[1]->data)[0] = 2;
    assert_int_equal(tn_eager_run(NULL, op, 1, &attr, 4, (const tn_tensor *const *)in, 1, &out), TN_E_INVALID);
    tn_tensor_destroy(in[2]);
    in[2] = make(TN_FLOAT32, DIMS(2, 1), NULL);
    assert_int_equal(tn_eager_run(NULL, op, 1, &attr, 4, (const tn_tensor *const *)in, 1, &out), TN_E_SHAPE);
    for (int i = 0; i < 4; i++) tn_tensor_destroy(in[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gather_picks_along_an_axis),
        cmocka_unit_test(gather_elements_picks_one_by_one),
        cmocka_unit_test(index_tuples_pick_and_replace_slices),
        cmocka_unit_test(repeated_indices_reduce_in_every_number_type),
        cmocka_unit_test(caches_are_written_from_each_rows_position),
        cmocka_unit_test(quantized_tables_are_gathered_and_dequantized),
    };
    return cmocka_run_group_tests_name("gather", tests, NULL, NULL);
}
