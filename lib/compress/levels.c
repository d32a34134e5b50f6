/* Weights to levels of few bits. See levels.h. */
#include "compress/levels.h"
#include <float.h>
#include <math.h>

tn_status tn_levels_create(tn_levels *l, tn_region *region) {
    size_t count;
    l->blocks = (l->k + l->block - 1) / l->block;
    if (!tn_mul_size(l->n, l->blocks * l->block, &count)) return tn_fail(TN_E_LIMIT, "a matrix that is too large");
    l->q = tn_region_alloc(region, count);
    l->scales = tn_region_array(region, l->n * l->blocks, sizeof *l->scales);
    l->zeros = tn_region_alloc(region, l->n * l->blocks);
    return l->q && l->scales && l->zeros ? TN_OK : TN_E_MEMORY;
}

static int top_of(const tn_levels *l) {
    return (1 << l->bits) - 1;
}

static uint8_t level(float w, float scale, float zero, int top) {
    float q = nearbyintf(w / scale + zero);
    return (uint8_t)(q < 0 ? 0 : q > (float)top ? (float)top : q);
}

/* The scale and zero point that span a block. */
static void span(const tn_levels *l, const float *w, size_t count, float *scale, float *zero) {
    float low = 0, high = 0;
    const int top = top_of(l);
    for (size_t i = 0; i < count; i++) {
        low = TN_MIN(low, w[i]);
        high = TN_MAX(high, w[i]);
    }
    *zero = (float)(1 << (l->bits - 1));
    if (l->symmetric) {
        *scale = TN_MAX(high, -low) / (*zero - 1);
    } else {
        *scale = high / (float)top - low / (float)top; /* no overflow in between */
        if (*scale > 0) *zero = TN_MIN(nearbyintf(-low / *scale), (float)top);
    }
    if (!(*scale > FLT_MIN)) *scale = 1; /* zeros, or as good as: they become zeros */
}

static void round_block(const tn_levels *l, const float *w, size_t count, float scale, float zero, uint8_t *q) {
    for (size_t i = 0; i < count; i++) q[i] = level(w[i], scale, zero, top_of(l));
}

/* Visits the blocks: size of block b, and where it begins in row r. */
#define EACH_BLOCK(l, r, b, at, count)                                                                                 \
    for (size_t r = 0; r < (l)->n; r++)                                                                                \
        for (size_t b = 0, at = r * (l)->k, count = TN_MIN((l)->block, (l)->k); b < (l)->blocks; b++,                  \
                    at = r * (l)->k + b * (l)->block,                                                                  \
                    count = TN_MIN((l)->block, (l)->k - TN_MIN(b * (l)->block, (l)->k)))

void tn_levels_nearest(tn_levels *l, const float *w) {
    EACH_BLOCK(l, r, b, at, count) {
        float scale, zero;
        span(l, w + at, count, &scale, &zero);
        l->scales[r * l->blocks + b] = scale;
        l->zeros[r * l->blocks + b] = (uint8_t)zero;
        round_block(l, w + at, count, scale, zero, l->q + at);
    }
}

typedef struct losses {
    double robust; /* sum of |error|^0.7, which half-quadratic quantization makes small: outliers weigh little in it */
    double squares;
} losses;

static losses losses_of(const float *w, const uint8_t *q, size_t count, float scale, float zero) {
    losses sum = {0};
    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)w[i] - (double)(((float)q[i] - zero) * scale));
        sum.robust += pow(d, 0.7);
        sum.squares += d * d;
    }
    return sum;
}

/* Alternates between the part of the errors that counts as outliers (a shrinkage that solves the proximal step of the
 * p-norm) and the zero point that fits the rest. */
static float fit_zero(const tn_levels *l, const float *w, size_t count, float scale, float zero, uint8_t *q) {
    float beta = 10;
    for (int turn = 0; turn < 20; turn++, beta *= 1.01f) {
        double sum = 0;
        for (size_t i = 0; i < count; i++) {
            float level_of = (float)level(w[i], scale, zero, top_of(l)), error = w[i] - (level_of - zero) * scale;
            float size = fabsf(error), shrunk = size > 0 ? size - powf(size, 0.7f - 1) / beta : 0;
            float outlier = shrunk > 0 ? copysignf(shrunk, error) : 0;
            sum += (double)(level_of - (w[i] - outlier) / scale);
        }
        zero = (float)(sum / (double)count);
    }
    zero = nearbyintf(zero);
    zero = zero < 0 ? 0 : TN_MIN(zero, (float)top_of(l));
    round_block(l, w, count, scale, zero, q);
    return zero;
}

void tn_levels_hqq(tn_levels *l, const float *w) {
    uint8_t tried[256];
    tn_levels_nearest(l, w);
    if (l->symmetric) return; /* there is no zero point to fit */
    EACH_BLOCK(l, r, b, at, count) {
        float *scale = &l->scales[r * l->blocks + b], best = (float)l->zeros[r * l->blocks + b];
        losses least = losses_of(w + at, l->q + at, count, *scale, best);
        const float first = *scale, zero_first = best;
        for (int shrink = 0; shrink < 6; shrink++) {
            float narrow = first * (1 - 0.06f * (float)shrink);
            float zero = fit_zero(l, w + at, count, narrow, zero_first, tried);
            losses other = losses_of(w + at, tried, count, narrow, zero);
            if (!(other.robust < least.robust) || other.squares > least.squares) continue;
            least = other;
            *scale = narrow;
            l->zeros[r * l->blocks + b] = (uint8_t)zero;
            memcpy(l->q + at, tried, count);
        }
    }
}

void tn_levels_weighted(tn_levels *l, const float *w, const double *importance) {
    uint8_t tried[256];
    tn_levels_nearest(l, w);
    EACH_BLOCK(l, r, b, at, count) {
        float *scale = &l->scales[r * l->blocks + b], first = *scale;
        const double *weigh = importance + b * l->block;
        double least = INFINITY;
        for (int shrink = 0; shrink <= 8; shrink++) {
            float narrow = first * (1 - 0.05f * (float)shrink), zero = (float)l->zeros[r * l->blocks + b];
            double loss = 0;
            round_block(l, w + at, count, narrow, zero, tried);
            for (size_t i = 0; i < count; i++) {
                double d = (double)w[at + i] - (double)(((float)tried[i] - zero) * narrow);
                loss += d * d * weigh[i];
            }
            if (!(loss < least)) continue;
            least = loss;
            *scale = narrow;
            memcpy(l->q + at, tried, count);
        }
    }
}

void tn_levels_read(const tn_levels *l, float *w) {
    EACH_BLOCK(l, r, b, at, count) {
        float scale = l->scales[r * l->blocks + b], zero = (float)l->zeros[r * l->blocks + b];
        for (size_t i = 0; i < count; i++) w[at + i] = ((float)l->q[at + i] - zero) * scale;
    }
}

/* Element i of a row, low bits first. */
static void put_bits(uint8_t *row, size_t i, int bits, unsigned q) {
    const size_t at = i * (size_t)bits, shift = at % 8;
    row[at / 8] |= (uint8_t)(q << shift);
    if (shift + (size_t)bits > 8) row[at / 8 + 1] |= (uint8_t)(q >> (8 - shift));
}

void tn_levels_pack(const tn_levels *l, uint8_t *packed) {
    const size_t row = l->blocks * (l->block * (size_t)l->bits / 8);
    memset(packed, 0, l->n * row);
    for (size_t r = 0; r < l->n; r++)
        for (size_t j = 0; j < l->blocks * l->block; j++)
            put_bits(&packed[r * row], j, l->bits,
                     j < l->k ? l->q[r * l->k + j] : l->zeros[r * l->blocks + j / l->block]);
}

void tn_levels_pack_zeros(const tn_levels *l, uint8_t *packed) {
    const size_t row = (l->blocks * (size_t)l->bits + 7) / 8;
    memset(packed, 0, l->n * row);
    for (size_t r = 0; r < l->n; r++)
        for (size_t b = 0; b < l->blocks; b++) put_bits(&packed[r * row], b, l->bits, l->zeros[r * l->blocks + b]);
}
