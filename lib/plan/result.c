/* What a plan leaves: the trained graph with an answer in the target's terms, measured as it will run, and a manifest that
 * says how it was made. */
#include <math.h>
#include <stdio.h>
#include <tenon/model_file.h>
#include <tenon/self_test.h>
#include "data/pipeline.h"
#include "plan/plan.h"

/* Epochs whose losses go into the manifest; of more, some are left out. */
#define MOST_POINTS 500
#define SELF_TEST_ROWS 8

static void add_text(tn_manifest_writer *w, tn_manifest_node *map, const char *key, const char *text) {
    if (text && *text) tn_manifest_add(w, map, key, TN_MANIFEST_TEXT, text);
}

static void add_number(tn_manifest_writer *w, tn_manifest_node *parent, const char *key, double x) {
    if (isfinite(x)) tn_manifest_add_number(w, parent, key, x);
}

static const char *data_name(tn_manifest_writer *w, const tn_plan *plan, bool test) {
    const char *name = tn_region_printf(w->region, "%s-%s", plan->name, test ? "test" : "train");
    w->failed = w->failed || !name;
    return name;
}

static void add_metrics(tn_manifest_writer *w, tn_manifest_node *list, const tn_plan *plan, const tn_plan_data *data,
                        tn_metrics *metrics, bool test) {
    double value;
    const char *name;
    for (int i = 0; (name = tn_metric_name(i)); i++) {
        if (!tn_metrics_applies(metrics, name) || tn_metrics_value(metrics, name, &value) != TN_OK) continue;
        tn_manifest_node *m = tn_manifest_add(w, list, NULL, TN_MANIFEST_MAP, NULL);
        add_text(w, m, "name", name);
        add_number(w, m, "value", value);
        add_text(w, m, "data", data_name(w, plan, test));
        add_text(w, m, "data_digest", data->digests[test && plan->test]);
        add_number(w, m, "samples", (double)tn_metrics_samples(metrics));
    }
}

static void add_losses(tn_manifest_writer *w, tn_manifest_node *extra, const tn_fit *fit) {
    tn_manifest_node *map = tn_manifest_add(w, extra, "training", TN_MANIFEST_MAP, NULL);
    add_text(w, map, "teacher", fit->data->teacher);
    int64_t step = (fit->epochs + MOST_POINTS - 1) / MOST_POINTS;
    add_text(w, map, "loss",
             tn_loss_words[(fit->loss == TN_LOSS_SOFT_CROSS_ENTROPY ? TN_LOSS_CROSS_ENTROPY : fit->loss) + 1]);
    add_number(w, map, "epochs", (double)fit->epochs);
    add_number(w, map, "best_epoch", (double)fit->best + 1);
    tn_manifest_node *at = tn_manifest_add(w, map, "at", TN_MANIFEST_LIST, NULL),
                     *losses = tn_manifest_add(w, map, "losses", TN_MANIFEST_LIST, NULL),
                     *validation = fit->plan->validation > 0
                                       ? tn_manifest_add(w, map, "validation", TN_MANIFEST_LIST, NULL)
                                       : NULL;
    if (fit->retrained) {
        tn_manifest_node *again = tn_manifest_add(w, extra, "retraining", TN_MANIFEST_MAP, NULL);
        add_number(w, again, "epochs", (double)fit->plan->retrain_epochs);
        add_number(w, again, "loss", fit->retraining.loss);
        add_number(w, again, "validation", fit->retraining.validation);
    }
    for (int64_t e = 0; e < fit->epochs; e += TN_MAX(step, 1)) {
        tn_manifest_add_number(w, at, NULL, (double)e + 1);
        add_number(w, losses, NULL, fit->history[e].loss);
        if (validation) add_number(w, validation, NULL, fit->history[e].validation);
    }
}

static tn_status add_pipeline(tn_manifest_writer *w, tn_manifest_node *extra, tn_pipeline *pipeline) {
    const char *text;
    tn_manifest_node *root;
    TN_TRY(tn_pipeline_write(pipeline, &text));
    TN_TRY(tn_manifest_read_yaml((tn_string){text, strlen(text)}, w->region, &root));
    if (!w->failed && extra) tn_manifest_append(extra, "pipeline", root);
    return TN_OK;
}

static void add_outputs(tn_manifest_writer *w, tn_manifest_node *root, const tn_plan_data *data,
                        const tn_graph *graph) {
    const tn_feature *target = &data->pipeline->target;
    if (data->task != TN_TASK_CLASSIFICATION || graph->values[graph->outputs[0]].type.dims[1] != target->category_count)
        return;
    tn_manifest_node *output =
        tn_manifest_add(w, tn_manifest_add(w, root, "outputs", TN_MANIFEST_LIST, NULL), NULL, TN_MANIFEST_MAP, NULL);
    add_text(w, output, "name", graph->values[graph->outputs[0]].name);
    tn_manifest_node *classes = tn_manifest_add(w, output, "classes", TN_MANIFEST_LIST, NULL);
    for (int i = 0; i < target->category_count; i++) {
        char number[32];
        snprintf(number, sizeof number, "%.9g", target->texts ? 0 : target->values[i]);
        tn_manifest_add(w, classes, NULL, TN_MANIFEST_TEXT, target->texts ? target->labels[i].data : number);
    }
}

static const char *source_of(const tn_plan *plan, tn_region *region) {
    char digest[2 * TN_SHA256_BYTES + 1];
    tn_sha256_text(plan->digest, digest);
    return plan->folds ? tn_region_printf(region, "plan sha256:%s, fold %d of %d", digest, plan->fold, plan->folds)
                       : tn_region_printf(region, "plan sha256:%s", digest);
}

static bool is_of(const tn_manifest *m, const char *path, const char *expected) {
    const char *text = tn_manifest_get(m, path);
    return text && expected && strcmp(text, expected) == 0;
}

bool tn_plan_is_made(const tn_plan *plan, const tn_plan_data *data) {
    tn_model *model;
    tn_manifest *m;
    tn_region *region;
    bool made = false;
    if (plan->teacher || plan->file || tn_model_load(plan->output, NULL, &model) != TN_OK) return false;
    const char *text = tn_model_manifest(model);
    if (text && tn_manifest_parse(text, strlen(text), &m) == TN_OK) {
        region = tn_region_create(NULL);
        made = region && is_of(m, "provenance/source", source_of(plan, region)) &&
               is_of(m, "provenance/data/0/digest", data->digests[0]);
        tn_region_destroy(region);
        tn_manifest_destroy(m);
    }
    tn_model_destroy(model);
    return made;
}

/* metrics: of training and, if there is one, of testing. */
static tn_status manifest_of(const tn_plan *plan, const tn_plan_data *data, const tn_fit *fit, const tn_graph *graph,
                             tn_metrics *const metrics[2], tn_region *region, const char **out_text) {
    static const char *const tasks[] = {"classification", "regression", "reconstruction", "sequences"};
    tn_manifest_writer w = {.region = region};
    tn_string text;
    tn_manifest_node *root = tn_manifest_add(&w, NULL, NULL, TN_MANIFEST_MAP, NULL);
    add_text(&w, root, "name", plan->name);
    add_text(&w, root, "version", plan->version);
    add_text(&w, root, "title", plan->title);
    add_text(&w, root, "description", plan->description);
    add_text(&w, root, "licence", plan->licence);
    add_outputs(&w, root, data, graph);
    tn_manifest_node *list = tn_manifest_add(&w, root, "metrics", TN_MANIFEST_LIST, NULL);
    for (int i = 1; i >= 0; i--)
        if (metrics[i]) add_metrics(&w, list, plan, data, metrics[i], i == 1);
    tn_manifest_node *provenance = tn_manifest_add(&w, root, "provenance", TN_MANIFEST_MAP, NULL);
    list = tn_manifest_add(&w, provenance, "data", TN_MANIFEST_LIST, NULL);
    for (int i = 0; i < 2; i++) {
        if (!data->rows[i]) continue;
        tn_manifest_node *m = tn_manifest_add(&w, list, NULL, TN_MANIFEST_MAP, NULL);
        add_text(&w, m, "name", data_name(&w, plan, i));
        add_text(&w, m, "digest", data->digests[i && plan->test]);
        add_number(&w, m, "samples", (double)data->rows[i]);
    }
    add_number(&w, provenance, "seed", (double)plan->seed);
    const char *source = source_of(plan, region);
    if (!source) return TN_E_MEMORY;
    add_text(&w, provenance, "source", source);
    add_text(&w, tn_manifest_add(&w, provenance, "tools", TN_MANIFEST_MAP, NULL), "tenon", tn_version());
    tn_manifest_node *extra = tn_manifest_add(&w, root, "extra", TN_MANIFEST_MAP, NULL);
    add_text(&w, extra, "task", tasks[data->task]);
    add_losses(&w, extra, fit);
    TN_TRY(add_pipeline(&w, extra, data->pipeline));
    if (w.failed) return TN_E_MEMORY;
    TN_TRY(tn_manifest_check(root, region, false)); /* which tells the pipeline's numbers from texts */
    TN_TRY(tn_manifest_print(root, region, &text));
    *out_text = text.data;
    return TN_OK;
}

static tn_status measure(const tn_plan_data *data, const tn_fit *fit, const tn_model *model, int part,
                         tn_metrics **out) {
    const tn_sample_set *samples = &data->samples[part];
    tn_tensor *predicted, *x = NULL, *y = NULL;
    int classes = data->task == TN_TASK_CLASSIFICATION ? (int)data->outputs : 0;
    if (fit->loss == TN_LOSS_BINARY_CROSS_ENTROPY) classes = 0;
    TN_TRY(tn_predict_samples(model, samples, fit->options->threads, &predicted));
    tn_status status = samples->y ? tn_tensor_clone(samples->y, NULL, &y) : TN_OK;
    if (status == TN_OK && data->task == TN_TASK_REGRESSION) tn_unscale(data->pipeline, y);
    const tn_tensor *truth = y;
    if (status == TN_OK && data->task == TN_TASK_RECONSTRUCTION) {
        if (samples->steps) status = tn_sample_tensor(samples, &x);
        truth = samples->steps ? x : samples->x;
    }
    if (status == TN_OK) status = tn_metrics_of(data->task, truth, predicted, classes, false, out);
    tn_tensor_destroy(x);
    tn_tensor_destroy(y);
    tn_tensor_destroy(predicted);
    return status;
}

static tn_status measure_all(const tn_plan_data *data, const tn_fit *fit, const tn_model *model,
                             tn_metrics *metrics[TN_PARTS]) {
    TN_TRY(measure(data, fit, model, TN_PART_TRAIN, &metrics[0]));
    if (data->samples[TN_PART_TEST].x) TN_TRY(measure(data, fit, model, TN_PART_TEST, &metrics[1]));
    if (!fit->options->measured || !data->samples[TN_PART_VALIDATION].x) return TN_OK;
    TN_TRY(measure(data, fit, model, TN_PART_VALIDATION, &metrics[2]));
    return fit->options->measured(fit->options->context, metrics[2]);
}

/* Some rows, and what the model says of them. */
static tn_status self_test_of(const tn_plan_data *data, const tn_fit *fit, const tn_model *model, tn_self_test *test) {
    const tn_sample_set *from = &data->samples[data->samples[TN_PART_TEST].x ? TN_PART_TEST : TN_PART_TRAIN];
    int64_t dims[TN_MAX_RANK];
    tn_value_info info;
    tn_tensor *x;
    TN_TRY(tn_model_input_info(model, 0, &info));
    memcpy(dims, fit->input_dims, sizeof dims);
    dims[0] = TN_MIN(SELF_TEST_ROWS, from->count);
    TN_TRY(tn_tensor_create(TN_FLOAT32, fit->input_rank, dims, NULL, &x));
    for (int64_t i = 0; i < dims[0]; i++) tn_sample_copy(from, i, (float *)x->data + i * from->width);
    const tn_self_test_case rows = {.struct_size = sizeof rows,
                                    .name = "rows of the data",
                                    .relative = 1e-3f,
                                    .absolute = 1e-4f,
                                    .input_count = 1,
                                    .inputs = &(tn_named_tensor){info.name, x}};
    tn_status status = tn_self_test_record(test, model, &rows);
    tn_tensor_destroy(x);
    return status;
}

typedef struct result {
    tn_graph *graph, *copy;
    tn_model *model;
    tn_metrics *metrics[TN_PARTS];
    tn_self_test *test;
    tn_region *region;
} result;

static tn_status save(result *r, const tn_plan *plan, const tn_plan_data *data, const tn_fit *fit) {
    const char *text;
    const tn_model_options options = {.struct_size = sizeof options, .cpu = fit->options->cpu};
    if (!(r->region = tn_region_create(NULL))) return TN_E_MEMORY;
    if (fit->retrained) {
        TN_TRY(tn_graph_copy(fit->retrained, false, &r->graph));
    } else {
        TN_TRY(tn_snapshots_end(fit, &r->graph));
        TN_TRY(tn_plan_compress(plan, data, fit, &r->graph));
    }
    TN_TRY(tn_graph_copy(r->graph, false, &r->copy));
    tn_graph *copy = r->copy;
    r->copy = NULL; /* the model takes it over */
    TN_TRY(tn_model_from_graph(copy, &options, &r->model));
    TN_TRY(measure_all(data, fit, r->model, r->metrics));
    TN_TRY(tn_self_test_create(&r->test));
    TN_TRY(self_test_of(data, fit, r->model, r->test));
    TN_TRY(manifest_of(plan, data, fit, r->graph, r->metrics, r->region, &text));
    const tn_model_file_options file = {.struct_size = sizeof file, .manifest = text, .self_test = r->test};
    return tn_graph_save(r->graph, plan->output, &file);
}

tn_status tn_plan_save(const tn_plan *plan, const tn_plan_data *data, const tn_fit *fit) {
    result r = {0};
    tn_status status = save(&r, plan, data, fit);
    tn_self_test_destroy(r.test);
    for (int i = 0; i < TN_PARTS; i++) tn_metrics_destroy(r.metrics[i]);
    tn_model_destroy(r.model);
    tn_graph_destroy(r.graph);
    tn_region_destroy(r.region);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "what was trained");
}
