/* Lifting: choosing rules, and what rules build with. See lift.h. */
#include "import/lift.h"
#include "base/half.h"
#include "graph/infer.h"

tn_status tn_lift_apply(tn_lift *lift) {
    static const tn_lift_rule *const tables[] = {tn_lift_elementwise, tn_lift_shape, tn_lift_network, tn_lift_reduce};
    for (size_t t = 0; t < TN_COUNT(tables); t++)
        for (const tn_lift_rule *rule = tables[t]; rule->op; rule++) {
            if (lift->done || lift->version >= rule->before || strcmp(rule->op, lift->op) != 0) continue;
            tn_status status = rule->apply(lift);
            if (status != TN_OK) return status;
        }
    return TN_OK;
}

static tn_status add_node(tn_lift *lift, const char *op, const tn_node *draft) {
    const tn_op *found = tn_op_find("", op);
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
    return add_node(lift, lift->op, &lift->node);
}

tn_status tn_lift_add_to(tn_lift *lift, const char *op, int in_count, const int *in, int out, int attr_count,
                         const tn_attr *attrs) {
    tn_node draft = {.in_count = in_count, .out_count = 1, .out = &out, .attr_count = attr_count};
    draft.in = tn_region_array(lift->scratch, (size_t)in_count, sizeof *draft.in);
    draft.attrs = tn_region_array(lift->scratch, (size_t)attr_count, sizeof *draft.attrs);
    if (!draft.in || !draft.attrs) return TN_E_MEMORY;
    memcpy(draft.in, in, (size_t)in_count * sizeof *in);
    if (attr_count) memcpy(draft.attrs, attrs, (size_t)attr_count * sizeof *attrs);
    return add_node(lift, op, &draft);
}

int tn_lift_add(tn_lift *lift, const char *op, int in_count, const int *in, int attr_count, const tn_attr *attrs) {
    int out = tn_lift_value(lift);
    return out >= 0 && tn_lift_add_to(lift, op, in_count, in, out, attr_count, attrs) == TN_OK ? out : -1;
}

int tn_lift_value(tn_lift *lift) {
    return tn_graph_add_value(lift->graph, NULL, NULL);
}

int tn_lift_ints(tn_lift *lift, size_t count, const int64_t *values) {
    tn_tensor *tensor = tn_graph_tensor(lift->graph, TN_INT64, 1, (int64_t[]){(int64_t)count}, NULL);
    if (!tensor) return -1;
    if (count) memcpy(tensor->data, values, count * sizeof *values);
    return tn_graph_add_constant(lift->graph, NULL, tensor);
}

int tn_lift_scalar(tn_lift *lift, tn_dtype dtype, double value) {
    tn_tensor *tensor = tn_graph_tensor(lift->graph, dtype, 0, NULL, NULL);
    if (!tensor) return -1;
    switch (dtype) {
    case TN_FLOAT32: *(float *)tensor->data = (float)value; break;
    case TN_FLOAT64: *(double *)tensor->data = value; break;
    case TN_FLOAT16: *(uint16_t *)tensor->data = tn_float_to_half((float)value); break;
    case TN_BFLOAT16: *(uint16_t *)tensor->data = tn_float_to_bfloat((float)value); break;
    case TN_INT32: *(int32_t *)tensor->data = (int32_t)value; break;
    case TN_INT64: *(int64_t *)tensor->data = (int64_t)value; break;
    case TN_BOOL: *(bool *)tensor->data = value != 0; break;
    default: tn_lift_unsupported(lift, tn_dtype_name(dtype)); return -1;
    }
    return tn_graph_add_constant(lift->graph, NULL, tensor);
}

tn_status tn_lift_set_input(tn_lift *lift, int in, int value) {
    if (value < 0) return TN_E_MEMORY;
    int count = TN_MAX(lift->node.in_count, in + 1);
    int *list = tn_region_array(lift->scratch, (size_t)count, sizeof *list);
    if (!list) return TN_E_MEMORY;
    for (int i = 0; i < count; i++) list[i] = i < lift->node.in_count ? lift->node.in[i] : -1;
    list[in] = value;
    lift->node.in = list;
    lift->node.in_count = count;
    return TN_OK;
}

const tn_type *tn_lift_type(const tn_lift *lift, int in) {
    int value = in < lift->node.in_count ? lift->node.in[in] : -1;
    return value >= 0 ? &lift->graph->values[value].type : NULL;
}

tn_status tn_lift_unsupported(const tn_lift *lift, const char *what) {
    return tn_fail(TN_E_UNSUPPORTED, "%s of opset %lld cannot be brought to the newest version: %s", lift->op,
                   (long long)lift->version, what);
}
