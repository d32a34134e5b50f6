/* Weights in safetensors files, the form in which Python's frameworks exchange them (github.com/huggingface/safetensors).
 *
 *     tn_safetensors *weights;
 *     tn_safetensors_open("press.safetensors", &weights);
 *     int i = tn_safetensors_find(weights, "encoder.0.weight");
 *     const tn_tensor *w = tn_safetensors_tensor(weights, i);     // read where it lies in the file
 *     tn_safetensors_close(weights);
 *
 * A file is a 64-bit length, so many bytes of JSON that name each tensor with its type, shape and place, and the elements,
 * little-endian. It holds numbers alone: no graph (tenon/onnx.h, tenon/model_file.h), and nothing that could be run. The
 * file is mapped and its elements are not copied, but those of a tensor that does not lie at a multiple of its element's
 * size; it must stay as it is while it is open. Weights go into a model of the same structure with tn_upgrade
 * (tenon/upgrade.h), by name.
 *
 * What is refused: tensors that overlap, leave gaps or reach beyond the file, shapes that do not fit their bytes, more than
 * 8 dimensions, a header of more than 16 MiB, bools that are neither 0 nor 1, and element types that Tenon has none for
 * (4-bit and 6-bit floats).
 *
 * Thread-safety: an open file may be read by any number of threads. A library built without jansson, or on a big-endian
 * machine, answers TN_E_UNSUPPORTED. */
#ifndef TENON_SAFETENSORS_H
#define TENON_SAFETENSORS_H

#include <tenon/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_safetensors tn_safetensors;

TN_API tn_status tn_safetensors_open(const char *path, tn_safetensors **out_file);
/* Its tensors and names go with it. Accepts NULL. */
TN_API void tn_safetensors_close(tn_safetensors *file);
/* Tensors in order of their names. NULL of an index that there is none of. */
TN_API int tn_safetensors_count(const tn_safetensors *file);
TN_API const char *tn_safetensors_name(const tn_safetensors *file, int index);
TN_API const tn_tensor *tn_safetensors_tensor(const tn_safetensors *file, int index);
TN_API int tn_safetensors_find(const tn_safetensors *file, const char *name); /* -1: there is none */
/* What the file says under this key of its metadata, such as "format"; NULL if nothing. */
TN_API const char *tn_safetensors_metadata(const tn_safetensors *file, const char *key);

/* Writes tensors, any strides, under names that differ; the file at `path` is replaced by the complete new one or stays. */
TN_API tn_status tn_safetensors_save(const char *path, int count, const char *const *names,
                                     const tn_tensor *const *tensors);
/* The constants of a graph that have a name: the initializers of an ONNX file, but those of strings, and those of bodies of
 * If, Loop and Scan. */
TN_API tn_status tn_graph_save_safetensors(const tn_graph *graph, const char *path);

#ifdef __cplusplus
}
#endif
#endif
