/* Evaluation. See tenon/evaluate.h. */
#include <tenon/evaluate.h>
#include <stdio.h>
#include <tenon/model_file.h>
#include "data/pipeline.h"
#include "eval/evaluation.h"

/* Rows that run at once: enough for the kernels, little enough for the caches. */
#define BATCH 256

tn_status tn_pipeline_of_model(const tn_model *model, tn_pipeline **out_pipeline) {
    return tn_pipeline_of_graph(tn_model_graph(model), out_pipeline);
}

tn_status tn_pipeline_of_graph(const tn_graph *graph, tn_pipeline **out_pipeline) {
    const char *text = tn_graph_manifest(graph);
    tn_manifest_node *root;
    tn_string own;
    *out_pipeline = NULL;
    tn_region *region = tn_region_create(NULL);
    if (!region) return TN_E_MEMORY;
    tn_status status = text ? tn_manifest_read_yaml((tn_string){text, strlen(text)}, region, &root) : TN_E_NOT_FOUND;
    if (status == TN_OK) status = tn_manifest_check(root, region, true); /* tells numbers from texts */
    const tn_manifest_node *tree = status == TN_OK ? tn_manifest_find(root, TN_PIPELINE_PATH) : NULL;
    if (!tree && (status == TN_OK || status == TN_E_NOT_FOUND))
        status = tn_fail(TN_E_NOT_FOUND, "the model has no pipeline in its file; plans write one (tenon train)");
    if (status == TN_OK) status = tn_manifest_print(tree, region, &own);
    if (status == TN_OK) status = tn_pipeline_parse(own.data, own.size, out_pipeline);
    tn_region_destroy(region);
    if (status == TN_OK && !tn_pipeline_fitted(*out_pipeline)) {
        tn_pipeline_destroy(*out_pipeline);
        *out_pipeline = NULL;
        status = tn_fail(TN_E_FORMAT, "the pipeline in the model's file is not fitted");
    }
    return status;
}

/* ---- predicting ---- */

typedef struct job {
    const tn_sample_set *samples;
    tn_session *session;
    int rank;
    int64_t dims[TN_MAX_RANK]; /* of the input */
    int64_t row, batch;        /* numbers in a sample; samples that run at once */
    float *room;               /* for a batch of windows */
    tn_tensor *out;
} job;

static tn_status find_shape(const tn_model *model, job *j) {
    tn_value_info info;
    int64_t size = 1;
    if (tn_model_input_count(model) != 1 || tn_model_output_count(model) < 1)
        return tn_fail(TN_E_UNSUPPORTED, "the model has %d inputs and %d outputs; one input can be filled from a table",
                       tn_model_input_count(model), tn_model_output_count(model));
    TN_TRY(tn_model_input_info(model, 0, &info));
    j->row = j->samples->width;
    if (info.dtype != TN_FLOAT32 || info.rank < 1)
        return tn_fail(TN_E_TYPE, "input '%s' of the model is %s of %d dimensions; float32 [N, ...] was expected",
                       info.name, tn_dtype_name(info.dtype), info.rank);
    j->rank = info.rank;
    int open = 0;
    for (int i = 1; i < info.rank; i++) {
        j->dims[i] = info.dims[i];
        if (info.dims[i] < 0)
            open++;
        else if (__builtin_mul_overflow(size, info.dims[i], &size))
            size = 0;
    }
    for (int i = 1; i < info.rank && open == 1 && size > 0; i++)
        if (j->dims[i] < 0 && j->row % size == 0) j->dims[i] = j->row / size, size = j->row, open = 0;
    if (open || size != j->row)
        return tn_fail(TN_E_SHAPE, "input '%s' of the model takes %lld numbers a sample, and a row has %lld", info.name,
                       (long long)size, (long long)j->row);
    j->batch = info.dims[0] < 0 ? BATCH : 1;
    if (info.dims[0] > 1)
        return tn_fail(TN_E_SHAPE, "input '%s' of the model takes %lld samples at once; any number, or 1, was expected",
                       info.name, (long long)info.dims[0]);
    return TN_OK;
}

static tn_status keep_rows(job *j, int64_t first, int64_t count, const tn_tensor *y) {
    if (y->rank < 1 || y->dims[0] != count || (y->dtype != TN_FLOAT32 && y->dtype != TN_INT64))
        return tn_fail(TN_E_SHAPE, "output 0 of the model is not a row a sample, of float32 or int64");
    if (!j->out) {
        int64_t dims[TN_MAX_RANK];
        memcpy(dims, y->dims, (size_t)y->rank * sizeof *dims);
        dims[0] = j->samples->count;
        TN_TRY(tn_tensor_create(y->dtype, y->rank, dims, NULL, &j->out));
    }
    size_t bytes = tn_dtype_bytes(y->dtype, tn_count(y));
    size_t row = tn_dtype_bytes(j->out->dtype, tn_count(j->out) / j->out->dims[0]);
    if (bytes != row * (size_t)count) return tn_fail(TN_E_SHAPE, "output 0 of the model changes its shape");
    memcpy((uint8_t *)j->out->data + row * (size_t)first, y->data, bytes);
    return TN_OK;
}

static tn_status run_rows(job *j, int64_t first, int64_t count) {
    const tn_tensor *y;
    tn_tensor *x;
    const float *data = tn_sample_rows(j->samples, first, count, j->room);
    j->dims[0] = count;
    TN_TRY(
        tn_tensor_wrap(TN_FLOAT32, j->rank, j->dims, NULL, (float *)data, (size_t)(count * j->row) * sizeof *data, &x));
    tn_status status = tn_session_set_input(j->session, 0, x);
    if (status == TN_OK) status = tn_session_run(j->session);
    if (status == TN_OK) status = tn_session_output(j->session, 0, &y);
    if (status == TN_OK) status = keep_rows(j, first, count, y);
    tn_tensor_destroy(x);
    return status;
}

tn_status tn_predict_samples(const tn_model *model, const tn_sample_set *samples, int threads,
                             tn_tensor **out_predicted) {
    const tn_session_options options = {.struct_size = sizeof options, .threads = threads};
    job j = {.samples = samples};
    *out_predicted = NULL;
    TN_TRY(find_shape(model, &j));
    TN_TRY(tn_session_create(model, &options, &j.session));
    const size_t room = samples->steps ? (size_t)(j.batch * j.row) * sizeof(float) : 0;
    if (room) j.room = tn_alloc(NULL, room);
    tn_status status = room && !j.room ? TN_E_MEMORY : TN_OK;
    for (int64_t r = 0; r < samples->count && status == TN_OK; r += j.batch)
        status = run_rows(&j, r, TN_MIN(j.batch, samples->count - r));
    tn_session_destroy(j.session);
    tn_free(NULL, j.room, room);
    if (status == TN_OK)
        *out_predicted = j.out;
    else
        tn_tensor_destroy(j.out);
    return status;
}

tn_status tn_predict(const tn_model *model, const tn_tensor *x, int threads, tn_tensor **out_predicted) {
    *out_predicted = NULL;
    if (x->dtype != TN_FLOAT32 || x->rank < 1 || !tn_tensor_is_dense(x) || x->dims[0] < 1)
        return tn_fail(TN_E_TYPE, "rows to predict are dense float32 [N, ...], N at least 1");
    const tn_sample_set samples = {.x = (tn_tensor *)x, .count = x->dims[0], .width = tn_count(x) / x->dims[0]};
    return tn_predict_samples(model, &samples, threads, out_predicted);
}

/* ---- evaluating ---- */

void tn_unscale(const tn_pipeline *p, tn_tensor *y) {
    float *data = y->data;
    for (int64_t i = 0; i < tn_count(y); i++) data[i] = (float)((double)data[i] * p->target.spread + p->target.centre);
}

tn_status tn_metrics_of(tn_task task, const tn_tensor *truth, const tn_tensor *predicted, int classes, bool logits,
                        tn_metrics **out) {
    const tn_metrics_options options = {
        .struct_size = sizeof options, .classes = task == TN_TASK_CLASSIFICATION ? classes : 0, .logits = logits};
    tn_tensor *flat;
    if (task == TN_TASK_CLASSIFICATION || task == TN_TASK_SEQUENCES)
        return tn_metrics_create(truth, predicted, &options, out);
    /* [N, 1] as [N], and whatever shape a reconstruction has as the rows have it. */
    if (tn_count(predicted) != tn_count(truth))
        return tn_fail(TN_E_SHAPE, "the model gives %lld numbers for %lld of the target",
                       (long long)tn_count(predicted), (long long)tn_count(truth));
    TN_TRY(tn_tensor_wrap(predicted->dtype, truth->rank, truth->dims, NULL, predicted->data, tn_tensor_bytes(predicted),
                          &flat));
    tn_status status = tn_metrics_create(truth, flat, &options, out);
    tn_tensor_destroy(flat);
    return status;
}

static tn_status name_classes(tn_evaluation *e, const tn_feature *target) {
    e->class_count = target->category_count;
    e->classes = tn_region_array(e->region, (size_t)e->class_count + 1, sizeof *e->classes);
    if (!e->classes) return TN_E_MEMORY;
    for (int i = 0; i < e->class_count; i++) {
        e->classes[i] = target->texts ? tn_region_strndup(e->region, target->labels[i].data, target->labels[i].size)
                                      : tn_region_printf(e->region, "%.9g", target->values[i]);
        if (!e->classes[i]) return TN_E_MEMORY;
    }
    return TN_OK;
}

/* Which columns of x are of which feature. */
static tn_status name_features(tn_evaluation *e, const tn_pipeline *p) {
    int64_t first = 0;
    e->features = tn_region_array(e->region, (size_t)p->count, sizeof *e->features);
    if (!e->features) return TN_E_MEMORY;
    for (int i = 0; i < p->count; i++) {
        const tn_feature *f = &p->features[i];
        int64_t width = (int64_t)tn_feature_width(f) * tn_pipeline_steps(p);
        e->features[i] = (tn_columns){tn_region_strdup(e->region, f->column), first, width};
        if (!e->features[i].name) return TN_E_MEMORY;
        first += width;
    }
    e->feature_count = p->count;
    return TN_OK;
}

static tn_status apply(tn_evaluation *e, const tn_pipeline *p, const tn_table *table, tn_rows rows) {
    uint8_t *part = NULL;
    size_t count = (size_t)tn_table_rows(table);
    tn_status status = TN_OK;
    if (rows != TN_ROWS_ALL) {
        if (!tn_pipeline_tests(p))
            return tn_fail(TN_E_INVALID, "the pipeline has no split that leaves rows for testing");
        part = tn_alloc(NULL, count);
        status = part ? tn_pipeline_split(p, table, part) : TN_E_MEMORY;
    }
    if (status == TN_OK) status = tn_pipeline_samples(p, table, part, rows == TN_ROWS_TESTING, true, &e->samples);
    tn_free(NULL, part, count);
    if (status == TN_OK && !e->samples.count) return tn_fail(TN_E_INVALID, "there are no rows to evaluate");
    if (status == TN_OK && p->has_target && !e->samples.y)
        return tn_fail(TN_E_NOT_FOUND, "the table has no column '%.80s', the target", p->target.column);
    return status;
}

static tn_status evaluate(tn_evaluation *e, const tn_model *model, const tn_pipeline *p, const tn_table *table,
                          const tn_evaluate_options *o) {
    if (!tn_pipeline_fitted(p)) return tn_fail(TN_E_STATE, "the pipeline is not fitted");
    bool sequences = p->has_target && p->target.encode == TN_ENCODE_SEQUENCE;
    bool classes = p->has_target && !sequences && p->target.encode != TN_ENCODE_NONE;
    e->task = sequences       ? TN_TASK_SEQUENCES
              : classes       ? TN_TASK_CLASSIFICATION
              : p->has_target ? TN_TASK_REGRESSION
                              : TN_TASK_RECONSTRUCTION;
    if (classes) TN_TRY(name_classes(e, &p->target));
    TN_TRY(name_features(e, p));
    e->threads = o->threads;
    e->logits = o->logits;
    tn_table *prepared;
    TN_TRY(tn_pipeline_prepare(p, table, &prepared));
    tn_status status = apply(e, p, prepared ? prepared : table, o->rows);
    tn_table_destroy(prepared);
    TN_TRY(status);
    if (e->task == TN_TASK_REGRESSION) tn_unscale(p, e->samples.y);
    TN_TRY(tn_predict_samples(model, &e->samples, o->threads, &e->predicted));
    const tn_tensor *truth = tn_evaluation_truth(e);
    if (!truth) return TN_E_MEMORY;
    return tn_metrics_of(e->task, truth, e->predicted, e->class_count, o->logits, &e->metrics);
}

tn_status tn_evaluate(const tn_model *model, const tn_table *table, const tn_evaluate_options *options,
                      tn_evaluation **out_evaluation) {
    tn_evaluate_options o = {.struct_size = sizeof o};
    if (options) memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    tn_pipeline *own = NULL;
    *out_evaluation = NULL;
    if (!o.pipeline) TN_TRY(tn_pipeline_of_model(model, &own));
    tn_region *region = tn_region_create(NULL);
    tn_evaluation *e = region ? tn_region_alloc(region, sizeof *e) : NULL;
    tn_status status = e ? TN_OK : TN_E_MEMORY;
    if (e) e->region = region;
    if (e) status = evaluate(e, model, o.pipeline ? o.pipeline : own, table, &o);
    if (status == TN_OK)
        *out_evaluation = e;
    else if (e)
        tn_evaluation_destroy(e);
    tn_pipeline_destroy(own);
    return status;
}

void tn_evaluation_destroy(tn_evaluation *e) {
    if (!e) return;
    tn_metrics_destroy(e->metrics);
    tn_sample_set_deinit(&e->samples);
    tn_tensor_destroy(e->windows);
    tn_tensor_destroy(e->predicted);
    tn_region_destroy(e->region);
}

tn_task tn_evaluation_task(const tn_evaluation *e) {
    return e->task;
}
tn_metrics *tn_evaluation_metrics(const tn_evaluation *e) {
    return e->metrics;
}
const tn_tensor *tn_evaluation_inputs(const tn_evaluation *evaluation) {
    tn_evaluation *e = (tn_evaluation *)(uintptr_t)evaluation; /* whoever asks sees no change */
    if (!e->samples.steps) return e->samples.x;
    if (!e->windows) (void)tn_sample_tensor(&e->samples, &e->windows);
    return e->windows;
}
const tn_tensor *tn_evaluation_truth(const tn_evaluation *e) {
    return e->task == TN_TASK_RECONSTRUCTION ? tn_evaluation_inputs(e) : e->samples.y;
}
const tn_tensor *tn_evaluation_predicted(const tn_evaluation *e) {
    return e->predicted;
}
const char *tn_evaluation_class(const tn_evaluation *e, int index) {
    return index >= 0 && index < e->class_count ? e->classes[index] : NULL;
}
