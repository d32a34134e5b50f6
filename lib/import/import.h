/* Import of ONNX models: bytes to a graph whose operators all are of their newest version. */
#ifndef TN_IMPORT_H
#define TN_IMPORT_H

#include "graph/graph.h"

/* Fills an empty root graph. `data` must outlive it: weights are used in place. External data is looked for in `folder`
 * (NULL: refused). */
tn_status tn_import_onnx(const void *data, size_t size, const char *folder, tn_graph *graph);
/* Likewise the graph of a model file: external data are in `weights`, which must outlive it too, under `location` alone. */
tn_status tn_import_sections(tn_string message, const char *location, tn_string weights, tn_graph *graph);
/* Maps a whole file to read. An empty file is no failure: contents->size is 0. */
tn_status tn_map_file(const char *path, tn_string *contents);
/* Ends the mapping now, or when the graph goes. */
void tn_unmap_contents(tn_string contents);
tn_status tn_keep_contents(tn_graph *graph, tn_string contents);

/* A TensorProto as a tensor that owns its elements, the bytes of strings included. */
tn_status tn_tensor_read_pb(tn_string message, tn_tensor **out);

#endif
