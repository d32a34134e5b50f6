/* Lifting reductions and what works along one axis: axes become inputs, Softmax and its kin take one axis alone. */
#include "import/lift.h"

static tn_status axes_to_input(tn_lift *lift) {
    return tn_lift_ints_to_input(lift, "axes", 1);
}

/* Before 13, all axes from `axis` on were taken as one: the same as now only if that is the last one. */
static tn_status flat_axis(tn_lift *lift) {
    int64_t axis = tn_attr_int(&lift->node, "axis", 1);
    int rank = tn_lift_rank(lift, 0);
    TN_TRY(tn_node_set_int(lift->graph, &lift->node, "axis", -1));
    if (axis == -1 || (rank >= 0 && axis == rank - 1)) return TN_OK;
    int data = tn_lift_input(lift, 0), result = lift->node.out_count ? lift->node.out[0] : -1;
    if (data < 0 || result < 0) return TN_OK; /* left to the check of arity */
    int flat = tn_lift_add(lift, "Flatten", 1, &data, 1, &(tn_attr){.name = "axis", .kind = TN_ATTR_INT, .i = axis});
    int shape = tn_lift_add(lift, "Shape", 1, &data, 0, NULL), flat_result = tn_lift_value(lift);
    TN_TRY(tn_lift_set_input(lift, 0, flat));
    lift->node.out[0] = flat_result;
    TN_TRY(tn_lift_flush(lift));
    tn_attr allow_zero = {.name = "allowzero", .kind = TN_ATTR_INT, .i = 1};
    return tn_lift_add_to(lift, "Reshape", 2, (int[]){flat_result, shape}, result, 1, &allow_zero);
}

static tn_status top_k(tn_lift *lift) {
    int64_t k = tn_attr_int(&lift->node, "k", 0);
    tn_node_drop_attr(&lift->node, "k");
    return tn_lift_set_input(lift, 1, tn_lift_ints(lift, 1, &k));
}

/* The axis was an attribute, and 1 unless it said otherwise. */
static tn_status dft_axis(tn_lift *lift) {
    int64_t axis = tn_attr_int(&lift->node, "axis", 1);
    tn_node_drop_attr(&lift->node, "axis");
    return tn_lift_set_input(lift, 2, tn_lift_scalar(lift, TN_INT64, (double)axis));
}

const tn_lift_rule tn_lift_reduce[] = {
    {"ReduceSum", 13, axes_to_input},
    {"ReduceL1", 18, axes_to_input},
    {"ReduceL2", 18, axes_to_input},
    {"ReduceMax", 18, axes_to_input},
    {"ReduceLogSum", 18, axes_to_input},
    {"ReduceLogSumExp", 18, axes_to_input},
    {"ReduceMin", 18, axes_to_input},
    {"ReduceMean", 18, axes_to_input},
    {"ReduceProd", 18, axes_to_input},
    {"ReduceSumSquare", 18, axes_to_input},
    {"Softmax", 13, flat_axis},
    {"LogSoftmax", 13, flat_axis},
    {"Hardmax", 13, flat_axis},
    {"TopK", 10, top_k},
    {"DFT", 20, dft_axis},
    {0},
};
