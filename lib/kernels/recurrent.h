/* Parameters of the kernels that make a whole step of a recurrent layer: the product of the state with the recurrent
 * weights, the gates, and the new state.
 *
 * Weights are packed for that: in blocks of a vector's width of units (`lanes` of gemm_f32_tile; the last one filled up
 * with zeros), each [hidden][gates][lanes], so that a block's gates are made side by side in registers, and what they
 * make of the state follows at once. One step reads all weights once, in order, or block by block from the last: steps that
 * take turns find in the nearest cache what the step before them read last. */
#ifndef TN_KERNELS_RECURRENT_H
#define TN_KERNELS_RECURRENT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct tn_recurrent_step {
    size_t rows, hidden;
    size_t first, last; /* blocks to make: [first, last) */
    bool backwards;
    const float *weights; /* packed */
    const float *x;       /* [rows, gates * hidden], what comes from the input, with biases; gates in ONNX's order */
    size_t x_stride;
    const float *bias; /* GRU: [hidden], of the product that the reset gate scales; NULL: 0 */
    const float *h;    /* [rows, hidden] */
    size_t h_stride;
    float *c; /* LSTM: [rows, hidden], dense; old and new */
    float *y; /* [rows, hidden]: the new h, apart from the old one */
    size_t y_stride;
} tn_recurrent_step;

#endif
