/* Samples per second of training steps, for a few small networks.
 *
 *     train NETWORK BATCH THREADS SECONDS     autoencoder, lenet or cnn1d
 *
 * Prints the median over steps. The data are noise: only time is looked at. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <tenon/tenon.h>
#include "base/base.h"

static void must(tn_status status) {
    if (status == TN_OK) return;
    fprintf(stderr, "train: %s\n", tn_last_error());
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static tn_tensor *noise(int rank, const int64_t *dims, float reach) {
    tn_tensor *t;
    must(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    for (int64_t i = 0; i < tn_tensor_count(t); i++)
        ((float *)tn_tensor_data(t))[i] = reach * ((float)rand() / (float)RAND_MAX * 2 - 1);
    return t;
}

static int weight(tn_graph *g, int rank, const int64_t *dims) {
    int64_t inputs = 1;
    int value;
    for (int i = 1; i < rank; i++) inputs *= dims[i];
    tn_tensor *t = noise(rank, dims, 1 / (float)inputs);
    must(tn_graph_constant(g, "w", t, &value));
    tn_tensor_destroy(t);
    return value;
}

static int dense(tn_graph *g, int x, int64_t from, int64_t to) {
    int in[] = {x, weight(g, 2, (int64_t[]){to, from}), weight(g, 1, &to)}, y;
    const tn_attribute turned[] = {{.name = "transB", .kind = TN_ATTR_INT, .i = 1}, {0}};
    must(tn_graph_node(g, "Gemm", NULL, 3, in, 1, &y, turned));
    return y;
}

static int one(tn_graph *g, const char *op, int x) {
    must(tn_graph_node(g, op, NULL, 1, &x, 1, &x, NULL));
    return x;
}

static int conv(tn_graph *g, int x, int spatial, int64_t from, int64_t to, int64_t kernel) {
    int64_t dims[4] = {to, from, kernel, kernel}, pads[4] = {kernel / 2, kernel / 2, kernel / 2, kernel / 2};
    int in[] = {x, weight(g, 2 + spatial, dims), weight(g, 1, &to)}, y;
    const tn_attribute padded[] = {{.name = "pads", .kind = TN_ATTR_INTS, .count = 2 * (size_t)spatial, .ints = pads},
                                   {0}};
    must(tn_graph_node(g, "Conv", NULL, 3, in, 1, &y, padded));
    return one(g, "Relu", y);
}

static int pool(tn_graph *g, int x, int spatial) {
    int64_t two[2] = {2, 2};
    const tn_attribute halved[] = {
        {.name = "kernel_shape", .kind = TN_ATTR_INTS, .count = (size_t)spatial, .ints = two},
        {.name = "strides", .kind = TN_ATTR_INTS, .count = (size_t)spatial, .ints = two},
        {0}};
    must(tn_graph_node(g, "MaxPool", NULL, 1, &x, 1, &x, halved));
    return x;
}

static int autoencoder(tn_graph *g, int x) {
    static const int64_t sizes[] = {640, 128, 8, 128, 640};
    for (int i = 0; i + 1 < 5; i++) {
        x = dense(g, x, sizes[i], sizes[i + 1]);
        if (i < 3) x = one(g, "Relu", x);
    }
    return x;
}
static int lenet(tn_graph *g, int x) {
    x = pool(g, conv(g, x, 2, 1, 6, 5), 2);
    x = pool(g, conv(g, x, 2, 6, 16, 5), 2);
    x = one(g, "Flatten", x);
    x = one(g, "Relu", dense(g, x, 784, 120));
    x = one(g, "Relu", dense(g, x, 120, 84));
    return dense(g, x, 84, 10);
}
static int cnn1d(tn_graph *g, int x) {
    x = pool(g, conv(g, x, 1, 3, 32, 7), 1);
    x = pool(g, conv(g, x, 1, 32, 64, 5), 1);
    x = conv(g, x, 1, 64, 64, 3);
    x = one(g, "Flatten", one(g, "GlobalAveragePool", x));
    return dense(g, x, 64, 6);
}

static const struct {
    const char *name;
    int rank;
    int64_t dims[4];
    int (*build)(tn_graph *g, int x);
    tn_loss loss;
    int64_t outputs;
} networks[] = {
    {"autoencoder", 2, {0, 640}, autoencoder, TN_LOSS_MSE, 640},
    {"lenet", 4, {0, 1, 28, 28}, lenet, TN_LOSS_CROSS_ENTROPY, 10},
    {"cnn1d", 3, {0, 3, 128}, cnn1d, TN_LOSS_CROSS_ENTROPY, 6},
};

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    size_t n = 0;
    while (argc == 5 && n < TN_COUNT(networks) && strcmp(networks[n].name, argv[1]) != 0) n++;
    if (argc != 5 || n == TN_COUNT(networks)) {
        fprintf(stderr, "usage: %s autoencoder|lenet|cnn1d BATCH THREADS SECONDS\n", argv[0]);
        return 2;
    }
    int64_t dims[4], batch = atoi(argv[2]);
    memcpy(dims, networks[n].dims, sizeof dims);
    dims[0] = batch;
    tn_graph *g;
    int x;
    must(tn_graph_create(NULL, &g));
    must(tn_graph_input(g, "x", TN_FLOAT32, networks[n].rank, dims, &x));
    must(tn_graph_output(g, networks[n].build(g, x), "y"));
    tn_trainer_options o = {
        .struct_size = sizeof o, .loss = networks[n].loss, .threads = atoi(argv[3]), .optimizer = {.kind = TN_ADAM}};
    tn_trainer *t;
    must(tn_trainer_create(g, &o, &t));
    tn_tensor *in = noise(networks[n].rank, dims, 1), *target = NULL;
    if (o.loss == TN_LOSS_MSE)
        target = noise(2, (int64_t[]){batch, networks[n].outputs}, 1);
    else
        must(tn_tensor_create(TN_INT64, 1, &batch, NULL, &target));
    static double times[100000];
    size_t count = 0;
    for (double end = now() + atof(argv[4]); now() < end && count < TN_COUNT(times);) {
        double start = now();
        must(tn_trainer_step(t, (const tn_tensor *const[]){in}, target, NULL));
        times[count++] = now() - start;
    }
    qsort(times, count, sizeof *times, by_size);
    printf("%s batch %d threads %s: %.0f samples/s\n", argv[1], (int)batch, argv[3], (double)batch / times[count / 2]);
    tn_trainer_destroy(t);
    tn_tensor_destroy(in);
    tn_tensor_destroy(target);
    return 0;
}
