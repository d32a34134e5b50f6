/* Options: one table, which parsing and --help both read. */
#include "tool.h"
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum kind { FLAG, TEXT, COUNT, REAL, WORDS };

typedef struct row {
    const char *name, *value;
    enum kind kind;
    size_t offset;
    unsigned commands;
    const char *help;
    double fallback;
} row;

#define AT(field) offsetof(settings, field)
static const row rows[] = {
    {"--resume", NULL, FLAG, AT(resume), TRAIN, "go on from the checkpoint of a run that was stopped", 0},
    {"--folds", "N", COUNT, AT(folds), TRAIN | ENSEMBLE,
     "train: cross-validation: a model for each of so many parts of the rows, tested on it; means and intervals. "
     "ensemble: those models, beside the members, answer for the rows of --fit that they have not seen",
     0},
    {"--mpi", NULL, FLAG, AT(mpi), TRAIN, "with the other processes that mpirun started (tenon/mpi.h)", 0},
    {"--method", "NAME", TEXT, AT(method), ENSEMBLE, "average (default), vote, stack or cascade", 0},
    {"--weights", "W,W,..", TEXT, AT(weights), ENSEMBLE, "of average and vote, one a member", 0},
    {"--threshold", "P", REAL, AT(threshold), ENSEMBLE,
     "of a cascade: a member answers rows whose greatest probability is no less (default 0.9)", 0},
    {"--fit", "DATA.csv", TEXT, AT(fit), ENSEMBLE,
     "rows that no member was trained on: weights, stack or threshold are what is best for them", 0},
    {"--max-drop", "X", REAL, AT(max_drop), ENSEMBLE,
     "of a cascade that is fitted: by how much its accuracy may be below the last member's (default 0)", 0},
    {"--rows", "WHICH", TEXT, AT(rows), EVAL | ENSEMBLE,
     "all (default), or training or testing of the pipeline's split", 0},
    {"--pipeline", "FILE", TEXT, AT(pipeline), EVAL, "a fitted pipeline, for models whose files have none", 0},
    {"--logits", NULL, FLAG, AT(logits), EVAL | ENSEMBLE, "the models give scores before softmax or sigmoid", 0},
    {"--gate", "FILE", TEXT, AT(gate), EVAL,
     "what must be kept, as YAML (tenon/gate.h); the exit code is 3 if it is not", 0},
    {"--against", "MODEL", TEXT, AT(against), EVAL, "what the gate's drop and rise are relative to, on the same rows",
     0},
    {"--robustness", NULL, FLAG, AT(robustness), EVAL,
     "under noise, missing values, lost inputs, drift and attacks as well", 0},
    {"--record", "OUT.tenon", TEXT, AT(record), EVAL,
     "the model with these metrics in its manifest, of data called as the CSV file", 0},
    {"--security", NULL, FLAG, AT(security), EVAL,
     "what the model gives away of its rows for training, rows that look wrong, what its file has that no model needs",
     0},
    {"--members", "DATA.csv", TEXT, AT(members), EVAL,
     "of --security: rows that the model was trained on (default: those of the pipeline's split)", 0},
    {"--importance", NULL, FLAG, AT(importance), EVAL,
     "by column: permutation, gradients, occlusion, Shapley; attention", 0},
    {"--trials", "N", COUNT, AT(trials), TUNE, "until so many have ended (default: as the study says)", 0},
    {"--jobs", "N", COUNT, AT(jobs), TUNE, "trials at once (default: as the study says)", 0},
    {"--report", "FILE.html", TEXT, AT(page), EVAL | TUNE, "all of it in one page with pictures", 0},
    {"--separator", "C", TEXT, AT(separator), EVAL | ENSEMBLE,
     "between the fields of the CSV file (default ,); tab for tabs", 0},
    {"--decimal", "C", TEXT, AT(decimal), EVAL | ENSEMBLE, "between a number's whole and its fraction (default .)", 0},
    {"--no-header", NULL, FLAG, AT(no_header), EVAL | ENSEMBLE, "the first record of the CSV file is data", 0},
    {"--threads", "N", COUNT, AT(threads), TRAIN | EVAL | ENSEMBLE, "threads to compute with (default 1)", 1},
    {"--cpu", "LEVEL", TEXT, AT(cpu), TRAIN | EVAL | TUNE, "instruction set to stay within: scalar, avx2, avx512...",
     0},

    {"--input", "NAME=FILE", WORDS, AT(inputs), LOADERS, "contents of an input; may be repeated", 0},
    {"--self-test", "FOLDER", WORDS, AT(self_tests), CONVERT,
     "a case for a .tenon: input_0.pb... and what is expected, output_0.pb... (without: what the model gives now); or "
     "random; may be repeated",
     0},
    {"--value", "NAME=X", WORDS, AT(values), LOADERS, "number in all elements of an input; may be repeated", 0},
    {"--dim", "NAME=N", WORDS, AT(dims), LOADERS | CONVERT,
     "size of a symbolic dimension (default: 1, or what the model takes); may be repeated", 0},
    {"--shape", "INPUT=N,N,..", WORDS, AT(shapes), LOADERS, "shape of a random input; may be repeated", 0},
    {"--seed", "N", COUNT, AT(seed), LOADERS | CONVERT, "of random inputs and random operators (default 0)", 0},
    {"--low", "X", REAL, AT(low), RUN | BENCH | CHECK | CONVERT, "least value of random floats (default -1)", -1},
    {"--high", "X", REAL, AT(high), RUN | BENCH | CHECK | CONVERT, "greatest value of random floats (default 1)", 1},
    {"--output", "PATH", TEXT, AT(output), RUN, "where the outputs go", 0},
    {"--compare", "PATH", WORDS, AT(compares), RUN, "what the outputs should be; may be repeated", 0},
    {"--rtol", "X", REAL, AT(rtol), RUN | CONVERT, "relative tolerance of --compare, --self-test (default 1e-3)", 1e-3},
    {"--atol", "X", REAL, AT(atol), RUN | CONVERT, "absolute tolerance of them (default 1e-6)", 1e-6},
    {"--runs", "N", COUNT, AT(runs), BENCH, "measured runs (default 100)", 100},
    {"--warmup", "N", COUNT, AT(warmup), BENCH, "runs before them (default 10)", 10},
    {"--profile", NULL, FLAG, AT(profile), BENCH, "time per operator; with --nodes, per node", 0},
    {"--trace", "FILE", TEXT, AT(trace), BENCH, "one run as a Chrome trace (JSON)", 0},
    {"--nodes", NULL, FLAG, AT(nodes), INSPECT | BENCH, "a row a node", 0},
    {"--data", "PATH", WORDS, AT(data), COMPRESS,
     "calibration data: a folder with input_0.pb..., an .npz, an .npy, a .csv for the pipeline in the model's file, or "
     "a "
     "folder of these; may be repeated",
     0},
    {"--calibration", "NAME", TEXT, AT(calibration), COMPRESS,
     "how ranges are chosen: min-max (default), moving-average, percentile, entropy, mse, or best: whichever is", 0},
    {"--percentile", "X", REAL, AT(percentile), COMPRESS, "of --calibration percentile (default 99.999)", 0},
    {"--activations", "TYPE", TEXT, AT(activations), COMPRESS, "uint8 (default) or int8", 0},
    {"--per-tensor", NULL, FLAG, AT(per_tensor), COMPRESS, "one scale for all weights of a layer", 0},
    {"--reduce-range", NULL, FLAG, AT(reduce_range), COMPRESS,
     "weights of 7 bits, for ONNX Runtime on x86 without VNNI, where more saturates", 0},
    {"--exclude", "LIST", TEXT, AT(exclude), COMPRESS,
     "nodes or operators to leave in float, commas between; conv*: all that begin so", 0},
    {"--dynamic", NULL, FLAG, AT(dynamic), COMPRESS,
     "activations are measured at each run, not beforehand; needs no --data", 0},
    {"--bias-correction", NULL, FLAG, AT(bias_correction), COMPRESS, "biases take up what 8 bits shift on average", 0},
    {"--adaptive-rounding", NULL, FLAG, AT(adaptive_rounding), COMPRESS,
     "weights go up or down by what their products become (AdaRound)", 0},
    {"--smooth", NULL, FLAG, AT(smooth), COMPRESS, "channels far larger than others are scaled down (SmoothQuant)", 0},
    {"--equalize", NULL, FLAG, AT(equalize), COMPRESS, "layers that follow each other get weights that spread alike",
     0},
    {"--max-drop", "X", REAL, AT(max_drop), COMPRESS,
     "layers stay float until accuracy (of --labels; else agreement with the float model) falls by no more", 0},
    {"--min-sqnr", "DB", REAL, AT(min_sqnr), COMPRESS, "layers stay float until the outputs' signal to noise is this",
     0},
    {"--labels", "FILE", TEXT, AT(labels), COMPRESS,
     "what the greatest of each row of output 0 should be: .npy of int64", 0},
    {"--sensitivity", NULL, FLAG, AT(sensitivity), COMPRESS, "measure what each layer does alone, for the report", 0},
    {"--never-slower", NULL, FLAG, AT(never_slower), COMPRESS,
     "layers that are no faster on this machine stay float; measures times", 0},
    {"--samples", "N", COUNT, AT(samples), COMPRESS, "sets to look at (default: all)", 0},
    {"--report", "FILE", TEXT, AT(loss_report), COMPRESS,
     "what each layer gained and lost: .json, or .html with pictures", 0},
    {"--passes", NULL, FLAG, AT(passes), INSPECT, "what each pass did", 0},
    {"--svg", "FILE", TEXT, AT(svg), INSPECT, "draw the graph", 0},
    {"--skip-passes", "LIST", TEXT, AT(skip_passes), LOADERS, "passes to leave out, commas between; all: every one", 0},
    {"--threads", "N", COUNT, AT(threads), RUN | BENCH | CHECK | COMPRESS, "threads to compute with (default 1)", 1},
    {"--cpu", "LEVEL", TEXT, AT(cpu), LOADERS | COMPRESS,
     "instruction set to stay within: scalar, avx2, avx512, vnni, amx, neon...", 0},
    {"--precision", "NAME", TEXT, AT(precision), LOADERS, "full, or fast: products of bfloat16 where the CPU has them",
     0},
    {"--packed", "FOLDER", TEXT, AT(packed), LOADERS,
     "where packed weights of a .tenon are kept for the next process (tenon/model.h)", 0},
    {"--weights-place", "NAME", TEXT, AT(place), LOADERS,
     "of matrix products: in-place, as the file has them; packed: faster runs, more memory; auto", 0},
    {"--manifest", "FILE", TEXT, AT(manifest), CONVERT, "what a .tenon says of the model, as YAML", 0},
    {"--compress", NULL, FLAG, AT(compress), CONVERT | STORE,
     "deflate graph and weights of a .tenon; the parts of a backup", 0},
    {"--external-data", NULL, FLAG, AT(external), CONVERT, "weights in a file beside the .onnx", 0},
    {"--parent", "REFERENCE", TEXT, AT(parent), STORE, "put: the version that this one was made from", 0},
    {"--licence", "SPDX", TEXT, AT(licence), STORE, "put: such as Apache-2.0", 0},
    {"--description", "TEXT", TEXT, AT(description), STORE, "put: what the model is for", 0},
    {"--clock", "POLICY", TEXT, AT(clock), STORE, "trust init, accept: enforce (default), floor or counter-only", 0},
    {"--since", "FILE", TEXT, AT(since), STORE,
     "backup: an earlier one; no more than what came since goes into the file", 0},
    {"--parameters", "FILE", TEXT, AT(parameters), STORE,
     "upgrade: a model with the new weights, or they alone as .safetensors", 0},
    {"--structure", "FILE", TEXT, AT(structure), STORE,
     "upgrade: a model of a new structure, which takes the old weights", 0},
    {"--module", "FILE", TEXT, AT(module), STORE,
     "upgrade: a model that replaces what is between the values of its inputs' and outputs' names", 0},
    {"--version", "VERSION", TEXT, AT(version), STORE, "upgrade: of the new one (default: the next)", 0},
    {"--backup", "FILE", TEXT, AT(backup), STORE, "upgrade: back up the store first", 0},
    {"--gate", "FILE", TEXT, AT(gate), STORE, "promote, gate: what the version must show first, as YAML", 0},
    {"--user", "NAME:PASSWORD", TEXT, AT(user), STORE,
     "registries: or @FILE with that in it, or NAME with TENON_PASSWORD set", 0},
    {"--ca", "FILE", TEXT, AT(ca), STORE, "registries: certificates to trust instead of the system's", 0},
    {"--plain-http", NULL, FLAG, AT(plain_http), STORE, "registries: not HTTPS", 0},
    {"--limit-rate", "N", COUNT, AT(limit_rate), STORE, "registries: at most so many bytes a second", 0},
    {"--window", "TIMES", TEXT, AT(window), STORE,
     "follow: looks only at these times: \"Mon-Fri 22:00-05:00; Sun 00:00-24:00 UTC\" (tenon/subscription.h)", 0},
    {"--every", "SECONDS", COUNT, AT(every), STORE, "follow: go on, and look again after so long; with --mqtt 3600", 0},
    {"--mqtt", "BROKER", TEXT, AT(mqtt), STORE,
     "mqtts://HOST[:PORT] or mqtt://..: promote, push: announce it there; follow: go on, woken by it", 0},
    {"--topic", "TOPIC", TEXT, AT(topic), STORE, "of --mqtt", 0},
    {"--mqtt-user", "NAME:PASSWORD", TEXT, AT(mqtt_user), STORE,
     "of --mqtt: or @FILE with that in it, or NAME with TENON_MQTT_PASSWORD set", 0},
    {"--mqtt-ca", "FILE", TEXT, AT(mqtt_ca), STORE, "of --mqtt: certificates to trust instead of the system's", 0},
    {"--mqtt-certificate", "FILE", TEXT, AT(mqtt_certificate), STORE, "of --mqtt: this machine's own, and", 0},
    {"--mqtt-key", "FILE", TEXT, AT(mqtt_key), STORE, "of --mqtt: its key", 0},
    {"--separator", "C", TEXT, AT(separator), DATA, "between the fields of a CSV file (default ,); tab for tabs", 0},
    {"--decimal", "C", TEXT, AT(decimal), DATA, "between a number's whole and its fraction (default .)", 0},
    {"--no-header", NULL, FLAG, AT(no_header), DATA, "the first record of a CSV file is data", 0},
    {"--key", "FILE", TEXT, AT(key), SIGN, "the secret key", 0},
    {"--bundle", NULL, FLAG, AT(bundle), SIGN,
     "a bundle of the OpenSSF model signing specification instead, with a P-256 key in PEM", 0},
    {"--public", "KEY", TEXT, AT(public_key), VERIFY, "the public key: a file, or the line of it that begins with RW",
     0},
    {"--signature", "FILE", TEXT, AT(signature), SIGN | VERIFY,
     "(default: FILE.minisig; of a bundle FILE.sigstore.json)", 0},
    {"--comment", "TEXT", TEXT, AT(comment), SIGN, "is signed too (default: time and file name)", 0},
    {"--password", "FILE", TEXT, AT(password), SIGN | KEYGEN, "whose first line is the secret key's password", 0},
    {"--most", "BYTES", COUNT, AT(most), STORE, "fetch, pull, follow: no more than this may come", 0},
    {"--json", NULL, FLAG, AT(json), ALL, "the result as JSON", 0},
    {"--quiet", NULL, FLAG, AT(quiet), ALL, "no progress on the terminal", 0},
    {"--help", NULL, FLAG, AT(help), ALL, "this text", 0},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

/* Rows of ALL are of every command. */
static bool takes(const command *c, const row *r) {
    return r->commands == ALL || (r->commands & c->bit);
}

static const row *find(const command *c, const char *name, size_t length) {
    for (const row *r = rows; r < rows + ROWS; r++)
        if (takes(c, r) && strlen(r->name) == length && strncmp(r->name, name, length) == 0) return r;
    return NULL;
}

static bool parse_number(const row *r, const char *text, double *out) {
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    bool whole = r->kind == REAL || (value >= 0 && value <= 1e9 && value == floor(value));
    if (*text && !*end && !errno && isfinite(value) && whole) {
        *out = value;
        return true;
    }
    complain("%s wants %s, not '%s'", r->name, r->kind == REAL ? "a number" : "a whole number up to 1e9", text);
    return false;
}

static bool store(const row *r, const char *text, settings *out) {
    void *field = (char *)out + r->offset;
    words *list = field;
    switch (r->kind) {
    case FLAG: *(bool *)field = true; break;
    case TEXT: *(const char **)field = text; break;
    case WORDS: list->items[list->count++] = text; break;
    default: return parse_number(r, text, field);
    }
    return true;
}

bool options_parse(const command *c, int count, char **arguments, settings *out) {
    /* One piece of memory for the lists: each can take every word there is. */
    const char **items = tool_alloc(8 * (size_t)count + 8, sizeof *items);
    *out = (settings){.inputs.items = items,
                      .dims.items = items + count,
                      .shapes.items = items + 2 * count,
                      .compares.items = items + 3 * count,
                      .values.items = items + 4 * count,
                      .operands.items = items + 5 * count,
                      .self_tests.items = items + 6 * count,
                      .data.items = items + 7 * count,
                      .verify = c->bit == CHECK};
    for (const row *r = rows; r < rows + ROWS; r++)
        if (r->kind == COUNT || r->kind == REAL) *(double *)((char *)out + r->offset) = r->fallback;
    bool good = true;
    for (int i = 0; good && i < count; i++) {
        const char *word = arguments[i];
        if ((word[0] != '-' || !word[1]) && (c->bit & OPERANDS)) {
            out->operands.items[out->operands.count++] = word;
            continue;
        }
        if (word[0] != '-' || !word[1]) {
            const char **place = out->model && c->bit & (CONVERT | COMPRESS) ? &out->target : &out->model;
            good = !*place;
            if (!good) complain("one %s at a time: '%s' after '%s'", c->bit & FILES ? "file" : "model", word, *place);
            *place = word;
            continue;
        }
        const char *equals = strchr(word, '=');
        const row *r = find(c, word, equals ? (size_t)(equals - word) : strlen(word));
        if (strcmp(word, "-h") == 0) r = find(c, "--help", 6);
        good = r && (r->value || !equals) && (!r->value || equals || i + 1 < count);
        if (!r)
            complain("tenon %s has no option '%s'; tenon %s --help lists them", c->name, word, c->name);
        else if (!good)
            complain("%s takes %s", r->name, r->value ? r->value : "no value");
        else
            good = store(r, !r->value ? NULL : equals ? equals + 1 : arguments[++i], out);
    }
    if (good && !out->help && (c->bit & OPERANDS)) {
        good = out->operands.count > 0;
        if (!good) complain("tenon %s %s; tenon %s --help lists the verbs", c->name, c->arguments, c->name);
    } else if (good && !out->help && (!out->model || (c->bit == CONVERT && !out->target))) {
        complain("which %s? tenon %s %s", c->bit & FILES ? "file" : "model", c->name, c->arguments);
        good = false;
    }
    if (!good) free(items);
    return good;
}

void options_help(const command *c) {
    printf("tenon %s: %s\n\nusage: tenon %s %s [OPTIONS]\n\n", c->name, c->summary, c->name, c->arguments);
    for (const row *r = rows; r < rows + ROWS; r++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", r->name, r->value ? r->value : "");
        if (takes(c, r)) printf("  %-24s %s\n", left, r->help);
    }
    printf("\n%s", c->notes);
}
