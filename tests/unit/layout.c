/* DepthToSpace, SpaceToDepth, Col2Im, ReverseSequence, RotaryEmbedding: results, inferred dims, refusals. */
#include "ops.h"

enum { BATCH = -2 };

static tn_tensor *count_up(tn_dtype dtype, int rank, const int64_t *dims) {
    tn_tensor *t = make(dtype, rank, dims, NULL);
    for (int64_t i = 0; i < tn_count(t); i++) tn_set_double(dtype, t->data, i, (double)i);
    return t;
}

static void blocks_become_pixels_and_back(void **state) {
    (void)state;
    static const tn_dtype dtypes[] = {TN_FLOAT32, TN_INT8, TN_FLOAT16, TN_INT64};
    const tn_attr two = ATTR_INT("blocksize", 2);
    for (size_t d = 0; d < TN_COUNT(dtypes); d++) {
        expect(run1("DepthToSpace", ATTRS(two), count_up(dtypes[d], DIMS(1, 8, 1, 1))), dtypes[d], DIMS(1, 2, 2, 2),
               VALUES(0, 2, 4, 6, 1, 3, 5, 7));
        expect(run1("DepthToSpace", ATTRS(two, ATTR_TEXT("mode", "CRD")), count_up(dtypes[d], DIMS(1, 8, 1, 1))),
               dtypes[d], DIMS(1, 2, 2, 2), VALUES(0, 1, 2, 3, 4, 5, 6, 7));
        tn_tensor *x = count_up(dtypes[d], DIMS(2, 12, 3, 5)), *same = count_up(dtypes[d], DIMS(2, 12, 3, 5));
        tn_tensor *back = run1("SpaceToDepth", ATTRS(two), run1("DepthToSpace", ATTRS(two), x));
        assert_memory_equal(back->data, same->data, tn_tensor_bytes(same));
        tn_tensor_destroy(back);
        tn_tensor_destroy(same);
    }
    expect_dims("DepthToSpace", ATTRS(two), INPUTS(TYPE(TN_FLOAT32, BATCH, 8, -3, 5)), KNOWN(NULL),
                DIMS(BATCH, 2, -1, 10));
    refused("DepthToSpace", ATTRS(two), TN_E_SHAPE, "does not divide by 4", count_up(TN_INT8, DIMS(1, 6, 1, 1)));
    refused("SpaceToDepth", ATTRS(two), TN_E_SHAPE, "does not divide by 2", count_up(TN_INT8, DIMS(1, 1, 3, 2)));
    refused("SpaceToDepth", NO_ATTRS, TN_E_INVALID, "blocksize is 0", count_up(TN_INT8, DIMS(1, 1, 2, 2)));
    refused("SpaceToDepth", ATTRS(two), TN_E_SHAPE, "4 dimensions", count_up(TN_INT8, DIMS(2, 2)));
}

static void columns_sum_up_where_blocks_overlap(void **state) {
    (void)state;
    static const tn_dtype dtypes[] = {TN_FLOAT32, TN_FLOAT16, TN_FLOAT64, TN_INT8, TN_UINT16, TN_INT64};
    for (size_t d = 0; d < TN_COUNT(dtypes); d++)
        expect(run1("Col2Im", NO_ATTRS, make(dtypes[d], DIMS(1, 2, 3), VALUES(1, 2, 3, 4, 5, 6)),
                    make(TN_INT64, DIMS(1), VALUES(4)), make(TN_INT64, DIMS(1), VALUES(2))),
               dtypes[d], DIMS(1, 1, 4), VALUES(1, 6, 8, 6));
    refused("Col2Im", NO_ATTRS, TN_E_SHAPE, "expected dimension 2 to be 3", make(TN_FLOAT32, DIMS(1, 2, 4), NULL),
            make(TN_INT64, DIMS(1), VALUES(4)), make(TN_INT64, DIMS(1), VALUES(2)));
    refused("Col2Im", NO_ATTRS, TN_E_SHAPE, "does not fit", make(TN_FLOAT32, DIMS(1, 5, 1), NULL),
            make(TN_INT64, DIMS(1), VALUES(4)), make(TN_INT64, DIMS(1), VALUES(5)));
    refused("Col2Im", ATTRS(ATTR_INTS("strides", 0)), TN_E_INVALID, "strides holds 0",
            make(TN_FLOAT32, DIMS(1, 2, 3), NULL), make(TN_INT64, DIMS(1), VALUES(4)),
            make(TN_INT64, DIMS(1), VALUES(2)));
    refused("Col2Im", NO_ATTRS, TN_E_SHAPE, "too large", make(TN_FLOAT32, DIMS(1, 2, 3), NULL),
            make(TN_INT64, DIMS(3), VALUES(2e9, 2e9, 2e9)), make(TN_INT64, DIMS(3), VALUES(2e9, 2e9, 2e9)));
}

static void sequences_turn_around_up_to_their_lengths(void **state) {
    (void)state;
    expect(run1("ReverseSequence", NO_ATTRS, count_up(TN_INT8, DIMS(3, 2)), make(TN_INT64, DIMS(2), VALUES(3, 2))),
           TN_INT8, DIMS(3, 2), VALUES(4, 3, 2, 1, 0, 5));
    expect(run1("ReverseSequence", ATTRS(ATTR_INT("batch_axis", 0), ATTR_INT("time_axis", 1)),
                count_up(TN_FLOAT64, DIMS(2, 3)), make(TN_INT64, DIMS(2), VALUES(0, 3))),
           TN_FLOAT64, DIMS(2, 3), VALUES(0, 1, 2, 5, 4, 3));
    refused("ReverseSequence", NO_ATTRS, TN_E_INVALID, "length of 4", count_up(TN_INT8, DIMS(3, 2)),
            make(TN_INT64, DIMS(2), VALUES(3, 4)));
    refused("ReverseSequence", NO_ATTRS, TN_E_SHAPE, "2 batch rows", count_up(TN_INT8, DIMS(3, 2)),
            make(TN_INT64, DIMS(3), NULL));
    refused("ReverseSequence", ATTRS(ATTR_INT("batch_axis", 0)), TN_E_INVALID, "time_axis 0",
            count_up(TN_INT8, DIMS(3, 2)), make(TN_INT64, DIMS(3), NULL));
}

/* A quarter turn takes (a, b) to (-b, a). */
static void rotations_turn_pairs_by_their_positions(void **state) {
    (void)state;
    const double cos[] = {1, 1, 0, 0}, sin[] = {0, 0, 1, 1};
    expect(run1("RotaryEmbedding", NO_ATTRS, make(TN_FLOAT32, DIMS(1, 1, 2, 4), VALUES(1, 2, 3, 4, 5, 6, 7, 8)),
                make(TN_FLOAT32, DIMS(1, 2, 2), cos), make(TN_FLOAT32, DIMS(1, 2, 2), sin)),
           TN_FLOAT32, DIMS(1, 1, 2, 4), VALUES(1, 2, 3, 4, -7, -8, 5, 6));
    expect(run1("RotaryEmbedding", ATTRS(ATTR_INT("interleaved", 1), ATTR_INT("num_heads", 1)),
                make(TN_FLOAT16, DIMS(1, 1, 4), VALUES(1, 2, 3, 4)), make(TN_FLOAT16, DIMS(2, 2), cos),
                make(TN_FLOAT16, DIMS(2, 2), sin), make(TN_INT64, DIMS(1, 1), VALUES(1))),
           TN_FLOAT16, DIMS(1, 1, 4), VALUES(-2, 1, -4, 3));
    refused("RotaryEmbedding", ATTRS(ATTR_INT("num_heads", 1)), TN_E_INVALID, "position 2; the caches have 2",
            make(TN_FLOAT32, DIMS(1, 1, 4), NULL), make(TN_FLOAT32, DIMS(2, 2), cos), make(TN_FLOAT32, DIMS(2, 2), sin),
            make(TN_INT64, DIMS(1, 1), VALUES(2)));
    refused("RotaryEmbedding", NO_ATTRS, TN_E_INVALID, "num_heads is 0", make(TN_FLOAT32, DIMS(1, 1, 4), NULL),
            make(TN_FLOAT32, DIMS(1, 1, 2), cos), make(TN_FLOAT32, DIMS(1, 1, 2), sin));
    refused("RotaryEmbedding", NO_ATTRS, TN_E_SHAPE, "half of what is turned", make(TN_FLOAT32, DIMS(1, 1, 1, 8), NULL),
            make(TN_FLOAT32, DIMS(1, 1, 2), cos), make(TN_FLOAT32, DIMS(1, 1, 2), sin));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_become_pixels_and_back),
        cmocka_unit_test(columns_sum_up_where_blocks_overlap),
        cmocka_unit_test(sequences_turn_around_up_to_their_lengths),
        cmocka_unit_test(rotations_turn_pairs_by_their_positions),
    };
    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
