/* ONNX files, written from graphs and models. Reading them is in model.h.
 *
 * Every operator is written as the ONNX specification has it, for the lowest opset from 13 on in which all of them mean
 * what they mean here; IR version and the opsets of other domains (com.microsoft, a host's own) are stated. Names of
 * inputs, outputs, values and nodes stay; a value without a name of its own gets one. Functions come out inlined, and
 * operators of older opsets as those of today that they were read as. Documentation strings are not kept.
 *
 *     tn_graph *graph;
 *     tn_graph_load("press.onnx", NULL, &graph);       // as the file has it: no passes
 *     tn_graph_save_onnx(graph, "copy.onnx", NULL);
 *     tn_graph_destroy(graph);
 *
 * A model's graph has been through the passes, some of which fuse nodes into operators of Tenon's own; a graph that has
 * one of these is refused with its name. tn_model_options.skip_passes leaves passes out: without "attention", "conv-fuse",
 * "conv-pair" and "matmul-fuse" all operators are standard.
 *
 * Thread-safety: a graph may be written by many threads at once. */
#ifndef TENON_ONNX_H
#define TENON_ONNX_H

#include <tenon/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All zero but struct_size is the default. */
typedef struct tn_onnx_options {
    size_t struct_size;
    /* Weights go to a file beside the model, FILE.<16 hex digits of their SHA-256>.data, as ONNX's external data; what is
     * not set happens by itself where the file would pass 2 GiB, the most that protobuf can read. */
    bool external_data;
} tn_onnx_options;

/* The file at `path`, if there is one, is replaced by the complete new one or stays as it is. A data file of older weights
 * stays too; it is for the host to remove. */
TN_API tn_status tn_graph_save_onnx(const tn_graph *graph, const char *path, const tn_onnx_options *options);
TN_API tn_status tn_model_save_onnx(const tn_model *model, const char *path, const tn_onnx_options *options);

/* The same bytes without a file: calls write with one piece after the other, until all is written or it returns anything
 * but TN_OK, which is then returned. */
TN_API tn_status tn_graph_write_onnx(const tn_graph *graph,
                                     tn_status (*write)(void *context, const void *data, size_t size), void *context);

#ifdef __cplusplus
}
#endif
#endif
