/* Samples per second of training steps, for a few small networks.
 *
 *     train NETWORK BATCH THREADS SECONDS [shared]
 *
 * Prints the median over steps and the most memory that the process had. shared: of the process's own processor time, for
 * one thread on a machine that others use too. The data are noise: only time is looked at.
 * train.py has the same networks in PyTorch, and runs both in turns. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <tenon/tenon.h>
#include "base/base.h"

static void must(tn_status status) {
    if (status == TN_OK) return;
    fprintf(stderr, "train: %s\n", tn_last_error());
    exit(1);
}

static clockid_t clock_used = CLOCK_MONOTONIC;

static double now(void) {
    struct timespec t;
    clock_gettime(clock_used, &t);
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

/* kernel [0] by [1] of 2 axes, [0] of 1; `same` padding. */
static int conv_of(tn_graph *g, int x, int spatial, int64_t from, int64_t to, const int64_t *kernel, int64_t stride,
                   int64_t group, bool biased) {
    int64_t dims[4] = {to, from / group, kernel[0], kernel[1]}, strides[2] = {stride, stride};
    int64_t pads[4] = {kernel[0] / 2, kernel[1] / 2, kernel[0] / 2, kernel[1] / 2};
    if (spatial == 2 && kernel[0] % 2 == 0) pads[2] = pads[0] - 1, pads[3] = pads[1] - 1;
    if (spatial == 1) pads[1] = pads[0];
    int in[] = {x, weight(g, 2 + spatial, dims), biased ? weight(g, 1, &to) : -1}, y;
    const size_t n = (size_t)spatial;
    const tn_attribute attributes[] = {{.name = "pads", .kind = TN_ATTR_INTS, .count = 2 * n, .ints = pads},
                                       {.name = "strides", .kind = TN_ATTR_INTS, .count = n, .ints = strides},
                                       {.name = "group", .kind = TN_ATTR_INT, .i = group},
                                       {0}};
    must(tn_graph_node(g, "Conv", NULL, biased ? 3 : 2, in, 1, &y, attributes));
    return y;
}

static int conv(tn_graph *g, int x, int spatial, int64_t from, int64_t to, int64_t kernel) {
    return one(g, "Relu", conv_of(g, x, spatial, from, to, (int64_t[]){kernel, kernel}, 1, 1, true));
}

static int filled(tn_graph *g, int64_t n, float x) {
    tn_tensor *t = noise(1, &n, 0);
    int value;
    for (int64_t i = 0; i < n; i++) ((float *)tn_tensor_data(t))[i] = x;
    must(tn_graph_constant(g, "n", t, &value));
    tn_tensor_destroy(t);
    return value;
}

static int batch_norm(tn_graph *g, int x, int64_t n) {
    int in[] = {x, filled(g, n, 1), filled(g, n, 0), filled(g, n, 0), filled(g, n, 1)}, y;
    must(tn_graph_node(g, "BatchNormalization", NULL, 5, in, 1, &y, NULL));
    return y;
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

static int dscnn(tn_graph *g, int x) {
    x = one(g, "Relu", batch_norm(g, conv_of(g, x, 2, 1, 64, (int64_t[]){10, 4}, 2, 1, false), 64));
    for (int i = 0; i < 4; i++) {
        x = one(g, "Relu", batch_norm(g, conv_of(g, x, 2, 64, 64, (int64_t[]){3, 3}, 1, 64, false), 64));
        x = one(g, "Relu", batch_norm(g, conv_of(g, x, 2, 64, 64, (int64_t[]){1, 1}, 1, 1, false), 64));
    }
    return dense(g, one(g, "Flatten", one(g, "GlobalAveragePool", x)), 64, 12);
}
static int resnet20(tn_graph *g, int x) {
    const int64_t three[] = {3, 3}, single[] = {1, 1};
    x = one(g, "Relu", batch_norm(g, conv_of(g, x, 2, 3, 16, three, 1, 1, false), 16));
    int64_t from = 16;
    for (int stage = 0; stage < 3; stage++)
        for (int block = 0; block < 3; block++) {
            int64_t to = 16 << stage, stride = block == 0 && stage ? 2 : 1;
            int y = one(g, "Relu", batch_norm(g, conv_of(g, x, 2, from, to, three, stride, 1, false), to)), in[2];
            in[0] = batch_norm(g, conv_of(g, y, 2, to, to, three, 1, 1, false), to);
            in[1] = stride == 1 ? x : batch_norm(g, conv_of(g, x, 2, from, to, single, stride, 1, false), to);
            must(tn_graph_node(g, "Add", NULL, 2, in, 1, &x, NULL));
            x = one(g, "Relu", x);
            from = to;
        }
    return dense(g, one(g, "Flatten", one(g, "GlobalAveragePool", x)), 64, 10);
}
static int lstm(tn_graph *g, int x) {
    int in[] = {x, weight(g, 3, (int64_t[]){1, 256, 8}), weight(g, 3, (int64_t[]){1, 256, 64}),
                weight(g, 2, (int64_t[]){1, 512})},
        out[2];
    const tn_attribute sized[] = {{.name = "hidden_size", .kind = TN_ATTR_INT, .i = 64}, {0}};
    const tn_attribute first[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 2}, {0}};
    must(tn_graph_node(g, "LSTM", NULL, 4, in, 2, out, sized));
    must(tn_graph_node(g, "Flatten", NULL, 1, &out[1], 1, &x, first));
    return dense(g, x, 64, 6);
}

enum { TOKENS = 64, WIDTH = 64, HEADS = 4 };
static int mul(tn_graph *g, const char *op, int a, int b) {
    int y;
    must(tn_graph_node(g, op, NULL, 2, (int[]){a, b}, 1, &y, NULL));
    return y;
}
static int tokens(tn_graph *g, int x, int64_t from, int64_t to) {
    return mul(g, "Add", mul(g, "MatMul", x, weight(g, 2, (int64_t[]){from, to})), weight(g, 1, &to));
}
static int ints(tn_graph *g, int64_t n, const int64_t *values) {
    tn_tensor *t;
    int value;
    must(tn_tensor_create(TN_INT64, 1, &n, NULL, &t));
    memcpy(tn_tensor_data(t), values, (size_t)n * sizeof *values);
    must(tn_graph_constant(g, "shape", t, &value));
    tn_tensor_destroy(t);
    return value;
}
static int turned(tn_graph *g, int x, const int64_t *perm) {
    const tn_attribute a[] = {{.name = "perm", .kind = TN_ATTR_INTS, .count = 4, .ints = perm}, {0}};
    must(tn_graph_node(g, "Transpose", NULL, 1, &x, 1, &x, a));
    return x;
}
static int layer_norm(tn_graph *g, int x) {
    int in[] = {x, filled(g, WIDTH, 1), filled(g, WIDTH, 0)};
    must(tn_graph_node(g, "LayerNormalization", NULL, 3, in, 1, &x, NULL));
    return x;
}
/* The queries by 1 / sqrt(width of a head), which is no parameter. */
static int scaled(tn_graph *g, int x) {
    tn_tensor *t = noise(0, NULL, 0);
    int scale;
    *(float *)tn_tensor_data(t) = 0.25f;
    must(tn_graph_constant(g, "scale", t, &scale));
    tn_tensor_destroy(t);
    return mul(g, "Mul", x, scale);
}
static int attention(tn_graph *g, int x) {
    static const int64_t apart[] = {0, TOKENS, HEADS, WIDTH / HEADS}, joined[] = {0, TOKENS, WIDTH};
    static const int64_t heads[] = {0, 2, 1, 3}, keys[] = {0, 2, 3, 1};
    int part[3];
    for (int i = 0; i < 3; i++)
        part[i] = turned(g, mul(g, "Reshape", tokens(g, x, WIDTH, WIDTH), ints(g, 4, apart)), i == 1 ? keys : heads);
    int scores = one(g, "Softmax", mul(g, "MatMul", scaled(g, part[0]), part[1]));
    int seen = turned(g, mul(g, "MatMul", scores, part[2]), heads);
    return tokens(g, mul(g, "Reshape", seen, ints(g, 3, joined)), WIDTH, WIDTH);
}
static int transformer(tn_graph *g, int x) {
    for (int i = 0; i < 2; i++) {
        x = layer_norm(g, mul(g, "Add", x, attention(g, x)));
        int inner = one(g, "Relu", tokens(g, x, WIDTH, 4 * WIDTH));
        x = layer_norm(g, mul(g, "Add", x, tokens(g, inner, 4 * WIDTH, WIDTH)));
    }
    return dense(g, one(g, "Flatten", x), TOKENS * WIDTH, 10);
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
    {"cnn1d", 3, {0, 3, 128}, cnn1d, TN_LOSS_CROSS_ENTROPY, 6},
    {"lenet", 4, {0, 1, 28, 28}, lenet, TN_LOSS_CROSS_ENTROPY, 10},
    {"dscnn", 4, {0, 1, 49, 10}, dscnn, TN_LOSS_CROSS_ENTROPY, 12},
    {"resnet20", 4, {0, 3, 32, 32}, resnet20, TN_LOSS_CROSS_ENTROPY, 10},
    {"lstm", 3, {100, 0, 8}, lstm, TN_LOSS_CROSS_ENTROPY, 6},
    {"transformer", 3, {0, TOKENS, WIDTH}, transformer, TN_LOSS_CROSS_ENTROPY, 10},
};

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    size_t n = 0;
    const bool shared = argc == 6 && strcmp(argv[5], "shared") == 0, fits = argc == 5 || shared;
    while (fits && n < TN_COUNT(networks) && strcmp(networks[n].name, argv[1]) != 0) n++;
    if (!fits || n == TN_COUNT(networks)) {
        fprintf(stderr, "usage: %s NETWORK BATCH THREADS SECONDS [shared]; networks:", argv[0]);
        for (n = 0; n < TN_COUNT(networks); n++) fprintf(stderr, " %s", networks[n].name);
        fputc('\n', stderr);
        return 2;
    }
    if (shared) clock_used = CLOCK_PROCESS_CPUTIME_ID;
    int64_t dims[4], batch = atoi(argv[2]);
    memcpy(dims, networks[n].dims, sizeof dims);
    for (int i = 0; i < networks[n].rank; i++)
        if (dims[i] == 0) dims[i] = batch;
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
    /* At least three steps: the first, which gets the memory, is not the median. */
    for (double end = now() + atof(argv[4]); (now() < end || count < 3) && count < TN_COUNT(times);) {
        double start = now();
        must(tn_trainer_step(t, (const tn_tensor *const[]){in}, target, NULL));
        times[count++] = now() - start;
    }
    qsort(times, count, sizeof *times, by_size);
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("%s batch %d threads %s: %.0f samples/s, %.0f MB\n", argv[1], (int)batch, argv[3],
           (double)batch / times[count / 2], (double)used.ru_maxrss / 1024);
    tn_trainer_destroy(t);
    tn_tensor_destroy(in);
    tn_tensor_destroy(target);
    return 0;
}
