/* What a change of versions costs the requests that run meanwhile.
 *
 *     build/tests/bench/swap [-t THREADS] [-n NICENESS] [CHANGES]        4 threads, 10, 1000
 *
 * Threads ask without a pause, each answer is compared with what the version of its lease must say, while one thread, of lower
 * priority, makes a store's versions take turns; each change loads a model. Windows with changes and such without alternate,
 * equally long, since clocks and neighbours change; the slowest requests of both are compared. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <tenon/tenon.h>

enum { ROWS = 8, WIDTH = 512, LAYERS = 4, VERSIONS = 3, MOST_THREADS = 64, WINDOWS = 20, BUCKETS = 200000 };

static char folder[] = "/tmp/tenon-swap-XXXXXX";

static char *at(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void must(tn_status status) {
    if (status == TN_OK) return;
    fprintf(stderr, "%s\n", tn_last_error());
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fill(float *x, size_t count, float scale) {
    uint32_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = scale * ((float)(state >> 8) / (float)(1 << 23) - 1);
    }
}

static int constant(tn_graph *g, const char *name, int rank, const int64_t *dims, const float *data, size_t count) {
    tn_tensor *t;
    int value;
    must(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    memcpy(tn_tensor_data(t), data, count * sizeof *data);
    must(tn_graph_constant(g, name, t, &value));
    tn_tensor_destroy(t);
    return value;
}

/* A perceptron, whose answer is multiplied by `factor`, a power of two: exact. */
static void put_version(tn_store *s, const char *version, float factor) {
    static float weights[WIDTH * WIDTH];
    tn_graph *g;
    int x, y;
    must(tn_graph_create(NULL, &g));
    must(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){ROWS, WIDTH}, &x));
    fill(weights, WIDTH * WIDTH, 0.08f);
    for (int layer = 0; layer < LAYERS; layer++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", layer);
        weights[0] += 0.01f; /* each layer has weights of its own */
        int w = constant(g, name, 2, (int64_t[]){WIDTH, WIDTH}, weights, WIDTH * WIDTH);
        must(tn_graph_node(g, "MatMul", name, 2, (int[]){x, w}, 1, &y, NULL));
        must(tn_graph_node(g, "Relu", name, 1, &y, 1, &x, NULL));
    }
    int f = constant(g, "factor", 0, NULL, &factor, 1);
    must(tn_graph_node(g, "Mul", "last", 2, (int[]){x, f}, 1, &y, NULL));
    must(tn_graph_output(g, y, "y"));
    must(tn_graph_save(g, at("model.tenon"), NULL));
    tn_graph_destroy(g);
    tn_store_put_options o = {.struct_size = sizeof o, .name = "press", .version = version};
    must(tn_store_put(s, at("model.tenon"), &o, NULL));
}

/* ---- requests ---- */

static tn_subscription *subscription;
static float input[ROWS * WIDTH], expected[VERSIONS][ROWS * WIDTH];
static atomic_int changing; /* whether the window is one with changes */
static atomic_bool stop;

typedef struct asker {
    pthread_t thread;
    unsigned count[2][BUCKETS]; /* by microseconds; without and with changes */
    double slowest[2];
    long failed, mixed;
} asker;

static void ask(asker *a, tn_tensor *x) {
    tn_lease lease;
    const tn_tensor *y;
    if (tn_subscription_acquire(subscription, &lease) != TN_OK) {
        a->failed++;
        return;
    }
    bool good = tn_session_set_input(lease.session, 0, x) == TN_OK && tn_session_run(lease.session) == TN_OK &&
                tn_session_output(lease.session, 0, &y) == TN_OK;
    a->failed += !good;
    if (good && memcmp(tn_tensor_const_data(y), expected[lease.version.version[0] - '1'], sizeof expected[0]) != 0)
        a->mixed++;
    tn_subscription_release(subscription, &lease, !good);
}

static void *work(void *context) {
    asker *a = context;
    tn_tensor *x;
    must(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){ROWS, WIDTH}, NULL, input, sizeof input, &x));
    while (!atomic_load(&stop)) {
        int window = atomic_load(&changing);
        double start = now();
        ask(a, x);
        double seconds = now() - start;
        if (window != atomic_load(&changing)) continue; /* it belongs to neither */
        if (seconds > a->slowest[window]) a->slowest[window] = seconds;
        size_t bucket = (size_t)(seconds * 1e6);
        a->count[window][bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    }
    tn_tensor_destroy(x);
    return NULL;
}

static void answer_of(float *y, const char *version) {
    tn_lease lease;
    tn_tensor *x;
    const tn_tensor *out;
    must(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){ROWS, WIDTH}, NULL, input, sizeof input, &x));
    must(tn_subscription_follow(subscription, version));
    must(tn_subscription_poll(subscription, NULL));
    must(tn_subscription_acquire(subscription, &lease));
    must(tn_session_set_input(lease.session, 0, x));
    must(tn_session_run(lease.session));
    must(tn_session_output(lease.session, 0, &out));
    memcpy(y, tn_tensor_const_data(out), sizeof expected[0]);
    tn_subscription_release(subscription, &lease, false);
    tn_tensor_destroy(x);
}

/* ---- changes ---- */

static long resident_kilobytes(void) {
    long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &size, &pages) != 2) exit(1);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void report(asker *askers, int threads) {
    static const char *const names[] = {"without changes", "with changes"};
    double slowest[2] = {0, 0};
    for (int w = 0; w < 2; w++) {
        long all = 0, seen = 0, median = -1, high = -1;
        for (int t = 0; t < threads; t++) {
            if (askers[t].slowest[w] > slowest[w]) slowest[w] = askers[t].slowest[w];
            for (size_t b = 0; b < BUCKETS; b++) all += askers[t].count[w][b];
        }
        for (long b = 0; b < BUCKETS && high < 0; b++) {
            for (int t = 0; t < threads; t++) seen += askers[t].count[w][b];
            if (median < 0 && 2 * seen >= all) median = b;
            if (1000 * seen >= 999 * all) high = b;
        }
        printf("%-16s %8ld requests: median %.3f ms, 99.9 %% %.3f ms, slowest %.3f ms\n", names[w], all,
               (double)median * 1e-3, (double)high * 1e-3, slowest[w] * 1e3);
    }
    printf("the slowest with changes took %.2f times as long as the slowest without\n", slowest[1] / slowest[0]);
}

static void change(int changes) {
    static const char *const references[] = {"press:1.0.0", "press:2.0.0", "press:3.0.0"};
    long early = 0;
    int done = 0;
    double loading = 0;
    for (int window = 0; window < WINDOWS; window++) {
        double start = now();
        atomic_store(&changing, 1);
        for (; done < changes * (window + 1) / WINDOWS; done++) {
            bool changed = false;
            must(tn_subscription_follow(subscription, references[done % VERSIONS]));
            must(tn_subscription_poll(subscription, &changed));
            if (!changed) exit(1);
        }
        double seconds = now() - start;
        loading += seconds;
        atomic_store(&changing, 0);
        if (window == WINDOWS / 5) early = resident_kilobytes();
        usleep((useconds_t)(seconds * 1e6));
    }
    printf("%d changes, %.1f ms each; resident memory %ld kB after a fifth of them, %ld kB at the end\n", done,
           1e3 * loading / done, early, resident_kilobytes());
}

static void clean(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) fprintf(stderr, "%s stays\n", folder);
}

int main(int argc, char **argv) {
    static asker askers[MOST_THREADS];
    int threads = 4, niceness = 10, option;
    while ((option = getopt(argc, argv, "t:n:")) > 0) {
        if (option == 't') threads = atoi(optarg);
        if (option == 'n') niceness = atoi(optarg);
    }
    int changes = optind < argc ? atoi(argv[optind]) : 1000;
    if (threads < 1 || threads > MOST_THREADS || changes < WINDOWS || !mkdtemp(folder)) {
        fprintf(stderr, "usage: swap [-t THREADS] [-n NICENESS] [CHANGES]\n");
        return 2;
    }
    atexit(clean);
    tn_store *s;
    must(tn_store_create(at("s")));
    must(tn_store_open(at("s"), &s));
    put_version(s, "1.0.0", 1);
    put_version(s, "2.0.0", 2);
    put_version(s, "3.0.0", 4);
    tn_store_close(s);
    fill(input, ROWS * WIDTH, 1);
    tn_subscription_options o = {.struct_size = sizeof o, .sessions = threads};
    must(tn_subscription_open(at("s"), "press:3.0.0", &o, &subscription));
    answer_of(expected[1], "press:2.0.0");
    answer_of(expected[0], "press:1.0.0");
    answer_of(expected[2], "press:3.0.0");
    for (int t = 0; t < threads; t++)
        if (pthread_create(&askers[t].thread, NULL, work, &askers[t]) != 0) return 1;
    if (setpriority(PRIO_PROCESS, (id_t)gettid(), niceness) != 0) perror("setpriority");
    change(changes);
    atomic_store(&stop, true);
    long failed = 0, mixed = 0;
    for (int t = 0; t < threads; t++) {
        pthread_join(askers[t].thread, NULL);
        failed += askers[t].failed;
        mixed += askers[t].mixed;
    }
    report(askers, threads);
    printf("%ld requests failed, %ld answers were not their version's\n", failed, mixed);
    tn_subscription_close(subscription);
    return failed || mixed;
}
