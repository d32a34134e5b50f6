/* What stands behind the helper functions of graph/op.h while an operator prepares and runs. */
#ifndef TN_HOST_H
#define TN_HOST_H

#include <tenon/model.h>
#include "graph/op.h"

/* Tells one library from another: its sources' digest. Written by the build. */
extern const char tn_sources[];

/* Packed weights, made once a model. One entry a constant and layout. file: where the weights of a model file are, which
 * need not be packed; empty if there are none. */
typedef struct tn_packs tn_packs;
tn_status tn_packs_create(const tn_allocator *allocator, tn_weights_place weights, tn_string file,
                          tn_packs **out_packs);
void tn_packs_destroy(tn_packs *packs); /* accepts NULL */
/* From now on they are looked for in a file in that folder before they are made: see packs.c. The graph must outlive them. */
tn_status tn_packs_share(tn_packs *packs, const tn_graph *graph, const tn_kernels *kernels, const char *folder);
/* What was made goes into that file, if it can, and is read from there. Called when a plan is ready. */
void tn_packs_publish(tn_packs *packs);
/* In all, and of them those that lie in a file. */
void tn_packs_bytes(tn_packs *packs, size_t *out_bytes, size_t *out_mapped);
const tn_allocator *tn_packs_allocator(const tn_packs *packs);
/* An aligned copy of a constant. If there is none, `copy`, memory of the packs' allocator, becomes it and is theirs from
 * then on; NULL: one is made. NULL on failure. */
void *tn_packs_aligned(tn_packs *packs, const tn_tensor *constant, void *copy, size_t copy_bytes);

struct tn_prepare_host {
    tn_region *region;     /* where state lives */
    tn_packs *packs;       /* NULL: packed weights live in the region as well */
    const bool *immutable; /* of each input: its contents are the model's own, so that packs may keep them */
    const void **origin; /* of each input: where its contents lie in the model, which names their packs; may be NULL */
    bool *packed;        /* of each input: tn_prepare_pack was called for it; may be NULL */
    bool ready;          /* weights that runs will read in place are brought from the disk now */
};

struct tn_run_host {
    const tn_allocator *allocator;
    tn_region *strings; /* bytes of strings, forgotten when the next run starts */
    uint64_t random;    /* state of the generator */
};

/* Releases what a value owns: the tensor's memory and its own sequence. */
void tn_value_release(tn_value *value);
/* Makes `value` show what `other` holds, without owning it. Keeps its own sequence for reuse; drops its own memory. */
void tn_value_borrow(tn_value *value, const tn_value *other);
/* The most that is known of a value's type by looking at it. */
void tn_value_type(const tn_value *value, tn_type *type);
/* Makes room for a tensor: its place in the arena if it has one of that size, else memory of its own. */
tn_status tn_value_ready(tn_value *value, tn_dtype dtype, int rank, const int64_t *dims, const tn_allocator *allocator);
/* Makes `to`, which must not be borrowed, hold a copy. */
tn_status tn_value_assign(tn_value *to, const tn_value *from, const tn_allocator *allocator);

#endif
