/* Type inference: the walk over a graph, and what operators' infer functions share. */
#include "graph/infer.h"
#include <stdio.h>

const tn_dtype TN_FLOATS[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64, TN_UNDEFINED};
const tn_dtype TN_NUMBERS[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64, TN_INT8,   TN_INT16,    TN_INT32,
                               TN_INT64,   TN_UINT8,   TN_UINT16,   TN_UINT32,  TN_UINT64, TN_UNDEFINED};

tn_status tn_infer_fail(const tn_infer *call, int in, tn_status status, const char *format, ...) {
    char text[600], type[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!tn_infer_has(call, in)) return tn_fail(status, "input %d is absent; %s", in, text);
    const char *name = "";
    if (call->graph && in < call->node->in_count && call->node->in[in] >= 0)
        name = call->graph->values[call->node->in[in]].name;
    tn_type_text(type, sizeof type, call->graph, call->in[in]);
    if (*name) return tn_fail(status, "input %d '%s' is %s; %s", in, name, type, text);
    return tn_fail(status, "input %d is %s; %s", in, type, text);
}

tn_status tn_infer_dtype(const tn_infer *call, int in, const tn_dtype *allowed) {
    if (!tn_infer_has(call, in)) return tn_infer_fail(call, in, TN_E_INVALID, "it is required");
    const tn_type *type = call->in[in];
    if (type->kind == TN_KIND_UNKNOWN) return TN_OK;
    if (type->kind != TN_KIND_TENSOR) return tn_infer_fail(call, in, TN_E_TYPE, "expected a tensor");
    if (type->dtype == TN_UNDEFINED) return TN_OK;
    char list[300] = "";
    size_t used = 0;
    for (const tn_dtype *d = allowed; *d; d++) {
        if (*d == type->dtype) return TN_OK;
        int n = snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", tn_dtype_name(*d));
        if (n > 0) used = TN_MIN(used + (size_t)n, sizeof list - 1);
    }
    return tn_infer_fail(call, in, TN_E_TYPE, "expected one of %s", list);
}

tn_status tn_infer_out(tn_infer *call, int out, tn_dtype dtype, int rank, const int64_t *dims) {
    if (out >= call->out_count) return TN_OK;
    if (rank > TN_MAX_RANK)
        return tn_fail(TN_E_SHAPE, "output %d would have rank %d; tensors have at most %d dimensions", out, rank,
                       TN_MAX_RANK);
    tn_type_tensor(&call->out[out], dtype, rank, dims);
    for (int i = 0; i < rank; i++)
        if (dims[i] >= 0) {
            /* Known dims alone must give a size that exists, or later products would overflow. */
            int64_t known[TN_MAX_RANK];
            for (int k = 0; k < rank; k++) known[k] = dims[k] < 0 ? 1 : dims[k];
            char text[200];
            int64_t count = tn_dims_count(rank, known);
            if (count < 0 || tn_dtype_bytes(dtype ? dtype : TN_UINT8, count) > (size_t)PTRDIFF_MAX)
                return tn_fail(TN_E_SHAPE, "output %d would be %s, which is too large", out,
                               tn_shape_text(text, sizeof text, dtype, rank, dims));
            break;
        }
    return TN_OK;
}

tn_status tn_infer_same(tn_infer *call, int out, int in) {
    if (out < call->out_count && tn_infer_has(call, in)) call->out[out] = *call->in[in];
    return TN_OK;
}

tn_status tn_infer_broadcast(tn_infer *call, int n, const int *in, int *out_rank, int64_t *out_dims) {
    int rank = 0;
    for (int k = 0; k < n; k++) {
        if (!tn_infer_has(call, in[k])) continue;
        if (call->in[in[k]]->rank < 0) {
            *out_rank = -1;
            return TN_OK;
        }
        rank = TN_MAX(rank, call->in[in[k]]->rank);
    }
    for (int i = 0; i < rank; i++) {
        int64_t dim = 1;
        for (int k = 0; k < n; k++) {
            if (!tn_infer_has(call, in[k])) continue;
            const tn_type *type = call->in[in[k]];
            int axis = i - (rank - type->rank);
            int64_t d = axis >= 0 ? type->dims[axis] : 1;
            if (d == 1 || d == dim) continue;
            if (d >= 0 && dim >= 0 && dim != 1)
                return tn_infer_fail(call, in[k], TN_E_SHAPE, "its dimension %d does not broadcast with %lld", axis,
                                     (long long)dim);
            /* An unknown dim is 1 or the other one; a known one above 1 decides. Two different unknown ones do not. */
            if (dim == 1)
                dim = d;
            else if (d >= 0)
                dim = d;
            else if (dim < 0)
                dim = -1;
        }
        out_dims[i] = dim;
    }
    *out_rank = rank;
    return TN_OK;
}

bool tn_infer_ints(const tn_infer *call, int in, int64_t *values, size_t capacity, size_t *out_count) {
    const tn_tensor *t = in < call->in_count ? call->value[in] : NULL;
    if (!t || (t->dtype != TN_INT64 && t->dtype != TN_INT32)) return false;
    int64_t count = tn_count(t);
    if (count < 0 || (uint64_t)count > capacity) return false;
    for (int64_t i = 0; i < count; i++)
        values[i] = t->dtype == TN_INT64 ? ((const int64_t *)t->data)[i] : ((const int32_t *)t->data)[i];
    *out_count = (size_t)count;
    return true;
}

tn_status tn_infer_axis(const tn_infer *call, int64_t axis, int rank, int *out_axis) {
    (void)call;
    if (axis < -rank || axis >= rank)
        return tn_fail(TN_E_INVALID, "axis %lld is outside of [%d, %d)", (long long)axis, -rank, rank);
    *out_axis = (int)(axis < 0 ? axis + rank : axis);
    return TN_OK;
}

tn_status tn_op_check_arity(const tn_node *node) {
    const tn_op *op = node->op;
    if (node->formal_in < op->min_in || (op->max_in >= 0 && node->formal_in > op->max_in))
        return tn_fail(TN_E_FORMAT, "it has %d inputs; the operator takes %d to %d", node->formal_in, op->min_in,
                       op->max_in);
    if (node->out_count < op->min_out || (op->max_out >= 0 && node->out_count > op->max_out))
        return tn_fail(TN_E_FORMAT, "it has %d outputs; the operator gives %d to %d", node->out_count, op->min_out,
                       op->max_out);
    for (int i = 0; i < op->min_in; i++)
        if (node->in[i] < 0) return tn_fail(TN_E_FORMAT, "input %d is absent; it is required", i);
    return TN_OK;
}

/* Bodies see the captured values' types before they are inferred themselves. */
static void type_captures(tn_graph *graph, const tn_node *node) {
    for (int a = 0; a < node->attr_count; a++) {
        if (node->attrs[a].kind != TN_ATTR_GRAPH) continue;
        tn_graph *body = node->attrs[a].g;
        for (int c = 0; c < body->capture_count; c++)
            body->values[body->captures[c].value].type = graph->values[node->in[body->captures[c].node_input]].type;
    }
}

#define INLINE_TYPES 16

tn_status tn_graph_infer_node(tn_graph *graph, const tn_node *node) {
    const tn_type *in_fixed[INLINE_TYPES], **in = in_fixed;
    const tn_tensor *value_fixed[INLINE_TYPES], **value = value_fixed;
    tn_type out_fixed[INLINE_TYPES], *out = out_fixed;
    int ins = node->formal_in, outs = node->out_count;
    tn_region *scratch = NULL;
    tn_status status = tn_op_check_arity(node);
    if (status != TN_OK) return status;
    if (ins > INLINE_TYPES || outs > INLINE_TYPES) {
        scratch = tn_region_create(graph->allocator);
        in = scratch ? tn_region_array(scratch, (size_t)ins + 1, sizeof *in) : NULL;
        value = scratch ? tn_region_array(scratch, (size_t)ins + 1, sizeof *value) : NULL;
        out = scratch ? tn_region_array(scratch, (size_t)outs + 1, sizeof *out) : NULL;
        status = in && value && out ? TN_OK : TN_E_MEMORY;
    }
    if (status == TN_OK) {
        for (int i = 0; i < ins; i++) {
            in[i] = node->in[i] >= 0 ? &graph->values[node->in[i]].type : NULL;
            value[i] = node->in[i] >= 0 ? graph->values[node->in[i]].constant : NULL;
        }
        for (int i = 0; i < outs; i++) tn_type_unknown(&out[i]);
        type_captures(graph, node);
        tn_infer call = {node, ins, outs, in, value, out, graph};
        status = node->op->infer(&call);
        for (int i = 0; i < outs && status == TN_OK; i++) {
            if (node->out[i] < 0) continue;
            tn_type *type = &graph->values[node->out[i]].type;
            if (type->dtype && out[i].dtype && type->dtype != out[i].dtype)
                status =
                    tn_fail(TN_E_TYPE, "output %d '%s' is said to be %s but the operator gives %s", i,
                            graph->values[node->out[i]].name, tn_dtype_name(type->dtype), tn_dtype_name(out[i].dtype));
            /* Exporters write wrong shapes down; what follows from the operators is right. */
            else if (tn_type_refine(type, &out[i]) != TN_OK)
                *type = out[i];
        }
    }
    tn_region_destroy(scratch);
    return status;
}

tn_status tn_graph_infer(tn_graph *graph) {
    for (int n = 0; n < graph->node_count; n++) {
        if (graph->nodes[n].dead) continue;
        tn_status status = tn_graph_infer_node(graph, &graph->nodes[n]);
        if (status != TN_OK) return tn_node_context(status, &graph->nodes[n]);
    }
    return TN_OK;
}
