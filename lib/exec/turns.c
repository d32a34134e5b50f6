/* Turns: a batch goes through stretches of a plan sample by sample.
 *
 * What lies between a network's layers grows with the batch, while a cache does not: eight images through one layer after
 * the other are read from memory each time. Where every step of a stretch takes each sample for itself (TN_OP_BATCH), its
 * steps are prepared for one sample, and run once for each. Inside, values hold a sample, so that they stay in the cache
 * and the arena gets smaller; values that others see too (`shared`) hold the batch, of which the steps get a part.
 * Several threads had rather take samples of their own at each step, where there are so many, than share one.
 * Against turns stands that weights are read once for each sample. So a step is worth what it reads and writes of a batch
 * that is too large for a cache near the core, less what it reads of weights for all samples but the first; and a
 * stretch goes from where such a sum begins to where it is largest. */
#include "exec/plan.h"
#include <limits.h>

enum {
    LARGE = 1 << 20, /* bytes of a batch, read and written by a step, that leave the cache near a core */
    MOST = 24,       /* inputs or outputs of a node in a stretch */
};

typedef struct {
    tn_plan *plan;
    int64_t batch;
    int *made_at, *read_until; /* by value: nodes; made_at -1: an input; read_until INT_MAX: an output of the graph */
} search;

static bool is_batch(const search *s, int v, int rank) {
    const tn_type *type = &s->plan->types[v];
    return !s->plan->known[v] && type->rank == rank && type->dims[0] == s->batch;
}

/* Whether a node takes each sample for itself, given that the nodes from `first` on do. */
static bool takes_samples(search *s, int first, int n) {
    tn_plan *plan = s->plan;
    const tn_node *node = &plan->graph->nodes[n];
    tn_type in_types[MOST], out_types[MOST];
    const tn_type *in[MOST] = {NULL};
    const tn_tensor *contents[MOST] = {NULL};
    if (!(node->op->flags & TN_OP_BATCH) || node->in_count != node->formal_in || node->in_count > MOST ||
        node->out_count > MOST || (node->out_count > 1 && node->op->max_out >= 0))
        return false;
    int rank = -1, samples = 0;
    for (int i = 0; i < node->out_count; i++) {
        const int v = node->out[i];
        if (v < 0 || !tn_type_is_concrete(&plan->types[v]) || plan->types[v].rank < 2) return false;
        if (rank >= 0 && plan->types[v].rank != rank) return false;
        rank = plan->types[v].rank;
        if (plan->types[v].dims[0] != s->batch) return false;
        tn_type_unknown(&out_types[i]);
    }
    for (int i = 0; i < node->in_count; i++) {
        const int v = node->in[i];
        if (v < 0) continue;
        if (!plan->known[v] && !tn_type_is_concrete(&plan->types[v])) return false;
        in_types[i] = plan->types[v];
        in[i] = &in_types[i];
        contents[i] = plan->known[v];
        if (is_batch(s, v, rank))
            in_types[i].dims[0] = 1, samples++;
        else if (!plan->known[v] && s->made_at[v] >= first)
            return false;
    }
    tn_infer call = {node, node->formal_in, node->out_count, in, contents, out_types, (tn_graph *)plan->graph};
    if (samples == 0 || node->op->infer(&call) != TN_OK) return false;
    for (int i = 0; i < node->out_count; i++) {
        const tn_type *whole = &plan->types[node->out[i]], *one = &out_types[i];
        if (one->dtype != whole->dtype || one->rank != rank || one->dims[0] != 1) return false;
        for (int d = 1; d < rank; d++)
            if (one->dims[d] != whole->dims[d]) return false;
    }
    return true;
}

static size_t bytes_of(const search *s, int v) {
    const tn_type *type = &s->plan->types[v];
    return tn_dtype_bytes(type->dtype, tn_type_count(type));
}

/* Bytes that sample by sample need not go beyond the cache. */
static double worth_of(const search *s, int n) {
    const tn_node *node = &s->plan->graph->nodes[n];
    if (!tn_plan_runs(s->plan, n)) return 0;
    const int rank = s->plan->types[node->out[0]].rank;
    double batch = 0, weights = 0;
    for (int i = 0; i < node->out_count; i++) batch += (double)bytes_of(s, node->out[i]);
    for (int i = 0; i < node->in_count; i++) {
        const int v = node->in[i];
        if (v < 0) continue;
        if (s->plan->known[v]) weights += (double)bytes_of(s, v);
        if (is_batch(s, v, rank)) batch += (double)bytes_of(s, v);
    }
    return (batch < LARGE ? 0 : batch) - weights * (double)(s->batch - 1);
}

static void add_shared(tn_plan *plan, tn_turns *turns, int v) {
    for (int i = 0; i < turns->shared_count; i++)
        if (turns->shared[i].value == v) return;
    const tn_type *type = &plan->types[v];
    int64_t dims[TN_MAX_RANK] = {1};
    for (int d = 1; d < type->rank; d++) dims[d] = type->dims[d];
    tn_shared *shared = &turns->shared[turns->shared_count++];
    shared->value = v;
    shared->part.present = true;
    /* A part of what there is room for: it does not fail. */
    (void)tn_tensor_set_dense(&shared->part.tensor, type->dtype, type->rank, dims, NULL);
    shared->bytes = tn_dtype_bytes(type->dtype, tn_count(&shared->part.tensor));
}

/* Makes a stretch of nodes that take samples, unless too much of what they make is seen by others. */
static tn_status add_stretch(search *s, int first, int last) {
    tn_plan *plan = s->plan;
    const tn_graph *graph = plan->graph;
    size_t inside = 0, outside = 0;
    int values = 0;
    for (int n = first; n <= last; n++) {
        const tn_node *node = &graph->nodes[n];
        values += node->in_count + node->out_count;
        for (int i = 0; i < node->out_count && tn_plan_runs(plan, n); i++)
            *(s->read_until[node->out[i]] > last ? &outside : &inside) += bytes_of(s, node->out[i]);
    }
    if (inside <= outside) return TN_OK;
    tn_turns *turns = tn_region_alloc(plan->region, sizeof *turns);
    if (!turns) return TN_E_MEMORY;
    *turns = (tn_turns){.count = s->batch, .first_node = first, .last_node = last, .last_step = -1};
    turns->shared = tn_region_array(plan->region, (size_t)values + 1, sizeof *turns->shared);
    if (!turns->shared) return TN_E_MEMORY;
    for (int n = first; n <= last; n++) {
        const tn_node *node = &graph->nodes[n];
        if (!tn_plan_runs(plan, n)) continue;
        const int rank = plan->types[node->out[0]].rank;
        for (int i = 0; i < node->in_count; i++)
            if (node->in[i] >= 0 && s->made_at[node->in[i]] < first && is_batch(s, node->in[i], rank))
                add_shared(plan, turns, node->in[i]);
        for (int i = 0; i < node->out_count; i++)
            if (s->read_until[node->out[i]] > last) add_shared(plan, turns, node->out[i]);
    }
    for (int n = first; n <= last; n++)
        for (int i = 0; i < graph->nodes[n].out_count && tn_plan_runs(plan, n); i++)
            if (s->read_until[graph->nodes[n].out[i]] <= last) plan->types[graph->nodes[n].out[i]].dims[0] = 1;
    tn_turns **end = &plan->turns;
    while (*end) end = &(*end)->next;
    *end = turns;
    return TN_OK;
}

/* Finds what is worth it among nodes that take samples. */
static tn_status add_stretches(search *s, int first, int last) {
    int from = -1, best = -1;
    double sum = 0, most = 0;
    for (int n = first; n <= last; n++) {
        const double worth = worth_of(s, n);
        if (from < 0 && worth <= 0) continue;
        if (from < 0) from = n, sum = most = 0;
        sum += worth;
        if (sum > most) most = sum, best = n;
        if (sum >= 0 && n < last) continue;
        TN_TRY(add_stretch(s, from, best));
        from = -1;
    }
    return TN_OK;
}

static void find_readers(search *s) {
    const tn_graph *graph = s->plan->graph;
    for (int v = 0; v < graph->value_count; v++) s->made_at[v] = s->read_until[v] = -1;
    for (int n = 0; n < graph->node_count; n++) {
        const tn_node *node = &graph->nodes[n];
        for (int i = 0; i < node->in_count && tn_plan_runs(s->plan, n); i++)
            if (node->in[i] >= 0) s->read_until[node->in[i]] = n;
        for (int i = 0; i < node->out_count; i++)
            if (node->out[i] >= 0) s->made_at[node->out[i]] = n;
    }
    for (int i = 0; i < graph->output_count; i++) s->read_until[graph->outputs[i]] = INT_MAX;
}

tn_status tn_turns_choose(tn_plan *plan, int threads) {
    const tn_graph *graph = plan->graph;
    search s = {.plan = plan};
    s.made_at = tn_region_array(plan->region, (size_t)graph->value_count + 1, sizeof *s.made_at);
    s.read_until = tn_region_array(plan->region, (size_t)graph->value_count + 1, sizeof *s.read_until);
    if (!s.made_at || !s.read_until) return TN_E_MEMORY;
    find_readers(&s);
    for (int n = 0; n < graph->node_count;) {
        const tn_type *type =
            graph->nodes[n].out_count && graph->nodes[n].out[0] >= 0 ? &plan->types[graph->nodes[n].out[0]] : NULL;
        const int first = n++;
        if (!type || !tn_plan_runs(plan, first) || type->rank < 2 || type->dims[0] < 2) continue;
        s.batch = type->dims[0];
        if (threads > 1 && s.batch >= threads) continue;
        if (!takes_samples(&s, first, first)) continue;
        while (n < graph->node_count && (!tn_plan_runs(plan, n) || takes_samples(&s, first, n))) n++;
        TN_TRY(add_stretches(&s, first, n - 1));
    }
    return TN_OK;
}

tn_value *tn_turns_part(const tn_turns *turns, int value, int rank) {
    for (int i = 0; i < turns->shared_count; i++)
        if (turns->shared[i].value == value && turns->shared[i].part.tensor.rank == rank) return &turns->shared[i].part;
    return NULL;
}

tn_turns *tn_turns_at(const tn_plan *plan, int node) {
    tn_turns *t = plan->turns;
    while (t && t->last_node < node) t = t->next;
    return t && t->first_node <= node ? t : NULL;
}

void tn_turns_aim(tn_plan *plan, const tn_turns *turns, int64_t turn) {
    for (int i = 0; i < turns->shared_count; i++) {
        tn_shared *shared = &turns->shared[i];
        shared->part.tensor.data = (char *)plan->values[shared->value].tensor.data + (size_t)turn * shared->bytes;
    }
}
