/* Quantization after training, inside the library: what its steps hand to each other. See tenon/quantize.h.
 *
 *   prepare   a copy of the graph in which constants are folded and batch normalization is in the weights
 *   plan      which nodes will compute on 8 bits, and which values are 8 bits for that
 *   observe   the float graph runs on the samples; an observer for each such value keeps what ranges are made of
 *   range     the range that the 8 bits of a value stand for
 *   write     QuantizeLinear and DequantizeLinear go in, weights and biases become integers
 *
 * Copies of a graph have the numbers of the original, so plan and ranges of one are those of each. */
#ifndef TN_COMPRESS_QUANTIZE_H
#define TN_COMPRESS_QUANTIZE_H

#include <tenon/quantize.h>
#include "compress/histogram.h"
#include "graph/op.h"

/* A copy in the form that a plan is made for; and what a plan became, on its own, without what nobody reads. */
tn_status tn_quantize_prepare(const tn_graph *graph, tn_graph **out_graph);
tn_status tn_quantize_finish(tn_graph *graph, tn_graph **out_graph);
uint64_t tn_graph_constant_bytes(const tn_graph *graph); /* of those that are read */

typedef enum tn_qrole {
    TN_Q_FLOAT = 0,
    TN_Q_LAYER,  /* a product: Conv, Gemm, MatMul */
    TN_Q_JOIN,   /* Add, Mul, pools, Concat: between values that are 8 bits anyway */
    TN_Q_FOLLOW, /* not quantized itself: moves elements, or is a function of one 8-bit value */
} tn_qrole;

typedef struct tn_qplan {
    const tn_graph *graph;
    int node_count, value_count;
    tn_qrole *role; /* a row a node */
    int *end;       /* of a node that gives 8 bits: the value that they are, behind its Relu or Clip; else -1 */
    bool *byte;     /* a row a value: it is 8 bits */
    bool *made;     /* it comes out of a node on 8 bits, so no reader gets more of it */
    int *like;      /* the value whose scale it has: itself, unless it is moved elements */
} tn_qplan;

/* The graph must be sorted and inferred; skip[node] (may be NULL) leaves nodes in float. All of it lies in the region. */
tn_status tn_qplan_make(const tn_graph *graph, const bool *skip, tn_region *region, tn_qplan *out);
/* A product whose weights are constant and can be integers; *out_axis: of them, along which outputs lie. */
bool tn_qplan_is_layer(const tn_graph *graph, const tn_node *node, int *out_axis);

/* ---- observers ---- */
typedef struct tn_observer {
    bool seen;
    int axis; /* of channels: 1, or -1 for the last; 0: they do not matter */
    int64_t channels;
    float *most;                /* of each channel, without its sign */
    double low, high;           /* of all samples */
    double mean_low, mean_high; /* moving averages */
    tn_histogram histogram;     /* if the method needs one */
} tn_observer;

typedef struct tn_qrange {
    float scale;
    int32_t zero;
} tn_qrange;

/* Takes in a tensor's elements. Fails on NaN and infinities. */
tn_status tn_observer_see(tn_observer *o, const tn_quantize_options *options, const tn_tensor *t, const float *x);
void tn_observer_free(tn_observer *o);
/* Scale and zero point for 8 bits. */
tn_qrange tn_observer_range(const tn_observer *o, const tn_quantize_options *options);
tn_qrange tn_range_of(double low, double high, const tn_quantize_options *options);

/* ---- weights ---- */

/* int8 weights of a layer: q = round(w / scale). `channels` scales along `axis`, or one. */
typedef struct tn_qweights {
    int axis;
    int64_t channels, inner, outer; /* element (o, c, i) of [outer, channels, inner] */
    int64_t scale_count;
    float *scale;
    int8_t *q;
} tn_qweights;

/* The most that |q| is, by the options. */
static inline int tn_qlevels(const tn_quantize_options *o) {
    const int most = o->weight_bits ? (1 << (o->weight_bits - 1)) - 1 : 127;
    return o->reduce_range ? TN_MIN(most, 64) : most;
}
/* levels: the most that |q| is. in_scale: of the layer's input. bias (may be NULL): channels of them; where its units would
 * be too fine for an int32 the scale grows. */
tn_status tn_qweights_make(tn_region *region, const tn_tensor *w, int axis, bool per_tensor, int levels, float in_scale,
                           const float *bias, tn_qweights *out);

/* ---- writing ---- */

/* Makes a copy of the plan's graph, which must outlive it, with 8 bits where the plan has them. ranges[value]; out_value:
 * for each value of the plan, what its readers get now; bytes: for each layer, what its weights and bias take. */
tn_status tn_qplan_write(const tn_qplan *plan, const tn_qrange *ranges, const tn_quantize_options *options,
                         tn_region *region, int *out_value, uint64_t *bytes, tn_graph **out_graph);

/* The same to be trained: weights are float32 behind nodes that round them, each time by what they are then, and biases are
 * float32. */
tn_status tn_qplan_write_trainable(const tn_qplan *plan, const tn_qrange *ranges, const tn_quantize_options *options,
                                   tn_region *region, tn_graph **out_graph);

/* Likewise for dynamic quantization: layers of constant weights alone, and no ranges. */
tn_status tn_dynamic_plan(const tn_graph *graph, const bool *skip, tn_region *region, tn_qplan *out);
tn_status tn_dynamic_write(const tn_qplan *plan, const tn_quantize_options *options, tn_region *region, int *out_value,
                           uint64_t *bytes, tn_graph **out_graph);

/* ---- runs ---- */
typedef struct tn_replay {
    const tn_samples *samples;
    const tn_quantize_options *options;
} tn_replay;

/* Runs one graph, or two of the same inputs side by side, on every set (of at most `most`; 0: all), with the values in
 * watch[k][count] of graph k as further outputs, and calls see(context, seen) after each: seen[k][i] is value watch[k][i].
 * *out_sets: how many there were; none is a failure. */
typedef tn_status tn_see(void *context, const tn_tensor *const *const *seen);
tn_status tn_replay_run(const tn_replay *replay, int64_t most, int graphs, const tn_graph *const *graph, int count,
                        const int *const *watch, tn_see *see, void *context, int64_t *out_sets);

/* ---- a quantization under way ---- */

/* Choices are made on so many sets at most, and on fewer that have so many rows. */
enum { TN_KEPT_SETS = 8, TN_KEPT_ROWS = 128 };

typedef struct tn_qscore {
    double sqnr;   /* of the worst output, in dB */
    double metric; /* of the outputs on 8 bits */
    double whole;  /* of the float graph's */
    int64_t sets;
} tn_qscore;

/* One way to do it: a plan, carried out and measured. */
typedef struct tn_attempt {
    tn_region *region;
    tn_qplan plan;
    tn_graph *written; /* borrows constants of the job's base */
    int *out_value;
    tn_qscore score;
    double *layer_sqnr; /* a row a node; NaN where there is none */
    uint64_t *bytes;    /* a row a node: of its weights and bias now */
} tn_attempt;

typedef struct tn_qjob {
    tn_region *region;
    tn_quantize_options options;
    tn_replay replay;
    tn_graph *graph;     /* prepared: what the result is compared with */
    tn_graph *base;      /* its kin with weights and biases changed for the better, where options ask for it */
    const char **reason; /* a row a node: why it stays float; NULL: it need not */
    bool *skip;
    tn_qplan plan;      /* with all that may be on 8 bits */
    tn_graph *older[8]; /* which base and graph borrow constants of */
    int observed;       /* values that there are observers for */
    tn_observer *observers;
    tn_qrange *ranges; /* by options.calibration */
    bool finds_best;   /* which was TN_CALIBRATE_BEST */
    /* The signal at the outputs, in dB, with these and base as it is, on the first sets; NaN: not measured. */
    double left;
    tn_attempt best;
    bool trains; /* what comes out is to be trained: */
    tn_graph *trainable;
    int64_t choosing; /* the sets that choices are made on */
    tn_tensor **kept; /* outputs of graph on the first sets */
    int64_t kept_sets;
    tn_quantize_report *report;
} tn_qjob;

/* Ranges by the method that options.calibration names. */
void tn_qjob_ranges(tn_qjob *job);
/* Makes and measures the graph with skip[] left in float, on `most` sets (0: all), layer by layer only if these are more
 * than job->choosing. Free it in any case. */
tn_status tn_attempt_make(tn_qjob *job, const bool *skip, int64_t most, tn_attempt *out);
void tn_attempt_free(tn_attempt *attempt);
/* Signal to noise in dB. */
double tn_decibels(double signal, double noise);
tn_status tn_qjob_plan(const tn_qjob *job, const bool *skip, tn_region *region, tn_qplan *out);
/* From plan and observers to job->best, within the bounds. */
tn_status tn_qjob_search(tn_qjob *job);
/* Times of layers and of the whole; layers that lose go back to float. */
tn_status tn_qjob_never_slower(tn_qjob *job);
/* What graph b is worth beside graph a, which has the same inputs and outputs. */
tn_status tn_score_graphs(const tn_quantize_options *options, const tn_samples *samples, const tn_graph *a,
                          const tn_graph *b, tn_qscore *out);
/* Manifest and self-test of a graph that was made of the parent, with what was measured. */
tn_status tn_compress_succeed(tn_graph *graph, const tn_graph *parent, const tn_quantize_options *options,
                              const tn_qscore *score);
/* Times of layers and of the whole, for the report. */
tn_status tn_qjob_time(tn_qjob *job);
/* The shortest of some runs on set 0, and the bytes of the arena that they take (out_ram may be NULL). */
tn_status tn_time_graph(const tn_quantize_options *options, const tn_samples *samples, const tn_graph *graph,
                        double *out_ns, double *out_ram);
void tn_qjob_forget(tn_qjob *job); /* the kept outputs */
/* Observers for the values of the plan, on base. */
tn_status tn_qjob_observe(tn_qjob *job);
void tn_observers_free(tn_observer *observers, int count);
/* Ranges by the calibration that is asked for, or by the one that leaves the most signal at the outputs, which is asked for
 * from then on; that signal becomes `left`. */
tn_status tn_qjob_choose(tn_qjob *job);
/* Weights of layers that follow each other, of one spread. */
tn_status tn_qjob_equalize(tn_qjob *job);
/* A float32 constant of the graph becomes its own, to change. */
tn_status tn_constant_own(tn_graph *graph, int value, float **out);
/* From job->graph and job->base, new ones in which inputs of products have channels of one spread. */
tn_status tn_qjob_smooth(tn_qjob *job);
/* From job->base: which nodes to leave in float and why, and the plan. */
tn_status tn_qjob_begin(tn_qjob *job);
/* What base was a copy of. */
void tn_qjob_retire(tn_qjob *job, tn_graph *older);
/* `change` changes job->base, a copy of what it was, with memory of its own; undone where the outputs' signal is no better. */
tn_status tn_qjob_improve(tn_qjob *job, tn_status (*change)(tn_qjob *job, tn_region *scratch));
/* Weights rounded by what their products become, then better biases. */
tn_status tn_qjob_round(tn_qjob *job);
tn_status tn_qjob_correct_biases(tn_qjob *job);

/* ---- the report ---- */
typedef struct tn_report_layer {
    const char *name, *op, *reason;
    bool int8;
    uint64_t before, after;
    double sqnr, sensitivity;
    double ns_before, ns_after;
} tn_report_layer;

/* Something that was tried. */
typedef struct tn_report_point {
    const char *name; /* of what a recipe tried: its steps; else "" */
    double bytes, sqnr, metric;
    double ns; /* a run; NaN: not measured */
    int int8;
    bool kept;
} tn_report_point;
enum { TN_MOST_POINTS = 512 };

struct tn_quantize_report {
    tn_region *region;
    tn_report_layer *layers;
    double *sensitivity, *ns_before, *ns_after; /* a row a node */
    tn_quantize_summary summary;
    const char *metric; /* the name of the host's; "": it has none, and what is measured is agreement */
    tn_report_point points[TN_MOST_POINTS];
    int point_count;
    bool held; /* by a step of a recipe that is under way */
    const char *json;
};
tn_status tn_report_create(tn_quantize_report **out);
tn_status tn_report_write(tn_quantize_report *report); /* makes the JSON */
struct tn_manifest_node;
tn_status tn_report_read(const struct tn_manifest_node *tree, tn_quantize_report **out); /* out of the JSON's tree */

#endif
