/* Lifting elementwise operators: `axis` and `broadcast` of the first opsets, limits that were attributes. */
#include "import/lift.h"

/* Puts `count` dims of 1 behind input `in`, which has `rank` dims. */
static tn_status pad_dims(tn_lift *lift, int in, int rank, int count) {
    int64_t axes[TN_MAX_RANK];
    for (int i = 0; i < count; i++) axes[i] = rank + i;
    int list = tn_lift_ints(lift, (size_t)count, axes);
    int padded = tn_lift_add(lift, "Unsqueeze", 2, (int[]){tn_lift_input(lift, in), list}, 0, NULL);
    return tn_lift_set_input(lift, in, padded);
}

/* Before 7, B's first dim stood at A's `axis`; without one, its last dim at A's last, as it does now. */
static tn_status broadcast(tn_lift *lift) {
    int64_t axis = tn_attr_int(&lift->node, "axis", 0);
    bool aligned = tn_attr_int(&lift->node, "broadcast", 0) && tn_node_attr(&lift->node, "axis");
    tn_node_drop_attr(&lift->node, "axis");
    tn_node_drop_attr(&lift->node, "broadcast");
    if (!aligned) return TN_OK;
    int a = tn_lift_rank(lift, 0), b = tn_lift_rank(lift, 1);
    if (a < 0 || b < 0) return tn_lift_unsupported(lift, "it has an axis to broadcast at, and inputs of unknown rank");
    if (axis < -a || axis + b > a) return tn_lift_unsupported(lift, "its axis is outside of the inputs' ranks");
    int behind = a - (int)(axis < 0 ? axis + a : axis) - b;
    return behind > 0 ? pad_dims(lift, 1, b, behind) : TN_OK;
}

/* One slope a channel, which is axis 1. */
static tn_status channel_slopes(tn_lift *lift) {
    int rank = tn_lift_rank(lift, 0);
    return rank > 2 && tn_lift_rank(lift, 1) == 1 ? pad_dims(lift, 1, 1, rank - 2) : TN_OK;
}

static tn_status clip_limits(tn_lift *lift) {
    TN_TRY(tn_lift_float_to_input(lift, "min", 1));
    return tn_lift_float_to_input(lift, "max", 2);
}

static tn_status selu_defaults(tn_lift *lift) {
    if (!tn_node_attr(&lift->node, "alpha")) TN_TRY(tn_node_set_float(lift->graph, &lift->node, "alpha", 1.6732f));
    if (tn_node_attr(&lift->node, "gamma")) return TN_OK;
    return tn_node_set_float(lift->graph, &lift->node, "gamma", 1.0507f);
}

/* The dtype's name. */
static tn_status cast_by_name(tn_lift *lift) {
    static const struct {
        const char *name;
        tn_dtype dtype;
    } names[] = {{"FLOAT", TN_FLOAT32},   {"UINT8", TN_UINT8},         {"INT8", TN_INT8},
                 {"UINT16", TN_UINT16},   {"INT16", TN_INT16},         {"INT32", TN_INT32},
                 {"INT64", TN_INT64},     {"STRING", TN_STRING},       {"BOOL", TN_BOOL},
                 {"FLOAT16", TN_FLOAT16}, {"DOUBLE", TN_FLOAT64},      {"UINT32", TN_UINT32},
                 {"UINT64", TN_UINT64},   {"COMPLEX64", TN_COMPLEX64}, {"COMPLEX128", TN_COMPLEX128}};
    const char *to = tn_attr_text(&lift->node, "to", NULL);
    if (!to) return TN_OK;
    for (size_t i = 0; i < TN_COUNT(names); i++)
        if (strcmp(names[i].name, to) == 0) return tn_node_set_int(lift->graph, &lift->node, "to", names[i].dtype);
    return tn_lift_unsupported(lift, "it casts to a data type of unknown name");
}

/* What runs a model does not train it, so nothing is dropped. The mask used to be of the data's type. */
static tn_status dropout(tn_lift *lift) {
    tn_node_drop_attr(&lift->node, "ratio");
    tn_node_drop_attr(&lift->node, "is_test");
    if (lift->version >= 10 || lift->node.out_count < 2 || lift->node.out[1] < 0) return TN_OK;
    int mask = lift->node.out[1], truth = tn_lift_value(lift);
    lift->node.out[1] = truth;
    TN_TRY(tn_lift_flush(lift));
    tn_attr to = {.name = "to", .kind = TN_ATTR_INT, .i = tn_lift_dtype(lift, 0)};
    return tn_lift_add_to(lift, "Cast", 1, &truth, mask, 1, &to);
}

const tn_lift_rule tn_lift_elementwise[] = {
    {"Add", 7, broadcast},
    {"Sub", 7, broadcast},
    {"Mul", 7, broadcast},
    {"Div", 7, broadcast},
    {"Pow", 7, broadcast},
    {"And", 7, broadcast},
    {"Or", 7, broadcast},
    {"Xor", 7, broadcast},
    {"Equal", 7, broadcast},
    {"Less", 7, broadcast},
    {"Greater", 7, broadcast},
    {"PRelu", 7, channel_slopes},
    {"Clip", 11, clip_limits},
    {"Selu", 6, selu_defaults},
    {"Cast", 6, cast_by_name},
    {"Dropout", 12, dropout},
    {0},
};
