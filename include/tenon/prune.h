/* Pruning: weights that become zero, and channels that go. Passes over a graph, from tn_graph_load or a trainer.
 *
 *     tn_prune_options o = {.struct_size = sizeof o, .sparsity = 0.8};
 *     tn_graph_prune(graph, &o, &report);                       // the smallest 80 % of each weight are 0 now
 *     tn_graph_mask_zeros(graph);                               // to train on: the zeros stay zeros
 *     tn_trainer_create(graph, &(tn_trainer_options){.freeze = "mask.*", ...}, &trainer);
 *     ...
 *     tn_trainer_export(trainer, &trained);
 *     tn_graph_fold_masks(trained);
 *
 * Products of at least 32 rows with a constant of many zeros (some 75 % of single weights, or 60 % in blocks of 4 outputs) run
 * without the zeros, faster; infinity or NaN times such a zero is 0 there.
 *
 * What is pruned are the float32 constants that Conv, MatMul and Gemm multiply by; they are seen as matrices of a row for
 * each output. A weight that several nodes read is pruned once. Biases stay. A second pass with the same options changes
 * nothing. After a failure the graph may be changed in part: destroy it. Bodies of If, Loop and Scan stay as they are.
 *
 * Thread-safety: a graph belongs to one thread at a time. */
#ifndef TENON_PRUNE_H
#define TENON_PRUNE_H

#include <tenon/weights.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where zeros may be. */
typedef enum tn_prune_pattern {
    TN_PRUNE_ANYWHERE = 0,
    TN_PRUNE_N_OF_M = 1, /* of each `of` neighbours in a row `kept` stay, as 2 of 4; sparsity is not looked at */
    TN_PRUNE_BLOCKS =
        2, /* blocks of block_rows outputs by block_columns inputs go as a whole, those of least squares */
} tn_prune_pattern;

/* Which weights matter least. */
typedef enum tn_prune_criterion {
    TN_PRUNE_MAGNITUDE = 0, /* |w| */
    /* |w| times the norm of its input over the samples, compared within each row (Sun et al., arXiv 2306.11695). */
    TN_PRUNE_WANDA = 1,
    /* What the product on the samples loses; the weights that stay make up for those that go (Frantar and Alistarh,
     * arXiv 2301.00774). Needs OpenBLAS. Not for blocks. */
    TN_PRUNE_SPARSEGPT = 2,
} tn_prune_criterion;

/* What is 0 has the default in brackets. */
typedef struct tn_prune_options {
    size_t struct_size;
    tn_prune_pattern pattern;
    tn_prune_criterion criterion;  /* those of samples apply to MatMul and Gemm; then convolutions stay as they are */
    double sparsity;               /* share of zeros, from 0 to below 1: rounded down to whole weights */
    bool global;                   /* magnitude: the share is of all layers together, with one threshold */
    int kept, of;                  /* [2, 4] */
    int block_rows, block_columns; /* [4, 1] */
    const char *keep; /* names of nodes to leave alone, with commas between; "block1*" is all that begin so */
    const tn_tensor *const *samples; /* runs of the graph: input i of run r is samples[r * inputs + i] */
    size_t sample_count;             /* runs */
    double damping;                  /* of SparseGPT, as a share of the mean of the Hessian's diagonal [0.01] */
} tn_prune_options;

TN_API tn_status tn_graph_prune(tn_graph *graph, const tn_prune_options *options, tn_weights_report *out_report);

/* The share of zeros to prune to at a step of `steps`, from `first` to `last`: fast in the beginning, slow in the end (Zhu
 * and Gupta, "To prune, or not to prune", arXiv 1710.01878). */
TN_API double tn_prune_schedule(double first, double last, int64_t step, int64_t steps);

/* What each layer alone costs: for each of the layers and each of `count` shares of zeros, calls `see` with the node's
 * name, the share, and the difference of all outputs on the samples to those of the graph as it is: norm of the difference
 * by the norm. The graph stays as it is. options->sparsity is not looked at. */
TN_API tn_status tn_prune_sensitivity(const tn_graph *graph, const tn_prune_options *options, const double *sparsities,
                                      int count,
                                      void (*see)(void *context, const char *layer, double sparsity, double error),
                                      void *context);

/* Puts a Mul with a mask, a constant by the name of "mask.<weight>", behind each weight of Conv, MatMul and Gemm that has
 * zeros, so that a trainer that leaves "mask.*" alone keeps them. tn_graph_fold_masks multiplies them in again. */
TN_API tn_status tn_graph_mask_zeros(tn_graph *graph);
TN_API tn_status tn_graph_fold_masks(tn_graph *graph);

/* What is 0 has the default in brackets. */
typedef struct tn_prune_channels_options {
    size_t struct_size;
    double sparsity;  /* share of channels that go, in each group of layers that must have the same ones */
    int multiple;     /* channels that stay are a multiple of this [1]; at least one stays */
    bool global;      /* the share is of all groups together: those whose channels are small give more */
    const char *keep; /* names of nodes whose outputs keep their channels */
} tn_prune_channels_options;

/* Takes whole channels out, so that the graph gets smaller and faster everywhere: weights, biases and norms lose rows, what
 * reads the channels loses columns. Which layers must lose the same channels follows from the graph: through residual
 * additions, concatenations, depthwise convolutions, pools, flattening. The channels of least norm go (Li et al., "Pruning
 * Filters for Efficient ConvNets", arXiv 1608.08710), each by its share of its layer's norm. Channels that reach an output of
 * the graph, or a node that is not understood, stay. The report's `layers` are those that lost rows. */
TN_API tn_status tn_graph_prune_channels(tn_graph *graph, const tn_prune_channels_options *options,
                                         tn_weights_report *out_report);

/* What is 0 has the default in brackets. */
typedef struct tn_prune_heads_options {
    size_t struct_size;
    double sparsity;                 /* share of heads that go, in each block of attention; at least one stays */
    bool global;                     /* the share is of all blocks together: those whose heads give little lose more */
    const char *keep;                /* names of output products (MatMul, Gemm) that keep their heads */
    const tn_tensor *const *samples; /* sample_count times the graph's inputs; NULL: weights alone tell */
    size_t sample_count;
    /* Called for each block of attention that stays as it is since something of it is not followed, with the name of its node
     * (MatMul with V, or the operator) and the reason, as "rotary positions turn its Q (Add 'q.rope')". May be NULL. */
    void (*stays)(void *context, const char *block, const char *reason);
    void *context;
} tn_prune_heads_options;

/* Takes whole heads of attention out: rows of the products that make Q, K and V, columns of the product that reads the heads
 * side by side (Michel et al., "Are Sixteen Heads Really Better than One?", arXiv 1905.10650). Those go that give the output
 * product least, each by its share of its block's: on samples the norm of what it adds there, without them that of the product
 * of its weights in V and in the output. Blocks are found as exporters write them, MatMul, Softmax and MatMul on
 * [batch, heads, rows, depth] between Reshapes, or as one Attention or MultiHeadAttention. Q, K and V may be parts of one
 * product, and lose their parts of a head together. Where several heads of Q share one of K and V (by kv_num_heads, or Expand)
 * the group of them goes as one head, and `sparsity` is the share of groups. A block with anything else between (rotary
 * positions, a cache), one group, a mask for each head, weights that are read twice, or a shape that is not known to keep batch
 * and rows stays as it is, and `stays` hears why. The report's `layers` are the blocks that lost heads. Samples need
 * OpenBLAS. */
TN_API tn_status tn_graph_prune_heads(tn_graph *graph, const tn_prune_heads_options *options,
                                      tn_weights_report *out_report);

typedef struct tn_prune_layers_options {
    size_t struct_size;
    int count;        /* of blocks that go; 0: as many as max_error lets go */
    double max_error; /* of all outputs on the samples: norm of the difference by the norm; 0: no bound */
    const char *keep; /* names of Add nodes whose blocks stay */
    const tn_tensor *const *samples; /* sample_count times the graph's inputs; there must be some */
    size_t sample_count;
} tn_prune_layers_options;

/* Takes whole residual blocks out: where a node adds x and f(x) of the same shape, as far as the graph and the samples tell,
 * and f has weights, x alone goes on. Each block is left out in turn, and the one goes without which the float32 outputs on the
 * samples change least; then those left are tried anew, until `count` are gone or the next would leave max_error. In a
 * transformer attention and the layers behind it are blocks of their own. The report's `layers` are the blocks that went,
 * `error` is that of the outputs. */
TN_API tn_status tn_graph_prune_layers(tn_graph *graph, const tn_prune_layers_options *options,
                                       tn_weights_report *out_report);

#ifdef __cplusplus
}
#endif
#endif
