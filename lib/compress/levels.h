/* Levels of few bits: a matrix [n, k] of which each block of `block` elements in a row has a scale and a zero point:
 * w = (q - zero) scale, q from 0 to 2^bits - 1. */
#ifndef TN_COMPRESS_LEVELS_H
#define TN_COMPRESS_LEVELS_H

#include "base/base.h"

typedef struct tn_levels {
    int bits;
    size_t block, blocks, n, k;
    bool symmetric; /* all zero points are 2^(bits - 1) */
    uint8_t *q;     /* [n, k] */
    float *scales;  /* [n, blocks] */
    uint8_t *zeros; /* [n, blocks] */
} tn_levels;

/* bits, block, n, k and symmetric are set; the rest is made in the region. */
tn_status tn_levels_create(tn_levels *levels, tn_region *region);
/* Scales and zero points that span each block (with 0, so that zeros stay zeros), weights to the nearest level: none is
 * moved by more than half a step. */
void tn_levels_nearest(tn_levels *levels, const float *w);
/* Half-quadratic: zero points that fit the bulk of a block. */
void tn_levels_hqq(tn_levels *levels, const float *w);
/* Scales between that of _nearest and 0.6 of it: what loses least when the square of an error at column j counts
 * importance[j]. */
void tn_levels_weighted(tn_levels *levels, const float *w, const double *importance);
/* GPTQ with scales of _weighted. products[k, k] is of the inputs, x x^T, and is overwritten. */
tn_status tn_levels_gptq(tn_levels *levels, const float *w, double *products, double damping, tn_region *region);
/* The weights that the levels stand for. */
void tn_levels_read(const tn_levels *levels, float *w);

/* As MatMulNBits and GatherBlockQuantized have them: elements of a row, each block in whole bytes; and zero points, each
 * row in whole bytes. Low bits first. */
void tn_levels_pack(const tn_levels *levels, uint8_t *q);
void tn_levels_pack_zeros(const tn_levels *levels, uint8_t *zeros);

#endif
