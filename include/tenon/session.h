/* Sessions: run a model.
 *
 *     tn_session *s;  const tn_tensor *y;
 *     tn_session_create(model, NULL, &s);
 *     tn_session_set_input(s, 0, x);          // borrows x
 *     tn_session_run(s);                      // prepares itself for new shapes first
 *     tn_session_output(s, 0, &y);            // belongs to the session, until its next run
 *
 * A session is prepared for the shapes of its inputs: memory laid out, weights packed. tn_session_run on shapes that it
 * is prepared for allocates nothing and takes no lock that another session holds (models whose shapes hang on data, as
 * NonZero makes them, excepted). Prepared shapes are kept, `max_shapes` of them, the least recently used dropped first.
 *
 * Threads: a session belongs to one thread at a time; sessions of one model run side by side and share its weights.
 * Results are equal bit for bit at any thread count. */
#ifndef TENON_SESSION_H
#define TENON_SESSION_H

#include <tenon/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_session tn_session;

/* All zero but struct_size is the default. */
typedef struct tn_session_options {
    size_t struct_size;
    const tn_allocator *allocator; /* NULL: the model's */
    int threads;                   /* the caller's included; 0 and 1: no thread is started */
    int max_shapes;                /* prepared shapes to keep; 0: 4 */
    uint64_t seed;                 /* of random operators that have none of their own */
    bool profile;                  /* measure each node's time */
} tn_session_options;

TN_API tn_status tn_session_create(const tn_model *model, const tn_session_options *options, tn_session **out_session);
TN_API void tn_session_destroy(tn_session *session); /* accepts NULL */
TN_API const tn_model *tn_session_model(const tn_session *session);

/* Borrows the tensor until another takes its place or the session goes; its contents are read at each run, without a
 * copy if it is dense. Its dtype and shape must fit the model's. Call it once, then refill the tensor's data. */
TN_API tn_status tn_session_set_input(tn_session *session, int index, const tn_tensor *tensor);
TN_API tn_status tn_session_set_input_by_name(tn_session *session, const char *name, const tn_tensor *tensor);
/* For inputs that are sequences: copies the tensors. */
TN_API tn_status tn_session_set_input_sequence(tn_session *session, int index, tn_dtype dtype, size_t count,
                                               const tn_tensor *const *tensors);
/* For inputs that are optionals: nothing is in it. */
TN_API tn_status tn_session_set_input_none(tn_session *session, int index);

/* Prepares for the inputs as they are set now, and waits until weights that are used where a file has them are in memory;
 * tn_session_run does it by itself, but then the first run is the slow one. */
TN_API tn_status tn_session_prepare(tn_session *session);
TN_API tn_status tn_session_run(tn_session *session);
/* Makes a run on another thread stop at the next node, or the next turn of a loop, with TN_E_INTERRUPTED; between runs it
 * stops the one that comes next. The session can run again afterwards. May be called from a signal handler. */
TN_API void tn_session_interrupt(tn_session *session);

/* Valid until the session's next run. *out_tensor is NULL for an empty optional. */
TN_API tn_status tn_session_output(const tn_session *session, int index, const tn_tensor **out_tensor);
TN_API tn_status tn_session_output_by_name(const tn_session *session, const char *name, const tn_tensor **out_tensor);
/* From the next run on the output lands in this tensor, which must be dense, of the output's type and shape, and live until
 * another takes its place; NULL: in the session's memory again. Nodes write straight into it where they can; views, and what
 * other nodes read as well, are copied when the run is over. It must not be what an input is. After a run that fails its
 * contents are undefined. */
TN_API tn_status tn_session_bind_output(tn_session *session, int index, tn_tensor *tensor);
/* Starts the generator of random operators anew. */
TN_API void tn_session_seed(tn_session *session, uint64_t seed);
/* For outputs that are sequences. */
TN_API tn_status tn_session_output_length(const tn_session *session, int index, size_t *out_count);
TN_API tn_status tn_session_output_element(const tn_session *session, int index, size_t element,
                                           const tn_tensor **out_tensor);
/* A number that changes when a run leaves an output elsewhere, or of another type or shape, than the run before it; with
 * outputs that are sequences, at each run. While it stays, what was asked of the outputs' tensors stays true. 0: no run yet.
 */
TN_API uint64_t tn_session_outputs_version(const tn_session *session);

/* Memory of the plan in use; all 0 before the first preparation. */
typedef struct tn_session_memory {
    size_t struct_size; /* set by the caller */
    size_t arena;       /* bytes of the arena */
    size_t sum;         /* bytes of all intermediate tensors, were none to share memory */
    size_t packed;      /* bytes of packed weights, shared by all sessions of the model */
    size_t scratch;
    size_t mapped; /* of `packed`: what lies in a file, and so in memory once for all processes: see packed_folder */
} tn_session_memory;
TN_API tn_status tn_session_memory_info(const tn_session *session, tn_session_memory *out_memory);

/* One node of the plan in use, in the order of running. What is only another view of its input never runs: its runs stay
 * 0. The nodes in the bodies of If, Loop and Scan come right behind their node, whose time includes theirs. */
typedef struct tn_profile_row {
    size_t struct_size; /* set by the caller */
    int node;           /* its number in `graph`, or -1 for work of the session itself */
    const char *op, *name;
    char shape[96];         /* of output 0 */
    uint64_t runs;          /* since the start or the last reset */
    uint64_t nanoseconds;   /* in all */
    uint64_t last_start_ns; /* of the last run, since that run's start */
    uint64_t last_ns;
    const tn_graph *graph; /* that the node is in: tn_model_graph's, or a body */
    int depth;             /* 0; 1 in a body; 2 in a body's body... */
} tn_profile_row;
/* TN_E_NOT_FOUND past the last row. Needs options.profile. */
TN_API tn_status tn_session_profile(const tn_session *session, int index, tn_profile_row *out_row);
TN_API void tn_session_profile_reset(tn_session *session);

#ifdef __cplusplus
}
#endif
#endif
