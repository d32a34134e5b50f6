/* What a test's files hold: tensors, sequences, optionals, and the model's inputs and outputs as its file declares them. */
#ifndef TN_CONFORMANCE_VALUES_H
#define TN_CONFORMANCE_VALUES_H

#include <stdio.h>
#include <stdlib.h>
#include "base/base.h"
#include "import/onnx.h"
#include "model/file.h"

typedef struct value {
    bool sequence, present;
    tn_dtype dtype; /* of an empty sequence */
    size_t count;
    tn_tensor **tensors;
} value;

static void clear(value *v) {
    for (size_t i = 0; i < v->count; i++) tn_tensor_destroy(v->tensors[i]);
    free(v->tensors);
    *v = (value){0};
}

static tn_status add_tensor(value *v, tn_string message) {
    tn_tensor *tensor;
    TN_TRY(tn_tensor_read_pb(message, &tensor));
    v->tensors = realloc(v->tensors, (v->count + 1) * sizeof(tn_tensor *));
    v->tensors[v->count++] = tensor;
    return TN_OK;
}

/* SequenceProto */
static tn_status read_sequence(value *v, tn_string message) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    v->sequence = true;
    while (tn_pb_next(&r, &f)) {
        if (f.number == 3) TN_TRY(add_tensor(v, tn_pb_bytes(&r, &f)));
        if (f.number > 3) return tn_fail(TN_E_UNSUPPORTED, "a sequence of other things than tensors");
    }
    return tn_pb_done(&r, "SequenceProto");
}

/* OptionalProto */
static tn_status read_optional(value *v, tn_string message) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    v->present = false;
    while (tn_pb_next(&r, &f)) {
        if (f.number < 3) continue;
        v->present = true;
        if (f.number == 3) TN_TRY(add_tensor(v, tn_pb_bytes(&r, &f)));
        if (f.number == 5) TN_TRY(read_sequence(v, tn_pb_bytes(&r, &f)));
    }
    return tn_pb_done(&r, "OptionalProto");
}

static tn_status read_value(const char *path, const tn_type *type, value *v) {
    tn_string bytes;
    *v = (value){.present = true, .dtype = type->dtype};
    TN_TRY(tn_map_file(path, &bytes));
    tn_status status = type->optional ? read_optional(v, bytes)
                       : type->kind == TN_KIND_SEQUENCE
                           ? read_sequence(v, bytes)
                           : add_tensor(v, bytes); /* maps are the tensor of their values */
    tn_unmap_contents(bytes);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "%s", path);
}

/* The model's inputs or outputs as the file declares them. */
typedef struct port {
    char name[256];
    tn_type type;
} port;

static tn_status read_ports(const char *path, port **inputs, int *input_count, port **outputs, int *output_count) {
    tn_graph *graph;
    tn_string file, message = {0}, *list;
    TN_TRY(tn_graph_create_root(NULL, 0, &graph));
    tn_model_file *container = NULL;
    TN_TRY(tn_map_file(path, &file));
    tn_string whole = file;
    if (tn_is_model_file(file)) { /* the model lies in a section of it */
        const void *section;
        TN_TRY(tn_model_file_open_memory(file.data, file.size, &container));
        TN_TRY(tn_model_file_read(container, TN_SECTION_GRAPH, &section, &whole.size));
        whole.data = section;
    }
    tn_pb r = tn_pb_over(whole);
    tn_pb_field f;
    while (tn_pb_next(&r, &f))
        if (f.number == 7) message = tn_pb_bytes(&r, &f);
    for (int pass = 0; pass < 2; pass++) {
        int *count = pass ? output_count : input_count;
        port **ports = pass ? outputs : inputs;
        TN_TRY(tn_pb_collect(graph->region, message, pass ? 12 : 11, &list, count));
        *ports = calloc((size_t)*count + 1, sizeof **ports);
        for (int i = 0; i < *count; i++) {
            tn_string name;
            TN_TRY(tn_onnx_value_info(graph, graph->region, list[i], &name, &(*ports)[i].type));
            snprintf((*ports)[i].name, sizeof(*ports)[i].name, "%.*s", (int)name.size, name.data);
        }
    }
    tn_model_file_close(container);
    tn_unmap_contents(file);
    tn_graph_destroy(graph);
    return TN_OK;
}

#endif
