/* Lifting: choosing rules, and what rules build with. See lift.h. */
#include "import/lift.h"
#include "base/element.h"
#include "graph/custom.h"
#include "graph/infer.h"

static tn_status apply_table(tn_lift *lift, const tn_lift_rule *table) {
    for (const tn_lift_rule *rule = table; rule->op; rule++) {
        if (lift->done || lift->version >= rule->before || strcmp(rule->op, lift->op) != 0) continue;
        tn_status status = rule->apply(lift);
        if (status != TN_OK) return status;
        if (lift->status != TN_OK) return lift->status;
    }
    return TN_OK;
}

tn_status tn_lift_apply(tn_lift *lift) {
    static const tn_lift_rule *const tables[] = {tn_lift_elementwise, tn_lift_shape, tn_lift_network, tn_lift_reduce,
                                                 tn_lift_early};
    if (strcmp(lift->domain, "com.microsoft") == 0) {
        bool host = tn_graph_find_op(lift->graph, lift->domain, lift->op) != tn_op_find(lift->domain, lift->op);
        return host ? TN_OK : apply_table(lift, tn_lift_microsoft);
    }
    for (size_t t = 0; t < TN_COUNT(tables) && !*lift->domain; t++) TN_TRY(apply_table(lift, tables[t]));
    return TN_OK;
}

static tn_status add_node(tn_lift *lift, const tn_op *found, const char *op, const tn_node *draft) {
    if (!found)
        return tn_fail(TN_E_UNSUPPORTED, "%s of opset %lld needs operator %s, which is not in this build", lift->op,
                       (long long)lift->version, op);
    int index = tn_graph_add_node(lift->graph, found, lift->node.name, draft->in_count, draft->in, draft->out_count,
                                  draft->out);
    if (index < 0) return TN_E_MEMORY;
    tn_node *node = &lift->graph->nodes[index];
    for (int i = 0; i < draft->attr_count; i++) TN_TRY(tn_node_set_attr(lift->graph, node, &draft->attrs[i]));
    return tn_graph_infer_node(lift->graph, node);
}

tn_status tn_lift_flush(tn_lift *lift) {
    lift->done = true;
    if (lift->status == TN_OK) lift->status = add_node(lift, tn_op_find(lift->domain, lift->op), lift->op, &lift->node);
    return lift->status;
}

tn_status tn_lift_add_to(tn_lift *lift, const char *op, int in_count, const int *in, int out, int attr_count,
                         const tn_attr *attrs) {
    int inputs[8];
    tn_attr copies[8];
    if (lift->status != TN_OK) return lift->status;
    if (out < 0 || in_count > 8 || attr_count > 8)
        return lift->status = tn_fail(TN_E_INTERNAL, "a rule of %s", lift->op);
    memcpy(inputs, in, (size_t)in_count * sizeof *in);
    if (attr_count) memcpy(copies, attrs, (size_t)attr_count * sizeof *attrs);
    tn_node draft = {
        .in_count = in_count, .in = inputs, .out_count = 1, .out = &out, .attr_count = attr_count, .attrs = copies};
    const tn_op *found = tn_op_find("", op);
    return lift->status = add_node(lift, found ? found : tn_op_find("com.microsoft", op), op, &draft);
}

int tn_lift_add(tn_lift *lift, const char *op, int in_count, const int *in, int attr_count, const tn_attr *attrs) {
    int out = tn_lift_value(lift);
    return tn_lift_add_to(lift, op, in_count, in, out, attr_count, attrs) == TN_OK ? out : -1;
}

int tn_lift_one(tn_lift *lift, const char *op, int a) {
    return tn_lift_add(lift, op, 1, &a, 0, NULL);
}

int tn_lift_two(tn_lift *lift, const char *op, int a, int b) {
    return tn_lift_add(lift, op, 2, (int[]){a, b}, 0, NULL);
}

int tn_lift_cast(tn_lift *lift, int value, tn_dtype to) {
    return tn_lift_add(lift, "Cast", 1, &value, 1, &(tn_attr){.name = "to", .kind = TN_ATTR_INT, .i = to});
}

int tn_lift_dims(tn_lift *lift, int value, int start, int end) {
    tn_attr attrs[] = {{.name = "start", .kind = TN_ATTR_INT, .i = start},
                       {.name = "end", .kind = TN_ATTR_INT, .i = end}};
    return tn_lift_add(lift, "Shape", 1, &value, 2, attrs);
}

int tn_lift_reshape(tn_lift *lift, int value, int count, const int *parts) {
    tn_attr axis = {.name = "axis", .kind = TN_ATTR_INT, .i = 0};
    return tn_lift_two(lift, "Reshape", value, tn_lift_add(lift, "Concat", count, parts, 1, &axis));
}

/* A value that was just made, or why it was not. */
static int made(tn_lift *lift, int value) {
    if (value < 0 && lift->status == TN_OK) lift->status = TN_E_MEMORY;
    return value;
}

int tn_lift_value(tn_lift *lift) {
    return made(lift, tn_graph_add_value(lift->graph, NULL, NULL));
}

/* ---- constants ---- */

static int list_constant(tn_lift *lift, tn_dtype dtype, size_t count, const void *values) {
    tn_tensor *tensor = tn_graph_tensor(lift->graph, dtype, 1, (int64_t[]){(int64_t)count}, NULL);
    if (!tensor) return made(lift, -1);
    if (count) memcpy(tensor->data, values, tn_dtype_bytes(dtype, (int64_t)count));
    return made(lift, tn_graph_add_constant(lift->graph, NULL, tensor));
}

int tn_lift_ints(tn_lift *lift, size_t count, const int64_t *values) {
    return list_constant(lift, TN_INT64, count, values);
}

int tn_lift_floats(tn_lift *lift, size_t count, const float *values) {
    return list_constant(lift, TN_FLOAT32, count, values);
}

int tn_lift_scalar(tn_lift *lift, tn_dtype dtype, double value) {
    tn_tensor *tensor = tn_graph_tensor(lift->graph, dtype, 0, NULL, NULL);
    if (!tensor) return made(lift, -1);
    tn_set_double(dtype, tensor->data, 0, value);
    return made(lift, tn_graph_add_constant(lift->graph, NULL, tensor));
}

tn_status tn_lift_ints_to_input(tn_lift *lift, const char *attr, int in) {
    size_t count;
    const int64_t *values = tn_attr_ints(&lift->node, attr, &count);
    if (values) TN_TRY(tn_lift_set_input(lift, in, tn_lift_ints(lift, count, values)));
    tn_node_drop_attr(&lift->node, attr);
    return TN_OK;
}

tn_status tn_lift_float_to_input(tn_lift *lift, const char *attr, int in) {
    if (tn_node_attr(&lift->node, attr)) {
        double value = tn_attr_float(&lift->node, attr, 0);
        TN_TRY(tn_lift_set_input(lift, in, tn_lift_scalar(lift, tn_lift_dtype(lift, 0), value)));
    }
    tn_node_drop_attr(&lift->node, attr);
    return TN_OK;
}

tn_status tn_lift_set_input(tn_lift *lift, int in, int value) {
    if (lift->status != TN_OK || value < 0) return lift->status;
    int count = TN_MAX(lift->node.in_count, in + 1);
    int *list = tn_region_array(lift->scratch, (size_t)count, sizeof *list);
    if (!list) return TN_E_MEMORY;
    for (int i = 0; i < count; i++) list[i] = i < lift->node.in_count ? lift->node.in[i] : -1;
    list[in] = value;
    lift->node.in = list;
    lift->node.in_count = count;
    return TN_OK;
}

int tn_lift_input(const tn_lift *lift, int in) {
    return in < lift->node.in_count ? lift->node.in[in] : -1;
}

tn_dtype tn_lift_dtype(const tn_lift *lift, int in) {
    int value = tn_lift_input(lift, in);
    tn_dtype dtype = value >= 0 ? lift->graph->values[value].type.dtype : TN_UNDEFINED;
    return dtype ? dtype : TN_FLOAT32;
}

int tn_lift_rank(const tn_lift *lift, int in) {
    int value = tn_lift_input(lift, in);
    return value >= 0 && lift->graph->values[value].type.kind == TN_KIND_TENSOR ? lift->graph->values[value].type.rank
                                                                                : -1;
}

const tn_tensor *tn_lift_contents(const tn_lift *lift, int in) {
    int value = tn_lift_input(lift, in);
    return value >= 0 ? lift->graph->values[value].constant : NULL;
}

tn_status tn_lift_unsupported(const tn_lift *lift, const char *what) {
    return tn_fail(TN_E_UNSUPPORTED, "%s of opset %lld cannot be brought to the newest version: %s", lift->op,
                   (long long)lift->version, what);
}
