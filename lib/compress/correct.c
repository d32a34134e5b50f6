/* Biases that take up what 8 bits move a layer's output by on average, as measured: layer after layer in the order of the
 * graph, each on what those before it, corrected already, give on 8 bits. For that the graph on 8 bits runs once in all, in
 * pieces: each begins with what was kept of those before it, and ends with the product of a layer. A few sets are enough,
 * so what is kept does not grow with their number. */
#include "compress/quantize.h"
#include "passes/match.h"
#include <math.h>

enum { MOST_SETS = TN_KEPT_SETS / 2 };

typedef struct layer {
    int node, value; /* of base; what it gives before a Relu */
    bool conv;
    int64_t channels;
    double *shift; /* of each channel: what it gives on 8 bits less what it gives in float */
    double rows;   /* elements of a channel, of which shift is the sum */
} layer;

typedef struct correction {
    tn_qjob *job;
    const tn_graph *written;
    layer *layers;
    bool *done, *piece;      /* of each node of `written`: it ran; it runs now */
    bool *wanted;            /* of each value */
    int *watch, *in;         /* values that are looked at; that the piece reads */
    int count, watched, ins; /* of layers; of these */
    tn_tensor **kept;        /* of each set, a cell for each value */
    int64_t set, sets;
} correction;

static tn_tensor **kept_at(const correction *c, int64_t set, int value) {
    return &c->kept[set * c->written->value_count + value];
}

/* ---- channels ---- */

typedef struct blocks {
    int64_t outer, inner; /* element (o, c, i) of [outer, channels, inner] */
} blocks;

/* Of what the layer gave; false if it is nothing that has channels of its own. */
static bool blocks_of(const layer *l, const tn_tensor *t, blocks *out) {
    if (!t || t->dtype != TN_FLOAT32 || t->rank < 2) return false;
    const int axis = l->conv ? 1 : t->rank - 1;
    *out = (blocks){1, 1};
    for (int i = 0; i < t->rank; i++) {
        if (i < axis) out->outer *= t->dims[i];
        if (i > axis) out->inner *= t->dims[i];
    }
    return t->dims[axis] == l->channels;
}

static void add_channels(layer *l, const tn_tensor *t, double by) {
    blocks b;
    if (!blocks_of(l, t, &b)) return;
    const float *x = t->data;
    for (int64_t o = 0; o < b.outer; o++)
        for (int64_t c = 0; c < l->channels; c++) {
            double sum = 0;
            for (int64_t i = 0; i < b.inner; i++) sum += (double)*x++;
            l->shift[c] += by * sum;
        }
    if (by > 0) l->rows += (double)(b.outer * b.inner);
}

static void move_channels(const layer *l, tn_tensor *t) {
    blocks b;
    if (!blocks_of(l, t, &b)) return;
    float *x = t->data;
    for (int64_t o = 0; o < b.outer; o++)
        for (int64_t c = 0; c < l->channels; c++)
            for (int64_t i = 0; i < b.inner; i++) *x++ -= (float)l->shift[c];
}

/* ---- runs ---- */

static tn_status keep(correction *c, int value, const tn_tensor *t) {
    tn_tensor **at = kept_at(c, c->set, value);
    return *at || !t ? TN_OK : tn_tensor_clone(t, NULL, at);
}

/* The float graph: what its layers give, and the inputs. */
static tn_status see_float(void *context, const tn_tensor *const *const *seen) {
    correction *c = context;
    for (int k = 0; k < c->watched; k++) {
        tn_tensor *dense = NULL;
        if (k >= c->count) {
            TN_TRY(keep(c, c->watch[k], seen[0][k]));
            continue;
        }
        if (seen[0][k]) TN_TRY(tn_tensor_clone(seen[0][k], NULL, &dense));
        add_channels(&c->layers[k], dense, -1);
        tn_tensor_destroy(dense);
    }
    c->set++;
    return TN_OK;
}

static tn_status see_piece(void *context, const tn_tensor *const *const *seen) {
    correction *c = context;
    for (int k = 0; k < c->watched; k++) TN_TRY(keep(c, c->watch[k], seen[0][k]));
    c->set++;
    return TN_OK;
}

static tn_status get_kept(void *context, int64_t index, const tn_tensor **inputs) {
    const correction *c = context;
    if (index >= c->sets) return TN_E_NOT_FOUND;
    for (int i = 0; i < c->ins; i++) inputs[i] = *kept_at(c, index, c->in[i]);
    return TN_OK;
}

/* wanted: what nodes that did not run yet read. */
static void want(correction *c) {
    const tn_graph *g = c->written;
    memset(c->wanted, 0, (size_t)g->value_count * sizeof *c->wanted);
    for (int n = 0; n < g->node_count; n++)
        for (int i = 0; i < g->nodes[n].in_count && !c->done[n]; i++)
            if (g->nodes[n].in[i] >= 0) c->wanted[g->nodes[n].in[i]] = true;
}

/* The nodes that must yet run for that value; a graph of them, with what it reads as inputs. `watch` becomes what it leaves
 * to others. */
static tn_status cut_piece(correction *c, int value, tn_graph **out_graph) {
    const tn_graph *g = c->written;
    tn_graph *piece;
    memset(c->wanted, 0, (size_t)g->value_count * sizeof *c->wanted);
    c->wanted[value] = true;
    for (int n = g->node_count - 1; n >= 0; n--) {
        const tn_node *node = &g->nodes[n];
        c->piece[n] = false;
        for (int i = 0; i < node->out_count && !c->done[n]; i++)
            c->piece[n] |= node->out[i] >= 0 && c->wanted[node->out[i]];
        for (int i = 0; i < node->in_count && c->piece[n]; i++)
            if (node->in[i] >= 0) c->wanted[node->in[i]] = true;
    }
    TN_TRY(tn_graph_copy(g, true, &piece));
    piece->input_count = piece->output_count = c->ins = 0;
    for (int n = 0; n < g->node_count; n++) piece->nodes[n].dead = !c->piece[n];
    tn_graph_compact(piece);
    tn_status status = TN_OK;
    for (int v = 0; v < g->value_count && status == TN_OK; v++) {
        if (!c->wanted[v] || g->values[v].constant || piece->values[v].producer >= 0) continue;
        c->in[c->ins++] = v;
        status = tn_graph_add_input(piece, v);
    }
    for (int n = 0; n < g->node_count; n++) c->done[n] |= c->piece[n];
    want(c);
    c->wanted[value] = true;
    c->watched = 0;
    for (int v = 0; v < g->value_count; v++)
        if (c->wanted[v] && piece->values[v].producer >= 0) c->watch[c->watched++] = v;
    *out_graph = piece;
    return status;
}

/* What is kept is tensors. */
static bool can_keep(const correction *c) {
    for (int k = 0; k < c->watched; k++)
        if (tn_match_type(c->written, c->watch[k])->kind != TN_KIND_TENSOR) return false;
    return true;
}

static tn_status run_piece(correction *c, int value) {
    const tn_samples samples = {get_kept, c};
    const tn_replay replay = {&samples, &c->job->options};
    tn_graph *piece = NULL;
    int64_t sets;
    c->set = 0;
    tn_status status = cut_piece(c, value, &piece);
    if (status == TN_OK && !can_keep(c)) status = TN_E_NOT_FOUND;
    if (status == TN_OK)
        status = tn_replay_run(&replay, c->sets, 1, (const tn_graph *const[]){piece}, c->watched,
                               (const int *const[]){c->watch}, see_piece, c, &sets);
    tn_graph_destroy(piece);
    return status;
}

/* ---- layers ---- */

/* Its bias less the mean of what it gives too much. */
static tn_status write_bias(const correction *c, const layer *l) {
    tn_graph *base = c->job->base;
    const tn_node *node = &base->nodes[l->node];
    const int old = node->formal_in > 2 ? node->in[2] : -1;
    tn_tensor *made = tn_graph_tensor(base, TN_FLOAT32, 1, &l->channels, NULL);
    if (!made) return TN_E_MEMORY;
    float *b = made->data;
    if (old >= 0) memcpy(b, base->values[old].constant->data, (size_t)l->channels * sizeof *b);
    for (int64_t i = 0; i < l->channels; i++) b[i] = (float)((double)b[i] - l->shift[i]);
    const int in[3] = {node->in[0], node->in[1],
                       tn_graph_add_constant(base, old >= 0 ? base->values[old].name : "", made)};
    return in[2] < 0 ? TN_E_MEMORY : tn_node_set_inputs(base, &base->nodes[l->node], 3, in);
}

static tn_status correct(correction *c, layer *l) {
    TN_TRY(run_piece(c, l->value));
    for (int64_t s = 0; s < c->sets; s++) add_channels(l, *kept_at(c, s, l->value), 1);
    for (int64_t i = 0; i < l->channels; i++) l->shift[i] = l->rows > 0 ? l->shift[i] / l->rows : 0;
    for (int64_t s = 0; s < c->sets; s++) move_channels(l, *kept_at(c, s, l->value));
    want(c);
    for (int64_t s = 0; s < c->sets; s++)
        for (int v = 0; v < c->written->value_count; v++)
            if (!c->wanted[v]) {
                tn_tensor_destroy(*kept_at(c, s, v));
                *kept_at(c, s, v) = NULL;
            }
    return write_bias(c, l);
}

/* In the order of `written`, those that have a place for a bias. */
static tn_status find_layers(correction *c, tn_region *scratch) {
    const tn_graph *base = c->job->base;
    const tn_qplan *plan = &c->job->plan;
    for (int n = 0; n < c->written->node_count; n++) {
        const int value = c->written->nodes[n].out[0],
                  at = value >= 0 && value < base->value_count ? base->values[value].producer : -1;
        int axis;
        if (at < 0 || plan->role[at] != TN_Q_LAYER || c->job->skip[at]) continue;
        const tn_node *node = &base->nodes[at];
        if (tn_match_is(node, "", "MatMul") || !tn_qplan_is_layer(base, node, &axis)) continue;
        layer l = {.node = at, .value = value, .conv = tn_match_is(node, "", "Conv")};
        l.channels = base->values[node->in[1]].constant->dims[axis];
        l.shift = tn_region_array(scratch, (size_t)l.channels + 1, sizeof *l.shift);
        if (!l.shift) return TN_E_MEMORY;
        c->watch[c->watched++] = value;
        c->layers[c->count++] = l;
    }
    for (int i = 0; i < base->input_count; i++) c->watch[c->watched++] = base->inputs[i];
    return TN_OK;
}

static tn_status correct_layers(correction *c, tn_region *scratch) {
    const size_t values = (size_t)c->written->value_count + 1, nodes = (size_t)c->written->node_count + 1;
    const int64_t most = c->job->options.most_samples, sets = TN_MAX(c->job->choosing / 2, 1);
    c->layers = tn_region_array(scratch, nodes, sizeof *c->layers);
    c->done = tn_region_array(scratch, nodes, sizeof *c->done);
    c->piece = tn_region_array(scratch, nodes, sizeof *c->piece);
    c->wanted = tn_region_array(scratch, values, sizeof *c->wanted);
    c->watch = tn_region_array(scratch, values + nodes, sizeof *c->watch);
    c->in = tn_region_array(scratch, values, sizeof *c->in);
    c->kept = tn_region_array(scratch, values, MOST_SETS * sizeof(tn_tensor *));
    if (!c->layers || !c->done || !c->piece || !c->wanted || !c->watch || !c->in || !c->kept) return TN_E_MEMORY;
    TN_TRY(find_layers(c, scratch));
    tn_status status =
        tn_replay_run(&c->job->replay, most ? TN_MIN(most, sets) : sets, 1, (const tn_graph *const[]){c->job->graph},
                      c->watched, (const int *const[]){c->watch}, see_float, c, &c->sets);
    for (int k = 0; k < c->count && status == TN_OK; k++) status = correct(c, &c->layers[k]);
    if (status == TN_E_NOT_FOUND) status = TN_OK; /* layers behind what cannot be kept are left as they are */
    for (size_t i = 0; i < values * MOST_SETS; i++) tn_tensor_destroy(c->kept[i]);
    return status;
}

static tn_status correct_all(tn_qjob *job, tn_region *scratch) {
    correction c = {.job = job};
    tn_graph *written;
    tn_qplan plan;
    int *out_value = tn_region_array(scratch, (size_t)job->base->value_count + 1, sizeof *out_value);
    uint64_t *bytes = tn_region_array(scratch, (size_t)job->base->node_count + 1, sizeof *bytes);
    if (!out_value || !bytes) return TN_E_MEMORY;
    TN_TRY(tn_qjob_plan(job, job->skip, scratch, &plan));
    TN_TRY(tn_qplan_write(&plan, job->ranges, &job->options, scratch, out_value, bytes, &written));
    c.written = written;
    tn_status status = correct_layers(&c, scratch);
    tn_graph_destroy(written);
    return status;
}

tn_status tn_qjob_improve(tn_qjob *job, tn_status (*change)(tn_qjob *job, tn_region *scratch)) {
    tn_region *scratch = tn_region_create(NULL);
    tn_graph *before = job->base;
    tn_attempt a = {0}, b = {0};
    tn_status status = scratch ? TN_OK : TN_E_MEMORY;
    if (status == TN_OK && isnan(job->left)) {
        status = tn_attempt_make(job, job->skip, job->choosing, &a);
        job->left = a.score.sqnr;
    }
    if (status == TN_OK) status = tn_graph_copy(before, true, &job->base);
    if (status == TN_OK) status = change(job, scratch);
    if (status == TN_OK) status = tn_attempt_make(job, job->skip, job->choosing, &b);
    bool better = status == TN_OK && b.score.sqnr > job->left;
    if (better) job->left = b.score.sqnr;
    tn_attempt_free(&a);
    tn_attempt_free(&b);
    tn_region_destroy(scratch);
    if (!job->base) job->base = before;
    if (!better && job->base != before) {
        tn_graph_destroy(job->base);
        job->base = before;
    } else if (job->base != before) {
        tn_qjob_retire(job, before);
    }
    return status;
}

tn_status tn_qjob_correct_biases(tn_qjob *job) {
    return tn_qjob_improve(job, correct_all);
}
