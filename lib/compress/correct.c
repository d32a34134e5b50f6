/* Biases that take up what rounding weights moves a layer's output by, on average: the sum over its inputs of what each weight
 * moved times the input's mean. Borders, where a convolution sees zeros instead, are counted as if they were like the rest. */
#include "compress/quantize.h"
#include "passes/match.h"
#include <math.h>

static float number(const tn_tensor *t, int64_t i) {
    float x;
    memcpy(&x, (const char *)t->data + (size_t)i * sizeof x, sizeof x);
    return x;
}

/* moved[c]: the mean of what the layer gives on 8 bits less what it gives in float. */
static tn_status mean_shift(const tn_qjob *job, const tn_node *node, int axis, double *moved, tn_region *scratch) {
    const tn_tensor *w = job->base->values[node->in[1]].constant, *whole = job->graph->values[node->in[1]].constant;
    const tn_observer *o = &job->observers[node->in[0]];
    tn_qweights q;
    TN_TRY(tn_qweights_make(scratch, w, axis, job->options.per_tensor, tn_qlevels(&job->options),
                            job->ranges[job->plan.like[node->in[0]]].scale, NULL, &q));
    bool conv = tn_match_is(node, "", "Conv");
    int64_t groups = conv ? tn_attr_int(node, "group", 1) : 1, taps = 1, at = 0;
    for (int i = 2; conv && i < w->rank; i++) taps *= w->dims[i];
    for (int64_t outer = 0; outer < q.outer; outer++)
        for (int64_t c = 0; c < q.channels; c++)
            for (int64_t i = 0; i < q.inner; i++, at++) {
                /* [M, C / groups, taps], [N, K] or [K, N] */
                int64_t input = q.outer > 1 ? outer : i / taps;
                if (conv) input += c / TN_MAX(q.channels / groups, 1) * w->dims[1];
                if (input >= o->channels) return TN_OK;
                double now = (double)q.q[at] * (double)q.scale[q.scale_count == 1 ? 0 : c];
                moved[c] += (now - (double)number(whole, at)) * o->sums[input] / o->rows;
            }
    return TN_OK;
}

static tn_status correct(tn_qjob *job, int n, tn_region *scratch) {
    tn_node *node = &job->base->nodes[n];
    int axis;
    if (job->plan.role[n] != TN_Q_LAYER || job->skip[n] || !tn_qplan_is_layer(job->base, node, &axis)) return TN_OK;
    const tn_observer *o = &job->observers[node->in[0]];
    if (tn_match_is(node, "", "MatMul") || !o->sums || !(o->rows > 0)) return TN_OK;
    int64_t channels = job->base->values[node->in[1]].constant->dims[axis];
    const tn_tensor *b = node->formal_in > 2 && node->in[2] >= 0 ? job->base->values[node->in[2]].constant : NULL;
    double *moved = tn_region_array(scratch, (size_t)channels + 1, sizeof *moved);
    tn_tensor *made = tn_graph_tensor(job->base, TN_FLOAT32, 1, &channels, NULL);
    if (!moved || !made) return TN_E_MEMORY;
    TN_TRY(mean_shift(job, node, axis, moved, scratch));
    for (int64_t c = 0; c < channels; c++)
        ((float *)made->data)[c] = (float)((b ? (double)number(b, c) : 0) - moved[c]);
    const char *name = b ? job->base->values[node->in[2]].name : "";
    int in[3] = {node->in[0], node->in[1], tn_graph_add_constant(job->base, name, made)};
    return in[2] < 0 ? TN_E_MEMORY : tn_node_set_inputs(job->base, &job->base->nodes[n], 3, in);
}

tn_status tn_qjob_improve(tn_qjob *job, tn_status (*change)(tn_qjob *job, tn_region *scratch)) {
    tn_region *scratch = tn_region_create(NULL);
    tn_graph *before = job->base;
    tn_attempt a = {0}, b = {0};
    tn_status status = scratch ? tn_attempt_make(job, job->skip, TN_KEPT_SETS, &a) : TN_E_MEMORY;
    if (status == TN_OK) status = tn_graph_copy(before, true, &job->base);
    if (status == TN_OK) status = change(job, scratch);
    if (status == TN_OK) status = tn_attempt_make(job, job->skip, TN_KEPT_SETS, &b);
    bool better = status == TN_OK && b.score.sqnr > a.score.sqnr;
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

static tn_status correct_all(tn_qjob *job, tn_region *scratch) {
    for (int n = 0; n < job->base->node_count; n++) TN_TRY(correct(job, n, scratch));
    return TN_OK;
}

tn_status tn_qjob_correct_biases(tn_qjob *job) {
    return tn_qjob_improve(job, correct_all);
}
