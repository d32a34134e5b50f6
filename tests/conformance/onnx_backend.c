/* ONNX's own backend tests, run through the public interface.
 *
 *     onnx_backend [options] <onnx/backend/test/data> [part of a test's name]
 *
 * A test is a folder <category>/<test> with model.onnx and test_data_set_N/{input,output}_K.pb. Outputs must have the
 * expected kind, dtype and shape; floats must agree within rtol 1e-3 and atol 1e-7, all else exactly. Each test runs in
 * a process of its own, so that a crash or an endless loop is one failure. Tests that are known to fail stand in a
 * table, one a line with the reason behind the name; an entry that passes is reported.
 *
 * The exit status is 0 if nothing failed that is not in the table, nothing crashed, and at least 95 % passed. */
#include <dirent.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <tenon/session.h>
#include <unistd.h>
#include "base/element.h"
#include "import/onnx.h"

#define SECONDS 20
#define PATH 2048

static const char usage[] = "usage: onnx_backend [options] <onnx/backend/test/data> [part of a test's name]\n"
                            "       onnx_backend --levels   lists the instruction set levels of this machine\n"
                            "  --known FILE          tests that are expected to fail, one `test  reason` a line\n"
                            "  --list-failures FILE  write each failing test's name and reason there\n"
                            "  --skip-passes NAMES   as in tn_model_options\n"
                            "  --cpu LEVEL           likewise\n"
                            "  --threads N           of each session\n"
                            "  --relative R          floats may differ by R of the output's largest element\n"
                            "  --no-fork             run in this process, for a debugger\n";

static struct {
    const char *data, *part, *known, *list, *skip_passes, *cpu;
    int threads;
    double relative;
    bool no_fork;
} settings;

/* Their results come from numpy's generator: dtype and shape alone can agree. */
static const char *const random_tests[] = {"test_bernoulli",
                                           "test_bernoulli_double",
                                           "test_bernoulli_double_expanded",
                                           "test_bernoulli_expanded",
                                           "test_bernoulli_seed",
                                           "test_bernoulli_seed_expanded",
                                           "test_training_dropout",
                                           "test_training_dropout_default",
                                           "test_training_dropout_default_mask",
                                           "test_training_dropout_mask"};

/* Too long ones are cut, and then not found. */
static void __attribute__((format(printf, 2, 3))) set_path(char path[PATH], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path, PATH, format, arguments);
    va_end(arguments);
}

static bool is_random(const char *test) {
    for (size_t i = 0; i < TN_COUNT(random_tests); i++)
        if (strcmp(random_tests[i], test) == 0) return true;
    return false;
}

/* ---- what a test expects ---- */

typedef struct value {
    bool sequence, present;
    tn_dtype dtype; /* of an empty sequence */
    size_t count;
    tn_tensor **tensors;
} value;

static void clear(value *v) {
    for (size_t i = 0; i < v->count; i++) tn_tensor_destroy(v->tensors[i]);
    free(v->tensors);
    *v = (value){0};
}

static tn_status add_tensor(value *v, tn_string message) {
    tn_tensor *tensor;
    TN_TRY(tn_tensor_read_pb(message, &tensor));
    v->tensors = realloc(v->tensors, (v->count + 1) * sizeof(tn_tensor *));
    v->tensors[v->count++] = tensor;
    return TN_OK;
}

/* SequenceProto */
static tn_status read_sequence(value *v, tn_string message) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    v->sequence = true;
    while (tn_pb_next(&r, &f)) {
        if (f.number == 3) TN_TRY(add_tensor(v, tn_pb_bytes(&r, &f)));
        if (f.number > 3) return tn_fail(TN_E_UNSUPPORTED, "a sequence of other things than tensors");
    }
    return tn_pb_done(&r, "SequenceProto");
}

/* OptionalProto */
static tn_status read_optional(value *v, tn_string message) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    v->present = false;
    while (tn_pb_next(&r, &f)) {
        if (f.number < 3) continue;
        v->present = true;
        if (f.number == 3) TN_TRY(add_tensor(v, tn_pb_bytes(&r, &f)));
        if (f.number == 5) TN_TRY(read_sequence(v, tn_pb_bytes(&r, &f)));
    }
    return tn_pb_done(&r, "OptionalProto");
}

static tn_status read_value(const char *path, const tn_type *type, value *v) {
    tn_string bytes;
    *v = (value){.present = true, .dtype = type->dtype};
    TN_TRY(tn_map_file(path, &bytes));
    tn_status status = type->optional ? read_optional(v, bytes)
                       : type->kind == TN_KIND_SEQUENCE
                           ? read_sequence(v, bytes)
                           : add_tensor(v, bytes); /* maps are the tensor of their values */
    tn_unmap_contents(bytes);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "%s", path);
}

/* The model's inputs or outputs as the file declares them. */
typedef struct port {
    char name[256];
    tn_type type;
} port;

static tn_status read_ports(const char *path, port **inputs, int *input_count, port **outputs, int *output_count) {
    tn_graph *graph;
    tn_string file, message = {0}, *list;
    TN_TRY(tn_graph_create_root(NULL, 0, &graph));
    TN_TRY(tn_map_file(path, &file));
    tn_pb r = tn_pb_over(file);
    tn_pb_field f;
    while (tn_pb_next(&r, &f))
        if (f.number == 7) message = tn_pb_bytes(&r, &f);
    for (int pass = 0; pass < 2; pass++) {
        int *count = pass ? output_count : input_count;
        port **ports = pass ? outputs : inputs;
        TN_TRY(tn_pb_collect(graph->region, message, pass ? 12 : 11, &list, count));
        *ports = calloc((size_t)*count + 1, sizeof **ports);
        for (int i = 0; i < *count; i++) {
            tn_string name;
            TN_TRY(tn_onnx_value_info(graph, graph->region, list[i], &name, &(*ports)[i].type));
            snprintf((*ports)[i].name, sizeof(*ports)[i].name, "%.*s", (int)name.size, name.data);
        }
    }
    tn_unmap_contents(file);
    tn_graph_destroy(graph);
    return TN_OK;
}

/* ---- comparing ---- */

typedef struct {
    double absolute, relative;
} tolerance;

/* ONNX's own; or, of the real models' outputs, a share of the largest element, and no less than 1e-7: of small sigmoids
 * ONNX Runtime computes no more places. */
static tolerance tolerance_of(tn_dtype dtype, const void *data, int64_t count) {
    double largest = 0;
    if (settings.relative <= 0) return (tolerance){1e-7, 1e-3};
    for (int64_t i = 0; i < count; i++) {
        double x = fabs(tn_get_double(dtype, data, i));
        if (isfinite(x) && x > largest) largest = x;
    }
    /* Half-precision outputs are rounded where ONNX Runtime rounds them, or one place off. */
    double least = dtype == TN_FLOAT16 ? 0x1p-9 : dtype == TN_BFLOAT16 ? 0x1p-6 : 0;
    return (tolerance){fmax(fmax(settings.relative, least) * largest, 1e-7), 0};
}

static bool close_enough(tolerance t, double expected, double found) {
    if (isnan(expected) || isnan(found)) return isnan(expected) && isnan(found);
    if (isinf(expected) || isinf(found)) return expected == found;
    return fabs(expected - found) <= t.absolute + t.relative * fabs(expected);
}

static tn_status differs(const tn_tensor *expected, int64_t at, int64_t wrong, double e, double f) {
    return tn_fail(TN_E_INVALID, "%lld of %lld elements differ, the first at %lld: expected %.9g, found %.9g",
                   (long long)wrong, (long long)tn_tensor_count(expected), (long long)at, e, f);
}

static tn_status compare_floats(const tn_tensor *expected, const tn_tensor *found) {
    tn_dtype dtype = tn_tensor_dtype(expected);
    int64_t wrong = 0, first = 0, n = tn_tensor_count(expected);
    const void *a = tn_tensor_const_data(expected), *b = tn_tensor_const_data(found);
    bool complex = dtype == TN_COMPLEX64 || dtype == TN_COMPLEX128;
    if (complex) dtype = dtype == TN_COMPLEX64 ? TN_FLOAT32 : TN_FLOAT64, n *= 2;
    tolerance t = tolerance_of(dtype, a, n);
    for (int64_t i = 0; i < n; i++)
        if (!close_enough(t, tn_get_double(dtype, a, i), tn_get_double(dtype, b, i)) && wrong++ == 0) first = i;
    return wrong ? differs(expected, first, wrong, tn_get_double(dtype, a, first), tn_get_double(dtype, b, first))
                 : TN_OK;
}

static tn_status compare_strings(const tn_tensor *expected, const tn_tensor *found) {
    const tn_string *a = tn_tensor_const_data(expected), *b = tn_tensor_const_data(found);
    for (int64_t i = 0; i < tn_tensor_count(expected); i++)
        if (!tn_string_equal(a[i], b[i]))
            return tn_fail(TN_E_INVALID, "element %lld is '%.*s', expected '%.*s'", (long long)i,
                           (int)TN_MIN(b[i].size, 50u), b[i].data, (int)TN_MIN(a[i].size, 50u), a[i].data);
    return TN_OK;
}

static tn_status compare_tensors(const tn_tensor *expected, const tn_tensor *found, bool values_too) {
    tn_dtype dtype = tn_tensor_dtype(expected);
    if (dtype != tn_tensor_dtype(found) || tn_tensor_rank(expected) != tn_tensor_rank(found) ||
        (tn_tensor_rank(found) &&
         memcmp(tn_tensor_dims(expected), tn_tensor_dims(found), (size_t)tn_tensor_rank(found) * sizeof(int64_t)))) {
        char a[160], b[160];
        return tn_fail(
            TN_E_SHAPE, "expected %s, found %s",
            tn_shape_text(a, sizeof a, dtype, tn_tensor_rank(expected), tn_tensor_dims(expected)),
            tn_shape_text(b, sizeof b, tn_tensor_dtype(found), tn_tensor_rank(found), tn_tensor_dims(found)));
    }
    if (!values_too) return TN_OK;
    if (dtype == TN_STRING) return compare_strings(expected, found);
    if (tn_dtype_is_float(dtype) || dtype == TN_COMPLEX64 || dtype == TN_COMPLEX128)
        return compare_floats(expected, found);
    const void *a = tn_tensor_const_data(expected), *b = tn_tensor_const_data(found);
    int64_t wrong = 0, first = 0;
    for (int64_t i = 0; i < tn_tensor_count(expected); i++)
        if (tn_get_int(dtype, a, i) != tn_get_int(dtype, b, i) && wrong++ == 0) first = i;
    return wrong ? differs(expected, first, wrong, tn_get_double(dtype, a, first), tn_get_double(dtype, b, first))
                 : TN_OK;
}

static tn_status compare_output(const tn_session *session, int output, const value *expected, bool values_too) {
    const tn_tensor *found;
    if (!expected->sequence) {
        TN_TRY(tn_session_output(session, output, &found));
        if (!found != !expected->present)
            return tn_fail(TN_E_INVALID, found ? "expected an empty optional" : "found an empty optional");
        return found ? compare_tensors(expected->tensors[0], found, values_too) : TN_OK;
    }
    size_t count;
    TN_TRY(tn_session_output_length(session, output, &count));
    if (count != expected->count)
        return tn_fail(TN_E_INVALID, "expected a sequence of %zu, found one of %zu", expected->count, count);
    for (size_t i = 0; i < count; i++) {
        TN_TRY(tn_session_output_element(session, output, i, &found));
        tn_status status = compare_tensors(expected->tensors[i], found, values_too);
        if (status != TN_OK) return tn_fail_context(status, "element %zu", i);
    }
    return TN_OK;
}

/* ---- running ---- */

static tn_status give(tn_session *session, int index, const value *v) {
    if (!v->present) return tn_session_set_input_none(session, index);
    if (!v->sequence) return tn_session_set_input(session, index, v->tensors[0]);
    return tn_session_set_input_sequence(session, index, v->count ? tn_tensor_dtype(v->tensors[0]) : v->dtype, v->count,
                                         (const tn_tensor *const *)v->tensors);
}

static tn_status run_set(const tn_model *model, tn_session *session, const char *folder, const port *inputs,
                         int input_count, const port *outputs, int output_count, bool values_too) {
    char path[PATH];
    value *given = calloc((size_t)input_count + 1, sizeof *given);
    tn_status status = TN_OK;
    for (int i = 0, file = 0; i < input_count && status == TN_OK; i++) {
        int index = tn_model_input_index(model, inputs[i].name);
        if (index < 0) continue; /* an initializer, which no file counts */
        set_path(path, "%s/input_%d.pb", folder, file++);
        status = read_value(path, &inputs[i].type, &given[i]);
        if (status == TN_OK) status = give(session, index, &given[i]);
    }
    if (status == TN_OK) status = tn_session_run(session);
    for (int i = 0; i < output_count && status == TN_OK; i++) {
        value expected;
        set_path(path, "%s/output_%d.pb", folder, i);
        status = read_value(path, &outputs[i].type, &expected);
        if (status == TN_OK) status = compare_output(session, i, &expected, values_too);
        if (status != TN_OK) tn_fail_context(status, "output %d", i);
        clear(&expected);
    }
    for (int i = 0; i < input_count; i++) clear(&given[i]);
    free(given);
    return status;
}

/* A test may say its own share in a file `tolerance`; the reason stands behind the number. */
static void read_tolerance(const char *folder) {
    char path[PATH];
    set_path(path, "%s/tolerance", folder);
    FILE *file = settings.relative > 0 ? fopen(path, "r") : NULL;
    if (!file) return;
    if (fscanf(file, "%lf", &settings.relative) != 1) fprintf(stderr, "%s: there is no number in it\n", path);
    fclose(file);
}

static tn_status run_test(const char *folder, const char *test) {
    char path[PATH];
    port *inputs = NULL, *outputs = NULL;
    int input_count = 0, output_count = 0;
    tn_model *model = NULL;
    tn_session *session = NULL;
    tn_model_options options = {sizeof options, .cpu = settings.cpu, .skip_passes = settings.skip_passes};
    tn_session_options session_options = {sizeof session_options, .threads = settings.threads};
    double relative = settings.relative;
    read_tolerance(folder);
    set_path(path, "%s/model.onnx", folder);
    tn_status status = tn_model_load(path, &options, &model);
    if (status == TN_OK) status = read_ports(path, &inputs, &input_count, &outputs, &output_count);
    if (status == TN_OK) status = tn_session_create(model, &session_options, &session);
    for (int set = 0; status == TN_OK; set++) {
        set_path(path, "%s/test_data_set_%d", folder, set);
        if (access(path, R_OK) != 0) break;
        status = run_set(model, session, path, inputs, input_count, outputs, output_count, !is_random(test));
    }
    tn_session_destroy(session);
    tn_model_destroy(model);
    free(inputs);
    free(outputs);
    settings.relative = relative;
    return status;
}

typedef enum outcome { PASSED, FAILED, CRASHED } outcome;

static outcome run_forked(const char *folder, const char *test, char *reason, size_t size) {
    int ends[2], result;
    size_t used = 0;
    reason[0] = '\0';
    if (settings.no_fork || pipe(ends) != 0) {
        if (run_test(folder, test) == TN_OK) return PASSED;
        snprintf(reason, size, "%s", tn_last_error());
        return FAILED;
    }
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(SECONDS);
        tn_status status = run_test(folder, test);
        const char *text = tn_last_error();
        if (status != TN_OK && write(ends[1], text, strlen(text)) < 0) _exit(2);
        exit(status != TN_OK); /* not _exit: leak checkers report at exit */
    }
    close(ends[1]);
    for (ssize_t n; used < size - 1 && (n = read(ends[0], reason + used, size - 1 - used)) > 0;) used += (size_t)n;
    reason[used] = '\0';
    close(ends[0]);
    if (child < 0 || waitpid(child, &result, 0) != child) return CRASHED;
    if (WIFEXITED(result) && WEXITSTATUS(result) == 0) return PASSED;
    if (WIFEXITED(result) && WEXITSTATUS(result) == 1) return FAILED;
    if (WIFSIGNALED(result))
        snprintf(reason, size, WTERMSIG(result) == SIGALRM ? "still running after %d s" : "signal %d",
                 WTERMSIG(result) == SIGALRM ? SECONDS : WTERMSIG(result));
    return CRASHED;
}

/* ---- the table of known failures ---- */

typedef struct known_test {
    char name[256];
} known_test;
static known_test *known;
static size_t known_count;

static void read_known(const char *path) {
    char line[1024];
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "onnx_backend: cannot open %s\n", path);
        exit(2);
    }
    while (fgets(line, sizeof line, file)) {
        char name[256];
        if (line[0] == '#' || sscanf(line, "%255s", name) != 1) continue;
        known = realloc(known, (known_count + 1) * sizeof *known);
        memcpy(known[known_count++].name, name, sizeof name);
    }
    fclose(file);
}

static bool is_known(const char *test) {
    for (size_t i = 0; i < known_count; i++)
        if (strcmp(known[i].name, test) == 0) return true;
    return false;
}

/* ---- the walk ---- */

static struct { int passed, failed, crashed, unexpected; } totals;

static void judge(const char *folder, const char *test, FILE *list) {
    char reason[1000];
    outcome out = run_forked(folder, test, reason, sizeof reason);
    bool row = is_known(test);
    for (char *c = reason; *c; c++)
        if (*c == '\n') *c = ' ';
    if (out == PASSED) {
        totals.passed++;
        if (row) printf("PASSES NOW  %s: take it out of the table\n", test);
        return;
    }
    totals.failed++;
    totals.crashed += out == CRASHED;
    totals.unexpected += !row;
    printf("%s  %s: %s\n", out == CRASHED ? "CRASH" : row ? "known" : "FAIL ", test, reason);
    if (list) fprintf(list, "%s  %s\n", test, reason);
}

static int is_test(const struct dirent *entry) {
    return strncmp(entry->d_name, "test_", 5) == 0 && (!settings.part || strstr(entry->d_name, settings.part));
}

static int is_category(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

static void walk(const char *category, FILE *list) {
    char path[PATH];
    struct dirent **entries;
    set_path(path, "%s/%s", settings.data, category);
    int count = scandir(path, &entries, is_test, alphasort);
    for (int i = 0; i < count; i++) {
        char folder[PATH], model[PATH];
        set_path(folder, "%s/%s/%s", settings.data, category, entries[i]->d_name);
        set_path(model, "%s/model.onnx", folder);
        if (access(model, R_OK) == 0) judge(folder, entries[i]->d_name, list);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
}

static bool read_arguments(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(arg, "--no-fork") == 0) {
            settings.no_fork = true;
        } else if (arg[0] != '-') {
            if (settings.part) return false;
            *(settings.data ? &settings.part : &settings.data) = arg;
        } else {
            if (!next) return false;
            i++;
            if (strcmp(arg, "--known") == 0)
                settings.known = next;
            else if (strcmp(arg, "--list-failures") == 0)
                settings.list = next;
            else if (strcmp(arg, "--skip-passes") == 0)
                settings.skip_passes = next;
            else if (strcmp(arg, "--cpu") == 0)
                settings.cpu = next;
            else if (strcmp(arg, "--threads") == 0)
                settings.threads = atoi(next);
            else if (strcmp(arg, "--relative") == 0)
                settings.relative = atof(next);
            else
                return false;
        }
    }
    return settings.data != NULL;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--levels") == 0) {
        for (int i = 0; tn_cpu_level_at(i); i++) puts(tn_cpu_level_at(i));
        return 0;
    }
    if (!read_arguments(argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    if (settings.known) read_known(settings.known);
    FILE *list = settings.list ? fopen(settings.list, "w") : NULL;
    struct dirent **categories;
    int count = scandir(settings.data, &categories, is_category, alphasort);
    for (int i = 0; i < count; i++) {
        walk(categories[i]->d_name, list);
        free(categories[i]);
    }
    if (count >= 0) free(categories);
    if (list) fclose(list);
    free(known);
    int all = totals.passed + totals.failed;
    printf("%d passed, %d failed", totals.passed, totals.failed);
    if (totals.failed) printf(" (%d of them unexpected, %d crashed)", totals.unexpected, totals.crashed);
    printf("\n");
    if (all == 0) fprintf(stderr, "onnx_backend: there are no tests in %s\n", settings.data);
    return all == 0 || totals.unexpected || totals.crashed || totals.passed * 100 < all * 95;
}
