/* Recipes: steps that make a model smaller and faster, one after the other, and the bounds that it must keep.
 *
 *     model: press.onnx             # paths are for the host to open: tenon compress takes them from the recipe's folder on
 *     output: press.int8.onnx
 *     data: [recorded, more.npz]
 *     labels: labels.npy            # may be left out, as all that follows but the steps
 *     report: press.html
 *     bounds:                       # against the model as it came
 *       max_drop: 0.005             # of the metric, as tn_quantize_options has it; 0 is none
 *       min_sqnr: 25                # dB, of the worst output
 *       max_bytes: 300000           # of all constants in the end: what a device's flash holds
 *       max_ms: 2.5                 # a run on set 0 on this machine in the end
 *       max_ram: 180000             # bytes of that run's arena: what lies between nodes
 *     steps:
 *       - channels: {sparsity: 0.3, multiple: 8, global: false, keep: "head*"}
 *       - heads: {sparsity: 0.25, global: false, samples: 64, keep: "head*"}   # without samples by weights alone
 *       - layers: {count: 2, max_error: 0.1, samples: 64, keep: "first*"}   # one of count and max_error may be left out
 *       - prune: {sparsity: 0.8, pattern: blocks, block_rows: 4, block_columns: 1, criterion: magnitude, keep: "head*"}
 *       - prune: {pattern: n-of-m, kept: 2, of: 4, criterion: sparsegpt, samples: 64}   # or anywhere; wanda
 *       - low_rank: {energy: 0.95}    # or rank: 16
 *       - share: {bits: 4, linear: false, group: 16}
 *       - weights: {bits: 4, block: 32, method: hqq, symmetric: false, embeddings: false, keep: "head*"}
 *       - weights: {bits: 4, method: gptq, awq: true, embedding_bits: 8, samples: 64}
 *       - quantize:
 *           calibration: best       # min-max, moving-average, percentile, entropy, mse or best
 *           percentile: 99.999
 *           activations: uint8      # or int8
 *           symmetric: false
 *           per_tensor: false
 *           reduce_range: false
 *           weight_bits: 8
 *           dynamic: false
 *           bias_correction: true
 *           equalize: false
 *           smooth: false
 *           adaptive_rounding: false
 *           never_slower: false
 *           exclude: "head*"
 *           samples: 100
 *       - half: {type: float16, keep: "norm*"}   # or bfloat16
 *
 * A list in the place of a step holds steps to choose from:
 *
 *       - - quantize: {calibration: best}
 *         - quantize: {calibration: best, weight_bits: 4, adaptive_rounding: true}
 *         - weights: {bits: 4, method: hqq}
 *
 * All combinations are tried, 256 at most, and the one with the fewest bytes that holds all bounds is made.
 *
 * weights, half, share and low_rank are the passes of tenon/weights.h, prune, channels, heads and layers those of
 * tenon/prune.h, quantize is tn_quantize, which leaves layers in float32 until max_drop and min_sqnr hold; it makes float32
 * again of what is half, so half comes last. After each step the graph is compared with the one that came, on the samples; a
 * step that leaves these bounds is undone, and the next begins where it began. max_bytes, max_ms and max_ram are looked at in
 * the end: if no combination keeps them the recipe fails with TN_E_CHECK and makes nothing. But for never_slower and max_ms the
 * same recipe, model and data give the same bytes. Other keys are refused with their line and column; YAML as in manifests:
 * maps, lists and scalars alone.
 *
 * What is made has the manifest and self-test of the model that came, as tn_quantize gives them, once for all steps.
 *
 * A library built without libyaml answers TN_E_UNSUPPORTED.
 *
 * Thread-safety: a recipe may be run by many threads at once. */
#ifndef TENON_RECIPE_H
#define TENON_RECIPE_H

#include <tenon/quantize.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_recipe tn_recipe;

TN_API tn_status tn_recipe_parse(const char *text, size_t size, tn_recipe **out_recipe);
TN_API void tn_recipe_destroy(tn_recipe *recipe); /* accepts NULL */
/* "model", "output", "labels" or "report"; NULL if it is not there. The text is the recipe's. */
TN_API const char *tn_recipe_path(const tn_recipe *recipe, const char *key);
/* A path of data; NULL past the last. */
TN_API const char *tn_recipe_data(const tn_recipe *recipe, int index);
TN_API int tn_recipe_steps(const tn_recipe *recipe);

/* How a step came out. */
typedef struct tn_recipe_row {
    const char *step; /* "quantize" */
    bool kept;        /* false: it left the bounds and was undone */
    uint64_t bytes_before, bytes_after;
    double sqnr, metric, metric_before; /* of the model behind it, against the one that came; NaN without samples */
    int way;                            /* of the steps to choose from in this place, from 0 */
    bool known;                         /* from a run that was interrupted: it was not done again */
    const char *notes; /* what it left as it was and why, a sentence a line, for the time of the call; mostly "" */
} tn_recipe_row;
/* Called after each step that was tried. A failure ends the recipe with it: a host's way to interrupt. */
typedef tn_status tn_recipe_progress(void *context, int step, const tn_recipe_row *row);

/* base (may be NULL): what the recipe does not say of a quantization: cpu, threads, metric. samples may be NULL where no step
 * and no bound asks for them.
 *
 * folder (may be NULL): where what was tried is kept, one run at a time. A run that was interrupted, killed or failed leaves it
 * there, and the next one of the same recipe, graph and samples goes on from it and makes the same bytes; if the text, a weight
 * or a sample differs it begins anew (what a metric knows besides is not looked at). It goes when the recipe is done, or fails
 * since its bounds do not hold. In it are at most as many graphs as there are steps, and the best one.
 *
 * out_report (may be NULL): of the last quantize step; what it says of all that was tried is of the recipe, if that tried more
 * than one step. Without a quantize step it has no layers. base->times: runs of all that is tried are measured for it. */
TN_API tn_status tn_recipe_run(const tn_recipe *recipe, const tn_graph *graph, const tn_samples *samples,
                               const tn_quantize_options *base, const char *folder, tn_recipe_progress *progress,
                               void *context, tn_graph **out_graph, tn_quantize_report **out_report);

#ifdef __cplusplus
}
#endif
#endif
