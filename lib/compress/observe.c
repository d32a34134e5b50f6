/* Runs on samples: what flows into the products of a graph. The graph is copied, the values that are asked for become
 * outputs of the copy, and a session runs it, with all passes. */
#include "compress/matrices.h"
#include <math.h>
#include <tenon/session.h>

static tn_status run_samples(tn_session *session, const tn_graph *graph, int first, int count,
                             const tn_tensor *const *samples, size_t sample_count,
                             tn_status (*see)(void *context, int which, const tn_tensor *tensor), void *context) {
    for (size_t r = 0; r < sample_count; r++) {
        tn_status status = TN_OK;
        for (int i = 0; i < graph->input_count && status == TN_OK; i++) {
            const tn_tensor *t = samples[r * (size_t)graph->input_count + (size_t)i];
            status = t ? tn_session_set_input(session, i, t) : tn_fail(TN_E_INVALID, "input %d has no tensor", i);
        }
        if (status == TN_OK) status = tn_session_run(session);
        for (int i = 0; i < count && status == TN_OK; i++) {
            const tn_tensor *t;
            status = tn_session_output(session, first + i, &t);
            if (status == TN_OK) status = see(context, i, t);
        }
        if (status != TN_OK) return tn_fail_context(status, "sample %zu", r);
    }
    return TN_OK;
}

tn_status tn_observe(const tn_graph *graph, int count, const int *values, const tn_tensor *const *samples,
                     size_t sample_count, tn_status (*see)(void *context, int which, const tn_tensor *tensor),
                     void *context) {
    tn_graph *copy;
    tn_model *model = NULL;
    tn_session *session = NULL;
    if (!samples || !sample_count)
        return tn_fail(TN_E_INVALID, "there are no samples; this method needs some runs' inputs to look at");
    TN_TRY(tn_graph_copy(graph, true, &copy));
    tn_status status = TN_OK;
    if (!values) count = graph->output_count;
    for (int i = 0; i < count && values && status == TN_OK; i++) status = tn_graph_add_output(copy, values[i]);
    if (status != TN_OK) {
        tn_graph_destroy(copy);
        return status;
    }
    status = tn_model_from_graph(copy, NULL, &model);
    if (status == TN_OK) status = tn_session_create(model, NULL, &session);
    if (status == TN_OK)
        status =
            run_samples(session, graph, values ? graph->output_count : 0, count, samples, sample_count, see, context);
    tn_session_destroy(session);
    tn_model_destroy(model);
    return status;
}

static tn_status add_rows(void *context, int which, const tn_tensor *tensor) {
    tn_activations *a = &((tn_activations *)context)[which];
    const size_t k = a->k, rows = (size_t)tn_count(tensor) / k;
    const float *x = tensor->data;
    for (size_t i = 0; i < rows * k; i++) {
        if (!isfinite(x[i])) return tn_fail(TN_E_INVALID, "the activations hold NaN or infinity; look at the sample");
        a->sizes[i % k] += fabs((double)x[i]);
        a->squares[i % k] += (double)x[i] * (double)x[i];
    }
    a->rows += rows;
    return a->products ? tn_add_products(a->products, x, rows, k) : TN_OK;
}

tn_status tn_activations_collect(const tn_graph *graph, int count, tn_activations *all, const tn_tensor *const *samples,
                                 size_t sample_count, tn_region *region) {
    int *values = tn_region_array(region, (size_t)count + 1, sizeof *values);
    if (!values) return TN_E_MEMORY;
    for (int i = 0; i < count; i++) {
        size_t bytes;
        values[i] = all[i].value;
        if (!tn_mul_size(all[i].k, all[i].k, &bytes)) return tn_fail(TN_E_LIMIT, "a product of %zu inputs", all[i].k);
        all[i].products = all[i].wants_products ? tn_region_array(region, bytes, sizeof(double)) : NULL;
        all[i].sizes = tn_region_array(region, all[i].k, sizeof(double));
        all[i].squares = tn_region_array(region, all[i].k, sizeof(double));
        if ((all[i].wants_products && !all[i].products) || !all[i].sizes || !all[i].squares) return TN_E_MEMORY;
    }
    TN_TRY(tn_observe(graph, count, values, samples, sample_count, add_rows, all));
    for (int a = 0; a < count; a++) {
        if (!all[a].rows) return tn_fail(TN_E_INVALID, "the samples have no rows");
        for (size_t i = 0; i < all[a].k && all[a].products; i++)
            for (size_t j = 0; j < i; j++) all[a].products[i * all[a].k + j] = all[a].products[j * all[a].k + i];
    }
    return TN_OK;
}
