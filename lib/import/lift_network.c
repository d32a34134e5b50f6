/* Lifting layers: normalization, pooling, recurrent and sampling operators. */
#include "import/lift.h"

/* One statistic an element of a sample, not a channel: spelled out. */
static tn_status normalize_elements(tn_lift *lift) {
    const tn_node *node = &lift->node;
    if (node->in_count < 5 || node->out_count < 1) return TN_OK;
    int epsilon = tn_lift_scalar(lift, tn_lift_dtype(lift, 4), tn_attr_float(node, "epsilon", 1e-5f));
    int x = tn_lift_add(lift, "Sub", 2, (int[]){node->in[0], node->in[3]}, 0, NULL);
    int variance = tn_lift_add(lift, "Add", 2, (int[]){node->in[4], epsilon}, 0, NULL);
    int deviation = tn_lift_add(lift, "Sqrt", 1, &variance, 0, NULL);
    int unit = tn_lift_add(lift, "Div", 2, (int[]){x, deviation}, 0, NULL);
    int scaled = tn_lift_add(lift, "Mul", 2, (int[]){unit, node->in[1]}, 0, NULL);
    lift->done = true;
    return tn_lift_add_to(lift, "Add", 2, (int[]){scaled, node->in[2]}, node->out[0], 0, NULL);
}

/* Nothing is trained: the statistics that go out, if somebody asks for them, are those that came in. */
static tn_status batch_norm(tn_lift *lift) {
    tn_node *node = &lift->node;
    for (int i = 1; i < node->out_count && node->in_count == 5; i++)
        if (node->out[i] >= 0)
            TN_TRY(tn_lift_add_to(lift, "Identity", 1, &node->in[i % 2 ? 3 : 4], node->out[i], 0, NULL));
    node->out_count = TN_MIN(node->out_count, 1);
    bool spatial = tn_attr_int(node, "spatial", 1) != 0;
    tn_node_drop_attr(node, "spatial");
    tn_node_drop_attr(node, "is_test");
    return spatial ? TN_OK : normalize_elements(lift);
}

/* Scale and bias were one a group; now they are one a channel: each is repeated for the group's channels. */
static tn_status group_norm(tn_lift *lift) {
    int64_t groups = tn_attr_int(&lift->node, "num_groups", 0), last = -1;
    if (groups < 1 || lift->node.in_count != 3) return tn_lift_unsupported(lift, "it has no groups");
    tn_attr channel_axis[] = {{.name = "start", .kind = TN_ATTR_INT, .i = 1},
                              {.name = "end", .kind = TN_ATTR_INT, .i = 2}};
    tn_attr axis = {.name = "axis", .kind = TN_ATTR_INT, .i = 0};
    int count = tn_lift_ints(lift, 1, &groups), minus_one = tn_lift_ints(lift, 1, &last);
    int channels = tn_lift_add(lift, "Shape", 1, &lift->node.in[0], 2, channel_axis);
    int each = tn_lift_add(lift, "Div", 2, (int[]){channels, count}, 0, NULL);
    int shape = tn_lift_add(lift, "Concat", 2, (int[]){count, each}, 1, &axis);
    for (int i = 1; i < 3; i++) {
        int column = tn_lift_add(lift, "Unsqueeze", 2, (int[]){lift->node.in[i], minus_one}, 0, NULL);
        int table = tn_lift_add(lift, "Expand", 2, (int[]){column, shape}, 0, NULL);
        int list = tn_lift_add(lift, "Reshape", 2, (int[]){table, minus_one}, 0, NULL);
        TN_TRY(tn_lift_set_input(lift, i, list));
    }
    return TN_OK;
}

/* p was a float. */
static tn_status norm_order(tn_lift *lift) {
    return tn_node_set_int(lift->graph, &lift->node, "p", (int64_t)tn_attr_float(&lift->node, "p", 2));
}

static tn_status recurrent(tn_lift *lift) {
    tn_node_drop_attr(&lift->node, "output_sequence"); /* all outputs are optional */
    if (strcmp(tn_attr_text(&lift->node, "direction", ""), "foward") == 0) tn_node_drop_attr(&lift->node, "direction");
    return TN_OK;
}

static tn_status grid_sample(tn_lift *lift) {
    const char *mode = tn_attr_text(&lift->node, "mode", "bilinear");
    if (strncmp(mode, "bi", 2) != 0) return TN_OK;
    return tn_node_set_text(lift->graph, &lift->node, "mode", mode + 2);
}

static tn_status roi_align(tn_lift *lift) {
    return tn_node_set_text(lift->graph, &lift->node, "coordinate_transformation_mode", "output_half_pixel");
}

/* C broadcast only where the attribute said so; a C of the whole shape broadcasts just as well. */
static tn_status gemm(tn_lift *lift) {
    tn_node_drop_attr(&lift->node, "broadcast");
    return TN_OK;
}

const tn_lift_rule tn_lift_network[] = {
    {"BatchNormalization", 14, batch_norm},
    {"GroupNormalization", 21, group_norm},
    {"LpPool", 2, norm_order},
    {"GlobalLpPool", 2, norm_order},
    {"RNN", 7, recurrent},
    {"GRU", 7, recurrent},
    {"LSTM", 7, recurrent},
    {"GridSample", 20, grid_sample},
    {"RoiAlign", 16, roi_align},
    {"Gemm", 7, gemm},
    {0},
};
