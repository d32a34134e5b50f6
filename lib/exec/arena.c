/* Where the values of a plan lie in its arena.
 *
 * First values that can share memory are joined: inputs of a Concat that may be written straight into its output, then
 * outputs that are nothing but a piece of an input (views), then outputs that may overwrite an input that nobody reads
 * afterwards. Each join keeps a tree: a value lies at `delta` bytes from its parent; the roots need memory from their
 * first writer to their last reader. Roots are placed largest first, each into the first gap among those already placed
 * whose lives overlap its own (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020). */
#include "exec/plan.h"
#include <limits.h>
#include <stdlib.h>

#define ALIGN 64

typedef struct {
    int parent; /* itself: a root; -1: not in the arena */
    size_t delta, bytes;
    int first, last; /* steps */
} place;

typedef struct {
    tn_plan *plan;
    place *at; /* by value */
} layout;

static size_t round_up(size_t size) {
    return (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static int root_of(const layout *l, int v, size_t *delta) {
    *delta = 0;
    while (l->at[v].parent != v) {
        *delta += l->at[v].delta;
        v = l->at[v].parent;
    }
    return v;
}

static bool in_arena(const layout *l, int v) {
    return v >= 0 && l->at[v].parent >= 0;
}

/* Makes value v, so far a root, a piece of `parent`. */
static void join(layout *l, int v, int parent, size_t delta) {
    size_t ignored;
    int root = root_of(l, parent, &ignored);
    l->at[v].parent = parent;
    l->at[v].delta = delta;
    l->at[root].first = TN_MIN(l->at[root].first, l->at[v].first);
    l->at[root].last = TN_MAX(l->at[root].last, l->at[v].last);
}

static bool concrete_outputs(const tn_step *step) {
    for (int i = 0; i < step->out_count; i++)
        if (step->out[i] && !tn_type_is_concrete(&step->out_types[i])) return false;
    return true;
}

/* Whether a value of a step has its life within one turn, or there are no turns. Others live until the last turn ends. */
static bool is_inside(const layout *l, const tn_step *step, int v) {
    if (!step->turns) return true;
    for (int i = 0; i < step->turns->shared_count; i++)
        if (step->turns->shared[i].value == v) return false;
    return l->at[v].parent >= 0 && l->at[v].first >= step->turns->first_step;
}

/* What is to be joined lies inside. */
static bool all_inside(const layout *l, const tn_step *step) {
    for (int i = 0; i < step->in_count; i++)
        if (step->in[i] && in_arena(l, step->node->in[i]) && !is_inside(l, step, step->node->in[i])) return false;
    for (int i = 0; i < step->out_count; i++)
        if (step->out[i] && !is_inside(l, step, step->node->out[i])) return false;
    return true;
}

static tn_status find_lives(layout *l) {
    tn_plan *plan = l->plan;
    const tn_graph *graph = plan->graph;
    for (int v = 0; v < graph->value_count; v++) l->at[v] = (place){.parent = -1, .first = INT_MAX, .last = -1};
    for (int s = 0; s < plan->step_count; s++) {
        const tn_step *step = &plan->steps[s];
        bool held = tn_step_is_static(step) || (step->node->op->flags & TN_OP_CONTROL && concrete_outputs(step));
        for (int i = 0; i < step->in_count; i++) {
            if (!step->in[i]) continue;
            place *at = &l->at[step->node->in[i]];
            at->last = TN_MAX(at->last, is_inside(l, step, step->node->in[i]) ? s : step->turns->last_step);
        }
        for (int i = 0; i < step->out_count; i++) {
            int v = step->node->out[i];
            if (!step->out[i] || !held) continue;
            const bool is_part = step->out[i] != &plan->values[v]; /* of a value that is there for all turns */
            const tn_type *type = is_part ? &plan->types[v] : &step->out_types[i];
            TN_TRY(tn_tensor_set_dense(&plan->values[v].tensor, type->dtype, type->rank, type->dims, NULL));
            l->at[v].parent = v;
            l->at[v].bytes = tn_dtype_bytes(type->dtype, tn_type_count(type));
            l->at[v].first = is_part ? step->turns->first_step : s;
            l->at[v].last = TN_MAX(l->at[v].last, is_part ? step->turns->last_step : s);
            if (!tn_add_size(plan->sum, round_up(l->at[v].bytes), &plan->sum))
                return tn_fail(TN_E_LIMIT, "the intermediate tensors are too large to count");
        }
    }
    for (int i = 0; i < graph->output_count; i++) l->at[graph->outputs[i]].last = INT_MAX;
    return TN_OK;
}

static tn_prepare question(const tn_step *step) {
    return (tn_prepare){.node = step->node,
                        .in_count = step->node->formal_in,
                        .out_count = step->out_count,
                        .in = step->in_type,
                        .value = step->contents,
                        .out = step->out_types};
}

/* Concat and its like: inputs are written where the output wants them, if that holds for all of them. */
static void join_placed(layout *l, tn_step *step) {
    const tn_node *node = step->node;
    tn_prepare call = question(step);
    if (!node->op->place || !tn_step_is_static(step) || !in_arena(l, node->out[0]) || node->formal_in < 1) return;
    for (int i = 0; i < node->formal_in; i++) {
        size_t offset;
        int v = node->in[i];
        if (!in_arena(l, v) || l->at[v].parent != v || v == node->out[0] || !node->op->place(&call, i, &offset)) return;
        for (int k = 0; k < i; k++)
            if (node->in[k] == v) return;
    }
    for (int i = 0; i < node->formal_in; i++) {
        size_t offset = 0;
        node->op->place(&call, i, &offset);
        join(l, node->in[i], node->out[0], offset);
    }
    step->skip = true;
}

/* A view on memory outside of the arena (an input, a constant, a late value): found when it runs. */
static tn_status run_view(tn_exec *exec, tn_plan *plan, tn_step *step) {
    (void)exec;
    (void)plan;
    const size_t *from = step->state; /* pairs of input and offset */
    for (int i = 0; i < step->out_count; i++)
        if (step->out[i]) step->out[i]->tensor.data = (char *)step->in[from[2 * i]]->tensor.data + from[2 * i + 1];
    return TN_OK;
}

static tn_status join_views(layout *l, tn_step *step) {
    const tn_node *node = step->node;
    tn_prepare call = question(step);
    bool inside = true, shown = false;
    if (!node->op->view || !tn_step_is_static(step) || step->skip) return TN_OK;
    size_t *from = tn_region_array(l->plan->region, (size_t)step->out_count, 2 * sizeof *from);
    if (!from) return TN_E_MEMORY;
    for (int i = 0; i < step->out_count; i++) {
        int in = 0;
        size_t offset = 0, ignored;
        if (!step->out[i]) continue;
        int v = node->out[i];
        if (l->at[v].parent != v || !node->op->view(&call, i, &in, &offset)) return TN_OK;
        if (!step->in[in]) return TN_OK;
        /* A root with pieces of its own (a Concat's output) cannot move into another. */
        if (l->at[v].first < (int)(step - l->plan->steps)) return TN_OK;
        inside &= in_arena(l, node->in[in]) && root_of(l, node->in[in], &ignored) != v;
        shown |= l->at[v].last == INT_MAX;
        from[2 * i] = (size_t)in;
        from[2 * i + 1] = offset;
    }
    if (inside) {
        for (int i = 0; i < step->out_count; i++)
            if (step->out[i]) join(l, node->out[i], node->in[from[2 * i]], from[2 * i + 1]);
        step->skip = true;
        return TN_OK;
    }
    for (int i = 0; i < step->out_count; i++) {
        if (!step->out[i]) continue;
        if (shown || in_arena(l, node->in[from[2 * i]])) return TN_OK; /* outputs are the session's own memory */
    }
    for (int i = 0; i < step->out_count; i++)
        if (step->out[i]) l->at[node->out[i]].parent = -1;
    step->state = from;
    step->run = run_view;
    return TN_OK;
}

static void join_in_place(layout *l, const tn_step *step, int s) {
    const tn_node *node = step->node;
    bool first = node->op->flags & TN_OP_IN_PLACE_FIRST;
    if (!(first || node->op->flags & TN_OP_IN_PLACE) || !tn_step_is_static(step) || step->skip) return;
    int out = node->out[0];
    if (!in_arena(l, out) || l->at[out].parent != out || l->at[out].first != s) return;
    for (int i = 0; i < (first ? 1 : node->formal_in); i++) {
        size_t delta, other;
        if (!in_arena(l, node->in[i])) continue;
        int root = root_of(l, node->in[i], &delta);
        if (delta || root == out || l->at[root].bytes != l->at[out].bytes || l->at[root].last != s) continue;
        bool alone = true; /* another view of that memory, read at other places, must not be among the inputs */
        for (int k = 0; k < node->formal_in; k++)
            if (in_arena(l, node->in[k]) && root_of(l, node->in[k], &other) == root)
                alone &= first ? k == i : other == 0 && l->at[node->in[k]].bytes == l->at[out].bytes;
        if (!alone) continue;
        join(l, out, root, 0);
        return;
    }
}

typedef struct {
    int value;
    size_t bytes, offset;
    int first, last;
} slot;

static int larger_first(const void *a, const void *b) {
    const slot *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->value < y->value ? -1 : x->value > y->value;
}

/* Places slots; `order` holds the numbers of those placed so far by offset. Returns the height; SIZE_MAX: too much. */
static size_t place_slots(slot *slots, int count, int *order) {
    size_t top = 0;
    for (int i = 0; i < count; i++) {
        slot *now = &slots[i];
        size_t free_from = 0;
        int k = 0;
        for (; k < i; k++) {
            const slot *other = &slots[order[k]];
            if (other->first > now->last || other->last < now->first) continue;
            if (other->offset >= free_from && other->offset - free_from >= now->bytes) break;
            free_from = TN_MAX(free_from, other->offset + other->bytes);
        }
        now->offset = free_from;
        size_t end;
        if (!tn_add_size(free_from, now->bytes, &end) || end > PTRDIFF_MAX) return SIZE_MAX;
        top = TN_MAX(top, end);
        int insert = i;
        while (insert > 0 && slots[order[insert - 1]].offset > now->offset) order[insert] = order[insert - 1], insert--;
        order[insert] = i;
    }
    return top;
}

static tn_status place_roots(layout *l) {
    tn_plan *plan = l->plan;
    int values = plan->graph->value_count, count = 0;
    slot *slots = tn_region_array(plan->region, (size_t)values + 1, sizeof *slots);
    int *order = tn_region_array(plan->region, (size_t)values + 1, sizeof *order);
    if (!slots || !order) return TN_E_MEMORY;
    for (int v = 0; v < values; v++)
        if (l->at[v].parent == v)
            slots[count++] = (slot){v, round_up(TN_MAX(l->at[v].bytes, (size_t)1)), 0, l->at[v].first, l->at[v].last};
    qsort(slots, (size_t)count, sizeof *slots, larger_first);
    size_t top = place_slots(slots, count, order);
    for (int s = 0; s < plan->step_count; s++) plan->scratch = TN_MAX(plan->scratch, round_up(plan->steps[s].scratch));
    if (top == SIZE_MAX || !tn_add_size(top, plan->scratch, &plan->arena) || plan->arena > PTRDIFF_MAX)
        return tn_fail(TN_E_LIMIT, "the intermediate tensors do not fit into memory");
    for (int i = 0; i < count; i++) plan->offset[slots[i].value] = slots[i].offset;
    for (int v = 0; v < values; v++) {
        size_t delta;
        if (l->at[v].parent >= 0 && l->at[v].parent != v) {
            int root = root_of(l, v, &delta);
            plan->offset[v] = plan->offset[root] + delta;
        }
    }
    return TN_OK;
}

tn_status tn_arena_layout(tn_exec *exec, tn_plan *plan) {
    (void)exec;
    layout l = {plan, tn_region_array(plan->region, (size_t)plan->graph->value_count + 1, sizeof *l.at)};
    if (!l.at) return TN_E_MEMORY;
    TN_TRY(find_lives(&l));
    for (int s = 0; s < plan->step_count; s++)
        if (all_inside(&l, &plan->steps[s])) join_placed(&l, &plan->steps[s]);
    for (int s = 0; s < plan->step_count; s++)
        if (all_inside(&l, &plan->steps[s])) TN_TRY(join_views(&l, &plan->steps[s]));
    for (int s = 0; s < plan->step_count; s++)
        if (all_inside(&l, &plan->steps[s])) join_in_place(&l, &plan->steps[s], s);
    return place_roots(&l);
}
