/* Explanations and attacks: what a model's answers hang on, and how little it takes to change them.
 *
 *     tn_graph_load("digits.tenon", NULL, &graph);
 *     tn_probe_create(graph, 1, &probe);                         // takes the graph over; adds its gradient by the input
 *     tn_attack(probe, x, truth, &(tn_attack_options){sizeof(tn_attack_options), .epsilon = 0.1}, &worse);
 *     tn_integrated_gradients(probe, x, NULL, NULL, 50, &why);   // [N, width]: what each number added to the answer
 *     tn_probe_destroy(probe);
 *
 * A model has one input, float32 [N, ...] with N open, and an output [N, C]: probabilities (of a Softmax or Sigmoid, which
 * is found), scores, or numbers. x is float32 [N, ...] of as many numbers a row, as a pipeline makes them; what is computed
 * has x's shape. Of a row the answer is output number classes[row] (classes int64 [N]; NULL: the highest). The baseline is
 * a row that says nothing, of width numbers (NULL: zeros, which is the mean where scales are standard).
 *
 * Sources: Goodfellow, Shlens and Szegedy, "Explaining and Harnessing Adversarial Examples" (2015): one step. Madry and
 * others, "Towards Deep Learning Models Resistant to Adversarial Attacks" (2018): many, projected. Sundararajan, Taly and
 * Yan, "Axiomatic Attribution for Deep Networks" (2017). Castro, Gomez and Tejada, "Polynomial calculation of the Shapley
 * value based on sampling" (2009).
 *
 * Thread-safety: a probe belongs to one thread at a time. */
#ifndef TENON_EXPLAIN_H
#define TENON_EXPLAIN_H

#include <tenon/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_probe tn_probe;

/* Fails with a sentence that names the node if an operator has no gradient. */
TN_API tn_status tn_probe_create(tn_graph *graph, int threads, tn_probe **out_probe);
TN_API void tn_probe_destroy(tn_probe *probe); /* accepts NULL */
/* The model's output [N, C]. */
TN_API tn_status tn_probe_predict(tn_probe *probe, const tn_tensor *x, tn_tensor **out_predicted);
/* Of each row's own loss by x: cross-entropy, if truth is int64 [N]; squared error / 2, if it is float32 [N] or [N, C]. */
TN_API tn_status tn_probe_loss_gradient(tn_probe *probe, const tn_tensor *x, const tn_tensor *truth,
                                        tn_tensor **out_gradient);

/* All zero but struct_size and epsilon is the default: the fast gradient sign method. */
typedef struct tn_attack_options {
    size_t struct_size;
    double epsilon; /* the most that any number of x changes by */
    int steps;      /* 0 and 1: one, of epsilon; more: projected gradient descent, from x itself */
    double step;    /* of each of them; 0: 2.5 epsilon / steps */
    bool bounded;   /* what comes out lies between low and high */
    double low, high;
} tn_attack_options;
/* x changed so that its loss grows. */
TN_API tn_status tn_attack(tn_probe *probe, const tn_tensor *x, const tn_tensor *truth,
                           const tn_attack_options *options, tn_tensor **out_x);

/* (x - baseline) times the mean gradient of the answer on the way there, at the middles of `steps` parts: adds up to
 * answer(x) - answer(baseline), nearly. */
TN_API tn_status tn_integrated_gradients(tn_probe *probe, const tn_tensor *x, const float *baseline,
                                         const int64_t *classes, int steps, tn_tensor **out_attributions);
/* What the answer loses when a number becomes the baseline's. */
TN_API tn_status tn_occlusion(tn_probe *probe, const tn_tensor *x, const float *baseline, const int64_t *classes,
                              tn_tensor **out_attributions);
/* The mean of what a number adds to the answer when it comes after others, in `samples` orders drawn by the seed: adds up to
 * answer(x) - answer(baseline). */
TN_API tn_status tn_shapley(tn_probe *probe, const tn_tensor *x, const float *baseline, const int64_t *classes,
                            int samples, uint64_t seed, tn_tensor **out_attributions);

/* Attention maps: each Softmax over the last axis whose result a MatMul weighs values by becomes an output of the graph, called
 * attention/0 and so on in their order, [N, heads, to, from] as most models have it. The graph is one that was loaded, without
 * passes; TN_E_NOT_FOUND if there is none in it. The operator Attention keeps its map to itself. */
TN_API tn_status tn_graph_expose_attention(tn_graph *graph, int *out_count);

#ifdef __cplusplus
}
#endif
#endif
