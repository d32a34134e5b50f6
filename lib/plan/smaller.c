/* Compression behind the training: a plan's steps, on rows that it was trained on. See tenon/plan.h. */
#include "compress/recipe.h"
#include "plan/plan.h"

/* Rows of a set, and sets: enough to measure ranges on. */
enum { SET_ROWS = 32, MOST_SETS = 100 };

typedef struct sets {
    const tn_tensor *x;
    int rank;
    int64_t dims[TN_MAX_RANK]; /* of a set, as the graph's input has them */
    tn_tensor *set;
} sets;

static tn_status get_set(void *context, int64_t index, const tn_tensor **inputs) {
    sets *s = context;
    int64_t rows = s->x->dims[0], row = tn_count(s->x) / rows;
    if (index < 0 || index >= TN_MIN(MOST_SETS, rows / s->dims[0])) return TN_E_NOT_FOUND;
    tn_tensor_destroy(s->set);
    s->set = NULL;
    float *at = (float *)s->x->data + index * s->dims[0] * row;
    TN_TRY(tn_tensor_wrap(TN_FLOAT32, s->rank, s->dims, NULL, at, (size_t)(s->dims[0] * row) * sizeof *at, &s->set));
    inputs[0] = s->set;
    return TN_OK;
}

tn_status tn_plan_compress(const tn_plan *plan, const tn_plan_data *data, const tn_fit *fit, tn_graph **graph) {
    if (!plan->compress) return TN_OK;
    sets s = {.x = data->x[TN_PART_TRAIN], .rank = fit->input_rank};
    const tn_quantize_options base = {
        .struct_size = sizeof base, .threads = fit->options->threads, .cpu = fit->options->cpu};
    tn_graph *smaller;
    memcpy(s.dims, fit->input_dims, sizeof s.dims);
    s.dims[0] = TN_MIN(SET_ROWS, s.x->dims[0]);
    tn_status status =
        tn_recipe_run(plan->compress, *graph, &(tn_samples){get_set, &s}, &base, NULL, NULL, &smaller, NULL);
    tn_tensor_destroy(s.set);
    if (status != TN_OK) return tn_fail_context(status, "compress");
    tn_graph_destroy(*graph);
    *graph = smaller;
    return TN_OK;
}
