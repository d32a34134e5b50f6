/* Stacking's own model: one linear layer on the members' answers, fitted by a trainer with all rows at each step. Numbers may
 * be of any size, so that each column of them has mean 0 and deviation 1 meanwhile. */
#include <math.h>
#include <tenon/train.h>
#include "ensemble/ensemble.h"

/* Mean and deviation of a column of [rows, columns]. */
typedef struct scale {
    double centre, spread;
} scale;

static scale scale_of(const tn_tensor *t, int64_t column, int64_t columns) {
    const float *x = (const float *)t->data + column;
    int64_t rows = t->dims[0];
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < rows; i++) sum += (double)x[i * columns];
    double mean = sum / (double)rows;
    for (int64_t i = 0; i < rows; i++) squares += ((double)x[i * columns] - mean) * ((double)x[i * columns] - mean);
    double spread = sqrt(squares / (double)rows);
    return (scale){mean, spread > 0 ? spread : 1};
}

/* Each column with mean 0 and deviation 1, and what it was. */
static tn_status scaled(const tn_tensor *from, int64_t columns, scale *scales, tn_tensor **out) {
    TN_TRY(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){from->dims[0], columns}, NULL, out));
    float *to = (*out)->data;
    for (int64_t k = 0; k < columns; k++) scales[k] = scale_of(from, k, columns);
    for (int64_t i = 0; i < tn_count(from); i++) {
        const scale *s = &scales[i % columns];
        to[i] = (float)(((double)((const float *)from->data)[i] - s->centre) / s->spread);
    }
    return TN_OK;
}

static tn_status linear(int64_t features, int64_t outputs, tn_graph **out_graph) {
    tn_graph *g;
    tn_tensor *matrix = NULL, *bias = NULL;
    int in[3], y;
    *out_graph = NULL;
    TN_TRY(tn_graph_create(NULL, &g));
    tn_status status = tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){features, outputs}, NULL, &matrix);
    if (status == TN_OK) status = tn_tensor_create(TN_FLOAT32, 1, &outputs, NULL, &bias);
    if (status == TN_OK)
        status = tn_graph_input(g, "answers", TN_FLOAT32, 2, (int64_t[]){tn_graph_symbol(g, "rows"), features}, &in[0]);
    if (status == TN_OK) status = tn_graph_constant(g, "matrix", matrix, &in[1]);
    if (status == TN_OK) status = tn_graph_constant(g, "bias", bias, &in[2]);
    if (status == TN_OK) status = tn_graph_node(g, "Gemm", "linear", 3, in, 1, &y, NULL);
    if (status == TN_OK) status = tn_graph_output(g, y, "combined");
    tn_tensor_destroy(matrix);
    tn_tensor_destroy(bias);
    if (status == TN_OK)
        *out_graph = g;
    else
        tn_graph_destroy(g);
    return status;
}

static tn_status keep(tn_ensemble *e, const tn_trainer *trainer) {
    const tn_tensor *parameter;
    const char *name;
    tn_tensor_destroy(e->matrix);
    tn_tensor_destroy(e->bias);
    e->matrix = e->bias = NULL;
    for (int i = 0; i < tn_trainer_parameter_count(trainer); i++) {
        TN_TRY(tn_trainer_parameter(trainer, i, &name, &parameter));
        TN_TRY(tn_tensor_clone(parameter, NULL, strcmp(name, "matrix") == 0 ? &e->matrix : &e->bias));
    }
    return e->matrix && e->bias ? TN_OK : tn_fail(TN_E_INTERNAL, "the trainer lost a parameter");
}

/* As if nothing had been scaled: (y - c) / s = sum over i of w_i (x_i - c_i) / s_i, plus b. */
static void unscale(tn_ensemble *e, const scale *x, const scale *y) {
    int64_t features = e->matrix->dims[0], outputs = e->matrix->dims[1];
    float *w = e->matrix->data, *b = e->bias->data;
    for (int64_t k = 0; k < outputs; k++) {
        double bias = (double)b[k] * y[k].spread + y[k].centre;
        for (int64_t i = 0; i < features; i++) {
            double weight = (double)w[i * outputs + k] * y[k].spread / x[i].spread;
            bias -= weight * x[i].centre;
            w[i * outputs + k] = (float)weight;
        }
        b[k] = (float)bias;
    }
}

static tn_status train(tn_ensemble *e, const tn_tensor *x, const tn_tensor *y, int64_t outputs,
                       const tn_ensemble_fit_options *o) {
    int64_t steps = o->steps ? o->steps : 2000;
    double decay = o->decay > 0 ? o->decay : 1;
    tn_graph *graph;
    tn_trainer *trainer;
    tn_trainer_options t = {.struct_size = sizeof t,
                            .loss = e->classes ? TN_LOSS_CROSS_ENTROPY : TN_LOSS_MSE,
                            .optimizer = {.kind = TN_ADAM, .rate = 0.05},
                            .schedule = {.kind = TN_SCHEDULE_COSINE, .period = steps},
                            .threads = o->threads};
    t.optimizer.weight_decay = decay / (double)(x->dims[0] * (e->classes ? 1 : outputs));
    TN_TRY(linear(x->dims[1], outputs, &graph));
    TN_TRY(tn_trainer_create(graph, &t, &trainer));
    tn_status status = TN_OK;
    for (int64_t i = 0; i < steps && status == TN_OK; i++) status = tn_trainer_step(trainer, &x, y, NULL);
    if (status == TN_OK) status = keep(e, trainer);
    tn_trainer_destroy(trainer);
    return status;
}

static tn_status fit_numbers(tn_ensemble *e, const tn_tensor *answers, const tn_tensor *target, int64_t outputs,
                             const tn_ensemble_fit_options *o) {
    tn_tensor *x = NULL, *y = NULL;
    tn_region *region = tn_region_create(NULL);
    scale *of_x = region ? tn_region_array(region, (size_t)answers->dims[1], sizeof *of_x) : NULL;
    scale *of_y = of_x ? tn_region_array(region, (size_t)outputs, sizeof *of_y) : NULL;
    tn_status status = of_y ? scaled(answers, answers->dims[1], of_x, &x) : TN_E_MEMORY;
    if (status == TN_OK) status = scaled(target, outputs, of_y, &y);
    if (status == TN_OK) status = train(e, x, y, outputs, o);
    if (status == TN_OK) unscale(e, of_x, of_y);
    tn_tensor_destroy(x);
    tn_tensor_destroy(y);
    tn_region_destroy(region);
    return status;
}

tn_status tn_stack_fit(tn_ensemble *e, const tn_tensor *answers, const tn_tensor *target, int64_t outputs,
                       const tn_ensemble_fit_options *o) {
    e->classes = target->dtype == TN_INT64;
    tn_status status = e->classes ? train(e, answers, target, outputs, o) : fit_numbers(e, answers, target, outputs, o);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "fitting the stack");
}
