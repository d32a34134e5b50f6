/* Convolution of bytes by tiles that read the image where it lies, where kernels have them (qgemm_tiles): with channels
 * last, the taps of one row of a kernel are one run of bytes for each output pixel, and the runs of neighbouring pixels lie
 * a fixed step apart, so that nothing is unfolded. What is copied once is the image, with its padding around it. */
#ifndef TN_OPS_QCONV_TILES_H
#define TN_OPS_QCONV_TILES_H

#include "graph/op.h"
#include "kernels/qgemm.h"
#include "kernels/qlast.h"
#include "ops/window.h"

typedef struct tn_qtiles {
    const tn_qgemm_layout *layout;
    size_t channels, maps, in[2], out[2], pad[2], kernel[2], stride[2];
    size_t height, pitch; /* rows of the padded image, and bytes of one */
    size_t step, k;       /* bytes of a run that are gone through at once; of all runs, each of whole steps */
    size_t tile, across;  /* output pixels of a tile; tiles of a row, the last perhaps overlapping */
    size_t rows, blocks;  /* output rows of a task; of an image */
    size_t chunk, parts;  /* maps of a task */
    size_t image_bytes;   /* scratch: the padded image */
    const void *w;        /* packed */
} tn_qtiles;

/* Whether it fits; then everything but w is set. wanted_tasks: so many, or a few more. */
bool tn_qtiles_plan(tn_qtiles *q, const tn_kernels *kernels, const tn_window *window, size_t channels, size_t maps,
                    size_t wanted_tasks);
/* Packs the weights, input w_in: int8 [maps, kernel, channels]. */
tn_status tn_qtiles_prepare(tn_qtiles *q, tn_prepare *call, int w_in);
/* Row `row` of the padded image; zero: what padding is. */
void tn_qtiles_pad(const tn_qtiles *q, uint8_t *image, const uint8_t *x, uint8_t zero, size_t row);

/* Task `task` of blocks * parts: output rows [*first, + *rows), maps [*from, *until). y: the image's output. */
void tn_qtiles_task(const tn_qtiles *q, const tn_kernels *kernels, const tn_qfinish *finish, uint8_t *y,
                    const uint8_t *image, size_t task, size_t *first, size_t *rows, size_t *from, size_t *until);

#endif
