/* Recurrent layers: what RNN, GRU and LSTM share. recurrent.c reads nodes and lays memory out, recurrent_run.c walks the
 * time steps, recurrent_cell.c has the cells, recurrent_product.c the products in float32, lstm_quantized.c those in 8 bits,
 * recurrent_fused.c whole steps of the layers that most models have, recurrent_f64.c layers in float64.
 *
 * Names: a direction's gates are G * H numbers for each batch row; rows of X and of its product with W are numbered
 * seq * batch or (layout 1) batch * seq. */
#ifndef TN_OPS_RECURRENT_H
#define TN_OPS_RECURRENT_H

#include "graph/op.h"
#include "kernels/product.h"

typedef enum tn_cell { TN_CELL_RNN, TN_CELL_GRU, TN_CELL_LSTM } tn_cell;

/* Activation of gates in place. */
typedef struct tn_gate_activation {
    enum { TN_GATE_KERNEL, TN_GATE_AFFINE, TN_GATE_SCALED_TANH } form;
    int row; /* which one it is, for tn_gate_f64 */
    void (*kernel)(float *y, const float *x, size_t n, const float *p);
    float p[3];
} tn_gate_activation;

typedef struct tn_recurrent tn_recurrent;
typedef struct tn_recurrent_job tn_recurrent_job;

/* How products are made: XW for all steps at once, then those of one direction and step. */
typedef struct tn_recurrent_products {
    void (*input)(const tn_recurrent_job *job);
    /* gates[batch, columns] at column `first` of the G * H = state * R^T + what `residual` has (rows residual_stride
     * apart), or (residual NULL) + bias. part 0: the gates that see the state; 1: GRU's hidden gate. */
    void (*step)(const tn_recurrent_job *job, int direction, int part, const float *state, const float *residual,
                 size_t residual_stride, const float *bias);
} tn_recurrent_products;

struct tn_recurrent {
    tn_cell cell;
    size_t gates, directions, seq, batch, input, hidden;
    bool reverse[2], batch_major, linear_before_reset, input_forget, plain; /* plain: an LSTM of the kernel's kind */
    float clip;                                                             /* 0: none */
    tn_gate_activation act[2][3];
    const tn_recurrent_products *products;
    tn_product xw, hr, hh;            /* inputs; state times gates (GRU: z and r); GRU's hidden gate */
    const float *w_packed, *r_packed; /* NULL: at each run. r: for each direction hr's, then hh's */
    size_t r_bytes, hh_bytes;         /* of a direction's hr and hh */
    size_t direction_bytes, buffer_bytes;
    const void *extra;  /* of other products */
    const float *fused; /* recurrent weights as the kernels of whole steps have them; NULL: cells apart from products */
    size_t fused_bytes, fused_blocks, fused_tasks; /* of a direction */
};

/* Memory of one direction in a run. */
typedef struct tn_recurrent_state {
    float *gates;  /* [batch, G * H] */
    float *h, *c;  /* [batch, H] */
    float *reset;  /* [batch, H]: GRU's r * h */
    float *packed; /* the left side of a product */
} tn_recurrent_state;

struct tn_recurrent_job {
    const tn_recurrent *r;
    const tn_run *call;
    const tn_kernels *kernels;
    tn_pool *pool; /* of the products of a step; NULL where directions, or parts of the batch, run side by side */
    size_t parts;  /* of the batch, whose rows know nothing of each other */
    const float *x, *b, *peephole;
    const int32_t *lengths; /* NULL: all are seq */
    float *y;
    float *xw, *bias, *packed_x; /* xw: [rows, directions, G * H] */
    const float *w, *w_packed, *r_packed;
    float *w_pack, *r_pack; /* to pack into, where that is done at each run */
    uint8_t *buffers, *extra;
    tn_recurrent_state states[2];
};

/* quantized: W and R are of 8-bit integers, and [directions, input, G * H]. */
tn_status tn_recurrent_infer(tn_infer *call, tn_cell cell, bool quantized);
/* Decodes attributes and dims and adds scratch for all but the products, which are up to the caller. */
tn_status tn_recurrent_decode(tn_prepare *call, tn_cell cell, bool quantized, tn_recurrent *r);
bool tn_recurrent_scratch(const tn_recurrent *r, size_t *total);
void tn_recurrent_take(tn_recurrent_job *job, uint8_t **scratch);
tn_status tn_recurrent_run(tn_recurrent_job *job);
tn_status tn_recurrent_check_lengths(const tn_recurrent *r, const int32_t *lengths); /* NULL: none are given */

/* The same in float64: plain loops, which gradients are checked with. */
bool tn_recurrent_scratch_f64(const tn_recurrent *r, size_t *total);
tn_status tn_recurrent_run_f64(const tn_recurrent *r, tn_run *call);
double tn_gate_f64(const tn_gate_activation *act, double x);

/* Products in float32. */
tn_status tn_recurrent_prepare_products(tn_prepare *call, tn_recurrent *r);
void tn_recurrent_take_products(tn_recurrent_job *job, uint8_t **scratch);

/* Whole steps, where the layer is of that kind: then the recurrent weights are packed for them, and r->fused is set. */
tn_status tn_recurrent_prepare_fused(tn_prepare *call, tn_recurrent *r);
void tn_recurrent_run_fused(const tn_recurrent_job *job, size_t direction, size_t part);
/* Into how many parts the batch falls for threads; 1 where it had better stay in one piece. */
size_t tn_recurrent_parts(const tn_recurrent *r, size_t threads);

/* One batch row of a step, whose products are in `gates`; new state to h and c. GRU: two parts, see recurrent_cell.c. */
void tn_cell_rnn(const tn_recurrent_job *job, int direction, size_t row);
void tn_cell_lstm(const tn_recurrent_job *job, int direction, size_t row);
void tn_cell_gru_gates(const tn_recurrent_job *job, int direction, size_t row);
void tn_cell_gru_state(const tn_recurrent_job *job, int direction, size_t row, const float *hidden_input);
tn_status tn_gate_activations(const tn_node *node, const tn_kernels *kernels, tn_cell cell, size_t directions,
                              tn_gate_activation (*act)[3], bool *all_default);

#endif
