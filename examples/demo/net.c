/* Nets: a model with its session and inputs, whose runs can be recorded, compared and timed. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "demo.h"

#define PATH 1024
#define TIMED_RUNS 51
#define TIMED_SECONDS 0.5

net *net_open(demo *d, const char *name) {
    char path[PATH];
    net *n = need(calloc(1, sizeof *n));
    *n = (net){.name = name, .demo = d, .every = 1};
    snprintf(path, sizeof path, "%s/%s.onnx", d->models, name);
    must(tn_model_load(path, NULL, &n->model));
    must(tn_session_create(n->model, &(tn_session_options){.struct_size = sizeof(tn_session_options), .threads = 1},
                           &n->session));
    net **last = &d->nets;
    while (*last) last = &(*last)->next;
    *last = n;
    return n;
}

void net_close(net *n) {
    tn_session_destroy(n->session);
    for (int i = 0; i < NET_PORTS; i++) tn_tensor_destroy(n->inputs[i]);
    tn_model_destroy(n->model);
    free(n);
}

void *net_input(net *n, const char *name, tn_dtype dtype, int rank, const int64_t *dims) {
    int index = tn_model_input_index(n->model, name);
    if (index < 0 || index >= NET_PORTS) fail("%s has no input %s", n->name, name);
    tn_tensor **tensor = &n->inputs[index], *made;
    size_t bytes = (size_t)rank * sizeof *dims;
    if (!*tensor || tn_tensor_rank(*tensor) != rank || (rank && memcmp(tn_tensor_dims(*tensor), dims, bytes) != 0)) {
        must(tn_tensor_create(dtype, rank, dims, NULL, &made));
        must(tn_session_set_input(n->session, index, made));
        tn_tensor_destroy(*tensor);
        *tensor = made;
    }
    return tn_tensor_data(*tensor);
}

const tn_tensor *net_output(const net *n, const char *name) {
    const tn_tensor *tensor;
    must(tn_session_output_by_name(n->session, name, &tensor));
    return tensor;
}

/* ---- test cases ---- */

static void make_folder(const char *path) {
    if (mkdir(path, 0777) != 0 && errno != EEXIST) fail("%s: %s", path, strerror(errno));
}

/* The folder of the net's test cases: test_<package>-<model>. */
static void set_folder(const net *n, const char *root, char folder[PATH]) {
    int start = snprintf(folder, PATH, "%s/test_", root);
    snprintf(folder + start, (size_t)(PATH - start), "%s", n->name);
    for (char *c = folder + start; *c; c++)
        if (*c == '/') *c = '-';
}

static void record(const net *n) {
    char folder[PATH], path[PATH + 64];
    tn_value_info info;
    set_folder(n, n->demo->record, folder);
    make_folder(folder);
    snprintf(path, sizeof path, "%s/%s.onnx", n->demo->models, n->name);
    char *model = need(realpath(path, NULL));
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    unlink(path);
    if (symlink(model, path) != 0) fail("%s: %s", path, strerror(errno));
    free(model);
    int set = n->runs / n->every;
    snprintf(path, sizeof path, "%s/test_data_set_%d", folder, set);
    make_folder(path);
    for (int i = 0; i < tn_model_input_count(n->model); i++) {
        must(tn_model_input_info(n->model, i, &info));
        snprintf(path, sizeof path, "%s/test_data_set_%d/input_%d.pb", folder, set, i);
        must(tn_tensor_save_pb(n->inputs[i], info.name, path));
    }
}

static void add_difference(net *n, int output, const tn_tensor *found, const tn_tensor *expected) {
    if (tn_tensor_dtype(found) != tn_tensor_dtype(expected) || tn_tensor_count(found) != tn_tensor_count(expected))
        fail("%s: output %d has another type or size than the reference's", n->name, output);
    for (int64_t i = 0; i < tn_tensor_count(found); i++) {
        double x = tensor_at(found, i), y = tensor_at(expected, i);
        n->gap[output] = isnan(x - y) ? INFINITY : fmax(n->gap[output], fabs(x - y));
        n->largest[output] = fmax(n->largest[output], fabs(y));
    }
}

static void compare(net *n) {
    char folder[PATH], path[PATH + 64];
    const tn_tensor *output;
    tn_tensor *expected;
    set_folder(n, n->demo->compare, folder);
    for (int i = 0; i < tn_model_output_count(n->model); i++) {
        snprintf(path, sizeof path, "%s/test_data_set_%d/output_%d.pb", folder, n->runs / n->every, i);
        must(tn_tensor_load_pb(path, &expected));
        must(tn_session_output(n->session, i, &output));
        add_difference(n, i, output, expected);
        tn_tensor_destroy(expected);
    }
    n->compared++;
}

double net_difference(const net *n) {
    double difference = 0;
    for (int i = 0; i < NET_PORTS; i++)
        if (n->gap[i] > 0) difference = fmax(difference, n->gap[i] / n->largest[i]);
    return difference;
}

double net_reference_number(const net *n, const char *file, double fallback, char reason[256]) {
    char folder[PATH], path[PATH + 64];
    double number = fallback;
    reason[0] = 0;
    if (!n->demo->compare) return fallback;
    set_folder(n, n->demo->compare, folder);
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%lf %255[^\n]", &number, reason) < 1) number = fallback;
    if (f) fclose(f);
    return number;
}

/* ---- running ---- */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(net *n) {
    double times[TIMED_RUNS], start = now();
    while (n->timed < TIMED_RUNS && (n->timed < 5 || now() - start < TIMED_SECONDS)) {
        double before = now();
        must(tn_session_run(n->session));
        times[n->timed++] = now() - before;
    }
    qsort(times, (size_t)n->timed, sizeof *times, by_size);
    n->milliseconds = 1e3 * times[n->timed / 2];
}

void net_run(net *n) {
    must(tn_session_run(n->session));
    if (n->runs == 0 && !n->demo->record) measure(n);
    if (n->runs % n->every == 0) {
        if (n->demo->record) record(n);
        if (n->demo->compare) compare(n);
    }
    n->runs++;
}

/* ---- tensors ---- */

static double half(uint16_t bits) {
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double size = exponent == 31  ? (fraction ? NAN : INFINITY)
                  : exponent == 0 ? ldexp(fraction, -24)
                                  : ldexp(1024 + fraction, exponent - 25);
    return bits >> 15 ? -size : size;
}

double tensor_at(const tn_tensor *tensor, int64_t index) {
    const void *data = tn_tensor_const_data(tensor);
    switch (tn_tensor_dtype(tensor)) {
    case TN_FLOAT32: return (double)((const float *)data)[index];
    case TN_FLOAT64: return ((const double *)data)[index];
    case TN_FLOAT16: return half(((const uint16_t *)data)[index]);
    case TN_INT64: return (double)((const int64_t *)data)[index];
    case TN_BOOL: return ((const unsigned char *)data)[index];
    default: fail("no demo reads elements of %s", tn_dtype_name(tn_tensor_dtype(tensor)));
    }
}

int64_t tensor_greatest(const tn_tensor *tensor, int64_t from, int64_t count) {
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++)
        if (tensor_at(tensor, from + i) > tensor_at(tensor, from + best)) best = i;
    return best;
}
