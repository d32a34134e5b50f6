/* Quantization after training: a float32 graph becomes one that computes on 8-bit integers, with what that cost.
 *
 *     tn_graph_load("press.onnx", NULL, &graph);
 *     tn_samples samples = {next_set, context};                 // real inputs, some tens or hundreds of sets
 *     tn_quantize(graph, &samples, NULL, &small, &report);
 *     tn_graph_save_onnx(small, "press.int8.onnx", NULL);
 *     puts(tn_quantize_report_json(report));
 *     tn_quantize_report_destroy(report);  tn_graph_destroy(small);  tn_graph_destroy(graph);
 *
 * Conv, Gemm and MatMul of constant weights, and between them Add, Mul, Concat, pools, and whatever only moves elements, get a
 * QuantizeLinear and a DequantizeLinear at their inputs and outputs, which Tenon and ONNX Runtime turn into operators on
 * integers when they load the model. Weights are int8, symmetric, a scale for each output channel; activations have one scale
 * and a zero point; biases are int32. Batch normalization goes into weights first. What a Gemm or MatMul gives stays float
 * where nothing takes integers of it, as before the norms of transformers. Products of two activations stay float32, and so
 * do those of weights that the file has as fewer numbers and a node, nodes that cannot be integers, and those whose
 * neighbours are not. Graphs with If, Loop, Scan, or operators of the host are refused. A graph that is
 * quantized already comes out as it is.
 *
 * A graph that came with a manifest (tenon/manifest.h) gives its own to what is made of it: of the next minor version, with the
 * file's digest as `parent` and what was measured as `metrics`; a pipeline in it stays. Self-tests keep their inputs and get
 * the new outputs.
 *
 * Integer results are the same bits on every instruction set.
 *
 * The methods of choosing ranges are those that ONNX Runtime's and TensorRT's calibrators have (Migacz, "8-bit Inference
 * with TensorRT", 2017, for the entropy), the arithmetic is that of Jacob et al., "Quantization and Training of Neural
 * Networks for Efficient Integer-Arithmetic-Only Inference", 2018.
 *
 * Thread-safety: graphs are read only, so one may be quantized by many threads at once. */
#ifndef TENON_QUANTIZE_H
#define TENON_QUANTIZE_H

#include <tenon/session.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Calibration data. get(context, index, inputs) sets inputs[i] to what input i of the graph takes in set `index`; the
 * tensors must stay until the next call. Sets are asked for from 0 on, several times over; past the last it returns
 * TN_E_NOT_FOUND. Any other failure ends the quantization, with this sentence. */
typedef struct tn_samples {
    tn_status (*get)(void *context, int64_t index, const tn_tensor **inputs);
    void *context;
} tn_samples;

/* How the range that 8 bits stand for is chosen from what a value was. */
typedef enum tn_calibration {
    TN_CALIBRATE_MIN_MAX = 0, /* all that was seen */
    TN_CALIBRATE_MOVING_AVERAGE =
        1, /* averages of the sets' least and greatest: a += 0.01 (x - a), from the first set on */
    TN_CALIBRATE_PERCENTILE = 2, /* all but the outermost: `percentile` of the elements */
    TN_CALIBRATE_ENTROPY = 3,    /* the least Kullback-Leibler divergence of the values from the quantized ones */
    TN_CALIBRATE_MSE = 4,        /* the least mean squared error */
    /* Whichever of these leaves the most signal at the outputs, for the whole and then for parts of the graph: tried on the
     * first samples. */
    TN_CALIBRATE_BEST = 5
} tn_calibration;

/* How good outputs are: adds to *sum what the outputs of set `set` are worth, and to *weight how much that counts (the number
 * of right answers, and of answers). The score of a graph is sum / weight over all sets, and higher is better. */
typedef tn_status tn_quantize_metric(void *context, int64_t set, const tn_tensor *const *outputs, double *sum,
                                     double *weight);

/* All zero but struct_size is the default. */
typedef struct tn_quantize_options {
    size_t struct_size;
    tn_calibration calibration;
    double percentile;    /* of TN_CALIBRATE_PERCENTILE: 0 is 99.999; half of the rest is cut on each side */
    tn_dtype activations; /* TN_UINT8 (0 too), TN_INT8 */
    bool symmetric;       /* activations have no zero point; with TN_INT8 */
    bool per_tensor;      /* weights have one scale in all */
    /* Weights are -64 to 64, for other runtimes whose products of 8 bits saturate at 16: ONNX Runtime on x86 without VNNI.
     * Tenon's are exact on every CPU. */
    bool reduce_range;
    /* Activations are not ranges that are known beforehand: each run measures its own, layer by layer, in
     * DynamicQuantizeLinear; sums are float32 again, and so is all between layers. For models whose activations differ much
     * from input to input, as transformers' and recurrent ones'. The samples may be NULL then. */
    bool dynamic;
    /* Names of nodes, or operators, to leave in float; commas between, "conv*" is all that begin so. */
    const char *exclude;
    int64_t most_samples; /* sets to look at; 0: all */
    /* Layers' biases take up what 8 bits move their outputs by on average (Nagel et al., "Data-Free Quantization through Weight
     * Equalization and Bias Correction", 2019), as measured on the first sets, from the inputs to the outputs; undone where
     * the outputs' signal is no better. */
    bool bias_correction;
    /* Channels of layers that follow each other directly, or with a Relu or a pool between, are scaled so that both weights
     * spread alike (cross-layer equalization, in the same paper); undone likewise. */
    bool equalize;
    /* The bounds; 0: none. Layers that do most harm stay float32 until they hold. */
    double max_drop; /* the most that the metric may fall below the float graph's */
    double min_sqnr; /* the least signal to noise of the worst output, in dB */
    /* NULL: how often the greatest of a row (the last axis) of output 0 is where the float graph has it. */
    tn_quantize_metric *metric;
    void *metric_context;
    bool sensitivity; /* measure what each layer does alone, for the report */
    /* Layers that run no faster on 8 bits on this machine, at `cpu` and `threads`, stay float32; so does all of it if the
     * whole is no faster. Times differ from run to run, and so may the result. */
    bool never_slower;
    int threads;     /* as tn_session_options has it */
    const char *cpu; /* as tn_model_options has it */
    /* Inputs of products whose channels differ much, as those behind the norms of transformers, are scaled to one spread, and
     * weights in turn (Xiao et al., "SmoothQuant", arXiv 2211.10438), by the exponent of several that leaves the most signal
     * at the outputs; undone likewise. With `dynamic` too. */
    bool smooth;
    /* Weights are rounded up or down by what that does to their product on the samples (Nagel et al., "Up or Down? Adaptive
     * Rounding for Post-Training Quantization", arXiv 2004.10568: their problem, descended weight by weight), not each to the
     * nearest level; undone likewise. Needs samples and OpenBLAS. Layers of more than 2048 inputs an output
     * (with groups, 2048 over the root of their number) stay as they are. */
    bool adaptive_rounding;
    /* In the manifest of what is made: what the metric is called (NULL: "score", or "agreement" where `metric` is NULL), and
     * the samples ("samples of the compression"). */
    const char *metric_name, *data_name;
    /* [8] Weights are integers of so many bits, 2 to 8: -7 to 7 for 4. They are stored as int8 and run as fast, but deflated
     * model files (tenon/model_file.h) get smaller. Below 6 bits most models have to be trained on: tn_quantize_aware. */
    int weight_bits;
    /* Measure what a run takes on this machine, of the whole and its layers before and after and of all that is tried, for the
     * report. What is made stays the same. */
    bool times;
} tn_quantize_options;

typedef struct tn_quantize_report tn_quantize_report;

/* Makes a new graph; that of the caller stays as it is, and may go first. options and out_report may be NULL; on failure
 * both results are NULL. Data that are missing, of a wrong shape or type, or not finite are refused with a sentence that
 * says which set it was. samples may be NULL where `dynamic` says so. */
TN_API tn_status tn_quantize(const tn_graph *graph, const tn_samples *samples, const tn_quantize_options *options,
                             tn_graph **out_graph, tn_quantize_report **out_report);

/* Quantization-aware training: the graph as tn_quantize has it before its rounding is done for good. Activations go through
 * QuantizeLinear and DequantizeLinear, of ranges that the samples tell; weights are still float32, behind nodes that round
 * them with a scale of their greatest at each run; so a trainer (tenon/train.h) fits them to what rounding does.
 * tn_quantize_trained makes weights and biases integers, as tn_quantize would:
 *
 *     tn_quantize_aware(graph, &samples, &options, &rounding);    // of scores, before softmax
 *     tn_trainer_create(rounding, &train, &trainer);              // some epochs, at a small rate
 *     tn_trainer_export(trainer, &trained);
 *     tn_quantize_trained(trained, &small);
 *
 * options: not `dynamic`; never_slower is not looked at. */
TN_API tn_status tn_quantize_aware(const tn_graph *graph, const tn_samples *samples, const tn_quantize_options *options,
                                   tn_graph **out_graph);
TN_API tn_status tn_quantize_trained(const tn_graph *graph, tn_graph **out_graph);

/* A layer: Conv, Gemm or MatMul. The texts are the report's. */
typedef struct tn_quantize_row {
    size_t struct_size; /* set by the caller */
    const char *name, *op;
    const char *form;                   /* "int8" or "float32" */
    const char *reason;                 /* why it is float32; "" */
    uint64_t bytes_before, bytes_after; /* of its weights and bias */
    double sqnr; /* signal to noise of its output against the float graph's, on the samples, in dB; NaN: not known */
    double sensitivity;         /* the same of the worst output with this layer alone on 8 bits; NaN: not measured */
    double ns_before, ns_after; /* a run of it; NaN: not measured */
} tn_quantize_row;
/* TN_E_NOT_FOUND past the last. */
TN_API tn_status tn_quantize_report_at(const tn_quantize_report *report, int index, tn_quantize_row *out_row);
/* Of the whole: what a row has, and the worst output's ratio. */
typedef struct tn_quantize_summary {
    size_t struct_size; /* set by the caller */
    int64_t samples;
    int layers, int8_layers;
    uint64_t bytes_before, bytes_after; /* of all constants */
    double sqnr;                        /* of the worst output, in dB */
    double metric_before, metric_after; /* see tn_quantize_options.metric */
    double ns_before, ns_after;         /* a run of the whole on set 0; NaN: not measured */
    double seconds;                     /* that it took */
} tn_quantize_summary;
TN_API void tn_quantize_report_summary(const tn_quantize_report *report, tn_quantize_summary *out_summary);
/* All of it as JSON; the text is the report's. */
TN_API const char *tn_quantize_report_json(const tn_quantize_report *report);
/* The same as a page of HTML with pictures: bytes, signal, sensitivity and time of each layer; and of all that was tried the
 * metric (or the signal, where the host has none) against size, and against the time of a run where that was measured. The
 * text is the report's; NULL without memory for it. */
TN_API const char *tn_quantize_report_html(tn_quantize_report *report);
TN_API void tn_quantize_report_destroy(tn_quantize_report *report); /* accepts NULL */

#ifdef __cplusplus
}
#endif
#endif
