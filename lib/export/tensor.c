/* TensorProto, its elements in the message or outside of it, and TypeProto. */
#include <stdio.h>
#include "export/export.h"

static void put_entry(tn_pb_out *out, const char *key, const char *value) {
    tn_pb_mark entry = tn_pb_open(out, 13);
    tn_pb_put_text(out, 1, key);
    tn_pb_put_text(out, 2, value);
    tn_pb_close(out, entry);
}

/* The place of these elements among the weights, where tensors that share their memory share a place. */
static tn_status place_outside(tn_exporter *exporter, const tn_tensor *tensor, size_t bytes, uint64_t *offset) {
    typedef struct key {
        const void *data;
        size_t bytes;
    } key;
    tn_weights *weights = exporter->weights;
    key *place = tn_region_alloc(exporter->scratch, sizeof *place);
    tn_weight *weight = tn_region_alloc(exporter->scratch, sizeof *weight);
    int index;
    if (!place || !weight) return TN_E_MEMORY;
    *place = (key){tensor->data, bytes};
    tn_string name = {(const char *)place, sizeof *place};
    if (tn_names_get(&weights->known, name, &index)) {
        tn_weight *w = weights->first;
        while (index-- > 0) w = w->next;
        *offset = w->offset;
        return TN_OK;
    }
    TN_TRY(tn_names_put(&weights->known, exporter->scratch, name, (int)weights->known.count));
    *offset = (weights->bytes + TN_WEIGHT_ALIGNMENT - 1) / TN_WEIGHT_ALIGNMENT * TN_WEIGHT_ALIGNMENT;
    *weight = (tn_weight){NULL, tensor, *offset, bytes};
    if (!weights->last) weights->last = &weights->first;
    *weights->last = weight;
    weights->last = &weight->next;
    weights->bytes = *offset + bytes;
    return TN_OK;
}

static tn_status put_outside(tn_exporter *exporter, const tn_tensor *tensor, size_t bytes) {
    char text[24];
    uint64_t offset;
    TN_TRY(place_outside(exporter, tensor, bytes, &offset));
    put_entry(exporter->out, "location", exporter->options->location);
    snprintf(text, sizeof text, "%llu", (unsigned long long)offset);
    put_entry(exporter->out, "offset", text);
    snprintf(text, sizeof text, "%zu", bytes);
    put_entry(exporter->out, "length", text);
    tn_pb_put_int(exporter->out, 14, 1);
    return TN_OK;
}

tn_status tn_export_tensor(tn_exporter *exporter, uint32_t number, const tn_tensor *tensor, const char *name) {
    size_t bytes = tn_tensor_bytes(tensor);
    bool outside = exporter->options->location && bytes && bytes >= exporter->options->outside_from;
    tn_pb_mark message = tn_pb_open(exporter->out, number);
    if (outside && tensor->dtype != TN_STRING) {
        tn_pb_put_tensor_head(exporter->out, tensor, name);
        TN_TRY(put_outside(exporter, tensor, bytes));
    } else {
        tn_pb_put_tensor(exporter->out, tensor, name);
    }
    tn_pb_close(exporter->out, message);
    return exporter->out->status;
}

void tn_weights_each(const tn_weights *weights, void (*write)(void *context, const void *data, size_t size),
                     void *context) {
    static const char zeros[TN_WEIGHT_ALIGNMENT];
    uint64_t at = 0;
    for (const tn_weight *w = weights->first; w; w = w->next) {
        write(context, zeros, (size_t)(w->offset - at));
        tn_little_endian(w->tensor->data, w->bytes, tn_number_width(w->tensor->dtype), write, context);
        at = w->offset + w->bytes;
    }
}

static void put_shape(tn_pb_out *out, const tn_graph *graph, const tn_type *type) {
    tn_pb_mark shape = tn_pb_open(out, 2);
    for (int i = 0; i < type->rank; i++) {
        tn_pb_mark dim = tn_pb_open(out, 1);
        int64_t symbol = -2 - type->dims[i];
        if (type->dims[i] >= 0)
            tn_pb_put_int(out, 1, type->dims[i]);
        else if (symbol >= 0 && symbol < graph->root->symbol_count)
            tn_pb_put_text(out, 2, graph->root->symbols[symbol]);
        tn_pb_close(out, dim);
    }
    tn_pb_close(out, shape);
}

void tn_export_type(tn_exporter *exporter, uint32_t number, const tn_graph *graph, const tn_type *type, bool shape) {
    tn_pb_out *out = exporter->out;
    tn_pb_mark marks[5];
    int depth = 0;
    if (type->kind != TN_KIND_TENSOR && type->kind != TN_KIND_SEQUENCE) return;
    marks[depth++] = tn_pb_open(out, number);
    if (type->optional) {
        marks[depth++] = tn_pb_open(out, 9);
        marks[depth++] = tn_pb_open(out, 1);
    }
    if (type->kind == TN_KIND_SEQUENCE) {
        marks[depth++] = tn_pb_open(out, 4);
        marks[depth++] = tn_pb_open(out, 1);
    }
    tn_pb_mark tensor = tn_pb_open(out, 1);
    if (type->dtype) tn_pb_put_int(out, 1, type->dtype);
    if (shape && type->rank >= 0) put_shape(out, graph, type);
    tn_pb_close(out, tensor);
    while (depth > 0) tn_pb_close(out, marks[--depth]);
}
