/* The file that comes of an ensemble: fitted on raw columns, if there are any, compiled, written. See tenon/ensemble.h. */
#include <tenon/model_file.h>
#include <tenon/onnx.h>
#include "ensemble/ensemble.h"

#define SELF_TEST_ROWS 8

tn_status tn_ensemble_rows(tn_ensemble *e, int threads, tn_evaluation **out) {
    const tn_csv_options csv = {.struct_size = sizeof csv,
                                .separator = e->separator ? e->separator[0] : 0,
                                .decimal = e->decimal ? e->decimal[0] : 0,
                                .no_header = e->no_header};
    tn_evaluate_options o = {.struct_size = sizeof o, .rows = (tn_rows)e->rows, .threads = threads};
    tn_model *model = NULL;
    tn_table *table = NULL;
    tn_status status =
        tn_fail(TN_E_NOT_FOUND, "no member's file has a pipeline, which the columns of '%s' go through", e->data);
    for (int i = 0; i < e->count && !model; i++) {
        tn_pipeline *pipeline;
        if (!e->members[i].path) continue;
        TN_TRY(tn_model_load(e->members[i].path, NULL, &model));
        status = tn_pipeline_of_model(model, &pipeline);
        tn_pipeline_destroy(pipeline);
        o.logits = e->members[i].logits;
        if (status == TN_OK) break;
        tn_model_destroy(model);
        model = NULL;
        if (status != TN_E_NOT_FOUND) return tn_fail_context(status, "member '%s'", e->members[i].name);
    }
    if (!model) return status;
    status = tn_table_read(e->data, &csv, &table);
    if (status == TN_OK) {
        status = tn_evaluate(model, table, &o, out);
        if (status != TN_OK) tn_fail_context(status, "%s", e->data);
    }
    tn_table_destroy(table);
    tn_model_destroy(model);
    return status;
}

static tn_status fit(tn_ensemble *e, int threads, tn_ensemble_fit_result *out, tn_tensor **out_rows) {
    tn_ensemble_fit_options o = e->fit;
    tn_evaluation *rows;
    o.struct_size = sizeof o;
    o.threads = threads;
    TN_TRY(tn_ensemble_rows(e, threads, &rows));
    const tn_sample_set *samples = &rows->samples;
    const tn_tensor *x = o.folds ? NULL : tn_evaluation_inputs(rows), *y = tn_evaluation_truth(rows);
    tn_status status = o.folds ? tn_folds_fit(e, rows, &o, out) : x ? tn_ensemble_fit(e, x, y, &o, out) : TN_E_MEMORY;
    if (status == TN_OK) {
        const int64_t dims[2] = {TN_MIN(samples->count, SELF_TEST_ROWS), samples->width};
        status = tn_tensor_create(TN_FLOAT32, 2, dims, NULL, out_rows);
        for (int64_t r = 0; r < dims[0] && status == TN_OK; r++)
            tn_sample_copy(samples, r, (float *)(*out_rows)->data + r * dims[1]);
    }
    tn_evaluation_destroy(rows);
    return status;
}

/* Of rows of the data, if the graph takes them as they are. */
static tn_status record(tn_ensemble *e, const tn_graph *graph, const tn_tensor *rows, tn_self_test *test) {
    const tn_graph_value *input = &graph->values[graph->inputs[0]];
    int64_t dims[TN_MAX_RANK] = {rows->dims[0]};
    tn_tensor *x;
    tn_graph *copy;
    tn_model *model;
    if (input->type.dims[0] >= 0) return TN_OK;
    for (int i = 1; i < input->type.rank; i++) dims[i] = input->type.dims[i];
    if (tn_dims_count(input->type.rank, dims) != tn_count(rows)) return TN_OK;
    TN_TRY(tn_ensemble_graph(e, &copy)); /* the model takes it over */
    TN_TRY(tn_model_from_graph(copy, NULL, &model));
    tn_status status = tn_tensor_wrap(TN_FLOAT32, input->type.rank, dims, NULL, rows->data, tn_tensor_bytes(rows), &x);
    if (status == TN_OK) {
        const tn_self_test_case one = {.struct_size = sizeof one,
                                       .name = "rows of the data",
                                       .relative = 1e-3f,
                                       .absolute = 1e-4f,
                                       .input_count = 1,
                                       .inputs = &(tn_named_tensor){input->name, x}};
        status = tn_self_test_record(test, model, &one);
        tn_tensor_destroy(x);
    }
    tn_model_destroy(model);
    return status;
}

static tn_status save(tn_ensemble *e, const tn_graph *graph, const tn_tensor *rows) {
    size_t n = strlen(e->output);
    if (n > 5 && strcmp(e->output + n - 5, ".onnx") == 0) return tn_graph_save_onnx(graph, e->output, NULL);
    tn_self_test *test = NULL;
    tn_status status = rows ? tn_self_test_create(&test) : TN_OK;
    if (test) status = record(e, graph, rows, test);
    tn_self_test_case any = {.struct_size = sizeof any};
    bool some = test && tn_self_test_at(test, 0, &any) == TN_OK;
    const tn_model_file_options options = {.struct_size = sizeof options, .self_test = some ? test : NULL};
    if (status == TN_OK) status = tn_graph_save(graph, e->output, &options);
    tn_self_test_destroy(test);
    return status;
}

tn_status tn_ensemble_run(tn_ensemble *e, int threads, tn_ensemble_fit_result *out_result) {
    tn_ensemble_fit_result result = {.struct_size = sizeof result};
    tn_tensor *rows = NULL;
    tn_graph *graph = NULL;
    if (!e->output) return tn_fail(TN_E_STATE, "where to? the ensemble has no output yet");
    TN_TRY(tn_members_open(e));
    tn_status status = e->data ? fit(e, threads, &result, &rows) : TN_OK;
    if (status == TN_OK) status = tn_ensemble_graph(e, &graph);
    if (status == TN_OK) status = save(e, graph, rows);
    tn_graph_destroy(graph);
    tn_tensor_destroy(rows);
    if (out_result) {
        size_t size = out_result->struct_size;
        memcpy(out_result, &result, TN_MIN(size, sizeof result));
        out_result->struct_size = size;
    }
    return status;
}
