/* ai.onnx.ml but trees: linear models, support vector machines, features, encoders. */
#include "ops.h"
#include <math.h>

#define ML(name) "ai.onnx.ml:" name
static tn_tensor *x22(tn_dtype dtype) {
    return make(dtype, DIMS(2, 2), VALUES(1, 2, -3, 4));
}

static void linear_models_multiply_and_add(void **state) {
    (void)state;
    const tn_dtype dtypes[] = {TN_FLOAT32, TN_FLOAT64, TN_INT64, TN_INT32};
    for (int d = 0; d < 4; d++)
        expect(run1(ML("LinearRegressor"),
                    ATTRS(ATTR_FLOATS("coefficients", 1, 2, 3, 4), ATTR_FLOATS("intercepts", 0.5f, -1),
                          ATTR_INT("targets", 2)),
                    x22(dtypes[d])),
               TN_FLOAT32, DIMS(2, 2), VALUES(5.5, 10, 5.5, 6));
    tn_tensor *in[] = {x22(TN_FLOAT32)}, *out[2];
    assert_ok(run_op(ML("LinearClassifier"),
                     ATTRS(ATTR_FLOATS("coefficients", 1, 0, 0, 1, 1, 1), ATTR_FLOATS("intercepts", 0, 0, -2),
                           ATTR_TEXTS("classlabels_strings", TEXT("a"), TEXT("b"), TEXT("c")),
                           ATTR_TEXT("post_transform", "SOFTMAX")),
                     1, in, 2, out));
    expect_strings(out[0], DIMS(2), STRINGS("b", "b"));
    double e = exp(-1), s = 1 + 2 * e, f = exp(-7), g = exp(-5), r = 1 + f + g;
    expect_near(out[1], TN_FLOAT32, DIMS(2, 3), VALUES(e / s, 1 / s, e / s, f / r, 1 / r, g / r), 1e-6);
    tn_tensor *one[] = {x22(TN_FLOAT32)}; /* one score for two labels */
    assert_ok(run_op(
        ML("LinearClassifier"),
        ATTRS(ATTR_FLOATS("coefficients", 1, 0), ATTR_FLOATS("intercepts", 0), ATTR_INTS("classlabels_ints", 4, 9)), 1,
        one, 2, out));
    expect(out[0], TN_INT64, DIMS(2), VALUES(9, 4));
    expect(out[1], TN_FLOAT32, DIMS(2, 2), VALUES(0, 1, 4, -3));
    refused(ML("LinearRegressor"), ATTRS(ATTR_FLOATS("coefficients", 1, 2, 3)), TN_E_INVALID, "3 coefficients",
            x22(TN_FLOAT32));
    refused(ML("LinearClassifier"), ATTRS(ATTR_FLOATS("coefficients", 1, 2)), TN_E_INVALID, "neither", x22(TN_FLOAT32));
}

static void support_vectors_are_weighed_by_their_kernels(void **state) {
    (void)state;
    const tn_attr vectors = ATTR_FLOATS("support_vectors", 1, 2, 0, 0), two = ATTR_INT("n_supports", 2),
                  weights = ATTR_FLOATS("coefficients", 2, -1), rho = ATTR_FLOATS("rho", 0.5f),
                  params = ATTR_FLOATS("kernel_params", 0.5f, 1, 2);
    expect_near(run1(ML("SVMRegressor"), ATTRS(vectors, two, weights, rho), x22(TN_FLOAT32)), TN_FLOAT32, DIMS(2, 1),
                VALUES(10.5, 10.5), 1e-6);
    expect_near(run1(ML("SVMRegressor"), ATTRS(vectors, two, weights, rho, params, ATTR_TEXT("kernel_type", "RBF")),
                     x22(TN_FLOAT64)),
                TN_FLOAT32, DIMS(2, 1), VALUES(2 - exp(-2.5) + 0.5, 2 * exp(-10) - exp(-12.5) + 0.5), 1e-6);
    expect_near(run1(ML("SVMRegressor"), ATTRS(vectors, two, weights, rho, params, ATTR_TEXT("kernel_type", "POLY")),
                     x22(TN_INT32)),
                TN_FLOAT32, DIMS(2, 1), VALUES(2 * 3.5 * 3.5 - 1 + 0.5, 2 * 3.5 * 3.5 - 1 + 0.5), 1e-5);
    expect(run1(ML("SVMRegressor"), ATTRS(vectors, two, weights, ATTR_FLOATS("rho", -11), ATTR_INT("one_class", 1)),
                x22(TN_FLOAT32)),
           TN_FLOAT32, DIMS(2, 1), VALUES(-1, -1));
    refused(ML("SVMRegressor"), ATTRS(vectors, ATTR_INT("n_supports", 3), weights, rho), TN_E_INVALID, "3 vectors",
            x22(TN_FLOAT32));
    refused(ML("SVMRegressor"), ATTRS(vectors, two, weights, rho, ATTR_TEXT("kernel_type", "TREE")), TN_E_INVALID,
            "'TREE'", x22(TN_FLOAT32));
}

static void pairs_of_classes_vote_and_become_probabilities(void **state) {
    (void)state;
    /* three classes of one vector each: e0, e1 and -e0 - e1; a class wins where its product is larger */
    const tn_attr vectors = ATTR_FLOATS("support_vectors", 1, 0, 0, 1, -1, -1),
                  each = ATTR_INTS("vectors_per_class", 1, 1, 1),
                  weights = ATTR_FLOATS("coefficients", 1, -1, -1, 1, 1, -1), rho = ATTR_FLOATS("rho", 0, 0, 0),
                  labels = ATTR_INTS("classlabels_ints", 10, 20, 30);
    tn_tensor *in[] = {make(TN_FLOAT32, DIMS(3, 2), VALUES(3, 1, 1, 3, -2, -3))}, *out[2];
    assert_ok(run_op(ML("SVMClassifier"), ATTRS(vectors, each, weights, rho, labels), 1, in, 2, out));
    expect(out[0], TN_INT64, DIMS(3), VALUES(10, 20, 30));
    expect_near(out[1], TN_FLOAT32, DIMS(3, 3), VALUES(2, 7, 5, -2, 5, 7, 1, -7, -8), 1e-6);
    tn_tensor *again[] = {make(TN_FLOAT32, DIMS(3, 2), VALUES(3, 1, 1, 3, -2, -3))};
    assert_ok(run_op(
        ML("SVMClassifier"),
        ATTRS(vectors, each, weights, rho, labels, ATTR_FLOATS("prob_a", -1, -1, -1), ATTR_FLOATS("prob_b", 0, 0, 0)),
        1, again, 2, out));
    tn_tensor_destroy(out[0]);
    for (int row = 0; row < 3; row++) {
        const float *p = (const float *)out[1]->data + 3 * row;
        assert_float_equal(p[0] + p[1] + p[2], 1, 1e-5);
        for (int other = 0; other < 3; other++) assert_true(p[row] >= p[other]);
    }
    tn_tensor_destroy(out[1]);
    refused(ML("SVMClassifier"), ATTRS(vectors, each, weights, ATTR_FLOATS("rho", 0, 0), labels), TN_E_INVALID, "2 rho",
            x22(TN_FLOAT32));
    refused(ML("SVMClassifier"), ATTRS(vectors, ATTR_INTS("vectors_per_class", 1, -1, 3), weights, rho, labels),
            TN_E_INVALID, "vectors_per_class[1]", x22(TN_FLOAT32));
}

static void features_are_scaled_and_filled(void **state) {
    (void)state;
    expect(run1(ML("Scaler"), ATTRS(ATTR_FLOATS("offset", 1, 2), ATTR_FLOATS("scale", 2)), x22(TN_INT64)), TN_FLOAT32,
           DIMS(2, 2), VALUES(0, 0, -8, 4));
    expect(run1(ML("Normalizer"), ATTRS(ATTR_TEXT("norm", "L1")), x22(TN_FLOAT64)), TN_FLOAT32, DIMS(2, 2),
           VALUES((double)(1 / 3.0f), (double)(2 / 3.0f), (double)(-3 / 7.0f), (double)(4 / 7.0f)));
    expect(run1(ML("Normalizer"), ATTRS(ATTR_TEXT("norm", "L2")), make(TN_FLOAT32, DIMS(2), VALUES(3, -4))), TN_FLOAT32,
           DIMS(2), VALUES((double)0.6f, (double)-0.8f));
    expect(run1(ML("Normalizer"), NO_ATTRS, make(TN_FLOAT32, DIMS(1, 2), NULL)), TN_FLOAT32, DIMS(1, 2), VALUES(0, 0));
    expect(run1(ML("Imputer"),
                ATTRS(ATTR_FLOATS("imputed_value_floats", 7, 8), ATTR_FLOAT("replaced_value_float", NAN)),
                make(TN_FLOAT64, DIMS(2, 2), VALUES(NAN, 1, 2, NAN))),
           TN_FLOAT64, DIMS(2, 2), VALUES(7, 1, 2, 8));
    expect(run1(ML("Imputer"), ATTRS(ATTR_INTS("imputed_value_int64s", 5), ATTR_INT("replaced_value_int64", -3)),
                x22(TN_INT32)),
           TN_INT32, DIMS(2, 2), VALUES(1, 2, 5, 4));
    expect(run1(ML("Binarizer"), ATTRS(ATTR_FLOAT("threshold", 1)), x22(TN_FLOAT32)), TN_FLOAT32, DIMS(2, 2),
           VALUES(0, 1, 0, 1));
    refused(ML("Scaler"), ATTRS(ATTR_FLOATS("offset", 1, 2, 3), ATTR_FLOATS("scale", 2)), TN_E_INVALID, "offset has 3",
            x22(TN_FLOAT32));
    refused(ML("Imputer"), NO_ATTRS, TN_E_INVALID, "imputed_value_floats", x22(TN_FLOAT32));
}

static void columns_are_picked_and_joined(void **state) {
    (void)state;
    expect(run1(ML("ArrayFeatureExtractor"), NO_ATTRS, x22(TN_INT32), make(TN_INT64, DIMS(3), VALUES(1, 0, 1))),
           TN_INT32, DIMS(2, 3), VALUES(2, 1, 2, 4, -3, 4));
    expect_strings(run1(ML("ArrayFeatureExtractor"), NO_ATTRS, make_strings(DIMS(2), STRINGS("a", "b")),
                        make(TN_INT64, DIMS(1), VALUES(1))),
                   DIMS(1, 1), STRINGS("b"));
    refused(ML("ArrayFeatureExtractor"), NO_ATTRS, TN_E_INVALID, "index 0 is 2", x22(TN_FLOAT32),
            make(TN_INT64, DIMS(1), VALUES(2)));
    expect(run1(ML("FeatureVectorizer"), ATTRS(ATTR_INTS("inputdimensions", 1, 3)), x22(TN_FLOAT32), x22(TN_FLOAT32)),
           TN_FLOAT32, DIMS(2, 4), VALUES(1, 1, 2, 0, -3, -3, 4, 0));
    refused(ML("FeatureVectorizer"), ATTRS(ATTR_INTS("inputdimensions", -1)), TN_E_INVALID, "inputdimensions[0]",
            x22(TN_FLOAT32));
}

static void labels_are_encoded_between_all_types(void **state) {
    (void)state;
    expect(run1(ML("LabelEncoder"),
                ATTRS(ATTR_TEXTS("keys_strings", TEXT("a"), TEXT("b"), TEXT("a")), ATTR_INTS("values_int64s", 1, 2, 3)),
                make_strings(DIMS(1, 3), STRINGS("a", "c", "b"))),
           TN_INT64, DIMS(1, 3), VALUES(3, -1, 2)); /* the last of equal keys counts */
    expect_strings(
        run1(ML("LabelEncoder"),
             ATTRS(ATTR_FLOATS("keys_floats", NAN, 0), ATTR_TEXTS("values_strings", TEXT("none"), TEXT("zero"))),
             make(TN_FLOAT32, DIMS(3), VALUES(NAN, -0.0, 1))),
        DIMS(3), STRINGS("none", "zero", "_Unused"));
    tn_tensor *keys = make(TN_INT16, DIMS(2), VALUES(5, 6)), *values = make(TN_FLOAT64, DIMS(2), VALUES(0.5, 0.25)),
              *other = make(TN_FLOAT64, DIMS(1), VALUES(9));
    expect(run1(ML("LabelEncoder"),
                ATTRS(ATTR_TENSOR("keys_tensor", keys), ATTR_TENSOR("values_tensor", values),
                      ATTR_TENSOR("default_tensor", other)),
                make(TN_INT16, DIMS(3), VALUES(6, 7, 5))),
           TN_FLOAT64, DIMS(3), VALUES(0.25, 9, 0.5));
    tn_tensor_destroy(keys), tn_tensor_destroy(values), tn_tensor_destroy(other);
    const tn_attr classes = ATTR_TEXTS("classes_strings", TEXT("x"), TEXT("y"));
    expect(run1(ML("LabelEncoder"), ATTRS(classes), make_strings(DIMS(3), STRINGS("y", "z", "x"))), TN_INT64, DIMS(3),
           VALUES(1, -1, 0));
    expect_strings(run1(ML("LabelEncoder"), ATTRS(classes, ATTR_TEXT("default_string", "?")),
                        make(TN_INT64, DIMS(3), VALUES(1, 2, -1))),
                   DIMS(3), STRINGS("y", "?", "?"));
    refused(ML("LabelEncoder"), ATTRS(ATTR_INTS("keys_int64s", 1), ATTR_INTS("values_int64s", 1, 2)), TN_E_INVALID,
            "1 keys for 2 values", make(TN_INT64, DIMS(1), NULL));
    refused(ML("LabelEncoder"), ATTRS(ATTR_INTS("keys_int64s", 1), ATTR_INTS("values_int64s", 1)), TN_E_TYPE,
            "keys are int64", make(TN_FLOAT32, DIMS(1), NULL));
    const tn_attr cats = ATTR_TEXTS("cats_strings", TEXT("x"), TEXT("y")), numbers = ATTR_INTS("cats_int64s", 7, 8);
    expect(run1(ML("CategoryMapper"), ATTRS(cats, numbers), make_strings(DIMS(2), STRINGS("y", "q"))), TN_INT64,
           DIMS(2), VALUES(8, -1));
    expect_strings(run1(ML("CategoryMapper"), ATTRS(cats, numbers), make(TN_INT64, DIMS(2), VALUES(7, 9))), DIMS(2),
                   STRINGS("x", "_Unused"));
}

static void categories_become_ones(void **state) {
    (void)state;
    const tn_attr numbers = ATTR_INTS("cats_int64s", 3, 5), words = ATTR_TEXTS("cats_strings", TEXT("r"), TEXT("g"));
    expect(run1(ML("OneHotEncoder"), ATTRS(numbers), make(TN_FLOAT32, DIMS(3), VALUES(5.9, 3, 4))), TN_FLOAT32,
           DIMS(3, 2), VALUES(0, 1, 1, 0, 0, 0));
    expect(run1(ML("OneHotEncoder"), ATTRS(words), make_strings(DIMS(1, 2), STRINGS("g", "r"))), TN_FLOAT32,
           DIMS(1, 2, 2), VALUES(0, 1, 1, 0));
    refused(ML("OneHotEncoder"), ATTRS(numbers, ATTR_INT("zeros", 0)), TN_E_INVALID, "none of the categories",
            make(TN_INT64, DIMS(1), VALUES(4)));
    expect(run1(ML("ZipMap"), ATTRS(ATTR_INTS("classlabels_int64s", 0, 1)), x22(TN_FLOAT32)), TN_FLOAT32, DIMS(2, 2),
           VALUES(1, 2, -3, 4));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_models_multiply_and_add),
        cmocka_unit_test(support_vectors_are_weighed_by_their_kernels),
        cmocka_unit_test(pairs_of_classes_vote_and_become_probabilities),
        cmocka_unit_test(features_are_scaled_and_filled),
        cmocka_unit_test(columns_are_picked_and_joined),
        cmocka_unit_test(labels_are_encoded_between_all_types),
        cmocka_unit_test(categories_become_ones),
    };
    return cmocka_run_group_tests_name("ml", tests, NULL, NULL);
}
