/* Rounding weights up or down by what that does to their product, not each to the nearest level (Nagel et al., "Up or Down?
 * Adaptive Rounding for Post-Training Quantization", arXiv 2004.10568). With e the error of an output's weights and H the mean
 * of x x^T over what the layer reads, the mean squared error of that output is e^T H e. The paper relaxes this problem of
 * ups and downs; here it is descended weight by weight, from nearest on: of each weight the other level is taken where the sum
 * gets less, until none does. All is deterministic, and memory does not depend on the number of samples. */
#include "compress/matrices.h"
#include "compress/quantize.h"
#include "passes/match.h"
#include <math.h>

enum { MOST_SETS = 64, ROWS = 64, TURNS = 8, MOST_CELLS = 1 << 22, AXES = 3 };

typedef struct layer {
    int node, axis;
    int64_t groups, k, taps; /* k = channels of a group * taps */
    double *h;               /* [groups, k, k] */
    float *rows;             /* [ROWS, k] */
} layer;

typedef struct rounding {
    tn_qjob *job;
    layer *layers;
    int count, *watch;
} rounding;

/* ---- what layers read ---- */

/* The window that output position `at` (of even steps through all there are) sees, as k numbers. */
static void window_of(const tn_node *node, const tn_tensor *w, const tn_tensor *x, const float *data, int64_t group,
                      int64_t image, const int64_t *start, const layer *l, float *out) {
    const int axes = w->rank - 2;
    const int64_t each = w->dims[1], *in = x->dims + 2;
    size_t count;
    const int64_t *dilations = tn_attr_ints(node, "dilations", &count);
    int64_t plane = 1;
    for (int a = 0; a < axes; a++) plane *= in[a];
    for (int64_t c = 0; c < each; c++)
        for (int64_t t = 0; t < l->taps; t++) {
            int64_t rest = t, offset = 0, scale = 1;
            bool inside = true;
            for (int a = axes - 1; a >= 0; a--) {
                const int64_t tap = rest % w->dims[2 + a], p = start[a] + tap * (dilations ? dilations[a] : 1);
                rest /= w->dims[2 + a];
                inside &= p >= 0 && p < in[a];
                offset += p * scale;
                scale *= in[a];
            }
            const int64_t channel = image * x->dims[1] + group * each + c;
            out[c * l->taps + t] = inside ? data[channel * plane + offset] : 0;
        }
}

/* Windows evenly over all images and places; borders reach as far as a kernel that keeps the size would. */
static int64_t windows(const rounding *r, layer *l, const tn_tensor *x, const float *data, int64_t group) {
    const tn_node *node = &r->job->base->nodes[l->node];
    const tn_tensor *w = r->job->base->values[node->in[1]].constant;
    const int axes = w->rank - 2;
    size_t count;
    const int64_t *strides = tn_attr_ints(node, "strides", &count),
                  *dilations = tn_attr_ints(node, "dilations", &count);
    int64_t places[AXES], reach[AXES], step[AXES], all = x->dims[0];
    for (int a = 0; a < axes; a++) {
        step[a] = strides ? strides[a] : 1;
        reach[a] = (w->dims[2 + a] - 1) * (dilations ? dilations[a] : 1) / 2;
        places[a] = (x->dims[2 + a] + step[a] - 1) / step[a];
        all *= places[a];
    }
    const int64_t taken = TN_MIN(all, (int64_t)ROWS);
    for (int64_t i = 0; i < taken; i++) {
        int64_t rest = i * all / taken, start[AXES];
        for (int a = axes - 1; a >= 0; a--) {
            start[a] = rest % places[a] * step[a] - reach[a];
            rest /= places[a];
        }
        window_of(node, w, x, data, group, rest, start, l, l->rows + i * l->k);
    }
    return taken;
}

static tn_status see_layer(const rounding *r, layer *l, const tn_tensor *x) {
    const float *data = x->data;
    const bool conv = tn_match_is(&r->job->base->nodes[l->node], "", "Conv");
    if (tn_count(x) == 0) return TN_OK;
    for (int64_t g = 0; g < l->groups; g++) {
        int64_t taken;
        if (conv) {
            taken = windows(r, l, x, data, g);
        } else {
            const int64_t all = tn_count(x) / l->k;
            taken = TN_MIN(all, (int64_t)ROWS);
            for (int64_t i = 0; i < taken; i++)
                memcpy(l->rows + i * l->k, data + i * all / taken * l->k, (size_t)l->k * sizeof *data);
        }
        TN_TRY(tn_add_products(l->h + g * l->k * l->k, l->rows, (size_t)taken, (size_t)l->k));
    }
    return TN_OK;
}

static tn_status see(void *context, const tn_tensor *const *const *seen) {
    rounding *r = context;
    for (int i = 0; i < r->count; i++) {
        tn_tensor *dense = NULL;
        const tn_tensor *x = seen[0][i];
        if (!x || x->dtype != TN_FLOAT32) continue;
        if (!tn_tensor_is_dense(x)) TN_TRY(tn_tensor_clone(x, NULL, &dense));
        tn_status status = see_layer(r, &r->layers[i], dense ? dense : x);
        tn_tensor_destroy(dense);
        TN_TRY(status);
    }
    return TN_OK;
}

/* ---- up or down ---- */

/* One output's weights: q goes from the nearest levels to better ones. w, q: each `stride` apart. */
static void descend(const double *h, int64_t k, double scale, int levels, const float *w, int64_t stride, int8_t *q,
                    double *pull) {
    for (int64_t i = 0; i < k; i++) pull[i] = 0;
    for (int64_t i = 0; i < k; i++) {
        const double e = q[i * stride] * scale - (double)w[i * stride];
        for (int64_t j = 0; j < k; j++) pull[j] += e * h[i * k + j];
    }
    for (int turn = 0, moved = 1; turn < TURNS && moved; turn++) {
        moved = 0;
        for (int64_t i = 0; i < k; i++) {
            const double exact = (double)w[i * stride] / scale;
            const int now = q[i * stride], down = (int)floor(exact), up = (int)ceil(exact);
            const int other = now == down ? up : down;
            if (other == now || other < -levels || other > levels) continue;
            const double step = (other - now) * scale;
            if (!(2 * step * pull[i] + step * step * h[i * k + i] < 0)) continue;
            q[i * stride] = (int8_t)other;
            for (int64_t j = 0; j < k; j++) pull[j] += step * h[i * k + j];
            moved = 1;
        }
    }
}

/* H as a whole matrix, with a little of its mean on the diagonal: samples are few. */
static void complete(double *h, int64_t k) {
    double mean = 0;
    for (int64_t i = 0; i < k; i++) mean += h[i * k + i] / (double)k;
    for (int64_t i = 0; i < k; i++) {
        h[i * k + i] += 0.01 * mean;
        for (int64_t j = 0; j < i; j++) h[i * k + j] = h[j * k + i];
    }
}

/* Weights of the layer, in job->base, become the levels' own numbers, so that rounding to nearest finds these levels. */
static tn_status round_layer(const rounding *r, const layer *l, tn_region *scratch) {
    const tn_qjob *job = r->job;
    const tn_node *node = &job->base->nodes[l->node];
    const tn_tensor *w = job->base->values[node->in[1]].constant;
    const int bias = node->formal_in > 2 ? node->in[2] : -1, levels = tn_qlevels(&job->options);
    float *biases = NULL, *data;
    if (bias >= 0) {
        const tn_tensor *b = job->base->values[bias].constant;
        biases = tn_region_array(scratch, (size_t)tn_count(b) + 1, sizeof *biases);
        if (!biases) return TN_E_MEMORY;
        memcpy(biases, b->data, (size_t)tn_count(b) * sizeof *biases);
    }
    tn_qweights q;
    const float in_scale = job->options.dynamic ? 1 : job->ranges[job->plan.like[node->in[0]]].scale;
    TN_TRY(tn_qweights_make(scratch, w, l->axis, job->options.per_tensor, levels, in_scale,
                            job->options.dynamic ? NULL : biases, &q));
    double *pull = tn_region_array(scratch, (size_t)l->k + 1, sizeof *pull);
    if (!pull) return TN_E_MEMORY;
    TN_TRY(tn_constant_own(job->base, node->in[1], &data));
    const int64_t stride = q.outer > 1 ? q.channels : 1;
    for (int64_t g = 0; g < l->groups; g++) complete(l->h + g * l->k * l->k, l->k);
    for (int64_t c = 0; c < q.channels; c++) {
        const double *h = l->h + c * l->groups / q.channels * l->k * l->k;
        const int64_t first = q.outer > 1 ? c : c * q.inner;
        const float scale = q.scale[q.scale_count == 1 ? 0 : c];
        descend(h, l->k, (double)scale, levels, data + first, stride, q.q + first, pull);
        for (int64_t i = 0; i < l->k; i++) {
            float *to = &data[first + i * stride];
            if (fabsf(*to) < scale * (float)levels) *to = (float)q.q[first + i * stride] * scale;
        }
    }
    return TN_OK;
}

/* A row for each layer whose products are not too many to keep, and whose weights are its own. */
static tn_status find_layers(rounding *r, tn_region *scratch) {
    tn_match m;
    const tn_graph *graph = r->job->base;
    TN_TRY(tn_match_begin(&m, r->job->base));
    tn_status status = TN_OK;
    for (int n = 0; n < graph->node_count && status == TN_OK; n++) {
        const tn_node *node = &graph->nodes[n];
        layer l = {.node = n, .groups = 1, .taps = 1};
        if (r->job->plan.role[n] != TN_Q_LAYER || r->job->skip[n] || m.uses[node->in[1]] != 1) continue;
        if (!tn_qplan_is_layer(graph, node, &l.axis)) continue;
        const tn_tensor *w = graph->values[node->in[1]].constant;
        if (tn_match_is(node, "", "Conv")) {
            if (w->rank > 2 + AXES) continue;
            l.groups = tn_attr_int(node, "group", 1);
            for (int i = 2; i < w->rank; i++) l.taps *= w->dims[i];
        }
        l.k = tn_count(w) / TN_MAX(w->dims[l.axis], 1);
        size_t cells;
        if (!tn_mul_size((size_t)l.k, (size_t)l.k, &cells) || !tn_mul_size(cells, (size_t)l.groups, &cells) ||
            cells > MOST_CELLS)
            continue;
        l.h = tn_region_array(scratch, cells + 1, sizeof *l.h);
        l.rows = tn_region_array(scratch, (size_t)l.k * ROWS + 1, sizeof *l.rows);
        if (!l.h || !l.rows) status = TN_E_MEMORY;
        r->watch[r->count] = node->in[0];
        r->layers[r->count++] = l;
    }
    tn_match_end(&m);
    return status;
}

static tn_status round_all(tn_qjob *job, tn_region *scratch) {
    const size_t nodes = (size_t)job->base->node_count + 1;
    rounding r = {.job = job,
                  .layers = tn_region_array(scratch, nodes, sizeof *r.layers),
                  .watch = tn_region_array(scratch, nodes, sizeof *r.watch)};
    int64_t sets, most = job->options.most_samples ? TN_MIN(job->options.most_samples, (int64_t)MOST_SETS) : MOST_SETS;
    if (!r.layers || !r.watch) return TN_E_MEMORY;
    TN_TRY(find_layers(&r, scratch));
    TN_TRY(tn_replay_run(&job->replay, most, 1, (const tn_graph *const[]){job->base}, r.count,
                         (const int *const[]){r.watch}, see, &r, &sets));
    for (int i = 0; i < r.count; i++) {
        tn_status status = round_layer(&r, &r.layers[i], scratch);
        if (status != TN_OK) return tn_node_context(status, &job->base->nodes[r.layers[i].node]);
    }
    return TN_OK;
}

tn_status tn_qjob_round(tn_qjob *job) {
    return tn_qjob_improve(job, round_all);
}
