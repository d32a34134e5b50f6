/* Recipes, carried out. Each step works on a copy, so that undoing one is forgetting it. Where there are steps to choose from,
 * all combinations are gone through, depth first, so that what they begin with is made once. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/text.h"
#include "compress/quantize.h"
#include "compress/recipe.h"

typedef struct run {
    const tn_recipe *recipe;
    const tn_graph *original;
    const tn_samples *samples;
    tn_quantize_options base;
    tn_recipe_progress *progress;
    void *context;
    tn_recipe_state *state; /* NULL: nothing is kept for another run */
    tn_text notes;          /* of the step that is tried */
    tn_region *region;
    tn_report_point *points; /* the graph that came, and all that was tried */
    int point_count;
    /* Behind the last step that was kept: the graph, what it is worth, and what its last quantization tells. */
    tn_graph *now;
    tn_recipe_try last;
    tn_quantize_report *report;
    /* Likewise, of the combination with the fewest bytes so far that holds the bounds. */
    tn_graph *best;
    tn_recipe_try best_try;
    tn_quantize_report *best_report;
} run;

static tn_status quantize_step(const run *r, const tn_recipe_step *step, tn_graph **out,
                               tn_quantize_report **out_report) {
    tn_quantize_options o = step->quantize;
    o.struct_size = sizeof o;
    o.threads = r->base.threads;
    o.cpu = r->base.cpu;
    o.metric = r->base.metric;
    o.metric_context = r->base.metric_context;
    o.metric_name = r->base.metric_name;
    o.times = r->base.times;
    o.max_drop = r->recipe->max_drop;
    o.min_sqnr = r->recipe->min_sqnr;
    return tn_quantize(r->now, r->samples, &o, out, out_report);
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

static void note_heads(void *context, const char *block, const char *reason) {
    tn_text *t = context;
    tn_put_text(t, t->used ? "\n" : "");
    tn_put_format(t, "attention '%.200s' keeps its heads: %.300s", block, reason);
}

/* The pass of a step on a graph. */
static tn_status run_pass(const tn_recipe_step *step, tn_graph *graph, tn_tensor *const *samples, size_t count,
                          tn_text *notes) {
    tn_weight_only_options weights = step->weights;
    tn_half_options half = step->half;
    tn_prune_options prune = step->prune;
    tn_prune_channels_options channels = step->channels;
    tn_prune_heads_options heads = step->heads;
    tn_prune_layers_options layers = step->layers;
    tn_cluster_options share = step->share;
    tn_low_rank_options low_rank = step->low_rank;
    weights.struct_size = sizeof weights;
    half.struct_size = sizeof half;
    prune.struct_size = sizeof prune;
    channels.struct_size = sizeof channels;
    heads.struct_size = sizeof heads;
    heads.stays = note_heads;
    heads.context = notes;
    layers.struct_size = sizeof layers;
    share.struct_size = sizeof share;
    low_rank.struct_size = sizeof low_rank;
    weights.samples = prune.samples = heads.samples = layers.samples = (const tn_tensor *const *)samples;
    weights.sample_count = prune.sample_count = heads.sample_count = layers.sample_count = count;
    switch (step->kind) {
    case TN_STEP_HALF: return tn_graph_to_half(graph, &half, NULL);
    case TN_STEP_PRUNE: return tn_graph_prune(graph, &prune, NULL);
    case TN_STEP_CHANNELS: return tn_graph_prune_channels(graph, &channels, NULL);
    case TN_STEP_HEADS: return tn_graph_prune_heads(graph, &heads, NULL);
    case TN_STEP_LAYERS: return tn_graph_prune_layers(graph, &layers, NULL);
    case TN_STEP_SHARE: return tn_graph_cluster(graph, &share, NULL);
    case TN_STEP_LOW_RANK: return tn_graph_low_rank(graph, &low_rank, NULL);
    default: return tn_graph_quantize_weights(graph, &weights, NULL);
    }
}

static tn_status pass_step(run *r, const tn_recipe_step *step, tn_graph **out) {
    TN_TRY(tn_graph_copy(r->now, false, out));
    TN_TRY(tn_graph_sort(*out));
    TN_TRY(tn_graph_infer(*out));
    const bool looks =
        (step->kind == TN_STEP_WEIGHTS && (step->weights.awq || step->weights.method == TN_WEIGHT_GPTQ)) ||
        (step->kind == TN_STEP_PRUNE && step->prune.criterion) || (step->kind == TN_STEP_HEADS && step->samples > 0) ||
        step->kind == TN_STEP_LAYERS;
    const size_t most = looks ? (step->samples > 0 ? (size_t)step->samples : 64) : 0;
    tn_tensor **samples = NULL;
    size_t count = 0;
    tn_status status = looks ? take_samples(r, most, &samples, &count) : TN_OK;
    if (status == TN_OK) status = run_pass(step, *out, samples, count, &r->notes);
    give_back(r, most, samples);
    return status;
}

static tn_status make_step(run *r, int index, const tn_recipe_step *step, tn_recipe_try *tried, tn_graph **out,
                           tn_quantize_report **report) {
    tn_status status = step->kind == TN_STEP_QUANTIZE ? quantize_step(r, step, out, report) : pass_step(r, step, out);
    if (status == TN_OK && r->samples) status = tn_score_graphs(&r->base, r->samples, r->original, *out, &tried->score);
    if (status != TN_OK) return tn_fail_context(status, "step %d, %s", index + 1, tn_recipe_step_name(step->kind));
    tried->bytes = (double)tn_graph_constant_bytes(*out);
    if (r->base.times) TN_TRY(tn_time_graph(&r->base, r->samples, *out, &tried->ns, NULL));
    tried->int8 = *report ? (*report)->summary.int8_layers : 0;
    tried->kept = !(r->recipe->min_sqnr > 0 && tried->score.sqnr < r->recipe->min_sqnr) &&
                  !(r->recipe->max_drop > 0 && tried->score.metric < tried->score.whole - r->recipe->max_drop - 1e-12);
    if (tried->kept && *report) memcpy(tried->report, tried->path, sizeof tried->path);
    if (tried->kept) return TN_OK;
    tn_graph_destroy(*out);
    *out = NULL;
    return TN_OK;
}

/* What a run before has of it. False: nothing, or nothing that can be gone on from. */
static bool recall(const run *r, tn_recipe_try *tried, tn_graph **out, tn_quantize_report **report) {
    const tn_recipe_try *known = r->state ? tn_recipe_state_find(r->state, tried->path) : NULL;
    if (!known) return false;
    if (known->kept && !known->done && tn_recipe_state_load(r->state, known, out, report) != TN_OK) return false;
    *tried = *known;
    return true;
}

/* The steps of a path, as "prune + quantize 2". */
static const char *name_of(run *r, const char *path) {
    tn_text t = {.region = r->region};
    for (int i = 0; *path; i++, path += strcspn(path, "."), path += *path == '.') {
        if (*path == '-') continue;
        const tn_recipe_step *step = &r->recipe->steps[i];
        const int way = atoi(path);
        const bool is_choice = step->other != NULL;
        for (int k = 0; k < way && step->other; k++) step = step->other;
        tn_put_format(&t, "%s%s", t.used ? " + " : "", tn_recipe_step_name(step->kind));
        if (is_choice) tn_put_format(&t, " %d", way + 1);
    }
    return t.failed ? NULL : t.used ? t.data : "as it came";
}

static tn_status note_try(run *r, const tn_recipe_try *tried) {
    if (r->point_count == TN_MOST_POINTS) return TN_OK;
    const tn_report_point point = {.name = name_of(r, tried->path),
                                   .bytes = tried->bytes,
                                   .sqnr = tried->score.sqnr,
                                   .metric = tried->score.metric,
                                   .ns = tried->ns,
                                   .int8 = tried->int8};
    r->points[r->point_count++] = point;
    return point.name ? TN_OK : TN_E_MEMORY;
}

/* What a run before tried behind a try, if that is done and not gone through again. */
static tn_status note_behind(run *r, const tn_recipe_try *tried) {
    const size_t length = strlen(tried->path);
    const tn_recipe_try *known;
    for (size_t i = 0; tried->done && (known = tn_recipe_state_at(r->state, i)); i++)
        if (strncmp(known->path, tried->path, length) == 0 && known->path[length] == '.') TN_TRY(note_try(r, known));
    return TN_OK;
}

/* What the step makes of r->now. *out: NULL if it left the bounds, or if all behind it was tried before. */
static tn_status try_step(run *r, int index, const tn_recipe_step *step, tn_recipe_try *tried, tn_graph **out,
                          tn_quantize_report **report, tn_recipe_row *row) {
    const bool last = index + 1 == r->recipe->step_count;
    *row = (tn_recipe_row){.step = tn_recipe_step_name(step->kind), .bytes_before = tn_graph_constant_bytes(r->now)};
    *out = NULL;
    *report = NULL;
    r->notes.used = 0;
    row->known = recall(r, tried, out, report);
    if (!row->known) TN_TRY(make_step(r, index, step, tried, out, report));
    if (!row->known && r->state && !(last && tried->kept)) /* such are judged first */
        TN_TRY(tn_recipe_state_add(r->state, tried, *out, tried->kept ? *report : NULL));
    TN_TRY(note_try(r, tried));
    if (row->known) TN_TRY(note_behind(r, tried));
    row->bytes_after = (uint64_t)tried->bytes;
    row->sqnr = tried->score.sqnr;
    row->metric = tried->score.metric;
    row->metric_before = tried->score.whole;
    row->kept = tried->kept;
    row->notes = r->notes.used ? r->notes.data : "";
    return r->notes.failed ? TN_E_MEMORY : TN_OK;
}

static tn_status tell(const run *r, int index, const tn_recipe_row *row) {
    return r->progress ? r->progress(r->context, index, row) : TN_OK;
}

/* *fits: the bounds of the end hold; else tn_last_error says which does not. */
static tn_status check_end(const run *r, double bytes, bool *fits) {
    const tn_recipe *bounds = r->recipe;
    double ns = 0, ram = 0;
    *fits = false;
    if (bounds->max_bytes > 0 && bytes > bounds->max_bytes) {
        tn_fail(TN_E_CHECK, "the constants take %.0f bytes in the end; the recipe's max_bytes is %.0f", bytes,
                bounds->max_bytes);
        return TN_OK;
    }
    if (bounds->max_ms > 0 || bounds->max_ram > 0) TN_TRY(tn_time_graph(&r->base, r->samples, r->now, &ns, &ram));
    if (bounds->max_ms > 0 && ns / 1e6 > bounds->max_ms)
        tn_fail(TN_E_CHECK, "a run takes %.3f ms in the end; the recipe's max_ms is %g", ns / 1e6, bounds->max_ms);
    else if (bounds->max_ram > 0 && ram > bounds->max_ram)
        tn_fail(TN_E_CHECK, "a run takes an arena of %.0f bytes in the end; the recipe's max_ram is %.0f", ram,
                bounds->max_ram);
    else
        *fits = true;
    return TN_OK;
}

/* r->now is what a combination made. */
static tn_status judge(run *r) {
    const double bytes = (double)tn_graph_constant_bytes(r->now), least = r->best_try.bytes;
    bool fits;
    if (r->best && !(bytes < least || (bytes == least && r->last.score.sqnr > r->best_try.score.sqnr))) return TN_OK;
    TN_TRY(check_end(r, bytes, &fits));
    if (!fits) return TN_OK;
    tn_graph_destroy(r->best);
    if (r->best_report && !r->best_report->held) tn_quantize_report_destroy(r->best_report);
    r->best = r->now;
    r->best_try = r->last;
    r->best_try.bytes = bytes;
    r->best_report = r->report;
    return TN_OK;
}

static tn_status walk(run *r, int index, const char *path);

/* On from what a step made. */
static tn_status go_on(run *r, int index, const tn_recipe_try *tried, tn_graph *made, tn_quantize_report *told) {
    tn_graph *const now = r->now;
    const tn_graph *const best = r->best;
    tn_quantize_report *const report = r->report;
    const tn_recipe_try last = r->last;
    r->now = made;
    r->last = *tried;
    r->report = told ? told : report;
    tn_status status = walk(r, index + 1, tried->path);
    const bool is_best = r->best == made;
    r->now = now;
    r->last = last;
    r->report = report;
    if (status != TN_OK || !r->state) return status;
    if (!tn_recipe_state_find(r->state, tried->path)) /* the last step: nobody else needs its graph */
        TN_TRY(tn_recipe_state_add(r->state, tried, is_best ? made : NULL, is_best ? told : NULL));
    return tn_recipe_state_done(r->state, tried->path, r->best == best ? NULL : &r->best_try);
}

/* Tries the ways of a step behind the path of those before. */
static tn_status walk(run *r, int index, const char *path) {
    if (index == r->recipe->step_count) return judge(r);
    const bool last = index + 1 == r->recipe->step_count;
    const char *dot = *path ? "." : "";
    char none[TN_RECIPE_PATH];
    bool kept = false;
    int way = 0;
    tn_status status = TN_OK;
    for (const tn_recipe_step *step = &r->recipe->steps[index]; step && status == TN_OK; step = step->other, way++) {
        tn_recipe_try tried = {.score = {NAN, NAN, NAN, 0}, .ns = NAN};
        tn_graph *made;
        tn_quantize_report *told;
        tn_recipe_row row;
        snprintf(tried.path, sizeof tried.path, "%s%s%d", path, dot, way);
        memcpy(tried.report, r->last.report, sizeof tried.report);
        status = try_step(r, index, step, &tried, &made, &told, &row);
        row.way = way;
        kept |= tried.kept;
        if (told) told->held = true;
        if (status == TN_OK && !last) status = tell(r, index, &row);
        if (status == TN_OK && made) status = go_on(r, index, &tried, made, told);
        if (status == TN_OK && last) status = tell(r, index, &row);
        if (made != r->best) tn_graph_destroy(made);
        if (told) told->held = false;
        if (told != r->best_report) tn_quantize_report_destroy(told);
    }
    snprintf(none, sizeof none, "%s%s-", path, dot);
    return status == TN_OK && !kept ? walk(r, index + 1, none) : status;
}

/* From what a run before left in the folder; where its best graph cannot be read, anew. */
static tn_status open_state(run *r, const char *folder) {
    for (;;) {
        TN_TRY(tn_recipe_state_open(folder, r->recipe, r->original, r->samples, &r->state));
        const tn_recipe_try *best = tn_recipe_state_best(r->state);
        if (!best) return TN_OK;
        if (tn_recipe_state_load(r->state, best, &r->best, &r->best_report) == TN_OK) {
            r->best_try = *best;
            return TN_OK;
        }
        tn_recipe_state_close(r->state, false);
        r->state = NULL;
    }
}

static tn_status begin(run *r) {
    tn_recipe_try came = {.score = {NAN, NAN, NAN, 0}, .ns = NAN};
    r->region = r->notes.region = tn_region_create(NULL);
    r->points = r->region ? tn_region_array(r->region, TN_MOST_POINTS, sizeof *r->points) : NULL;
    if (!r->points) return TN_E_MEMORY;
    came.bytes = (double)tn_graph_constant_bytes(r->original);
    if (r->base.times) TN_TRY(tn_time_graph(&r->base, r->samples, r->original, &came.ns, NULL));
    return note_try(r, &came);
}

/* The report of the last quantization gets what the recipe tried in the place of what that step did, where that is more than
 * the step; without one there is a report of that alone. */
static tn_status tell_all(run *r, double seconds) {
    const tn_qscore *score = &r->best_try.score;
    tn_report_point *came = &r->points[0];
    if (r->best_report && r->point_count < 3) return TN_OK;
    came->metric = score->whole;
    if (!r->best_report) {
        TN_TRY(tn_report_create(&r->best_report));
        r->best_report->summary = (tn_quantize_summary){.struct_size = sizeof r->best_report->summary,
                                                        .samples = score->sets,
                                                        .bytes_before = (uint64_t)came->bytes,
                                                        .bytes_after = (uint64_t)r->best_try.bytes,
                                                        .sqnr = score->sqnr,
                                                        .metric_before = score->whole,
                                                        .metric_after = score->metric,
                                                        .ns_before = came->ns,
                                                        .ns_after = r->best_try.ns,
                                                        .seconds = seconds};
    }
    tn_quantize_report *report = r->best_report;
    const char *best = name_of(r, r->best_try.path);
    if (r->base.metric)
        report->metric = tn_region_strdup(report->region, r->base.metric_name ? r->base.metric_name : "score");
    if (!best || !report->metric) return TN_E_MEMORY;
    for (int i = 0; i < r->point_count; i++) {
        report->points[i] = r->points[i];
        report->points[i].kept = strcmp(r->points[i].name, best) == 0;
        report->points[i].name = tn_region_strdup(report->region, r->points[i].name);
        if (!report->points[i].name) return TN_E_MEMORY;
    }
    report->point_count = r->point_count;
    return tn_report_write(report);
}

tn_status tn_recipe_run(const tn_recipe *recipe, const tn_graph *graph, const tn_samples *samples,
                        const tn_quantize_options *base, const char *folder, tn_recipe_progress *progress,
                        void *context, tn_graph **out_graph, tn_quantize_report **out_report) {
    run r = {.recipe = recipe,
             .original = graph,
             .samples = samples,
             .base = {.struct_size = sizeof r.base},
             .progress = progress,
             .context = context,
             .last = {.score = {NAN, NAN, NAN, 0}, .ns = NAN}};
    const uint64_t start = tn_now();
    *out_graph = NULL;
    if (out_report) *out_report = NULL;
    if (base) memcpy(&r.base, base, TN_MIN(base->struct_size, sizeof r.base));
    if (!samples) r.base.times = false;
    if (!samples && (recipe->max_drop > 0 || recipe->min_sqnr > 0 || recipe->max_ms > 0 || recipe->max_ram > 0))
        return tn_fail(TN_E_INVALID, "the recipe's bounds need data to be measured on, and there are none");
    tn_graph *first = NULL;
    tn_status status = tn_graph_copy(graph, false, &first);
    if (status == TN_OK) status = begin(&r);
    r.now = first;
    if (status == TN_OK && folder) status = open_state(&r, folder);
    if (status == TN_OK) status = walk(&r, 0, "");
    if (r.best != first) tn_graph_destroy(first);
    if (status == TN_OK && !r.best) status = TN_E_CHECK; /* the sentence is that of the last combination */
    if (status == TN_OK && out_report) status = tell_all(&r, (double)(tn_now() - start) / 1e9);
    if (status == TN_OK) status = tn_compress_succeed(r.best, graph, &r.base, &r.best_try.score);
    if (status == TN_OK)
        *out_graph = r.best;
    else
        tn_graph_destroy(r.best);
    if (status == TN_OK && out_report)
        *out_report = r.best_report;
    else
        tn_quantize_report_destroy(r.best_report);
    tn_region_destroy(r.region);
    tn_recipe_state_close(r.state, status != TN_OK && status != TN_E_CHECK);
    return status;
}
