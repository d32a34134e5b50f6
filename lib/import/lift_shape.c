/* Lifting operators that move data: attributes that became inputs, Upsample, Scatter. */
#include <limits.h>
#include "base/element.h"
#include "import/lift.h"

static tn_status axes_to_input(tn_lift *lift) {
    return tn_lift_ints_to_input(lift, "axes", 1);
}
static tn_status shape_to_input(tn_lift *lift) {
    return tn_lift_ints_to_input(lift, "shape", 1);
}

static tn_status concat_axis(tn_lift *lift) {
    return tn_node_set_int(lift->graph, &lift->node, "axis", tn_attr_int(&lift->node, "axis", 1));
}

static tn_status pad(tn_lift *lift) {
    TN_TRY(tn_lift_ints_to_input(lift, lift->version < 2 ? "paddings" : "pads", 1));
    return tn_lift_float_to_input(lift, "value", 2);
}

static tn_status slice(tn_lift *lift) {
    TN_TRY(tn_lift_ints_to_input(lift, "starts", 1));
    TN_TRY(tn_lift_ints_to_input(lift, "ends", 2));
    return tn_lift_ints_to_input(lift, "axes", 3);
}

static tn_status split_sizes(tn_lift *lift) {
    return tn_lift_ints_to_input(lift, "split", 1);
}

/* Parts of equal size; as many as there are outputs. */
static tn_status split_evenly(tn_lift *lift) {
    if (tn_lift_input(lift, 1) >= 0) return TN_OK;
    return tn_node_set_int(lift->graph, &lift->node, "num_outputs", lift->node.out_count);
}

/* `tiles` copies along `axis`. */
static tn_status tile(tn_lift *lift) {
    const tn_tensor *tiles = tn_lift_contents(lift, 1), *axis = tn_lift_contents(lift, 2);
    int rank = tn_lift_rank(lift, 0);
    if (!tiles || !axis || rank < 0 || tn_count(tiles) != 1 || tn_count(axis) != 1)
        return tn_lift_unsupported(lift, "its tiles and axis must be constants, and its input's rank known");
    int64_t repeats[TN_MAX_RANK], at = (int64_t)tn_get_double(axis->dtype, axis->data, 0);
    if (at < 0 || at >= rank) return tn_lift_unsupported(lift, "its axis is outside of the input's rank");
    for (int i = 0; i < rank; i++) repeats[i] = i == at ? (int64_t)tn_get_double(tiles->dtype, tiles->data, 0) : 1;
    TN_TRY(tn_lift_set_input(lift, 1, tn_lift_ints(lift, (size_t)rank, repeats)));
    lift->node.in_count = 2;
    return TN_OK;
}

static tn_status scatter(tn_lift *lift) {
    lift->op = "ScatterElements";
    return TN_OK;
}

/* The coordinates that Upsample and the first Resize used. */
static tn_status set_asymmetric(tn_lift *lift, int scales) {
    if (scales < 0) return tn_lift_unsupported(lift, "it has no scales");
    TN_TRY(tn_lift_set_input(lift, 2, scales));
    lift->node.in[1] = -1;
    TN_TRY(tn_node_set_text(lift->graph, &lift->node, "coordinate_transformation_mode", "asymmetric"));
    return tn_node_set_text(lift->graph, &lift->node, "nearest_mode", "floor");
}

static tn_status upsample(tn_lift *lift) {
    int scales = tn_lift_input(lift, 1);
    if (strcmp(tn_attr_text(&lift->node, "mode", "nearest"), "bilinear") == 0)
        TN_TRY(tn_node_set_text(lift->graph, &lift->node, "mode", "linear"));
    if (lift->version < 7) {
        float values[] = {1, 1, tn_attr_float(&lift->node, "height_scale", 1),
                          tn_attr_float(&lift->node, "width_scale", 1)};
        scales = tn_lift_floats(lift, 4, values);
    } else if (lift->version < 9) {
        size_t count;
        const float *values = tn_attr_floats(&lift->node, "scales", &count);
        scales = tn_lift_floats(lift, count, values);
    }
    const char *const old[] = {"scales", "height_scale", "width_scale"};
    for (size_t i = 0; i < TN_COUNT(old); i++) tn_node_drop_attr(&lift->node, old[i]);
    lift->op = "Resize";
    return set_asymmetric(lift, scales);
}

static tn_status first_resize(tn_lift *lift) {
    return set_asymmetric(lift, tn_lift_input(lift, 1));
}

/* An absent roi, or absent scales, used to be an empty tensor. */
static tn_status resize_absent(tn_lift *lift) {
    for (int i = 1; i < lift->node.in_count; i++) {
        const tn_tensor *contents = tn_lift_contents(lift, i);
        if (contents && tn_count(contents) == 0) lift->node.in[i] = -1;
    }
    return TN_OK;
}

/* floor(t), t being half a pixel more than half_pixel's coordinate, rounds that one, halves upwards. */
static tn_status half_pixel_for_nearest(tn_lift *lift) {
    bool gone = strcmp(tn_attr_text(&lift->node, "coordinate_transformation_mode", ""), "tf_half_pixel_for_nn") == 0;
    if (!gone || strcmp(tn_attr_text(&lift->node, "nearest_mode", ""), "floor") != 0) return TN_OK;
    TN_TRY(tn_node_set_text(lift->graph, &lift->node, "coordinate_transformation_mode", "half_pixel"));
    return tn_node_set_text(lift->graph, &lift->node, "nearest_mode", "round_prefer_ceil");
}

const tn_lift_rule tn_lift_shape[] = {
    {"Squeeze", 13, axes_to_input},
    {"Unsqueeze", 13, axes_to_input},
    {"Reshape", 5, shape_to_input},
    {"Concat", 4, concat_axis},
    {"Pad", 11, pad},
    {"Slice", 10, slice},
    {"Split", 13, split_sizes},
    {"Split", 18, split_evenly},
    {"Tile", 6, tile},
    {"Scatter", INT_MAX, scatter},
    {"Resize", 11, first_resize},
    {"Resize", 13, half_pixel_for_nearest},
    {"Resize", INT_MAX, resize_absent},
    {"Upsample", INT_MAX, upsample},
    {0},
};
