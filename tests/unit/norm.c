/* Normalisations: known values, types, shapes of parameters, training mode, refusals; dropout. */
#include "ops.h"
#include <math.h>

#define EPSILON0 ATTR_FLOAT("epsilon", 0)
static const double ramp[] = {1, 3, 5, 7, 2, 4, 6, 8};

static void layers_are_brought_to_zero_mean_and_unit_variance(void **state) {
    (void)state;
    static const tn_dtype types[] = {TN_FLOAT32, TN_FLOAT64};
    for (int i = 0; i < 2; i++) {
        tn_tensor *out[3];
        assert_ok(run_op("LayerNormalization", ATTRS(EPSILON0), 3,
                         (tn_tensor *[]){make(types[i], DIMS(2, 2), VALUES(1, 3, 10, 30)),
                                         make(types[i], DIMS(2), VALUES(1, 2)), make(types[i], DIMS(2), VALUES(0, 5))},
                         3, out));
        expect_near(out[0], types[i], DIMS(2, 2), VALUES(-1, 7, -1, 7), 1e-6);
        expect_near(out[1], TN_FLOAT32, DIMS(2, 1), VALUES(2, 20), 1e-6);
        expect_near(out[2], TN_FLOAT32, DIMS(2, 1), VALUES(1, 0.1), 1e-6);
    }
    expect_near(run1("LayerNormalization", ATTRS(EPSILON0, ATTR_INT("axis", 0)),
                     make(TN_FLOAT32, DIMS(2, 2), VALUES(1, 1, 3, 3)),
                     make(TN_FLOAT32, DIMS(2, 2), VALUES(1, 2, 3, 4))),
                TN_FLOAT32, DIMS(2, 2), VALUES(-1, -2, 3, 4), 1e-6);
    expect_near(run1("RMSNormalization", ATTRS(EPSILON0), make(TN_FLOAT32, DIMS(1, 2), VALUES(1, 7)),
                     make(TN_FLOAT32, DIMS(2), VALUES(1, 1))),
                TN_FLOAT32, DIMS(1, 2), VALUES(0.2, 1.4), 1e-6);
}

static void scale_and_bias_may_broadcast(void **state) {
    (void)state;
    expect_near(run1("LayerNormalization", ATTRS(EPSILON0), make(TN_FLOAT32, DIMS(2, 2), VALUES(1, 3, 10, 30)),
                     make(TN_FLOAT32, DIMS(2, 1), VALUES(2, 3)), make(TN_FLOAT32, DIMS(1), VALUES(1))),
                TN_FLOAT32, DIMS(2, 2), VALUES(-1, 3, -2, 4), 1e-6);
    refused("LayerNormalization", NO_ATTRS, TN_E_SHAPE, "does not broadcast", make(TN_FLOAT32, DIMS(2, 2), NULL),
            make(TN_FLOAT32, DIMS(3), NULL));
    refused("LayerNormalization", ATTRS(ATTR_INT("axis", 2)), TN_E_INVALID, "outside",
            make(TN_FLOAT32, DIMS(2, 2), NULL), make(TN_FLOAT32, DIMS(2), NULL));
}

static void groups_and_instances_have_statistics_of_their_own(void **state) {
    (void)state;
    const double normal[] = {-1.3416407864998738, -0.4472135954999579, 0.4472135954999579, 1.3416407864998738};
    const double *n = normal;
    expect_near(run1("GroupNormalization", ATTRS(EPSILON0, ATTR_INT("num_groups", 1)),
                     make(TN_FLOAT32, DIMS(2, 2, 2), ramp), make(TN_FLOAT32, DIMS(2), VALUES(1, 2)),
                     make(TN_FLOAT32, DIMS(2), VALUES(0, 1))),
                TN_FLOAT32, DIMS(2, 2, 2),
                VALUES(n[0], n[1], 2 * n[2] + 1, 2 * n[3] + 1, n[0], n[1], 2 * n[2] + 1, 2 * n[3] + 1), 1e-6);
    expect_near(run1("InstanceNormalization", ATTRS(EPSILON0), make(TN_FLOAT64, DIMS(2, 2, 2), ramp),
                     make(TN_FLOAT64, DIMS(2), VALUES(1, 2)), make(TN_FLOAT64, DIMS(2), VALUES(0, 1))),
                TN_FLOAT64, DIMS(2, 2, 2), VALUES(-1, 1, -1, 3, -1, 1, -1, 3), 1e-12);
    refused("GroupNormalization", ATTRS(ATTR_INT("num_groups", 3)), TN_E_SHAPE, "does not divide",
            make(TN_FLOAT32, DIMS(1, 4, 1), NULL), make(TN_FLOAT32, DIMS(4), NULL), make(TN_FLOAT32, DIMS(4), NULL));
    refused("InstanceNormalization", NO_ATTRS, TN_E_SHAPE, "4 channels", make(TN_FLOAT32, DIMS(1, 4, 1), NULL),
            make(TN_FLOAT32, DIMS(3), NULL), make(TN_FLOAT32, DIMS(4), NULL));
}

static void batches_use_given_statistics_or_their_own(void **state) {
    (void)state;
    static const tn_dtype types[] = {TN_FLOAT32, TN_FLOAT64};
    for (int i = 0; i < 2; i++) {
        tn_dtype t = types[i];
        expect_near(run1("BatchNormalization", ATTRS(EPSILON0), make(t, DIMS(2, 2, 2), ramp),
                         make(t, DIMS(2), VALUES(1, 2)), make(t, DIMS(2), VALUES(0, 1)), make(t, DIMS(2), VALUES(1, 5)),
                         make(t, DIMS(2), VALUES(4, 1))),
                    t, DIMS(2, 2, 2), VALUES(0, 1, 1, 5, 0.5, 1.5, 3, 7), 1e-6);
        expect_near(run1("BatchNormalization", ATTRS(EPSILON0), make(t, DIMS(2, 2), VALUES(1, 5, 3, 6)),
                         make(t, DIMS(2), VALUES(1, 2)), make(t, DIMS(2), VALUES(0, 1)), make(t, DIMS(2), VALUES(1, 5)),
                         make(t, DIMS(2), VALUES(4, 1))),
                    t, DIMS(2, 2), VALUES(0, 1, 1, 3), 1e-6);
        tn_tensor *out[3];
        assert_ok(run_op(
            "BatchNormalization", ATTRS(EPSILON0, ATTR_INT("training_mode", 1), ATTR_FLOAT("momentum", 0.5f)), 5,
            (tn_tensor *[]){make(t, DIMS(2, 1, 2), VALUES(1, 1, 3, 3)), make(t, DIMS(1), VALUES(1)),
                            make(t, DIMS(1), VALUES(0)), make(t, DIMS(1), VALUES(4)), make(t, DIMS(1), VALUES(7))},
            3, out));
        expect_near(out[0], t, DIMS(2, 1, 2), VALUES(-1, -1, 1, 1), 1e-6);
        expect_near(out[1], t, DIMS(1), VALUES(3), 1e-6);
        expect_near(out[2], t, DIMS(1), VALUES(4), 1e-6);
    }
    refused("BatchNormalization", NO_ATTRS, TN_E_SHAPE, "2 channels", make(TN_FLOAT32, DIMS(1, 2), NULL),
            make(TN_FLOAT32, DIMS(2), NULL), make(TN_FLOAT32, DIMS(2), NULL), make(TN_FLOAT32, DIMS(1), NULL),
            make(TN_FLOAT32, DIMS(2), NULL));
}

static void lines_are_brought_to_unit_length(void **state) {
    (void)state;
    static const tn_dtype types[] = {TN_FLOAT32, TN_FLOAT64};
    for (int i = 0; i < 2; i++) {
        expect_near(run1("LpNormalization", NO_ATTRS, make(types[i], DIMS(2, 2), VALUES(3, -4, 0, 0))), types[i],
                    DIMS(2, 2), VALUES(0.6, -0.8, 0, 0), 1e-6);
        expect_near(run1("LpNormalization", ATTRS(ATTR_INT("axis", 0), ATTR_INT("p", 1)),
                         make(types[i], DIMS(2, 2), VALUES(3, -4, 1, 4))),
                    types[i], DIMS(2, 2), VALUES(0.75, -0.5, 0.25, 0.5), 1e-6);
        expect_near(run1("MeanVarianceNormalization", ATTRS(ATTR_INTS("axes", 0, 2)),
                         make(types[i], DIMS(2, 1, 2), VALUES(1, 1, 3, 3))),
                    types[i], DIMS(2, 1, 2), VALUES(-1, -1, 1, 1), 1e-6);
        expect_near(run1("LRN", ATTRS(ATTR_INT("size", 3), ATTR_FLOAT("alpha", 3), ATTR_FLOAT("beta", 1)),
                         make(types[i], DIMS(1, 3, 1), VALUES(1, 2, 3))),
                    types[i], DIMS(1, 3, 1), VALUES(1 / 6., 2 / 15., 3 / 14.), 1e-6);
    }
    refused("LpNormalization", ATTRS(ATTR_INT("p", 3)), TN_E_INVALID, "1 or 2", make(TN_FLOAT32, DIMS(1), NULL));
    refused("LRN", ATTRS(ATTR_INT("size", 0)), TN_E_INVALID, "1 or more", make(TN_FLOAT32, DIMS(1, 1, 1), NULL));
    refused("MeanVarianceNormalization", NO_ATTRS, TN_E_INVALID, "outside", make(TN_FLOAT32, DIMS(2, 2), NULL));
}

static void what_is_skipped_is_added_before_the_norm(void **state) {
    (void)state;
    const tn_op *op = tn_op_find("com.microsoft", "SkipLayerNormalization");
    tn_tensor *in[] = {make(TN_FLOAT32, DIMS(2, 1, 2), VALUES(1, 2, 3, 4)), make(TN_FLOAT32, DIMS(1, 2), VALUES(0, 1)),
                       make(TN_FLOAT32, DIMS(2), VALUES(1, 1)), NULL, make(TN_FLOAT32, DIMS(2), VALUES(1, 3))};
    tn_tensor *out[4];
    assert_ok(tn_eager_run(NULL, op, ATTRS(EPSILON0), 5, (const tn_tensor *const *)in, 4, out));
    expect_near(out[0], TN_FLOAT32, DIMS(2, 1, 2), VALUES(-1, 1, -1, 1), 1e-6);
    expect_near(out[1], TN_FLOAT32, DIMS(2, 1, 1), VALUES(4, 6), 1e-6);
    expect_near(out[2], TN_FLOAT32, DIMS(2, 1, 1), VALUES(0.5, 0.5), 1e-6);
    expect(out[3], TN_FLOAT32, DIMS(2, 1, 2), VALUES(2, 6, 4, 8));
    for (int i = 0; i < 5; i++) tn_tensor_destroy(in[i]);
}

static void ids_outside_of_an_embedding_are_refused(void **state) {
    (void)state;
    const tn_op *op = tn_op_find("com.microsoft", "EmbedLayerNormalization");
    for (int id = -1; id < 3; id++) {
        tn_tensor *in[] = {
            make(TN_INT32, DIMS(1, 1), VALUES(id)),     NULL, make(TN_FLOAT32, DIMS(2, 2), VALUES(1, 2, 3, 5)),
            make(TN_FLOAT32, DIMS(1, 2), VALUES(0, 0)), NULL, make(TN_FLOAT32, DIMS(2), VALUES(1, 1)),
            make(TN_FLOAT32, DIMS(2), VALUES(0, 0))};
        tn_tensor *out[2] = {0};
        tn_status status = tn_eager_run(NULL, op, ATTRS(EPSILON0), 7, (const tn_tensor *const *)in, 2, out);
        assert_int_equal(status, id == 0 || id == 1 ? TN_OK : TN_E_INVALID);
        if (status == TN_OK) expect_near(out[0], TN_FLOAT32, DIMS(1, 1, 2), VALUES(-1, 1), 1e-6);
        if (status == TN_OK) tn_tensor_destroy(out[1]);
        for (int i = 0; i < 7; i++) tn_tensor_destroy(in[i]);
    }
}

static void dropout_drops_in_training_mode_alone(void **state) {
    (void)state;
    tn_tensor *out[2], *again[2];
    assert_ok(run_op("Dropout", NO_ATTRS, 1, (tn_tensor *[]){make(TN_FLOAT16, DIMS(2), VALUES(1, 2))}, 2, out));
    expect(out[0], TN_FLOAT16, DIMS(2), VALUES(1, 2));
    expect(out[1], TN_BOOL, DIMS(2), VALUES(1, 1));
    for (int run = 0; run < 2; run++) {
        tn_tensor *x = make(TN_FLOAT32, DIMS(1000), NULL);
        for (int i = 0; i < 1000; i++) ((float *)x->data)[i] = 3;
        assert_ok(run_op("Dropout", ATTRS(ATTR_INT("seed", 5)), 3,
                         (tn_tensor *[]){x, make(TN_FLOAT32, SCALAR, VALUES(0.25)), make(TN_BOOL, SCALAR, VALUES(1))},
                         2, run ? again : out));
    }
    int kept = 0;
    for (int i = 0; i < 1000; i++) {
        bool mask = ((bool *)out[1]->data)[i];
        assert_true(((float *)out[0]->data)[i] == (mask ? 4 : 0));
        kept += mask;
    }
    assert_in_range(kept, 700, 800);
    assert_memory_equal(out[1]->data, again[1]->data, 1000);
    for (int i = 0; i < 2; i++) tn_tensor_destroy(out[i]), tn_tensor_destroy(again[i]);
    assert_int_equal(run_op("Dropout", NO_ATTRS, 3,
                            (tn_tensor *[]){make(TN_FLOAT32, DIMS(1), NULL), make(TN_FLOAT32, SCALAR, VALUES(1)),
                                            make(TN_BOOL, SCALAR, VALUES(1))},
                            2, out),
                     TN_E_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_are_brought_to_zero_mean_and_unit_variance),
        cmocka_unit_test(scale_and_bias_may_broadcast),
        cmocka_unit_test(groups_and_instances_have_statistics_of_their_own),
        cmocka_unit_test(batches_use_given_statistics_or_their_own),
        cmocka_unit_test(lines_are_brought_to_unit_length),
        cmocka_unit_test(what_is_skipped_is_added_before_the_norm),
        cmocka_unit_test(ids_outside_of_an_embedding_are_refused),
        cmocka_unit_test(dropout_drops_in_training_mode_alone),
    };
    return cmocka_run_group_tests_name("norm", tests, NULL, NULL);
}
