/* tenon eval --robustness, --importance: how a model does when its inputs get worse, and which of them it hangs on. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/explain.h>
#include "eval.h"

enum { REPEATS = 5, EXPLAINED = 64, STEPS = 32, ORDERS = 32, ATTACK_STEPS = 10 };
#define MOST_RUNS 262144 /* of rows, for sampled orders: fewer rows are explained where they are wide */

const char *const attribution_names[ATTRIBUTIONS] = {
    [GRADIENTS] = "integrated gradients", [OCCLUSION] = "occlusion", [SHAPLEY] = "Shapley values"};

static uint64_t state;

static double uniform(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

/* Box and Muller. */
static double normal(void) {
    double r = sqrt(-2 * log(1 - uniform()));
    return r * cos(6.283185307179586 * uniform());
}

typedef struct job {
    evaluation *e;
    const tn_tensor *x;
    int64_t rows, width;
    double *means, *deviations; /* of the columns of x */
    tn_probe *probe;            /* NULL: the model has no gradients */
} job;

static void find_moments(job *j) {
    const float *x = tn_tensor_const_data(j->x);
    for (int64_t c = 0; c < j->width; c++) {
        double sum = 0, squares = 0;
        for (int64_t r = 0; r < j->rows; r++) sum += (double)x[r * j->width + c];
        j->means[c] = sum / (double)j->rows;
        for (int64_t r = 0; r < j->rows; r++) {
            double d = (double)x[r * j->width + c] - j->means[c];
            squares += d * d;
        }
        j->deviations[c] = sqrt(squares / (double)j->rows);
    }
}

/* A kind of trouble: fills `out`, a copy of x, or makes another tensor. */
typedef tn_status worsen(job *j, double strength, tn_tensor **out);

static tn_status add_noise(job *j, double strength, tn_tensor **out) {
    float *x = tn_tensor_data(*out);
    for (int64_t i = 0; i < j->rows * j->width; i++) x[i] += (float)(strength * j->deviations[i % j->width] * normal());
    return TN_OK;
}

static tn_status lose_values(job *j, double strength, tn_tensor **out) {
    float *x = tn_tensor_data(*out);
    for (int64_t i = 0; i < j->rows * j->width; i++)
        if (uniform() < strength) x[i] = (float)j->means[i % j->width];
    return TN_OK;
}

/* Whole columns, as of sensors that broke: so many of them, drawn, at their means. */
static tn_status lose_columns(job *j, double strength, tn_tensor **out) {
    float *x = tn_tensor_data(*out);
    int64_t left = j->width, lost = (int64_t)(strength * (double)j->width + 0.5);
    for (int64_t c = 0; c < j->width; c++, left--) {
        if (uniform() * (double)left >= (double)lost) continue;
        lost--;
        for (int64_t r = 0; r < j->rows; r++) x[r * j->width + c] = (float)j->means[c];
    }
    return TN_OK;
}

/* Each column goes away from where it was calibrated, up or down: not at all in the first row, all of it in the last. */
static tn_status drift(job *j, double strength, tn_tensor **out) {
    float *x = tn_tensor_data(*out);
    for (int64_t c = 0; c < j->width; c++) {
        double far = (uniform() < 0.5 ? -1 : 1) * strength * j->deviations[c];
        for (int64_t r = 0; r < j->rows; r++)
            x[r * j->width + c] += (float)(far * (double)r / (double)(j->rows > 1 ? j->rows - 1 : 1));
    }
    return TN_OK;
}

static tn_status attack(job *j, double strength, int steps, tn_tensor **out) {
    const tn_attack_options options = {.struct_size = sizeof options, .epsilon = strength, .steps = steps};
    tn_tensor_destroy(*out);
    *out = NULL;
    return tn_attack(j->probe, j->x, tn_evaluation_truth(j->e->result), &options, out);
}

static tn_status attack_once(job *j, double strength, tn_tensor **out) {
    return attack(j, strength, 1, out);
}

static tn_status attack_often(job *j, double strength, tn_tensor **out) {
    return attack(j, strength, ATTACK_STEPS, out);
}

static const struct kind {
    const char *name, *unit;
    worsen *make;
    bool gradients;
    double strengths[STRENGTHS];
} kinds[TROUBLES] = {
    {"noise", "deviation of the noise, in each input's own", add_noise, false, {0, 0.1, 0.25, 0.5, 1, 2}},
    {"missing values", "part of the values at their means", lose_values, false, {0, 0.05, 0.1, 0.2, 0.35, 0.5}},
    {"lost inputs", "part of the columns at their means", lose_columns, false, {0, 0.05, 0.1, 0.2, 0.35, 0.5}},
    {"drift", "of the last row, in each input's deviations", drift, false, {0, 0.1, 0.25, 0.5, 1, 2}},
    {"FGSM", "most change of an input", attack_once, true, {0, 0.01, 0.03, 0.1, 0.2, 0.3}},
    {"PGD, 10 steps", "most change of an input", attack_often, true, {0, 0.01, 0.03, 0.1, 0.2, 0.3}},
};

static tn_status measure_one(job *j, const struct kind *k, double strength, double *out) {
    tn_tensor *x;
    tn_status status = tn_tensor_clone(j->x, NULL, &x);
    state = 1;
    if (status == TN_OK) status = k->make(j, strength, &x);
    if (status == TN_OK) status = tn_evaluation_value(j->e->result, j->e->model, x, j->e->metric, out);
    tn_tensor_destroy(x);
    return status;
}

static tn_status measure_troubles(job *j) {
    evaluation *e = j->e;
    for (int t = 0; t < TROUBLES; t++) {
        if (kinds[t].gradients && !j->probe) continue;
        trouble *to = &e->troubles[e->trouble_count++];
        *to = (trouble){.name = kinds[t].name, .unit = kinds[t].unit};
        for (int i = 0; i < STRENGTHS; i++) {
            to->strengths[i] = kinds[t].strengths[i];
            progress(e->settings, "%s of %g", kinds[t].name, to->strengths[i]);
            tn_status status = measure_one(j, &kinds[t], to->strengths[i], &to->values[i]);
            if (status != TN_OK) return status;
        }
    }
    return TN_OK;
}

static int by_mean(const void *a, const void *b) {
    const weight *x = a, *y = b;
    return (x->mean < y->mean) - (x->mean > y->mean);
}

static tn_status explain(job *j, int way, const tn_tensor *x, const float *baseline, tn_tensor **out) {
    if (way == GRADIENTS) return tn_integrated_gradients(j->probe, x, baseline, NULL, STEPS, out);
    if (way == OCCLUSION) return tn_occlusion(j->probe, x, baseline, NULL, out);
    return tn_shapley(j->probe, x, baseline, NULL, ORDERS, 1, out);
}

/* Mean of |attribution| by column, over the first rows. */
static tn_status attribute(job *j, int way, const float *baseline) {
    evaluation *e = j->e;
    const int64_t fit = MOST_RUNS / ORDERS / j->width + 1;
    int64_t rows = j->rows < EXPLAINED ? j->rows : EXPLAINED, first, width;
    const char *column;
    tn_tensor *some, *found = NULL;
    void *data;
    if (way == SHAPLEY && rows > fit) rows = fit;
    progress(e->settings, "%s", attribution_names[way]);
    memcpy(&data, &(const void *){tn_tensor_const_data(j->x)}, sizeof data);
    tn_status status = tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){rows, j->width}, NULL, data,
                                      (size_t)(rows * j->width) * sizeof(float), &some);
    if (status == TN_OK) status = explain(j, way, some, baseline, &found);
    for (int f = 0; status == TN_OK && f < e->weight_count; f++) {
        double sum = 0;
        tn_evaluation_feature(e->result, f, &column, &first, &width);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = first; c < first + width; c++)
                sum += fabs((double)((const float *)tn_tensor_const_data(found))[r * j->width + c]);
        e->weights[f].attributions[way] = sum / (double)rows;
    }
    tn_tensor_destroy(some);
    tn_tensor_destroy(found);
    return status;
}

static tn_status attribute_all(job *j) {
    float *baseline = tool_alloc((size_t)j->width, sizeof *baseline);
    tn_status status = TN_OK;
    for (int64_t c = 0; c < j->width; c++) baseline[c] = (float)j->means[c];
    for (int way = 0; status == TN_OK && way < ATTRIBUTIONS; way++) status = attribute(j, way, baseline);
    free(baseline);
    return status;
}

static tn_status measure_weights(job *j) {
    evaluation *e = j->e;
    const char *column;
    int64_t first, width;
    tn_status status = TN_OK;
    while (tn_evaluation_feature(e->result, e->weight_count, &column, &first, &width)) e->weight_count++;
    e->weights = tool_alloc((size_t)e->weight_count, sizeof *e->weights);
    for (int f = 0; status == TN_OK && f < e->weight_count; f++) {
        weight *w = &e->weights[f];
        tn_evaluation_feature(e->result, f, &w->column, &first, &width);
        for (int way = 0; way < ATTRIBUTIONS; way++) w->attributions[way] = NAN;
        progress(e->settings, "importance of %s", w->column);
        status = tn_evaluation_importance(e->result, e->model, f, e->metric, REPEATS, (uint64_t)f + 1, &w->mean,
                                          &w->deviation);
    }
    if (status == TN_OK && j->probe) status = attribute_all(j);
    if (e->weight_count) qsort(e->weights, (size_t)e->weight_count, sizeof *e->weights, by_mean);
    return status;
}

bool measure_hardship(evaluation *e) {
    const settings *s = e->settings;
    tn_graph *graph;
    if (!s->robustness && !s->importance) return true;
    job j = {.e = e, .x = tn_evaluation_inputs(e->result)};
    if (!j.x) return complain_status("windows", TN_E_MEMORY);
    j.rows = tn_tensor_dims(j.x)[0];
    j.width = tn_tensor_dims(j.x)[1];
    j.means = tool_alloc(2 * (size_t)j.width, sizeof *j.means);
    j.deviations = j.means + j.width;
    static const char *const metrics[] = {"accuracy", "r2", "r2", "sequence_accuracy"};
    const tn_task task = tn_evaluation_task(e->result);
    tn_status status = TN_OK;
    e->metric = metrics[task];
    find_moments(&j);
    if (task == TN_TASK_SEQUENCES) {
        complain("note: attacks and attributions are of classes and numbers, not of sequences");
    } else {
        status = tn_graph_load(s->operands.items[0], NULL, &graph);
        if (status == TN_OK && tn_probe_create(graph, (int)s->threads, &j.probe) != TN_OK) {
            progress(s, NULL);
            complain("note: without gradients there are no attacks and attributions: %s", tn_last_error());
        }
    }
    if (status == TN_OK && s->robustness) status = measure_troubles(&j);
    if (status == TN_OK && s->importance) status = measure_weights(&j);
    progress(s, NULL);
    tn_probe_destroy(j.probe);
    free(j.means);
    if (status != TN_OK) return complain_status(s->operands.items[0], status);
    return !s->importance || measure_attention(e, EXPLAINED);
}

void print_hardship(const evaluation *e) {
    for (int t = 0; t < e->trouble_count; t++) {
        const trouble *k = &e->troubles[t];
        printf("\n%s (%s): %s\n", k->name, k->unit, e->metric);
        for (int i = 0; i < STRENGTHS; i++) printf(" %10g", k->strengths[i]);
        puts("");
        for (int i = 0; i < STRENGTHS; i++) printf(" %10.4f", k->values[i]);
        puts("");
    }
    if (!e->weight_count) return;
    printf("\n%-24s %18s %12s", "column", "permuted, falls by", "deviation");
    for (int way = 0; way < ATTRIBUTIONS; way++) printf(" %20s", attribution_names[way]);
    puts("");
    for (int i = 0; i < e->weight_count; i++) {
        const weight *w = &e->weights[i];
        printf("%-24.24s %18.5f %12.5f", w->column, w->mean, w->deviation);
        for (int way = 0; way < ATTRIBUTIONS; way++)
            if (!isnan(w->attributions[way])) printf(" %20.5g", w->attributions[way]);
        puts("");
    }
}

void emit_hardship(const evaluation *e, json *j) {
    static const char *const keys[ATTRIBUTIONS] = {
        [GRADIENTS] = "integrated_gradients", [OCCLUSION] = "occlusion", [SHAPLEY] = "shapley"};
    if (e->trouble_count) emit_object(j, "robustness");
    for (int t = 0; t < e->trouble_count; t++) {
        const trouble *k = &e->troubles[t];
        emit_object(j, k->name);
        emit_text(j, "metric", e->metric);
        emit_array(j, "strengths");
        for (int i = 0; i < STRENGTHS; i++) emit_number(j, NULL, k->strengths[i]);
        emit_end(j);
        emit_array(j, "values");
        for (int i = 0; i < STRENGTHS; i++) emit_number(j, NULL, k->values[i]);
        emit_end(j);
        emit_end(j);
    }
    if (e->trouble_count) emit_end(j);
    if (!e->weight_count) return;
    emit_array(j, "importance");
    for (int i = 0; i < e->weight_count; i++) {
        emit_object(j, NULL);
        emit_text(j, "column", e->weights[i].column);
        emit_number(j, "mean", e->weights[i].mean);
        emit_number(j, "deviation", e->weights[i].deviation);
        for (int way = 0; way < ATTRIBUTIONS; way++) emit_number(j, keys[way], e->weights[i].attributions[way]);
        emit_end(j);
    }
    emit_end(j);
}
