/* Smaller weights: half precision, and weights of few bits. Passes over a graph, from tn_graph_load or a trainer.
 *
 *     tn_graph_load("encoder.onnx", NULL, &graph);
 *     tn_weight_only_options o = {.struct_size = sizeof o, .bits = 4, .method = TN_WEIGHT_HQQ};
 *     tn_graph_quantize_weights(graph, &o, &report);
 *     tn_graph_save_onnx(graph, "encoder-int4.onnx", NULL);        // or tn_model_from_graph
 *     tn_graph_destroy(graph);
 *
 * What they leave are graphs of ONNX's operators and those of com.microsoft, which other programs run as well. A pass that
 * finds nothing to do succeeds and reports 0 layers. After a failure the graph may be changed in part: destroy it.
 *
 * Bodies of If, Loop and Scan stay as they are. Weights that hold NaN or infinity are refused with their name.
 *
 * Thread-safety: a graph belongs to one thread at a time. */
#ifndef TENON_WEIGHTS_H
#define TENON_WEIGHTS_H

#include <tenon/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a pass did. struct_size is set by the caller. */
typedef struct tn_weights_report {
    size_t struct_size;
    int layers;                        /* nodes that were changed */
    int64_t bytes_before, bytes_after; /* of all constants that the graph reads, each once */
    double error;            /* of the weights that changed: norm of the difference by the norm of the weights */
    int64_t elements, zeros; /* of those weights, where a pass says it, and how many are 0 */
} tn_weights_report;

/* All zero but struct_size is the default. */
typedef struct tn_half_options {
    size_t struct_size;
    tn_dtype dtype;   /* TN_FLOAT16 [the default] or TN_BFLOAT16 */
    const char *keep; /* names of nodes that stay in float32, with commas between; "block1*" is all that begin so */
    bool
        half_io; /* inputs and outputs become half as well; else they stay float32, with casts behind and before them */
} tn_half_options;

/* float32 to float16 or bfloat16. Products, convolutions, recurrent layers and lookups in tables of at least 128 elements
 * become half, and so do what moves, adds, normalises or activates what they make. Powers, exponentials, roots, sums, and
 * what has no half form in ONNX, stay float32 with casts at the edges; shapes and positions that the graph computes in
 * float32 stay exact. Weights beyond the largest finite half are brought to it; a node with a scalar too small for the
 * format (the epsilon of a norm) stays float32. */
TN_API tn_status tn_graph_to_half(tn_graph *graph, const tn_half_options *options, tn_weights_report *out_report);

typedef enum tn_weight_method {
    TN_WEIGHT_NEAREST = 0, /* each weight to the nearest level */
    /* Zero points that fit the bulk of a block, not its outliers, without data (Badri and Shaji, "Half-Quadratic
     * Quantization of Large Machine Learning Models", 2023); a block whose squared error would grow is rounded to nearest. */
    TN_WEIGHT_HQQ = 1,
    /* Rounds the rows of a weight one after the other, each making up for the error of those before it on the samples
     * (Frantar et al., "GPTQ", arXiv 2210.17323), the rows that matter most first. Needs samples and OpenBLAS. */
    TN_WEIGHT_GPTQ = 2,
} tn_weight_method;

/* What is 0 has the default in brackets. */
typedef struct tn_weight_only_options {
    size_t struct_size;
    int bits;        /* 8, 4, 3 or 2 [4] */
    int block;       /* rows that share a scale in each column: 16, 32, 64, 128 or 256 [32] */
    bool symmetric;  /* levels around 0, and no zero points */
    bool embeddings; /* tables that Gather reads become as small, but for 2 and 3 bits, which tables do not have */
    tn_weight_method method;
    const char *keep; /* names of nodes to leave alone, with commas between; "block1*" is all that begin so */
    /* For GPTQ: runs of the graph. Input i of run r is samples[r * inputs + i]. */
    const tn_tensor *const *samples;
    size_t sample_count; /* runs */
    int embedding_bits;  /* of the tables that Gather reads: 8 or 4 [as bits, if `embeddings`; else they stay] */
    double damping;      /* of GPTQ, as a share of the mean of the Hessian's diagonal [0.01] */
    /* With samples: inputs of products are scaled before rounding, those with large activations up (Lin et al., "AWQ",
     * arXiv 2306.00978), by the exponent that loses least on the samples; the product's input is divided in turn. */
    bool awq;
} tn_weight_only_options;

/* MatMul and Gemm with a constant float32 matrix become com.microsoft's MatMulNBits, whose kernel reads the packed weights;
 * Gather becomes GatherBlockQuantized. Inputs stay float32. A matrix that anything else reads as well stays, and so does
 * one that would not get smaller. Weights of 3 bits are packed as such in model files and in memory; ONNX Runtime's kernel has
 * none, so ONNX files have their levels as numbers of 4 bits. */
TN_API tn_status tn_graph_quantize_weights(tn_graph *graph, const tn_weight_only_options *options,
                                           tn_weights_report *out_report);

/* What is 0 has the default in brackets. */
typedef struct tn_cluster_options {
    size_t struct_size;
    int bits;      /* of the codes: 2 to 8 [4] */
    bool linear;   /* centres begin evenly spread between the least and the largest weight; else drawn as k-means++ */
    uint64_t seed; /* of the drawing */
    const char *keep; /* names of nodes to leave alone, with commas between; "block1*" is all that begin so */
    int group;        /* so many outputs, one after the other, have a codebook of their own [all share one] */
} tn_cluster_options;

/* The weights of each Conv, MatMul and Gemm share 2^bits values, found by k-means (Han et al., "Deep Compression", arXiv
 * 1510.00149). A weight becomes a codebook, a Cast of the codes (uint4 up to 4 bits, else uint8) and a Gather, which loading
 * a model looks up once, into float32; products of more than some megabytes of them keep codes, and look up as they go: the
 * file is small, and deflated (tn_model_file_options.compress) smaller still. By groups the codebooks lie one behind the other,
 * and an Add says where that of each output begins. A trainer fits codebooks as it fits weights. A
 * weight that has zeros keeps them: one of the centres is 0. */
TN_API tn_status tn_graph_cluster(tn_graph *graph, const tn_cluster_options *options, tn_weights_report *out_report);
/* k-means of numbers (Lloyd's turns, until nothing moves or `turns` are over): centres[clusters] are where it begins, in any
 * order, and what it finds, ascending. */
TN_API tn_status tn_kmeans(const float *values, size_t count, int clusters, int turns, float *centres);

/* What is 0 has the default in brackets. */
typedef struct tn_low_rank_options {
    size_t struct_size;
    double energy;    /* share of the singular values' squares that stays [0.9] */
    int rank;         /* the rank itself [by energy] */
    const char *keep; /* names of nodes to leave alone, with commas between; "block1*" is all that begin so */
} tn_low_rank_options;

/* MatMul, Gemm and Conv (of one group) become two of a lower rank, by the singular values of their weights, where that makes
 * them smaller. A weight that several nodes read stays. Needs OpenBLAS. */
TN_API tn_status tn_graph_low_rank(tn_graph *graph, const tn_low_rank_options *options, tn_weights_report *out_report);

#ifdef __cplusplus
}
#endif
#endif
