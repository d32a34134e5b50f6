/* Attributions: what each number of a row added to its answer. See tenon/explain.h. */
#include <math.h>
#include "base/random.h"
#include "explain/probe.h"

/* Each row is explained alone: its variants run as batches. */
typedef struct work {
    tn_probe *p;
    const float *baseline; /* NULL: zeros */
    size_t bytes;
    float *rows, *scores, *seed, *gradient; /* of a batch */
    double *outputs;                        /* of one row */
    int64_t *order;                         /* of its numbers */
} work;

/* How one row is explained: class, x, attributions. */
typedef tn_status explain_row(work *w, int64_t class_index, const float *x, float *out, int times, uint64_t *state);

static tn_status open_work(work *w, tn_probe *p, const float *baseline) {
    size_t b = TN_PROBE_BATCH, width = (size_t)p->width, c = (size_t)p->outputs;
    *w = (work){.p = p, .baseline = baseline};
    w->bytes = (2 * b * width + 2 * b * c) * sizeof(float) + (c + width) * 8;
    w->outputs = tn_alloc_zero(NULL, w->bytes);
    if (!w->outputs) return TN_E_MEMORY;
    w->order = (int64_t *)(w->outputs + c);
    w->rows = (float *)(w->order + width);
    w->gradient = w->rows + b * width;
    w->scores = w->gradient + b * width;
    w->seed = w->scores + b * c;
    return TN_OK;
}

static float base(const work *w, int64_t i) {
    return w->baseline ? w->baseline[i] : 0;
}

/* The answers of the first `count` rows of w->rows. */
static tn_status answers(work *w, int64_t class_index, int64_t count, double *out) {
    TN_TRY(tn_probe_run(w->p, w->rows, count, NULL, w->scores, NULL));
    for (int64_t i = 0; i < count; i++) {
        tn_probe_finish(w->p, w->scores + i * w->p->outputs, w->outputs);
        out[i] = w->outputs[class_index];
    }
    return TN_OK;
}

/* d answer / d scores */
static void seed_of(const work *w, int64_t class_index, const float *scores, float *seed) {
    tn_probe_finish(w->p, scores, w->outputs);
    double p = w->outputs[class_index];
    for (int64_t c = 0; c < w->p->outputs; c++) {
        double own = c == class_index;
        seed[c] = (float)(w->p->end == TN_END_SOFTMAX   ? p * (own - w->outputs[c])
                          : w->p->end == TN_END_SIGMOID ? own * p * (1 - p)
                                                        : own);
    }
}

static tn_status integrate(work *w, int64_t class_index, const float *x, float *out, int times, uint64_t *state) {
    int64_t width = w->p->width;
    (void)state;
    for (int first = 0; first < times; first += TN_PROBE_BATCH) {
        int count = TN_MIN(TN_PROBE_BATCH, times - first);
        for (int k = 0; k < count; k++)
            for (int64_t i = 0; i < width; i++)
                w->rows[k * width + i] =
                    base(w, i) + (x[i] - base(w, i)) * (float)(((double)(first + k) + 0.5) / (double)times);
        TN_TRY(tn_probe_run(w->p, w->rows, count, NULL, w->scores, NULL));
        for (int k = 0; k < count; k++)
            seed_of(w, class_index, w->scores + k * w->p->outputs, w->seed + k * w->p->outputs);
        TN_TRY(tn_probe_run(w->p, w->rows, count, w->seed, w->scores, w->gradient));
        for (int64_t i = 0; i < width; i++) {
            double sum = 0;
            for (int k = 0; k < count; k++) sum += (double)w->gradient[k * width + i];
            out[i] += (float)(sum / (double)times * (double)(x[i] - base(w, i)));
        }
    }
    return TN_OK;
}

static tn_status occlude(work *w, int64_t class_index, const float *x, float *out, int times, uint64_t *state) {
    int64_t width = w->p->width;
    double all, answer[TN_PROBE_BATCH];
    (void)times, (void)state;
    memcpy(w->rows, x, (size_t)width * sizeof *x);
    TN_TRY(answers(w, class_index, 1, &all));
    for (int64_t first = 0; first < width; first += TN_PROBE_BATCH) {
        int64_t count = TN_MIN(TN_PROBE_BATCH, width - first);
        for (int64_t k = 0; k < count; k++) {
            memcpy(w->rows + k * width, x, (size_t)width * sizeof *x);
            w->rows[k * width + first + k] = base(w, first + k);
        }
        TN_TRY(answers(w, class_index, count, answer));
        for (int64_t k = 0; k < count; k++) out[first + k] = (float)(all - answer[k]);
    }
    return TN_OK;
}

/* From the baseline to x, a number after the other. */
static tn_status walk(work *w, int64_t class_index, const float *x, float *out, int times, uint64_t *state) {
    int64_t width = w->p->width;
    double before, answer[TN_PROBE_BATCH];
    for (int t = 0; t < times; t++) {
        for (int64_t i = 0; i < width; i++) w->order[i] = i;
        for (int64_t i = width - 1; i > 0; i--) {
            int64_t k = (int64_t)tn_random_below(state, (uint64_t)i + 1), moved = w->order[i];
            w->order[i] = w->order[k];
            w->order[k] = moved;
        }
        for (int64_t i = 0; i < width; i++) w->gradient[i] = base(w, i); /* the row under way */
        memcpy(w->rows, w->gradient, (size_t)width * sizeof *x);
        TN_TRY(answers(w, class_index, 1, &before));
        for (int64_t first = 0; first < width; first += TN_PROBE_BATCH) {
            int64_t count = TN_MIN(TN_PROBE_BATCH, width - first);
            for (int64_t k = 0; k < count; k++) {
                w->gradient[w->order[first + k]] = x[w->order[first + k]];
                memcpy(w->rows + k * width, w->gradient, (size_t)width * sizeof *x);
            }
            TN_TRY(answers(w, class_index, count, answer));
            for (int64_t k = 0; k < count; k++) {
                out[w->order[first + k]] += (float)((answer[k] - before) / (double)times);
                before = answer[k];
            }
        }
    }
    return TN_OK;
}

static tn_status choose(work *w, const float *x, const int64_t *given, int64_t *out_class) {
    if (given) {
        *out_class = *given;
        if (*given >= 0 && *given < w->p->outputs) return TN_OK;
        return tn_fail(TN_E_INVALID, "there is no output %lld; the model has %lld", (long long)*given,
                       (long long)w->p->outputs);
    }
    memcpy(w->rows, x, (size_t)w->p->width * sizeof *x);
    TN_TRY(tn_probe_run(w->p, w->rows, 1, NULL, w->scores, NULL));
    *out_class = 0;
    for (int64_t c = 1; c < w->p->outputs; c++)
        if (w->scores[c] > w->scores[*out_class]) *out_class = c;
    return TN_OK;
}

static tn_status explain(tn_probe *p, const tn_tensor *x, const float *baseline, const int64_t *classes, int times,
                         uint64_t seed, explain_row *how, tn_tensor **out) {
    work w = {0};
    tn_tensor *made = NULL;
    int64_t class_index = 0;
    *out = NULL;
    TN_TRY(tn_probe_check(p, x));
    if (times < 1) return tn_fail(TN_E_INVALID, "%d steps or samples; at least 1 was expected", times);
    tn_status status = open_work(&w, p, baseline);
    if (status == TN_OK) status = tn_tensor_create(TN_FLOAT32, x->rank, x->dims, NULL, &made);
    for (int64_t r = 0; status == TN_OK && r < x->dims[0]; r++) {
        const float *row = (const float *)x->data + r * p->width;
        status = choose(&w, row, classes ? &classes[r] : NULL, &class_index);
        if (status == TN_OK) status = how(&w, class_index, row, (float *)made->data + r * p->width, times, &seed);
    }
    tn_free(NULL, w.outputs, w.bytes);
    if (status == TN_OK)
        *out = made;
    else
        tn_tensor_destroy(made);
    return status;
}

tn_status tn_integrated_gradients(tn_probe *probe, const tn_tensor *x, const float *baseline, const int64_t *classes,
                                  int steps, tn_tensor **out_attributions) {
    return explain(probe, x, baseline, classes, steps, 0, integrate, out_attributions);
}

tn_status tn_occlusion(tn_probe *probe, const tn_tensor *x, const float *baseline, const int64_t *classes,
                       tn_tensor **out_attributions) {
    return explain(probe, x, baseline, classes, 1, 0, occlude, out_attributions);
}

tn_status tn_shapley(tn_probe *probe, const tn_tensor *x, const float *baseline, const int64_t *classes, int samples,
                     uint64_t seed, tn_tensor **out_attributions) {
    return explain(probe, x, baseline, classes, samples, seed, walk, out_attributions);
}
