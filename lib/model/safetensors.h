/* Inside of safetensors files; their form is in tenon/safetensors.h. */
#ifndef TN_MODEL_SAFETENSORS_H
#define TN_MODEL_SAFETENSORS_H

#include <tenon/safetensors.h>
#include "base/tensor.h"

/* The name of a type in such files and back; NULL, TN_UNDEFINED if there is none. */
const char *tn_safetensors_type_name(tn_dtype dtype);
tn_dtype tn_safetensors_type(const char *name);

/* From memory, which must outlive it. */
tn_status tn_safetensors_parse(tn_string contents, tn_safetensors **out_file);
/* A graph of nothing but its tensors as constants, which keeps the file mapped: what tn_upgrade takes weights from. */
tn_status tn_safetensors_load_graph(const char *path, tn_graph **out_graph);

#endif
