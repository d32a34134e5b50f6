/* Draws of a bootstrap for metrics that want sums over samples for each of many outputs: how often a draw has each sample,
 * [draws, samples], times what each adds to the sums, [samples, sums], is a matrix product. Some draws at a time, and of what
 * they are multiplied by a part that stays in the cache. */
#include <float.h>
#include <math.h>
#include "base/random.h"
#include "eval/metrics.h"
#include "kernels/product_f64.h"

enum { DRAWS = 32, ROWS = 128, OUTPUTS = 64, MOST = 3 * OUTPUTS };

typedef struct work {
    const tn_metrics *m;
    const tn_kernels *kernels;
    bool is_r2;
    uint32_t *counts; /* [DRAWS, n] */
    double *buffer;   /* of the product */
    double how_often[DRAWS * ROWS], terms[ROWS * MOST], product[DRAWS * MOST], sums[DRAWS * MOST];
} work;

/* Squares of errors, [rows, width]; of r2 behind them each truth's distance from the mean of all, and its square. */
static void fill_terms(work *w, int64_t row, int64_t rows, int output, int width, int terms) {
    const tn_metrics *m = w->m;
    for (int64_t i = 0; i < rows; i++) {
        const double *wanted = m->wanted + (row + i) * m->outputs + output;
        const double *given = m->given + (row + i) * m->outputs + output, *mean = m->of_outputs + output;
        double *square = w->terms + i * terms * width, *distance = square + width, *far = distance + width;
        for (int k = 0; k < width; k++) square[k] = (given[k] - wanted[k]) * (given[k] - wanted[k]);
        for (int k = 0; w->is_r2 && k < width; k++) {
            distance[k] = wanted[k] - mean[k];
            far[k] = distance[k] * distance[k];
        }
    }
}

static void sum_outputs(work *w, int draws, int output, int width, int terms) {
    const int64_t n = w->m->n;
    const size_t columns = (size_t)terms * (size_t)width;
    memset(w->sums, 0, sizeof w->sums);
    for (int64_t row = 0; row < n; row += ROWS) {
        const int64_t rows = TN_MIN(n - row, ROWS);
        fill_terms(w, row, rows, output, width, terms);
        for (int d = 0; d < draws; d++)
            for (int64_t i = 0; i < rows; i++) w->how_often[d * ROWS + i] = w->counts[d * n + row + i];
        const tn_matrix_f64 a = {w->how_often, ROWS, 1}, b = {w->terms, columns, 1};
        tn_product_f64(w->kernels, (size_t)draws, columns, (size_t)rows, &a, &b, w->product, columns, w->buffer);
        for (size_t i = 0; i < (size_t)draws * columns; i++) w->sums[i] += w->product[i];
    }
}

static double value_of(const work *w, const double *sums, int k, int width) {
    const double n = (double)w->m->n;
    if (!w->is_r2) return sqrt(sums[k] / n);
    const double distance = sums[width + k], far = sums[2 * width + k], spread = far - distance * distance / n;
    /* What rounding leaves where a draw has one truth alone. */
    return spread > n * DBL_EPSILON * far ? 1 - sums[k] / spread : sums[k] == 0;
}

static void draw(work *w, int draws, uint64_t *state, double *out_values) {
    const tn_metrics *m = w->m;
    const int terms = w->is_r2 ? 3 : 1;
    memset(w->counts, 0, DRAWS * (size_t)m->n * sizeof *w->counts);
    for (int d = 0; d < draws; d++)
        for (int64_t i = 0; i < m->n; i++) w->counts[d * m->n + (int64_t)tn_random_below(state, (uint64_t)m->n)]++;
    for (int d = 0; d < draws; d++) out_values[d] = 0;
    for (int output = 0; output < m->outputs; output += OUTPUTS) {
        const int width = TN_MIN(m->outputs - output, OUTPUTS);
        sum_outputs(w, draws, output, width, terms);
        for (int d = 0; d < draws; d++)
            for (int k = 0; k < width; k++)
                out_values[d] += value_of(w, w->sums + (size_t)(d * terms * width), k, width) / m->outputs;
    }
}

tn_status tn_metric_draws(const tn_metrics *m, bool is_r2, int draws, uint64_t seed, double *out_values) {
    const tn_kernels *kernels = tn_kernels_best();
    tn_region *region = tn_region_create(NULL);
    work *w = region ? tn_region_take(region, sizeof *w) : NULL;
    if (w) *w = (work){.m = m, .kernels = kernels, .is_r2 = is_r2};
    if (w) w->counts = tn_region_array(region, (size_t)m->n, DRAWS * sizeof *w->counts);
    if (w && w->counts) w->buffer = tn_region_array(region, tn_product_f64_buffer(kernels), sizeof *w->buffer);
    const bool ready = w && w->buffer;
    if (ready) {
        memset(m->of_outputs, 0, (size_t)m->outputs * sizeof *m->of_outputs);
        for (int64_t i = 0; i < m->n; i++)
            for (int k = 0; k < m->outputs; k++) m->of_outputs[k] += m->wanted[i * m->outputs + k] / (double)m->n;
    }
    for (int d = 0; ready && d < draws; d += DRAWS) draw(w, TN_MIN(draws - d, DRAWS), &seed, out_values + d);
    tn_region_destroy(region);
    return ready ? TN_OK : TN_E_MEMORY;
}
