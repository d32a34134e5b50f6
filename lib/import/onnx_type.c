/* TypeProto, ValueInfoProto and opset lists. */
#include "import/onnx.h"

/* TensorShapeProto */
static tn_status read_shape(tn_graph *graph, tn_region *scratch, tn_string message, tn_type *type) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    int rank = 0;
    while (tn_pb_next(&r, &f)) {
        if (f.number != 1) continue;
        if (rank == TN_MAX_RANK) return tn_fail(TN_E_UNSUPPORTED, "a shape of more than %d dimensions", TN_MAX_RANK);
        int64_t dim = -1;
        tn_pb_field d;
        tn_pb inner = tn_pb_over(tn_pb_bytes(&r, &f));
        while (tn_pb_next(&inner, &d)) {
            if (d.number == 1) dim = TN_MAX(tn_pb_int(&inner, &d), -1);
            if (d.number != 2) continue;
            tn_string symbol = tn_pb_bytes(&inner, &d);
            if (symbol.size == 0 || graph->root->symbol_count >= TN_SYMBOLS) continue;
            char *name = tn_region_strndup(scratch, symbol.data, symbol.size);
            int number = name ? tn_graph_add_symbol(graph, name) : -1;
            if (number < 0) return TN_E_MEMORY;
            dim = -2 - (int64_t)number;
        }
        TN_TRY(tn_pb_done(&inner, "TensorShapeProto.Dimension"));
        type->dims[rank++] = dim;
    }
    type->rank = rank;
    return tn_pb_done(&r, "TensorShapeProto");
}

static tn_status read_tensor_type(tn_graph *graph, tn_region *scratch, tn_string message, tn_type *type) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    while (tn_pb_next(&r, &f)) {
        if (f.number == 1) {
            int64_t dtype = tn_pb_int(&r, &f);
            type->dtype = dtype > 0 && dtype < 1000 && tn_dtype_bits((tn_dtype)dtype) ? (tn_dtype)dtype : TN_UNDEFINED;
        }
        if (f.number == 2) TN_TRY(read_shape(graph, scratch, tn_pb_bytes(&r, &f), type));
    }
    return tn_pb_done(&r, "TypeProto.Tensor");
}

/* The elem_type of a sequence or an optional. */
static tn_status element_type(tn_string message, tn_string *out) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    while (tn_pb_next(&r, &f))
        if (f.number == 1) *out = tn_pb_bytes(&r, &f);
    return tn_pb_done(&r, "TypeProto.Sequence");
}

tn_status tn_onnx_type(tn_graph *graph, tn_region *scratch, tn_string message, tn_type *type) {
    tn_type_unknown(type);
    bool sequence = false;
    /* An optional of a sequence of tensors is as deep as a value can be; what is deeper is of another kind. */
    for (int depth = 0; depth < 3; depth++) {
        tn_pb r = tn_pb_over(message);
        tn_pb_field f;
        tn_string inner = {0};
        bool nested = false;
        while (tn_pb_next(&r, &f)) switch (f.number) {
            case 1:
                TN_TRY(read_tensor_type(graph, scratch, tn_pb_bytes(&r, &f), type));
                type->kind = sequence ? TN_KIND_SEQUENCE : TN_KIND_TENSOR;
                break;
            case 4:
                if (sequence) type->kind = TN_KIND_OTHER;
                nested = !sequence;
                sequence = true;
                TN_TRY(element_type(tn_pb_bytes(&r, &f), &inner));
                break;
            case 9:
                nested = !sequence && !type->optional;
                if (!nested) type->kind = TN_KIND_OTHER;
                type->optional = true;
                TN_TRY(element_type(tn_pb_bytes(&r, &f), &inner));
                break;
            case 5: /* map */
            case 7: /* opaque */
            case 8: /* sparse tensor */ type->kind = TN_KIND_OTHER; break;
            }
        TN_TRY(tn_pb_done(&r, "TypeProto"));
        if (!nested) break;
        message = inner;
    }
    return TN_OK;
}

tn_status tn_onnx_value_info(tn_graph *graph, tn_region *scratch, tn_string message, tn_string *name, tn_type *type) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    tn_string inner = {0};
    *name = (tn_string){"", 0};
    while (tn_pb_next(&r, &f)) {
        if (f.number == 1) *name = tn_pb_bytes(&r, &f);
        if (f.number == 2) inner = tn_pb_bytes(&r, &f);
    }
    TN_TRY(tn_pb_done(&r, "ValueInfoProto"));
    if (!type) return TN_OK;
    tn_status status = tn_onnx_type(graph, scratch, inner, type);
    if (status == TN_OK) return TN_OK;
    return tn_fail_context(status, "value '%.*s'", (int)TN_MIN(name->size, 200u), name->data);
}

tn_status tn_onnx_opsets(tn_region *scratch, tn_string message, uint32_t number, tn_opset **out, int *count) {
    tn_string *messages;
    TN_TRY(tn_pb_collect(scratch, message, number, &messages, count));
    tn_opset *opsets = tn_region_array(scratch, (size_t)*count, sizeof *opsets);
    if (!opsets) return TN_E_MEMORY;
    for (int i = 0; i < *count; i++) {
        tn_pb r = tn_pb_over(messages[i]);
        tn_pb_field f;
        while (tn_pb_next(&r, &f)) {
            if (f.number == 1) opsets[i].domain = tn_pb_bytes(&r, &f);
            if (f.number == 2) opsets[i].version = tn_pb_int(&r, &f);
        }
        TN_TRY(tn_pb_done(&r, "OperatorSetIdProto"));
        tn_string domain = opsets[i].domain;
        if (tn_string_equal(domain, tn_string_of("ai.onnx"))) domain.size = 0;
        opsets[i].domain = domain;
        bool ml = tn_string_equal(domain, tn_string_of("ai.onnx.ml"));
        int64_t newest = domain.size == 0 ? TN_ONNX_OPSET : ml ? TN_ONNX_ML_OPSET : INT64_MAX;
        if (opsets[i].version < 1 || opsets[i].version > newest)
            return tn_fail(TN_E_UNSUPPORTED, "opset %lld of %s; versions 1 to %lld are known",
                           (long long)opsets[i].version,
                           ml            ? "ai.onnx.ml"
                           : domain.size ? "a domain"
                                         : "ai.onnx",
                           (long long)newest);
    }
    *out = opsets;
    return TN_OK;
}
