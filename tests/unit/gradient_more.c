/* Gradients of the less usual operators match finite differences: functions with corners, indices, resizing, padding,
 * repeats, cumulative sums, other reductions and normalisations, sums of products, transposed convolution. */
#include "gradient.h"

static void of_functions_of_one_input(void **state) {
    (void)state;
    static const char *const anywhere[] = {"Atan", "Sinh", "Cosh", "Asinh",    "HardSigmoid",     "HardSwish",
                                           "Mish", "Selu", "Celu", "Softsign", "ThresholdedRelu", "Shrink"};
    for (size_t i = 0; i < TN_COUNT(anywhere); i++)
        if (strcmp(anywhere[i], "Celu") != 0) check_gradient(anywhere[i], NO_ATTRIBUTES, 1, some(DIMS(3, 7)));
    check_gradient("com.microsoft:QuickGelu", NO_ATTRIBUTES, 1, some(DIMS(3, 7)));
    check_gradient("HardSigmoid", ATTRIBUTES(FLOAT("alpha", 0.3f), FLOAT("beta", 0.4f)), 1, some(DIMS(3, 7)));
    check_gradient("Selu", ATTRIBUTES(FLOAT("alpha", 0.7f), FLOAT("gamma", 1.5f)), 1, some(DIMS(3, 7)));
    check_gradient("Shrink", ATTRIBUTES(FLOAT("lambd", 0.8f), FLOAT("bias", 0.2f)), 1, some(DIMS(3, 7)));
    static const char *const inside[] = {"Tan", "Asin", "Acos", "Atanh"};
    for (size_t i = 0; i < TN_COUNT(inside); i++)
        check_gradient(inside[i], NO_ATTRIBUTES, 1,
                       make(TN_FLOAT64, DIMS(2, 3), VALUES(-0.9, -0.5, -0.1, 0.2, 0.6, 0.85)));
    check_gradient("Acosh", NO_ATTRIBUTES, 1, make(TN_FLOAT64, DIMS(4), VALUES(1.1, 1.5, 2, 7)));
}

static void of_those_with_several_inputs(void **state) {
    (void)state;
    check_gradient("PRelu", NO_ATTRIBUTES, 3, some(DIMS(2, 3, 4)), some(DIMS(3, 1)));
    check_gradient("Max", NO_ATTRIBUTES, 7, some(DIMS(2, 3)), positive_ones(DIMS(3)), some(DIMS(2, 1)));
    check_gradient("Min", NO_ATTRIBUTES, 3, some(DIMS(2, 3)), positive_ones(DIMS(2, 3)));
    check_gradient("Mean", NO_ATTRIBUTES, 7, some(DIMS(2, 3)), some(DIMS(3)), some(DIMS(2, 1)));
}

static void of_indices(void **state) {
    (void)state;
    check_gradient("GatherND", NO_ATTRIBUTES, 1, some(DIMS(3, 4, 2)),
                   make(TN_INT64, DIMS(3, 2), VALUES(0, 1, 2, -1, 0, 1)));
    check_gradient("GatherElements", ATTRIBUTES(INT("axis", 1)), 1, some(DIMS(2, 4)),
                   make(TN_INT64, DIMS(2, 3), VALUES(0, 0, 3, -1, 2, 1)));
    static const char *const reductions[] = {"none", "add"};
    for (size_t i = 0; i < TN_COUNT(reductions); i++) {
        check_gradient("ScatterND", ATTRIBUTES(STRING("reduction", reductions[i])), 5, some(DIMS(4, 3)),
                       make(TN_INT64, DIMS(2, 1), VALUES(3, 1)), some(DIMS(2, 3)));
        check_gradient("ScatterElements", ATTRIBUTES(STRING("reduction", reductions[i]), INT("axis", 1)), 5,
                       some(DIMS(2, 4)), make(TN_INT64, DIMS(2, 2), VALUES(0, 2, 3, 1)), some(DIMS(2, 2)));
    }
    check_gradient_of("TopK", ATTRIBUTES(INT("axis", 0)), 1, 2,
                      (tn_tensor *[]){some(DIMS(5, 3)), make(TN_INT64, DIMS(1), VALUES(2))}, 2, 0);
}

static void of_slices_with_steps(void **state) {
    (void)state;
    static const double cases[][3] = {{0, 100, 2}, {1, 6, 3}, {-1, -100, -1}, {5, 0, -2}, {-2, 1, -3}, {2, 100, 4}};
    for (size_t i = 0; i < TN_COUNT(cases); i++)
        for (int axis = 0; axis < 3; axis++) {
            int64_t dims[] = {2, 2, 2};
            dims[axis] = 7;
            check_gradient("Slice", NO_ATTRIBUTES, 1, some(3, dims), make(TN_INT64, DIMS(1), &cases[i][0]),
                           make(TN_INT64, DIMS(1), &cases[i][1]), make(TN_INT64, DIMS(1), VALUES(axis)),
                           make(TN_INT64, DIMS(1), &cases[i][2]));
        }
    check_gradient("Slice", NO_ATTRIBUTES, 1, some(DIMS(5, 6)), make(TN_INT64, DIMS(2), VALUES(-1, 1)),
                   make(TN_INT64, DIMS(2), VALUES(0, 5)), make(TN_INT64, DIMS(2), VALUES(0, 1)),
                   make(TN_INT64, DIMS(2), VALUES(-2, 2)));
}

static void of_what_repeats_and_pads(void **state) {
    (void)state;
    check_gradient("Tile", NO_ATTRIBUTES, 1, some(DIMS(2, 3, 2)), make(TN_INT64, DIMS(3), VALUES(2, 1, 3)));
    static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};
    for (size_t i = 0; i < TN_COUNT(modes); i++) {
        check_gradient("Pad", ATTRIBUTES(STRING("mode", modes[i])), 1, some(DIMS(2, 4, 3)),
                       make(TN_INT64, DIMS(6), VALUES(0, 2, 1, 0, 1, 2)));
        check_gradient("Pad", ATTRIBUTES(STRING("mode", modes[i])), 1, some(DIMS(4, 3)),
                       make(TN_INT64, DIMS(2), VALUES(1, 2)), NULL, make(TN_INT64, DIMS(1), VALUES(-2)));
    }
    check_gradient("Pad", NO_ATTRIBUTES, 1, some(DIMS(5, 4)), make(TN_INT64, DIMS(4), VALUES(-1, 2, 1, -2)));
    for (int way = 0; way < 4; way++)
        check_gradient("CumSum", ATTRIBUTES(INT("reverse", way & 1), INT("exclusive", way >> 1)), 1, some(DIMS(2, 5)),
                       make(TN_INT64, DIMS(1), VALUES(1)));
    check_gradient("Trilu", ATTRIBUTES(INT("upper", 0)), 1, some(DIMS(2, 4, 3)), make(TN_INT64, SCALAR, VALUES(1)));
    check_gradient("DepthToSpace", ATTRIBUTES(INT("blocksize", 2)), 1, some(DIMS(2, 8, 2, 3)));
    check_gradient("DepthToSpace", ATTRIBUTES(INT("blocksize", 2), STRING("mode", "CRD")), 1, some(DIMS(2, 8, 2, 3)));
    check_gradient("SpaceToDepth", ATTRIBUTES(INT("blocksize", 2)), 1, some(DIMS(2, 2, 4, 6)));
}

static void of_resizing(void **state) {
    (void)state;
    static const char *const modes[] = {"nearest", "linear", "cubic"};
    static const char *const coordinates[] = {"half_pixel", "align_corners", "asymmetric"};
    for (size_t m = 0; m < TN_COUNT(modes); m++)
        for (size_t c = 0; c < TN_COUNT(coordinates); c++) {
            const tn_attribute attributes[] = {
                STRING("mode", modes[m]), STRING("coordinate_transformation_mode", coordinates[c]), {0}};
            check_gradient("Resize", attributes, 1, some(DIMS(1, 2, 3, 4)), NULL,
                           make(TN_FLOAT32, DIMS(4), VALUES(1, 1, 2, 1.7)));
            check_gradient("Resize", attributes, 1, some(DIMS(1, 2, 5, 4)), NULL, NULL,
                           make(TN_INT64, DIMS(4), VALUES(1, 2, 3, 7)));
        }
    check_gradient("Resize", ATTRIBUTES(STRING("mode", "linear"), INTS("axes", 2)), 1, some(DIMS(2, 2, 5)), NULL, NULL,
                   make(TN_INT64, DIMS(1), VALUES(8)));
}

static void of_other_reductions(void **state) {
    (void)state;
    static const char *const ops[] = {"ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMin"};
    for (size_t i = 0; i < TN_COUNT(ops); i++)
        for (int keep = 0; keep < 2; keep++) {
            check_gradient(ops[i], ATTRIBUTES(INT("keepdims", keep)), 1, some(DIMS(2, 3, 4)),
                           make(TN_INT64, DIMS(2), VALUES(0, -1)));
            check_gradient(ops[i], ATTRIBUTES(INT("keepdims", keep)), 1, some(DIMS(2, 3)));
        }
    check_gradient("ReduceLogSum", NO_ATTRIBUTES, 1, positive_ones(DIMS(2, 3)), make(TN_INT64, DIMS(1), VALUES(1)));
    check_gradient("ReduceProd", ATTRIBUTES(INT("keepdims", 0)), 1, some(DIMS(2, 3, 2)),
                   make(TN_INT64, DIMS(1), VALUES(1)));
    check_gradient("ReduceProd", NO_ATTRIBUTES, 1, make(TN_FLOAT64, DIMS(4), VALUES(2, 0, -3, 0.5)));
    check_gradient("GlobalMaxPool", NO_ATTRIBUTES, 1, some(DIMS(2, 3, 2, 3)));
}

static void of_other_normalisations(void **state) {
    (void)state;
    check_gradient("InstanceNormalization", NO_ATTRIBUTES, 7, some(DIMS(2, 3, 2, 4)), some(DIMS(3)), some(DIMS(3)));
    check_gradient("GroupNormalization", ATTRIBUTES(INT("num_groups", 2), FLOAT("epsilon", 0.01f)), 7,
                   some(DIMS(2, 4, 5)), some(DIMS(4)), some(DIMS(4)));
    for (int p = 1; p < 3; p++)
        check_gradient("LpNormalization", ATTRIBUTES(INT("p", p), INT("axis", 1)), 1, some(DIMS(2, 4, 3)));
}

static void of_sums_of_products(void **state) {
    (void)state;
    check_gradient("Einsum", ATTRIBUTES(STRING("equation", "ij,jk->ik")), 3, some(DIMS(2, 3)), some(DIMS(3, 4)));
    check_gradient("Einsum", ATTRIBUTES(STRING("equation", "bhqd, bhkd -> bhqk")), 3, some(DIMS(2, 2, 3, 2)),
                   some(DIMS(2, 2, 4, 2)));
    check_gradient("Einsum", ATTRIBUTES(STRING("equation", "ij,j")), 3, some(DIMS(2, 3)), some(DIMS(3)));
    check_gradient("Einsum", ATTRIBUTES(STRING("equation", "ijk,j->i")), 3, some(DIMS(2, 3, 4)), some(DIMS(3)));
    check_gradient("Einsum", ATTRIBUTES(STRING("equation", "i,ij,j->")), 7, some(DIMS(2)), some(DIMS(2, 3)),
                   some(DIMS(3)));
}

static void of_transposed_convolution(void **state) {
    (void)state;
    check_gradient("ConvTranspose", NO_ATTRIBUTES, 7, some(DIMS(2, 3, 4)), some(DIMS(3, 2, 3)), some(DIMS(2)));
    check_gradient("ConvTranspose",
                   ATTRIBUTES(INTS("strides", 2, 3), INTS("pads", 1, 0, 0, 1), INTS("output_padding", 1, 2)), 7,
                   some(DIMS(2, 3, 3, 2)), some(DIMS(3, 2, 3, 3)), some(DIMS(2)));
    check_gradient("ConvTranspose", ATTRIBUTES(INT("group", 2), INTS("dilations", 2, 1), INTS("strides", 1, 2)), 3,
                   some(DIMS(1, 4, 3, 3)), some(DIMS(4, 3, 2, 2)));
    check_gradient("ConvTranspose", ATTRIBUTES(STRING("auto_pad", "SAME_UPPER"), INTS("strides", 2, 2)), 3,
                   some(DIMS(1, 2, 3, 2)), some(DIMS(2, 2, 3, 3)));
    check_gradient("ConvTranspose", ATTRIBUTES(INTS("output_shape", 7), INTS("strides", 2)), 3, some(DIMS(1, 2, 3)),
                   some(DIMS(2, 2, 4)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_functions_of_one_input),
        cmocka_unit_test(of_those_with_several_inputs),
        cmocka_unit_test(of_indices),
        cmocka_unit_test(of_slices_with_steps),
        cmocka_unit_test(of_what_repeats_and_pads),
        cmocka_unit_test(of_resizing),
        cmocka_unit_test(of_other_reductions),
        cmocka_unit_test(of_other_normalisations),
        cmocka_unit_test(of_sums_of_products),
        cmocka_unit_test(of_transposed_convolution),
    };
    return cmocka_run_group_tests_name("gradient_more", tests, NULL, NULL);
}
