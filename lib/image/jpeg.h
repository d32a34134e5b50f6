/* JPEG's two halves: the entropy-coded data to coefficients (jpeg.c, jpeg_scan.c), and those to pixels (jpeg_pixels.c). */
#ifndef TN_JPEG_H
#define TN_JPEG_H

#include "image/image.h"

typedef struct tn_jpeg_code { /* a Huffman table */
    uint8_t count[17];        /* codes of each length */
    uint8_t symbol[256];
} tn_jpeg_code;

typedef struct tn_jpeg_component {
    uint8_t id, h, v, quant; /* sampling factors; number of its quantization table */
    size_t width, height;    /* of its own samples */
    size_t across, down;     /* blocks, whole units (MCUs) */
    int16_t *blocks;         /* coefficients, 64 a block in zigzag order */
    uint8_t *samples;        /* across * 8 a row */
} tn_jpeg_component;

typedef struct tn_jpeg {
    size_t width, height;
    int count; /* components: 1 or 3 */
    tn_jpeg_component parts[3];
    int most_h, most_v;
    bool progressive;
    bool rgb; /* as Adobe's marker says: the components are no luminance and chrominance */
    uint16_t quant[4][64];
    tn_jpeg_code dc[4], ac[4];
    size_t restart; /* units between restart markers; 0: none */
} tn_jpeg;

/* What one scan is about. */
typedef struct tn_jpeg_pass {
    int count; /* components */
    tn_jpeg_component *parts[3];
    const tn_jpeg_code *dc[3], *ac[3];
    int first, last; /* coefficients */
    int high, low;   /* of successive approximation */
} tn_jpeg_pass;

/* Decodes a scan's data into the components' blocks; returns where it ended, or NULL. */
const uint8_t *tn_jpeg_scan(const tn_jpeg *j, const tn_jpeg_pass *pass, const uint8_t *at, const uint8_t *end);
/* Dequantizes, transforms back, upsamples, converts. */
bool tn_jpeg_pixels(tn_jpeg *j, const tn_image_memory *memory, tn_image *out);

extern const uint8_t tn_jpeg_zigzag[64]; /* place in the block of the k-th coefficient */

#endif
