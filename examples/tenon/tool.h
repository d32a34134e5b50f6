/* The tenon command: what its files share. It is a host like any other: public headers only.
 *
 * Functions that can fail return false after they said why on stderr (`complain`); main turns that into the exit code.
 */
#ifndef TENON_TOOL_H
#define TENON_TOOL_H

#include <stdio.h>
#include <tenon/tenon.h>
#include "json.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_REFUSED = 3, EXIT_INTERRUPTED = 130 };

typedef struct words {
    const char **items;
    size_t count;
} words;

/* What the command line says; a row of the table in options.c fills each. */
typedef struct settings {
    const char *rows, *pipeline, *page, *against; /* of eval */
    bool resume, mpi, logits, robustness, importance, security;
    const char *members, *record;
    const char *method, *weights, *fit; /* of ensemble */
    double threshold;

    const char *model, *target, *output, *cpu, *precision, *packed, *skip_passes, *svg, *trace, *manifest, *parent,
        *licence, *description, *clock, *gate, *since, *parameters, *structure, *module, *version, *backup, *user, *ca,
        *mqtt, *topic, *window, *mqtt_user, *mqtt_ca, *mqtt_certificate, *mqtt_key, *separator, *decimal, *key,
        *public_key, *signature, *comment, *password, *place;
    words inputs, values, dims, shapes, compares, operands, self_tests;
    double threads, seed, runs, warmup, rtol, atol, low, high, limit_rate, most, every, trials, jobs, folds;
    bool help, json, quiet, nodes, passes, profile, compress, external, no_header, plain_http, bundle;
    bool verify; /* every byte of a model file */
    /* of compress */
    const char *calibration, *activations, *exclude, *loss_report, *labels;
    words data;
    double percentile, samples, max_drop, min_sqnr;
    bool per_tensor, reduce_range, bias_correction, sensitivity, never_slower, dynamic, equalize, smooth,
        adaptive_rounding;
} settings;

typedef struct command {
    const char *name;
    unsigned bit; /* in the `commands` of an option's row */
    int (*run)(const settings *s);
    const char *arguments, *summary;
    const char *notes; /* the end of its help */
} command;

/* Each command's own bit; rows of options name the commands that take them. */
enum {
    RUN = 1 << 0,
    INSPECT = 1 << 1,
    BENCH = 1 << 2,
    CHECK = 1 << 3,
    CONVERT = 1 << 4,
    STORE = 1 << 5,
    DATA = 1 << 6,
    SIGN = 1 << 7,
    VERIFY = 1 << 8,
    KEYGEN = 1 << 9,
    DELTA = 1 << 10,
    COMPRESS = 1 << 11,
    TRAIN = 1 << 12,
    EVAL = 1 << 13,
    TUNE = 1 << 14,
    ENSEMBLE = 1 << 15,
    ALL = (1 << 16) - 1,
    LOADERS = RUN | INSPECT | BENCH | CHECK,
    FILES = SIGN | VERIFY | KEYGEN,                                   /* of any file, not of a model */
    OPERANDS = STORE | DATA | DELTA | TRAIN | EVAL | TUNE | ENSEMBLE, /* words without a dash are operands */
};

/* options.c: false if the words do not make sense. */
bool options_parse(const command *c, int count, char **words, settings *out);
void options_help(const command *c);

/* main.c */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* complain(the library's sentence), always false. */
bool complain_status(const char *what, tn_status status);
void *tool_alloc(size_t count, size_t size); /* zeros; ends the program if there is no memory */
double now_ms(void);
/* One line on a terminal that the next one replaces; nothing elsewhere. NULL clears it. */
void progress(const settings *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* From here on Ctrl-C stops this session's run; NULL: Ctrl-C ends the program again. */
void watch(tn_session *session);
/* From here on Ctrl-C is for `interrupted` to tell of. */
void watch_interrupts(void);
bool interrupted(void);

/* host.c: a model open with its session and inputs. */
typedef struct pass_row {
    const char *name;
    int before, after, changes;
} pass_row;

typedef struct host {
    const settings *settings;
    tn_model *model;
    tn_session *session;
    tn_tensor **tensors; /* all that the inputs are made of */
    size_t tensor_count;
    pass_row passes[64];
    int pass_count;
    int node_count; /* as imported, if there are passes */
    double load_ms, prepare_ms;
    int64_t open_size; /* of dimensions that model and caller leave open; 0: there are none */
    const char *stage; /* what was under way: "load", "prepare"... */
    tn_status status;  /* why it failed, if the library said so */
} host;

bool host_load(host *h, const settings *s);
/* Session, inputs, preparation. Dimensions that nobody has given a size get 1, or another one that the model takes. */
bool host_start(host *h, bool profile);
bool host_run(host *h);
void host_stop(host *h); /* the session alone */
void host_close(host *h);
/* An output's tensors, one unless it is a sequence or an empty optional; dense. Free with outputs_free. */
bool host_output(host *h, int index, size_t *out_count, tn_tensor ***out_tensors);
void outputs_free(size_t count, tn_tensor **tensors);

/* tensors.c */
bool tensor_load(const char *path, tn_dtype wanted, tn_tensor **out);
bool tensor_save(const tn_tensor *t, const char *name, const char *path);
/* 4-bit and 2-bit elements of a byte each become packed ones, or the other way round; other tensors stay. */
bool tensor_become(tn_tensor **t, tn_dtype wanted);
bool tensor_random(const settings *s, uint64_t *state, tn_dtype dtype, int rank, const int64_t *dims, tn_tensor **out);

/* show.c */
double tensor_element(const tn_tensor *t, int64_t index); /* of a dense one; NaN for strings */
void tensor_shape_text(const tn_tensor *t, char *text, size_t size);
void tensor_json(json *j, const tn_tensor *t);
void tensor_print(const char *name, const tn_tensor *t);

/* scan.c: what tn_scan tells of a file (tenon/risk.h), the first of it. */
#define MOST_FINDINGS 200
typedef struct finding {
    char *where, *what;
} finding;
typedef struct findings {
    finding *items;
    int count;
} findings;
void findings_scan(findings *f, const char *path);
void findings_print(const findings *f);
void findings_emit(const findings *f, json *j);
void findings_free(findings *f);

/* tensors.c: files */
bool is_folder(const char *path);
bool ends_with(const char *text, const char *end);
/* `name` made fit to be the name of a file in a folder. */
void file_name(char *text, size_t size, const char *name);
/* Whole files: written beside their place and moved there once complete. */
bool file_read(const char *path, void **out_data, size_t *out_size);
FILE *file_create(const char *path);
bool file_commit(FILE *file, const char *path);

/* self_test.c: a self-test as --self-test asks for; the model's own, no cases if it has none. */
bool self_test_make(const settings *s, tn_self_test **out_test);
bool self_test_check(host *h, tn_self_test_result *out_result);

/* compare.c */
bool compare_outputs(host *h, const settings *s, json *j, bool *out_equal);

/* cost.c: concrete shapes, and the multiply-adds of each node. Totals are of a graph and all bodies in it, each counted
 * once, however often a loop runs it and whichever branch is taken. */
typedef struct cost_shape {
    int rank; /* -1: unknown */
    int64_t dims[TN_MAX_RANK];
} cost_shape;
typedef struct costs {
    const tn_graph *graph;
    cost_shape *values; /* a row a value */
    double *multiplies; /* a row a node; < 0: unknown */
    double total;       /* of the known ones */
    double parameters, parameter_bytes;
    int unknown;          /* nodes whose shapes are not known */
    int inner_nodes;      /* in bodies */
    struct costs *bodies; /* in the order of their nodes */
    int body_count;
    int owner; /* of a body: the node that it belongs to, and its attribute's name */
    const char *name;
} costs;
void costs_make(host *h, costs *out);
void costs_free(costs *c);

/* manifest.c: what a model file says of itself; nothing for other files. */
void manifest_show(const tn_model *model, const char *path, json *j);

/* svg.c */
bool svg_write(const costs *c, const char *path);

/* data.c: the dialect that the options tell of. */
bool csv_options(const settings *s, tn_csv_options *out);

extern const command commands[];
int train_command(const settings *s);
int eval_command(const settings *s);
int tune_command(const settings *s);
int ensemble_command(const settings *s);
/* eval.c: which rows --rows means. */
bool choose_rows(const settings *s, tn_rows *out);
int run_command(const settings *s);
int convert_command(const settings *s);
int inspect_command(const settings *s);
int compress_command(const settings *s);
int bench_command(const settings *s);
int check_command(const settings *s);
int store_command(const settings *s);
int data_command(const settings *s);
int sign_command(const settings *s);
int verify_command(const settings *s);
int keygen_command(const settings *s);
int delta_command(const settings *s);

#endif
