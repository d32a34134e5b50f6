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
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <tenon/session.h>
#include <unistd.h>
#include "compare.h"

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
        if (status == TN_OK) status = compare_output(session, i, &expected, values_too, settings.relative);
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
