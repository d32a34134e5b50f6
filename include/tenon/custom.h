/* Operators of the host's own, in C, known to the models that are loaded with them (tn_model_options.custom_ops).
 *
 * infer is called when a model is built and when a session prepares; it fills the outputs' types from the inputs'. run
 * gets dense tensors and must not allocate if the session is to run without allocation. Both may fail with
 * tn_custom_fail, which gives the sentence that the caller will see. Both may be called from several threads. */
#ifndef TENON_CUSTOM_H
#define TENON_CUSTOM_H

#include <tenon/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_custom_node tn_custom_node; /* the node that a call is about: its attributes */

typedef struct tn_custom_type {
    tn_dtype dtype;            /* TN_UNDEFINED: unknown */
    int rank;                  /* -1: unknown */
    int64_t dims[TN_MAX_RANK]; /* negative: unknown */
} tn_custom_type;

typedef struct tn_custom_op {
    size_t struct_size;
    const char *domain, *name;
    int min_in, max_in;   /* max_in -1: any number */
    int min_out, max_out; /* likewise */
    void *context;
    tn_status (*infer)(void *context, const tn_custom_node *node, int in_count, const tn_custom_type *in, int out_count,
                       tn_custom_type *out);
    /* in[i] is NULL if it is absent, out[i] if nobody wants it. */
    tn_status (*run)(void *context, const tn_custom_node *node, int in_count, const tn_tensor *const *in, int out_count,
                     tn_tensor *const *out);
} tn_custom_op;

/* Makes them known to a graph that is built by hand; models loaded from files get theirs by tn_model_options. The array is
 * copied, the contexts are not. All at once: a second call fails. */
TN_API tn_status tn_graph_add_custom_ops(tn_graph *graph, const tn_custom_op *ops, size_t count);

TN_API int64_t tn_custom_int(const tn_custom_node *node, const char *attribute, int64_t fallback);
TN_API float tn_custom_float(const tn_custom_node *node, const char *attribute, float fallback);
TN_API const char *tn_custom_text(const tn_custom_node *node, const char *attribute, const char *fallback);
/* Keeps `sentence` for tn_last_error and returns `status`. */
TN_API tn_status tn_custom_fail(tn_status status, const char *sentence);

#ifdef __cplusplus
}
#endif
#endif
