/* What the tests of the importer share: importing from memory of exactly the model's size, so that a sanitizer sees
 * what reads outside of it, and a small graph to put wrong things into. */
#ifndef TN_UNIT_ONNX_IMPORT_H
#define TN_UNIT_ONNX_IMPORT_H

#include "unit.h"
#include <stdlib.h>
#include "import/import.h"
#include "protobuf.h"

static uint8_t *exact; /* the bytes of the model that is imported now */

static inline tn_status import_bytes(const void *data, size_t size, const char *folder, size_t limit,
                                     tn_graph **graph) {
    free(exact);
    exact = malloc(size ? size : 1);
    memcpy(exact, data, size);
    assert_ok(tn_graph_create_root(NULL, limit, graph));
    return tn_import_onnx(exact, size, folder, *graph);
}

static inline tn_status import(const pb_bytes *model, tn_graph **graph) {
    return import_bytes(model->data, model->size, NULL, 0, graph);
}

/* Fails with that status and words in the sentence. */
static inline void refused_from(const pb_bytes *model, const char *folder, size_t limit, tn_status status,
                                const char *words) {
    tn_graph *graph;
    assert_int_equal(import_bytes(model->data, model->size, folder, limit, &graph), status);
    if (!strstr(tn_last_error(), words)) fail_msg("'%s' is not in '%s'", words, tn_last_error());
    tn_graph_destroy(graph);
}
static inline void refused(const pb_bytes *model, tn_status status, const char *words) {
    refused_from(model, NULL, 0, status, words);
}

static const int64_t two_by_three[] = {2, 3};
static const int64_t batch_by_three[] = {-1, 3};

/* x[batch,3] + w[3] -> s, Relu -> y; the nodes stand the wrong way round. */
static inline void small_graph(pb_bytes *graph) {
    const float w[] = {1, 2, 3};
    pb_bytes tensor = {0};
    onnx_tensor(&tensor, "w", TN_FLOAT32, 1, (int64_t[]){3});
    pb_numbers(&tensor, 9, w, sizeof w, sizeof *w);
    graph->size = 0;
    onnx_node(graph, 1, "Relu", "", "s", "y", NULL);
    onnx_node(graph, 1, "Add", "", "x,w", "s", NULL);
    pb_message(graph, 5, &tensor);
    onnx_value(graph, 11, "x", 2, batch_by_three);
    onnx_value(graph, 12, "y", 2, batch_by_three);
}

static inline const tn_tensor *constant(const tn_graph *g, const char *name) {
    for (int i = 0; i < g->value_count; i++)
        if (strcmp(g->values[i].name, name) == 0) return g->values[i].constant;
    fail_msg("there is no value '%s'", name);
    return NULL;
}

/* Frees what the last import read from. */
static inline int end_of_imports(int failed) {
    free(exact);
    return failed;
}

#endif
