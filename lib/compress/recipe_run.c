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

static tn_status pass_step(run *r, const tn_recipe_step *step, tn_graph **out) {
    TN_TRY(tn_graph_copy(r->now, false, out));
    TN_TRY(tn_graph_sort(*out));
    TN_TRY(tn_graph_infer(*out));
    if (step->kind == TN_STEP_HALF) {
        tn_half_options o = step->half;
        o.struct_size = sizeof o;
        return tn_graph_to_half(*out, &o, NULL);
    }
    tn_weight_only_options o = step->weights;
    o.struct_size = sizeof o;
    return tn_graph_quantize_weights(*out, &o, NULL);
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
    run r = {.recipe = recipe, .original = graph, .samples = samples, .base = {.struct_size = sizeof r.base}};
    *out_graph = NULL;
    if (out_report) *out_report = NULL;
    if (base) memcpy(&r.base, base, TN_MIN(base->struct_size, sizeof r.base));
    if (!samples && (recipe->max_drop > 0 || recipe->min_sqnr > 0 || recipe->max_ms > 0))
        return tn_fail(TN_E_INVALID, "the recipe's bounds need data to be measured on, and there are none");
    tn_status status = tn_graph_copy_free(graph, false, &r.now);
    for (int i = 0; i < recipe->step_count && status == TN_OK; i++) status = do_step(&r, i, progress, context);
    if (status == TN_OK) status = check_end(&r);
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
