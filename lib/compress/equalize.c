/* Cross-layer equalization (Nagel et al., 2019): where channel i of one layer is read by the next layer alone, and what lies
 * between gives s times as much for s times as much, weights of the one are divided by s and of the other multiplied: the
 * function stays, and with s = sqrt(r1 / r2), of the channel's greatest weights in both, these become the same. A depthwise
 * layer between two others takes part in both pairs; so do some rounds of all pairs. */
#include "compress/quantize.h"
#include "passes/match.h"
#include <math.h>

enum { ROUNDS = 4 };

typedef struct pair {
    int first, second; /* nodes */
} pair;

/* Scaling a channel by what is above 0 goes through it. */
static bool goes_through(const tn_node *node) {
    static const char *const names[] = {"Relu",          "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool",
                                        "GlobalMaxPool", "Identity"};
    for (size_t i = 0; i < TN_COUNT(names); i++)
        if (tn_match_is(node, "", names[i])) return true;
    return false;
}

/* The layer that alone reads what node n makes, -1 if there is none such. */
static int next_layer(const tn_match *m, const tn_qjob *job, int n) {
    const tn_graph *graph = m->graph;
    for (int value = graph->nodes[n].out[0];;) {
        const tn_node *reader = tn_match_reader(m, value);
        if (!reader || reader->in[0] != value) return -1;
        for (int o = 0; o < graph->output_count; o++)
            if (graph->outputs[o] == value) return -1;
        int at = (int)(reader - graph->nodes);
        if (job->plan.role[at] == TN_Q_LAYER) return at;
        if (!goes_through(reader)) return -1;
        value = reader->out[0];
    }
}

static bool is_own(const tn_match *m, int value) {
    return value >= 0 && m->graph->values[value].constant && m->uses[value] == 1;
}

/* Both of one kind, with constants that nobody else reads. */
static bool fits(const tn_match *m, int a, int b) {
    const tn_node *x = &m->graph->nodes[a], *y = &m->graph->nodes[b];
    if (x->op != y->op || !is_own(m, x->in[1]) || !is_own(m, y->in[1])) return false;
    int axis, last;
    if (!tn_qplan_is_layer(m->graph, x, &axis) || !tn_qplan_is_layer(m->graph, y, &last)) return false;
    return x->formal_in < 3 || x->in[2] < 0 || is_own(m, x->in[2]);
}

/* Where an element's channels are: of the output, and of the layer's input. */
typedef struct layout {
    int64_t out, in, group, taps; /* Conv [out, in / group, taps] */
    bool rows;                    /* of products: [out, in], else [in, out] */
} layout;

static layout layout_of(const tn_graph *graph, const tn_node *node) {
    const tn_tensor *w = graph->values[node->in[1]].constant;
    layout l = {.group = 1, .taps = 1, .rows = true};
    if (tn_match_is(node, "", "Conv")) {
        l.group = tn_attr_int(node, "group", 1);
        l.out = w->dims[0];
        l.in = w->dims[1] * l.group;
        for (int i = 2; i < w->rank; i++) l.taps *= w->dims[i];
        return l;
    }
    l.rows = tn_match_is(node, "", "Gemm") && tn_attr_int(node, "transB", 0);
    l.out = w->dims[l.rows ? 0 : 1];
    l.in = w->dims[l.rows ? 1 : 0];
    return l;
}

static void channels_of(const layout *l, int64_t i, int64_t *out, int64_t *in) {
    int64_t each = l->in / l->group;
    if (!l->rows) {
        *in = i / l->out;
        *out = i % l->out;
        return;
    }
    *out = i / (each * l->taps);
    *in = i / l->taps % each + *out / TN_MAX(l->out / l->group, 1) * each;
}

tn_status tn_constant_own(tn_graph *graph, int value, float **out) {
    const tn_tensor *t = graph->values[value].constant;
    tn_tensor *copy = tn_graph_tensor(graph, t->dtype, t->rank, t->dims, NULL);
    if (!copy) return TN_E_MEMORY;
    memcpy(copy->data, t->data, tn_dtype_bytes(t->dtype, tn_count(t)));
    graph->values[value].constant = copy;
    *out = copy->data;
    return TN_OK;
}

static tn_status scale_pair(tn_graph *graph, pair p, tn_region *scratch) {
    const tn_node *a = &graph->nodes[p.first], *b = &graph->nodes[p.second];
    layout la = layout_of(graph, a), lb = layout_of(graph, b);
    int64_t out, in, channels = la.out;
    if (la.out != lb.in) return TN_OK;
    float *wa, *wb, *bias = NULL;
    double *most[2] = {tn_region_array(scratch, (size_t)channels + 1, sizeof(double)),
                       tn_region_array(scratch, (size_t)channels + 1, sizeof(double))};
    if (!most[0] || !most[1]) return TN_E_MEMORY;
    TN_TRY(tn_constant_own(graph, a->in[1], &wa));
    TN_TRY(tn_constant_own(graph, b->in[1], &wb));
    if (a->formal_in > 2 && a->in[2] >= 0) TN_TRY(tn_constant_own(graph, a->in[2], &bias));
    int64_t count_a = tn_count(graph->values[a->in[1]].constant), count_b = tn_count(graph->values[b->in[1]].constant);
    for (int64_t i = 0; i < count_a; i++) {
        channels_of(&la, i, &out, &in);
        most[0][out] = fmax(most[0][out], fabs((double)wa[i]));
    }
    for (int64_t i = 0; i < count_b; i++) {
        channels_of(&lb, i, &out, &in);
        most[1][in] = fmax(most[1][in], fabs((double)wb[i]));
    }
    for (int64_t c = 0; c < channels; c++) {
        double s = most[0][c] > 0 && most[1][c] > 0 ? sqrt(most[0][c] / most[1][c]) : 1;
        most[0][c] = fmin(fmax(s, 1e-4), 1e4);
        if (bias) bias[c] = (float)((double)bias[c] / most[0][c]);
    }
    for (int64_t i = 0; i < count_a; i++) {
        channels_of(&la, i, &out, &in);
        wa[i] = (float)((double)wa[i] / most[0][out]);
    }
    for (int64_t i = 0; i < count_b; i++) {
        channels_of(&lb, i, &out, &in);
        wb[i] = (float)((double)wb[i] * most[0][in]);
    }
    return TN_OK;
}

static tn_status scale_all(tn_qjob *job, int *pairs) {
    tn_match m;
    tn_status status = tn_match_begin(&m, job->base);
    for (int turn = 0; turn < ROUNDS && status == TN_OK; turn++)
        for (int n = 0; n < job->base->node_count && status == TN_OK; n++) {
            if (job->plan.role[n] != TN_Q_LAYER) continue;
            int next = next_layer(&m, job, n);
            if (next < 0 || !fits(&m, n, next)) continue;
            status = scale_pair(job->base, (pair){n, next}, m.scratch);
            ++*pairs;
        }
    tn_match_end(&m);
    return status;
}

tn_status tn_qjob_equalize(tn_qjob *job) {
    tn_graph *before = job->base, *made;
    tn_observer *observers = job->observers;
    tn_qrange *ranges = job->ranges;
    int observed = job->observed, pairs = 0;
    const tn_quantize_options asked = job->options;
    TN_TRY(tn_graph_copy(before, true, &made));
    job->base = made;
    tn_status status = scale_all(job, &pairs);
    job->base = before;
    if (status != TN_OK || !pairs) {
        tn_graph_destroy(made);
        return status;
    }
    status = tn_qjob_choose(job);
    const double plain = job->left;
    const tn_quantize_options chosen = job->options;
    job->base = made;
    job->observers = NULL;
    job->options = asked; /* observers keep what all that may be tried needs */
    if (status == TN_OK) status = tn_qjob_observe(job);
    job->options = chosen;
    if (status == TN_OK) status = tn_qjob_choose(job);
    if (status == TN_OK && job->left > plain) {
        tn_observers_free(observers, observed);
        tn_qjob_retire(job, before);
        /* The same function, in whose units layers are compared from now on. */
        tn_graph *whole;
        TN_TRY(tn_graph_copy(made, true, &whole));
        tn_qjob_retire(job, job->graph);
        job->graph = whole;
        return TN_OK;
    }
    tn_observers_free(job->observers, job->observed);
    tn_graph_destroy(made);
    job->left = plain;
    job->base = before;
    job->observers = observers;
    job->ranges = ranges;
    job->observed = observed;
    return status;
}
