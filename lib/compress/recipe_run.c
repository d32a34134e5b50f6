/* Recipes, carried out. Each step works on a copy, so that undoing one is forgetting it. */
#include <math.h>
#include "compress/quantize.h"
#include "compress/recipe.h"

typedef struct run {
    const tn_recipe *recipe;
    const tn_graph *original;
    tn_graph *now; /* behind the last step that was kept */
    const tn_samples *samples;
    tn_quantize_options base;
    tn_quantize_report *report;
    tn_qscore score; /* of `now` */
} run;

static tn_status quantize_step(run *r, const tn_recipe_step *step, tn_graph **out) {
    tn_quantize_options o = step->quantize;
    tn_quantize_report *report;
    o.struct_size = sizeof o;
    o.threads = r->base.threads;
    o.cpu = r->base.cpu;
    o.metric = r->base.metric;
    o.metric_context = r->base.metric_context;
    o.max_drop = r->recipe->max_drop;
    o.min_sqnr = r->recipe->min_sqnr;
    TN_TRY(tn_quantize(r->now, r->samples, &o, out, &report));
    tn_quantize_report_destroy(r->report);
    r->report = report;
    return TN_OK;
}

/* Sets of the samples, at most `most`, as the passes of weights take them: all inputs of one run after the other. */
static tn_status take_samples(const run *r, size_t most, tn_tensor ***out, size_t *out_count) {
    const size_t inputs = (size_t)r->now->input_count;
    const tn_tensor *set[64] = {NULL};
    if (!r->samples) return tn_fail(TN_E_INVALID, "this method looks at data, and there are none");
    if (inputs > TN_COUNT(set)) return tn_fail(TN_E_UNSUPPORTED, "a graph of %zu inputs; at most 64", inputs);
    *out = tn_alloc_zero(NULL, (most * inputs + 1) * sizeof **out);
    if (!*out) return TN_E_MEMORY;
    for (*out_count = 0; *out_count < most; ++*out_count) {
        tn_status status = r->samples->get(r->samples->context, (int64_t)*out_count, set);
        if (status == TN_E_NOT_FOUND) break;
        for (size_t i = 0; i < inputs && status == TN_OK; i++)
            status = set[i] ? tn_tensor_clone(set[i], NULL, &(*out)[*out_count * inputs + i])
                            : tn_fail(TN_E_INVALID, "set %zu has no input %zu", *out_count, i);
        if (status != TN_OK) return status;
    }
    return TN_OK;
}

static void give_back(const run *r, size_t most, tn_tensor **all) {
    const size_t count = most * (size_t)r->now->input_count;
    for (size_t i = 0; all && i < count; i++) tn_tensor_destroy(all[i]);
    if (all) tn_free(NULL, all, (count + 1) * sizeof *all);
}

/* The pass of a step on a graph. */
static tn_status run_pass(const tn_recipe_step *step, tn_graph *graph, tn_tensor *const *samples, size_t count) {
    tn_weight_only_options weights = step->weights;
    tn_half_options half = step->half;
    tn_prune_options prune = step->prune;
    tn_prune_channels_options channels = step->channels;
    tn_cluster_options share = step->share;
    tn_low_rank_options low_rank = step->low_rank;
    weights.struct_size = sizeof weights;
    half.struct_size = sizeof half;
    prune.struct_size = sizeof prune;
    channels.struct_size = sizeof channels;
    share.struct_size = sizeof share;
    low_rank.struct_size = sizeof low_rank;
    weights.samples = prune.samples = (const tn_tensor *const *)samples;
    weights.sample_count = prune.sample_count = count;
    switch (step->kind) {
    case TN_STEP_HALF: return tn_graph_to_half(graph, &half, NULL);
    case TN_STEP_PRUNE: return tn_graph_prune(graph, &prune, NULL);
    case TN_STEP_CHANNELS: return tn_graph_prune_channels(graph, &channels, NULL);
    case TN_STEP_SHARE: return tn_graph_cluster(graph, &share, NULL);
    case TN_STEP_LOW_RANK: return tn_graph_low_rank(graph, &low_rank, NULL);
    default: return tn_graph_quantize_weights(graph, &weights, NULL);
    }
}

static tn_status pass_step(run *r, const tn_recipe_step *step, tn_graph **out) {
    TN_TRY(tn_graph_copy(r->now, false, out));
    TN_TRY(tn_graph_sort(*out));
    TN_TRY(tn_graph_infer(*out));
    const bool looks = step->kind == TN_STEP_WEIGHTS ? step->weights.awq || step->weights.method == TN_WEIGHT_GPTQ
                                                     : step->kind == TN_STEP_PRUNE && step->prune.criterion;
    const size_t most = looks ? (step->samples > 0 ? (size_t)step->samples : 64) : 0;
    tn_tensor **samples = NULL;
    size_t count = 0;
    tn_status status = looks ? take_samples(r, most, &samples, &count) : TN_OK;
    if (status == TN_OK) status = run_pass(step, *out, samples, count);
    give_back(r, most, samples);
    return status;
}

static tn_status do_step(run *r, int index, tn_recipe_progress *progress, void *context) {
    const tn_recipe_step *step = &r->recipe->steps[index];
    tn_graph *made = NULL;
    tn_qscore score = {NAN, NAN, NAN, 0};
    tn_recipe_row row = {.step = tn_recipe_step_name(step->kind), .bytes_before = tn_graph_constant_bytes(r->now)};
    tn_status status = step->kind == TN_STEP_QUANTIZE ? quantize_step(r, step, &made) : pass_step(r, step, &made);
    if (status == TN_OK && r->samples) status = tn_score_graphs(&r->base, r->samples, r->original, made, &score);
    row.bytes_after = status == TN_OK ? tn_graph_constant_bytes(made) : 0;
    row.sqnr = score.sqnr;
    row.metric = score.metric;
    row.metric_before = score.whole;
    row.kept = !(r->recipe->min_sqnr > 0 && score.sqnr < r->recipe->min_sqnr) &&
               !(r->recipe->max_drop > 0 && score.metric < score.whole - r->recipe->max_drop - 1e-12);
    if (status == TN_OK && row.kept) {
        tn_graph_destroy(r->now);
        r->now = made;
        r->score = score;
    } else {
        tn_graph_destroy(made);
    }
    if (status != TN_OK) return tn_fail_context(status, "step %d, %s", index + 1, row.step);
    return progress ? progress(context, index, &row) : TN_OK;
}

static tn_status check_end(const run *r) {
    double bytes = (double)tn_graph_constant_bytes(r->now), ns;
    if (r->recipe->max_bytes > 0 && bytes > r->recipe->max_bytes)
        return tn_fail(TN_E_CHECK, "the constants take %.0f bytes in the end; the recipe's max_bytes is %.0f", bytes,
                       r->recipe->max_bytes);
    if (!(r->recipe->max_ms > 0)) return TN_OK;
    TN_TRY(tn_time_graph(&r->base, r->samples, r->now, &ns));
    if (ns / 1e6 <= r->recipe->max_ms) return TN_OK;
    return tn_fail(TN_E_CHECK, "a run takes %.3f ms in the end; the recipe's max_ms is %g", ns / 1e6,
                   r->recipe->max_ms);
}

tn_status tn_recipe_run(const tn_recipe *recipe, const tn_graph *graph, const tn_samples *samples,
                        const tn_quantize_options *base, tn_recipe_progress *progress, void *context,
                        tn_graph **out_graph, tn_quantize_report **out_report) {
    run r = {.recipe = recipe,
             .original = graph,
             .samples = samples,
             .base = {.struct_size = sizeof r.base},
             .score = {NAN, NAN, NAN, 0}};
    *out_graph = NULL;
    if (out_report) *out_report = NULL;
    if (base) memcpy(&r.base, base, TN_MIN(base->struct_size, sizeof r.base));
    if (!samples && (recipe->max_drop > 0 || recipe->min_sqnr > 0 || recipe->max_ms > 0))
        return tn_fail(TN_E_INVALID, "the recipe's bounds need data to be measured on, and there are none");
    tn_status status = tn_graph_copy(graph, false, &r.now);
    for (int i = 0; i < recipe->step_count && status == TN_OK; i++) status = do_step(&r, i, progress, context);
    if (status == TN_OK) status = check_end(&r);
    if (status == TN_OK) status = tn_compress_succeed(r.now, graph, &r.base, &r.score);
    if (status == TN_OK)
        *out_graph = r.now;
    else
        tn_graph_destroy(r.now);
    if (status == TN_OK && out_report)
        *out_report = r.report;
    else
        tn_quantize_report_destroy(r.report);
    return status;
}
