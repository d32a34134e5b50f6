/* GPTQ: see levels.h. Frantar et al., arXiv 2210.17323.
 *
 * Columns (inputs) of a weight are rounded one after the other, those with the largest activations first; after each the
 * columns still to come are moved so that the product on the samples changes least. What to move by follows from the
 * Cholesky factor of the inverse of x x^T. Scales are those of the weights as they were, so that the order of the columns
 * is free while blocks stay where they are in the file. */
#include "compress/levels.h"
#include "compress/matrices.h"
#include <math.h>
#include <stdlib.h>

typedef struct ranked {
    double size;
    size_t column;
} ranked;

static int larger_first(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? 1 : -1;
    return x->column < y->column ? -1 : x->column > y->column;
}

tn_status tn_levels_gptq(tn_levels *l, const float *w, double *products, double damping, tn_region *region) {
    const size_t k = l->k;
    size_t bytes;
    if (!tn_mul_size(k, k, &bytes)) return tn_fail(TN_E_LIMIT, "a product of %zu inputs", k);
    ranked *order = tn_region_array(region, k, sizeof *order);
    double *h = tn_region_array(region, bytes, sizeof *h), *importance = tn_region_array(region, k, sizeof *importance);
    float *factor = tn_region_array(region, bytes, sizeof *factor), *row = tn_region_array(region, k, sizeof *row);
    if (!order || !h || !importance || !factor || !row) return TN_E_MEMORY;
    for (size_t i = 0; i < k; i++) {
        importance[i] = products[i * k + i];
        order[i] = (ranked){importance[i], i};
    }
    qsort(order, k, sizeof *order, larger_first);
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k; j++) h[i * k + j] = products[order[i].column * k + order[j].column];
    TN_TRY(tn_inverse_cholesky(h, k, damping));
    for (size_t i = 0; i < k * k; i++) factor[i] = (float)h[i];
    tn_levels_weighted(l, w, importance);
    const float top = (float)((1 << l->bits) - 1);
    for (size_t r = 0; r < l->n; r++) {
        for (size_t i = 0; i < k; i++) row[i] = w[r * k + order[i].column];
        for (size_t i = 0; i < k; i++) {
            const size_t column = order[i].column, b = r * l->blocks + column / l->block;
            const float scale = l->scales[b], zero = (float)l->zeros[b], *line = factor + i * k;
            float q = nearbyintf(row[i] / scale + zero);
            q = q < 0 ? 0 : TN_MIN(q, top);
            l->q[r * k + column] = (uint8_t)q;
            const float step = (row[i] - (q - zero) * scale) / line[i];
            for (size_t j = i + 1; j < k; j++) row[j] -= step * line[j];
        }
    }
    return TN_OK;
}
