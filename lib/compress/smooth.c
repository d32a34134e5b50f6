/* SmoothQuant (Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models", arXiv
 * 2211.10438): a few channels of what flows in transformers are far larger than all others, and one scale for all leaves the
 * others few levels. Channel k of a product's input is divided by s, and row k of its weights multiplied:
 *
 *     s = max|x_k|^a / max|w_k|^(1 - a)
 *
 * The division goes into the LayerNormalization that made the input, if nobody else reads it, else a Mul does it. Exponents
 * are tried one after the other; that which leaves most of the signal stays, or the graph as it was. */
#include "compress/quantize.h"
#include "passes/match.h"
#include <math.h>

static const double exponents[] = {0.35, 0.5, 0.65, 0.8};

static float number(const tn_tensor *t, int64_t i) {
    float x; /* weights may lie unaligned in a file */
    memcpy(&x, (const char *)t->data + (size_t)i * sizeof x, sizeof x);
    return x;
}

/* A product of last axes whose weights nobody else has. */
static bool is_product(const tn_qjob *job, const tn_match *m, int n) {
    const tn_node *node = &job->graph->nodes[n];
    return job->plan.role[n] == TN_Q_LAYER && !tn_match_is(node, "", "Conv") && m->uses[node->in[1]] == 1;
}

static bool by_rows(const tn_node *node) { /* [N, K], else [K, N] */
    return tn_match_is(node, "", "Gemm") && tn_attr_int(node, "transB", 0);
}

/* s of each channel of `value`, by the weights of all products that read it; their number is returned. */
static int scales_of(const tn_qjob *job, const tn_match *m, int value, double exponent, float *s) {
    const tn_observer *o = &job->observers[value];
    int products = 0;
    for (int64_t k = 0; k < o->channels; k++) s[k] = 0;
    for (int n = 0; n < job->graph->node_count; n++) {
        const tn_node *node = &job->graph->nodes[n];
        if (node->in_count < 2 || node->in[0] != value || !is_product(job, m, n)) continue;
        const tn_tensor *w = job->graph->values[node->in[1]].constant;
        const bool rows = by_rows(node);
        const int64_t inputs = w->dims[rows ? 1 : 0], outputs = w->dims[rows ? 0 : 1];
        if (inputs != o->channels) return 0;
        for (int64_t i = 0; i < inputs * outputs; i++) {
            const int64_t k = rows ? i % inputs : i / outputs;
            s[k] = TN_MAX(s[k], fabsf(number(w, i)));
        }
        products++;
    }
    for (int64_t k = 0; k < o->channels; k++) {
        const double x = (double)o->most[k], w = (double)s[k];
        const double scale = x > 0 && w > 0 ? pow(x, exponent) / pow(w, 1 - exponent) : 1;
        s[k] = (float)fmin(fmax(scale, 1e-4), 1e4);
    }
    return products;
}

static tn_status divide_norm(tn_graph *graph, const tn_node *norm, const float *s, int64_t channels) {
    for (int i = 1; i < norm->formal_in && i < 3; i++) {
        float *data;
        if (norm->in[i] < 0) continue;
        TN_TRY(tn_constant_own(graph, norm->in[i], &data));
        for (int64_t k = 0; k < channels; k++) data[k] /= s[k];
    }
    return TN_OK;
}

/* The norm that makes the value for the products alone, of constants that are its own; NULL if there is none. */
static const tn_node *own_norm(const tn_match *m, int value, int products, int64_t channels) {
    const tn_node *norm = tn_match_producer(m, value, "LayerNormalization");
    if (!norm || m->uses[value] != products || norm->out[0] != value || norm->formal_in < 2) return NULL;
    for (int o = 0; o < m->graph->output_count; o++)
        if (m->graph->outputs[o] == value) return NULL;
    for (int i = 1; i < norm->formal_in && i < 3; i++) {
        if (norm->in[i] < 0) continue;
        const tn_tensor *t = tn_match_floats(m->graph, norm->in[i]);
        if (!t || m->uses[norm->in[i]] != 1 || tn_count(t) != channels) return NULL;
    }
    return norm;
}

/* value / s, for products to read. */
static tn_status divide_value(tn_graph *graph, int value, const float *s, int64_t channels, int *out) {
    tn_tensor *by = tn_graph_tensor(graph, TN_FLOAT32, 1, &channels, NULL);
    const tn_op *mul = tn_op_find("", "Mul");
    if (!mul) return tn_fail(TN_E_UNSUPPORTED, "this build has no Mul (TN_OPS)");
    if (!by) return TN_E_MEMORY;
    for (int64_t k = 0; k < channels; k++) ((float *)by->data)[k] = 1 / s[k];
    const char *name = graph->values[value].name;
    const char *full = name && *name ? tn_region_printf(graph->region, "%s_smooth", name) : "";
    int factor = tn_graph_add_constant(graph, full ? full : "", by);
    *out = tn_graph_add_value(graph, "", &graph->values[value].type);
    if (factor < 0 || *out < 0) return TN_E_MEMORY;
    return tn_graph_add_node(graph, mul, "", 2, (int[]){value, factor}, 1, out) < 0 ? TN_E_MEMORY : TN_OK;
}

/* One value in `made`, a copy of job->graph. */
static tn_status smooth_value(const tn_qjob *job, const tn_match *m, tn_graph *made, int value, double exponent) {
    const tn_observer *o = &job->observers[value];
    if (!o->most || job->plan.made[value]) return TN_OK;
    float *s = tn_region_array(m->scratch, (size_t)o->channels + 1, sizeof *s);
    if (!s) return TN_E_MEMORY;
    const int products = scales_of(job, m, value, exponent, s);
    if (!products) return TN_OK;
    const tn_node *norm = own_norm(m, value, products, o->channels);
    int now = value;
    if (norm)
        TN_TRY(divide_norm(made, norm, s, o->channels));
    else
        TN_TRY(divide_value(made, value, s, o->channels, &now));
    for (int n = 0; n < job->graph->node_count; n++) {
        const tn_node *node = &job->graph->nodes[n];
        float *w;
        if (node->in_count < 2 || node->in[0] != value || !is_product(job, m, n)) continue;
        TN_TRY(tn_constant_own(made, node->in[1], &w));
        const tn_tensor *t = made->values[node->in[1]].constant;
        const bool rows = by_rows(node);
        for (int64_t i = 0; i < tn_count(t); i++) w[i] *= s[rows ? i % o->channels : i / t->dims[1]];
        made->nodes[n].in[0] = now;
    }
    return TN_OK;
}

/* A copy of job->graph, smoothed. */
static tn_status smooth_graph(const tn_qjob *job, double exponent, tn_graph **out_made) {
    tn_match m;
    TN_TRY(tn_graph_copy(job->graph, true, out_made));
    tn_status status = tn_match_begin(&m, job->graph);
    for (int v = 0; v < job->graph->value_count && status == TN_OK; v++)
        status = smooth_value(job, &m, *out_made, v, exponent);
    tn_match_end(&m);
    if (status == TN_OK) status = tn_graph_sort(*out_made);
    return status == TN_OK ? tn_graph_infer(*out_made) : status;
}

/* With the ranges that the calibration asked for gives, which may be another one's for each exponent. */
static double signal_of(tn_qjob *job, tn_status *status) {
    tn_attempt a = {0};
    if (!job->options.dynamic) {
        const tn_quantize_options asked = job->options;
        *status = tn_qjob_choose(job);
        job->options = asked;
        return job->left;
    }
    *status = tn_attempt_make(job, job->skip, job->choosing, &a);
    const double sqnr = a.score.sqnr;
    tn_attempt_free(&a);
    return sqnr;
}

static void drop(tn_qjob *job) {
    tn_observers_free(job->observers, job->observed);
    tn_graph_destroy(job->base);
    tn_graph_destroy(job->graph);
}

tn_status tn_qjob_smooth(tn_qjob *job) {
    tn_qjob best = *job;
    tn_status status;
    double most = signal_of(job, &status);
    for (size_t e = 0; e < TN_COUNT(exponents) && status == TN_OK; e++) {
        tn_qjob other = *job; /* of other graphs, whose nodes have other numbers */
        other.kept = job->kept;
        other.graph = other.base = NULL;
        other.observers = NULL;
        status = smooth_graph(job, exponents[e], &other.graph);
        if (status == TN_OK) status = tn_graph_copy(other.graph, true, &other.base);
        if (status == TN_OK) status = tn_qjob_begin(&other);
        if (status == TN_OK && !job->options.dynamic) status = tn_qjob_observe(&other);
        const double sqnr = status == TN_OK ? signal_of(&other, &status) : NAN;
        const bool better = status == TN_OK && sqnr > most;
        if (better) most = sqnr;
        if (better && best.graph != job->graph) drop(&best);
        if (better)
            best = other;
        else
            drop(&other);
    }
    if (best.graph == job->graph) return status == TN_OK ? tn_qjob_begin(job) : status;
    if (status != TN_OK) {
        drop(&best);
        return status;
    }
    /* Constants that are not the best one's own are borrowed. */
    tn_observers_free(job->observers, job->observed);
    tn_qjob_retire(job, job->base);
    tn_qjob_retire(job, job->graph);
    memcpy(best.older, job->older, sizeof best.older);
    *job = best;
    return tn_qjob_begin(job);
}
