/* The operator contract: what a file in lib/ops gives to the rest.
 *
 * Each file lib/ops/<file>.c defines `const tn_op tn_ops_<file>[]`, ended by an empty row; the build collects them from
 * the file names. An operator meets three calls:
 *
 *   infer    types of the outputs from types of the inputs and the contents of those that are known. Called when a
 *            graph is built (dims may be unknown), when a session prepares (dims known), and at run time for nodes whose
 *            shapes hang on data (then all inputs' contents are known). It checks what it can and fails with a
 *            sentence. An output dim that it cannot tell stays -1.
 *   prepare  once for given concrete shapes: decodes attributes into state, packs weights, asks for scratch memory.
 *            Everything slow or allocating happens here. Optional.
 *   run      the work. Allocates nothing (but see tn_run_output), looks up no attribute by name, takes no lock.
 *            All tensors are dense; their data is aligned as their elements are, no more (views and the host's memory
 *            come as they are). Outputs are allocated unless infer left their shape unknown.
 *
 * Types are checked in infer, so run may trust them. Inputs hold no promise on contents: indices are checked in run.
 *
 * Half precision: an operator with TN_OP_WIDEN never sees float16 or bfloat16 in prepare and run: a pass puts casts
 * to float32 around it. Its infer must accept them. */
#ifndef TN_OP_H
#define TN_OP_H

#include "base/threads.h"
#include "graph/graph.h"
#include "kernels/kernels.h"

typedef struct tn_infer {
    const tn_node *node;
    int in_count, out_count;       /* formal inputs; outputs that the node lists */
    const tn_type *const *in;      /* NULL: absent */
    const tn_tensor *const *value; /* contents of input i where known, else NULL */
    tn_type *out;                  /* to fill; preset to unknown */
    tn_graph *graph;               /* for symbols' names; may be NULL */
} tn_infer;

typedef struct tn_prepare {
    const tn_node *node;
    int in_count, out_count;
    const tn_type *const *in; /* concrete; NULL: absent */
    /* Contents of inputs that never change for this plan (weights), else NULL; all, if infer left a shape unknown. There
     * while preparing only: run finds them in its inputs, unless tn_prepare_pack was called for them. */
    const tn_tensor *const *value;
    const tn_type *out; /* concrete but where only run can tell */
    const tn_kernels *kernels;
    int threads;
    size_t scratch; /* to set: bytes that run needs for itself, 64-byte aligned */
    void *state;    /* to set: from tn_prepare_alloc */
    struct tn_prepare_host *host;
} tn_prepare;

/* A list of tensors at run time (ONNX sequences); owns copies of its elements. */
typedef struct tn_sequence tn_sequence;

typedef struct tn_value {
    tn_tensor tensor;
    tn_sequence *sequence; /* if it is one */
    tn_sequence *own;      /* a sequence to write to, which belongs to this value and is kept for reuse */
    bool present;          /* false: an empty optional, or an absent output */
} tn_value;

typedef struct tn_run {
    const tn_node *node;
    int in_count, out_count;
    tn_value *const *in;  /* NULL: absent */
    tn_value *const *out; /* NULL: nobody wants it */
    void *state, *scratch;
    const tn_kernels *kernels;
    tn_pool *pool; /* for tn_parallel */
    struct tn_run_host *host;
} tn_run;

enum {
    TN_OP_WIDEN = 1,    /* see above */
    TN_OP_IN_PLACE = 2, /* output 0 may be the very memory of any input of the same byte size */
    TN_OP_RANDOM = 4,   /* gives other results each time: never folded or merged */
    TN_OP_CONTROL = 8,  /* has bodies; the executor runs it */
    TN_OP_SHAPE = 16,   /* looks at its input's shape alone: evaluated as soon as that is known */
    /* Each of the rows along axis 0 of the outputs comes from that row of those inputs that have as many and the output's
     * rank, and from the other inputs as a whole; an operator with a fixed number of outputs: of output 0 alone. */
    TN_OP_BATCH = 64,
    TN_OP_IN_PLACE_FIRST = 32, /* output 0 may be the very memory of input 0, which no other input shares */
};

struct tn_op {
    const char *domain; /* "" is ai.onnx */
    const char *name;
    int min_in, max_in, min_out, max_out; /* a max of -1: any number */
    unsigned flags;
    tn_status (*infer)(tn_infer *call);
    tn_status (*prepare)(tn_prepare *call);
    tn_status (*run)(tn_run *call);
    void *context; /* of a custom operator */
    /* Optional. True if output `out` is nothing but the bytes of input *in from *byte_offset on (Reshape, Split and
     * Slice of outer axes): then the plan may let it share the memory, and run is skipped. */
    bool (*view)(const tn_prepare *call, int out, int *in, size_t *byte_offset);
    /* Optional. True if input `in` may be written straight to *byte_offset of output 0 (Concat of outer axes). */
    bool (*place)(const tn_prepare *call, int in, size_t *byte_offset);
};

/* The operator of that domain ("" or "ai.onnx") and name, or NULL. */
const tn_op *tn_op_find(const char *domain, const char *name);
/* All operators, for listing: ends with NULL. */
const tn_op *const *tn_op_tables(void);

/* ---- for infer ---- */
/* tn_fail with the operator's input named: "input 1 'w' is int32[3]; <text>". */
tn_status tn_infer_fail(const tn_infer *call, int in, tn_status status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Fails unless input `in` is present and its dtype is unknown or in the list (TN_UNDEFINED ends it). */
tn_status tn_infer_dtype(const tn_infer *call, int in, const tn_dtype *allowed);
/* Ready lists for it. */
extern const tn_dtype TN_FLOATS[];  /* float32, float16, bfloat16, float64 */
extern const tn_dtype TN_NUMBERS[]; /* floats and all whole-byte integers */
tn_status tn_infer_out(tn_infer *call, int out, tn_dtype dtype, int rank, const int64_t *dims); /* rank -1: unknown */
tn_status tn_infer_same(tn_infer *call, int out, int in); /* output type is input type */
/* Numpy broadcasting of n types' dims; dims unknown where they must be. Fails where they do not broadcast. */
tn_status tn_infer_broadcast(tn_infer *call, int n, const int *in, int *out_rank, int64_t *out_dims);
/* Contents of an int64 or int32 input as int64: false if they are not known. Fails not on absence (returns false). */
bool tn_infer_ints(const tn_infer *call, int in, int64_t *values, size_t capacity, size_t *out_count);
/* axis of [-rank, rank) to [0, rank), or a failure. */
tn_status tn_infer_axis(const tn_infer *call, int64_t axis, int rank, int *out_axis);
static inline bool tn_infer_has(const tn_infer *call, int in) {
    return in < call->in_count && call->in[in];
}

/* ---- for prepare ---- */
/* Zeroed memory that lives as long as the plan. NULL with a sentence on failure. */
void *tn_prepare_alloc(tn_prepare *call, size_t size);
/* Weights of input `in` in another layout, made by pack(dst, context) once and shared by all sessions of the model (and
 * by all plans); `layout` names the layout with all its parameters ("gemm_b_f32 16 k=64 n=128"). bytes: of dst. The
 * input's contents must be known. */
tn_status tn_prepare_pack(tn_prepare *call, int in, const char *layout, size_t bytes,
                          void (*pack)(void *dst, const void *context), const void *context, const void **out_packed);
/* Whether weights of input `in` are to be read where they lie, and packed piece by piece in each run, if need be. A piece
 * is used `uses` times then, which tells what packing costs: the host may have left it to that. */
bool tn_prepare_in_place(const tn_prepare *call, int in, size_t uses);
static inline bool tn_prepare_has(const tn_prepare *call, int in) {
    return in < call->in_count && call->in[in];
}
static inline int64_t tn_type_count(const tn_type *type) {
    return tn_dims_count(type->rank, type->dims);
}

/* ---- for run ---- */
/* NULL if absent (or an empty optional). */
static inline const tn_tensor *tn_in(const tn_run *call, int in) {
    return in < call->in_count && call->in[in] && call->in[in]->present ? &call->in[in]->tensor : NULL;
}
/* NULL if nobody wants it. */
static inline tn_tensor *tn_out(const tn_run *call, int out) {
    return out < call->out_count && call->out[out] ? &call->out[out]->tensor : NULL;
}
/* Allocates an output whose shape only run can tell; does nothing for one that nobody wants. */
tn_status tn_run_output(tn_run *call, int out, tn_dtype dtype, int rank, const int64_t *dims);
/* Memory for the bytes of strings; lives until the session's next run, as all strings' bytes do, so that operators may
 * pass on those that they are given (but for those in sequences). NULL on failure. */
char *tn_run_string(tn_run *call, size_t size);
/* The next random bits; `seed` NULL: the session's own generator, else one that starts from *seed and is kept there. */
uint64_t tn_run_random(tn_run *call, uint64_t *seed);
/* For sequence operators: makes output `out` an empty sequence and returns it; NULL on failure or if unwanted. */
tn_sequence *tn_run_sequence(tn_run *call, int out);
/* Marks output `out` as an empty optional. */
void tn_run_absent(tn_run *call, int out);
/* Makes output `out` a copy of a value (tensor or sequence). */
tn_status tn_run_copy(tn_run *call, int out, const tn_value *value);

/* Puts a copy (of a tensor of any strides) at position 0 to count. Fails on another dtype than the sequence's. */
tn_status tn_sequence_insert(tn_sequence *sequence, int64_t position, const tn_tensor *tensor);
/* Appends another sequence's element (position 0 to its count - 1) without copying it. */
tn_status tn_sequence_share(tn_sequence *sequence, const tn_sequence *from, int64_t position);
int64_t tn_sequence_count(const tn_sequence *sequence);
const tn_tensor *tn_sequence_at(const tn_sequence *sequence, int64_t position); /* NULL outside */
tn_dtype tn_sequence_dtype(const tn_sequence *sequence);                        /* TN_UNDEFINED: not yet known */
void tn_sequence_set_dtype(tn_sequence *sequence, tn_dtype dtype);              /* of an empty one */

#endif
