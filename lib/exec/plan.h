/* Plans: a graph compiled for given input types.
 *
 * Made in two phases. Inference walks the nodes once: a node whose inputs' contents are all known (constants, shapes)
 * is evaluated there and then and leaves the plan. Finishing turns what remains and is needed into steps, prepares them,
 * and lays one arena out by lifetimes.
 *
 * A step is static if all its types are concrete: prepared once, its outputs in the arena, no allocation when it runs.
 * Other steps are late: inferred and prepared just before they run, their outputs on the heap (kept for the next run).
 * Steps of control flow own the plans of their bodies, whose arenas lie in the step's scratch memory. */
#ifndef TN_PLAN_H
#define TN_PLAN_H

#include <stdatomic.h>
#include "exec/host.h"
#include "graph/infer.h"

/* What a session gives to its plans. */
typedef struct tn_exec {
    const tn_allocator *allocator;
    const tn_kernels *kernels;
    tn_packs *packs;
    tn_pool *pool;
    struct tn_run_host host;
    tn_region *late;       /* state of the late step that runs */
    atomic_bool interrupt; /* set from outside: stop at the next step */
    /* Of the plan that is being made: nodes of bodies whose types were worked out, bytes of evaluated results. */
    size_t inferred, evaluated;
    void *spare; /* memory for aligned copies of weights while plans are made; see tn_exec_drop_spare */
    size_t spare_bytes;
    bool ready; /* while a session is prepared before its first run: see tn_prepare_host */
    bool profile;
    uint64_t run_start;                                /* in nanoseconds */
    void (*watch)(void *context, const tn_node *node); /* after each step of the plan of `watched`, if it is not NULL */
    void *watch_context;
    const tn_graph *watched;
} tn_exec;

/* Fails if the run was interrupted. */
static inline tn_status tn_exec_go_on(const tn_exec *exec) {
    return atomic_load_explicit(&exec->interrupt, memory_order_relaxed)
               ? tn_fail(TN_E_INTERRUPTED, "the run was interrupted")
               : TN_OK;
}

typedef struct tn_plan tn_plan;
typedef struct tn_step tn_step;

/* A value that steps of a stretch share with others: it holds the batch, and they get a part of it. */
typedef struct {
    int value;
    tn_value part; /* one sample, aimed before each turn */
    size_t bytes;  /* of a sample */
} tn_shared;

/* A stretch of steps that take a batch sample by sample; see turns.c. */
typedef struct tn_turns {
    int64_t count; /* samples */
    int first_node, last_node, first_step, last_step;
    tn_shared *shared;
    int shared_count;
    struct tn_turns *next;
} tn_turns;

struct tn_step {
    const tn_node *node;
    int index; /* in the graph */
    /* Runs the step: a static or late operator, or control flow. */
    tn_status (*run)(tn_exec *exec, tn_plan *plan, tn_step *step);
    int in_count, out_count;
    tn_value **in, **out; /* NULL: absent, unwanted */
    tn_type *in_types, *out_types;
    const tn_type **in_type;
    const tn_tensor **contents;
    bool *immutable;
    void *state;
    size_t scratch;
    void *scratch_at;
    bool skip;        /* its outputs are views, or written in place by others */
    tn_turns *turns;  /* NULL: the step is in no stretch */
    tn_plan *body[2]; /* If: then and else; Loop and Scan: the first */
    struct tn_loop *loop;
    uint64_t runs, nanoseconds, last_start, last;
};

struct tn_plan {
    const tn_graph *graph;
    tn_region *region; /* shared with the plans of bodies */
    tn_type *types;    /* by value, as the three below */
    const tn_tensor **known;
    tn_value *values;
    size_t *offset;        /* in the arena; SIZE_MAX: elsewhere */
    tn_plan *(*bodies)[2]; /* by node */
    bool *needed;          /* by value */
    bool *done;            /* by node: evaluated while inferring */
    tn_step *steps;
    int step_count;
    bool inner;      /* a body's */
    tn_turns *turns; /* in the order of the steps */
    size_t arena;    /* bytes, with scratch at its end */
    size_t scratch;  /* of them */
    size_t sum;      /* bytes, were nothing shared */
};

/* Phase one. `owner`, `outer`: the node and plan whose body this is, or NULL. in_types: of the graph's inputs. */
tn_status tn_plan_infer(tn_exec *exec, tn_region *region, const tn_graph *graph, const tn_type *in_types,
                        const tn_plan *outer, const tn_node *owner, tn_plan **out_plan);
/* Phase two. */
tn_status tn_plan_finish(tn_exec *exec, tn_plan *plan);
/* In phase two: whether a node becomes a step, since somebody reads what it gives, and that is not known yet. */
bool tn_plan_runs(const tn_plan *plan, int node);
/* Part of phase two: looks for stretches that go sample by sample. Values inside of one have types of a sample then. */
tn_status tn_turns_choose(tn_plan *plan, int threads);
/* The stretch that a node is in, or NULL. */
tn_turns *tn_turns_at(const tn_plan *plan, int node);
/* What a node of a stretch whose output has that rank sees of a shared value; NULL: the value itself. */
tn_value *tn_turns_part(const tn_turns *turns, int value, int rank);
void tn_turns_aim(tn_plan *plan, const tn_turns *turns, int64_t turn);
/* Both phases leave memory with `exec` that serves what is prepared next; this releases it, also after a failure. */
void tn_exec_drop_spare(tn_exec *exec);
void tn_plan_bind(tn_plan *plan, void *arena);
/* True if a static step writes output number `index` of the graph, nothing else reads or shares it, and so its value may be
 * pointed to memory elsewhere. */
bool tn_plan_output_is_alone(const tn_plan *plan, int index);
tn_status tn_plan_run(tn_exec *exec, tn_plan *plan);
/* Releases what values own outside of the arena; the region is the caller's. */
void tn_plan_release(tn_plan *plan);

/* Control flow: inference of a node (control_infer.c), and making its step (control.c). */
tn_status tn_control_infer(tn_exec *exec, tn_plan *plan, int node, tn_type *out);
tn_status tn_control_finish(tn_exec *exec, tn_plan *plan, tn_step *step);
void tn_control_release(tn_step *step);

bool tn_step_is_static(const tn_step *step);
/* Offsets for all values of static steps; sets skip, arena and sum (arena.c). */
tn_status tn_arena_layout(tn_exec *exec, tn_plan *plan);

#endif
