/* From a file to a session that is ready, and to the first result, on one thread: the float32 model as ONNX and as a model
 * file, and the same with most weights zero, 16 values a layer and deflated ("Deep Compression", without its training).
 *
 *     build/tests/bench/starting FOLDER MODEL...      puts its files into FOLDER
 *
 * Cold: the file's pages were taken from the page cache before. The files take turns; a figure is the median of 15.
 * Dimensions that are not known are 64, the first one 1. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tenon/tenon.h>
#include <time.h>
#include <unistd.h>

enum { FORMS = 3, TURNS = 15, MOST_INPUTS = 8 };

static void must(tn_status status) {
    if (status == TN_OK) return;
    fprintf(stderr, "starting: %s\n", tn_last_error());
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Takes a file's pages out of the cache. */
static void cool(const char *path) {
    int fd = open(path, O_RDONLY);
    if (fd < 0) return;
    fsync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

static void make(const char *from, char (*paths)[512]) {
    tn_graph *graph;
    const tn_model_file_options plain = {.struct_size = sizeof plain},
                                deflated = {.struct_size = sizeof deflated, .compress = true};
    must(tn_graph_load(from, NULL, &graph));
    must(tn_graph_save_onnx(graph, paths[0], NULL));
    must(tn_graph_save(graph, paths[1], &plain));
    must(tn_graph_prune(graph, &(tn_prune_options){.struct_size = sizeof(tn_prune_options), .sparsity = 0.9}, NULL));
    must(tn_graph_cluster(graph, &(tn_cluster_options){.struct_size = sizeof(tn_cluster_options), .bits = 4}, NULL));
    must(tn_graph_save(graph, paths[2], &deflated));
    tn_graph_destroy(graph);
}

static tn_tensor *zeros(const tn_model *model, int i) {
    tn_value_info info;
    tn_tensor *t;
    int64_t dims[TN_MAX_RANK];
    must(tn_model_input_info(model, i, &info));
    for (int d = 0; d < info.rank; d++) dims[d] = info.dims[d] >= 0 ? info.dims[d] : d ? 64 : 1;
    must(tn_tensor_create(info.dtype, info.rank, dims, NULL, &t));
    memset(tn_tensor_data(t), 0, tn_tensor_bytes(t));
    return t;
}

/* out: to the session, with its plan; to the result. */
static void start(const char *path, double *out) {
    tn_model *model;
    tn_session *session;
    tn_tensor *in[MOST_INPUTS];
    double from = now();
    const tn_session_options options = {.struct_size = sizeof options, .threads = 1};
    must(tn_model_load(path, NULL, &model));
    const int count = tn_model_input_count(model);
    if (count > MOST_INPUTS) exit(1);
    must(tn_session_create(model, &options, &session));
    for (int i = 0; i < count; i++) must(tn_session_set_input(session, i, in[i] = zeros(model, i)));
    must(tn_session_prepare(session));
    out[0] = now() - from;
    must(tn_session_run(session));
    out[1] = now() - from;
    for (int i = 0; i < count; i++) tn_tensor_destroy(in[i]);
    tn_session_destroy(session);
    tn_model_destroy(model);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    static const char *const forms[FORMS] = {"float.onnx", "float.tenon", "small.tenon"};
    static double times[FORMS][2][2][TURNS]; /* warm and cold; ready and result */
    char paths[FORMS][512];
    for (int m = 2; m < argc; m++) {
        for (int f = 0; f < FORMS; f++) snprintf(paths[f], sizeof paths[f], "%s/%s", argv[1], forms[f]);
        make(argv[m], paths);
        for (int turn = -1; turn < TURNS; turn++)
            for (int f = 0; f < FORMS; f++)
                for (int cold = 0; cold < 2; cold++) {
                    double took[2];
                    if (cold) cool(paths[f]);
                    start(paths[f], took);
                    for (int i = 0; i < 2 && turn >= 0; i++) times[f][cold][i][turn] = took[i];
                }
        printf("%s\n", argv[m]);
        for (int f = 0; f < FORMS; f++) {
            struct stat status;
            if (stat(paths[f], &status) != 0) return 1;
            printf("    %-12s %9.0f kB", forms[f], (double)status.st_size / 1e3);
            for (int i = 0; i < 4; i++) {
                double *t = times[f][i / 2][i % 2];
                qsort(t, TURNS, sizeof *t, ascending);
                printf("  %s %8.2f ms", (const char *[]){"warm ready", "result", "cold ready", "result"}[i],
                       t[TURNS / 2]);
            }
            putchar('\n');
        }
    }
    return 0;
}
