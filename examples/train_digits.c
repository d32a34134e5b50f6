/* Trains a small convolutional network on pictures of 8 x 8 pixels, one a line: 64 numbers and the digit that it shows.
 *
 *     train_digits train.csv test.csv [trained.onnx]
 *
 * The network is built by hand; Adam with a one-cycle schedule fits it, and the share of test pictures that it names
 * rightly is printed. tests/train/check.sh makes the files of scikit-learn's digits. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/tenon.h>

enum { SIDE = 8, PIXELS = SIDE * SIDE, CLASSES = 10, BATCH = 32, EPOCHS = 30 };

typedef struct {
    float *pixels; /* [count, 1, 8, 8], from 0 to 1 */
    int64_t *digits, count;
} pictures;

static void must(tn_status status) {
    if (status == TN_OK) return;
    fprintf(stderr, "train_digits: %s\n", tn_last_error());
    exit(1);
}

static void *memory(void *old, size_t size) {
    void *moved = realloc(old, size);
    if (moved) return moved;
    fputs("train_digits: out of memory\n", stderr);
    exit(1);
}

/* The same numbers in each run, on each machine. */
static uint32_t random_bits(void) {
    static uint64_t state = 42;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static pictures read_pictures(const char *path) {
    pictures p = {0};
    FILE *file = fopen(path, "r");
    double x;
    for (int64_t column = 0; file && fscanf(file, "%lf%*[,\n]", &x) == 1; column = (column + 1) % (PIXELS + 1)) {
        if (column == 0) {
            p.count++;
            p.pixels = memory(p.pixels, (size_t)p.count * PIXELS * sizeof *p.pixels);
            p.digits = memory(p.digits, (size_t)p.count * sizeof *p.digits);
        }
        if (column < PIXELS)
            p.pixels[(p.count - 1) * PIXELS + column] = (float)(x / 16);
        else
            p.digits[p.count - 1] = (int64_t)x;
    }
    if (file) fclose(file);
    if (p.count < 1) {
        fprintf(stderr, "train_digits: no pictures in '%s'\n", path);
        exit(1);
    }
    return p;
}

/* Weights as He et al. begin with: evenly spread, their variance 2 over the inputs of an output. */
static int weights(tn_graph *graph, const char *name, int rank, const int64_t *dims) {
    tn_tensor *tensor;
    int value;
    int64_t inputs = 1;
    must(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &tensor));
    for (int i = 1; i < rank; i++) inputs *= dims[i];
    float *data = tn_tensor_data(tensor), reach = rank > 1 ? sqrtf(6.0f / (float)inputs) : 0;
    for (int64_t i = 0; i < tn_tensor_count(tensor); i++)
        data[i] = reach * ((float)random_bits() / (float)(1u << 30) - 1);
    must(tn_graph_constant(graph, name, tensor, &value));
    tn_tensor_destroy(tensor);
    return value;
}

static int convolution(tn_graph *g, const char *name, int x, int64_t from, int64_t to) {
    char text[2][32];
    for (int i = 0; i < 2; i++) snprintf(text[i], sizeof text[i], "%s.%s", name, i ? "bias" : "weight");
    int in[] = {x, weights(g, text[0], 4, (int64_t[]){to, from, 3, 3}), weights(g, text[1], 1, &to)}, y;
    const tn_attribute around[] = {{.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = (int64_t[]){1, 1, 1, 1}},
                                   {0}};
    must(tn_graph_node(g, "Conv", name, 3, in, 1, &y, around));
    must(tn_graph_node(g, "Relu", NULL, 1, &y, 1, &y, NULL));
    return y;
}

static tn_graph *network(void) {
    tn_graph *g;
    int y;
    const tn_attribute halved[] = {
        {.name = "kernel_shape", .kind = TN_ATTR_INTS, .count = 2, .ints = (int64_t[]){2, 2}},
        {.name = "strides", .kind = TN_ATTR_INTS, .count = 2, .ints = (int64_t[]){2, 2}},
        {0}};
    const tn_attribute rows[] = {{.name = "transB", .kind = TN_ATTR_INT, .i = 1}, {0}};
    must(tn_graph_create(NULL, &g));
    must(tn_graph_input(g, "pixels", TN_FLOAT32, 4, (int64_t[]){tn_graph_symbol(g, "batch"), 1, SIDE, SIDE}, &y));
    y = convolution(g, "conv1", y, 1, 16);
    y = convolution(g, "conv2", y, 16, 32);
    must(tn_graph_node(g, "MaxPool", NULL, 1, &y, 1, &y, halved));
    must(tn_graph_node(g, "Flatten", NULL, 1, &y, 1, &y, NULL));
    int in[] = {y, weights(g, "dense.weight", 2, (int64_t[]){CLASSES, 32 * PIXELS / 4}),
                weights(g, "dense.bias", 1, (int64_t[]){CLASSES})};
    must(tn_graph_node(g, "Gemm", "dense", 3, in, 1, &y, rows));
    must(tn_graph_output(g, y, "scores"));
    return g;
}

/* Tensors of some of the pictures, on memory of the caller. */
typedef struct {
    float pixels[BATCH * PIXELS];
    int64_t digits[BATCH];
    tn_tensor *x, *y;
} batch;

static void take(batch *b, const pictures *p, const int64_t *order, int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        memcpy(b->pixels + i * PIXELS, p->pixels + order[first + i] * PIXELS, PIXELS * sizeof *b->pixels);
        b->digits[i] = p->digits[order[first + i]];
    }
    tn_tensor_destroy(b->x);
    tn_tensor_destroy(b->y);
    must(tn_tensor_wrap(TN_FLOAT32, 4, (int64_t[]){count, 1, SIDE, SIDE}, NULL, b->pixels, sizeof b->pixels, &b->x));
    must(tn_tensor_wrap(TN_INT64, 1, &count, NULL, b->digits, sizeof b->digits, &b->y));
}

static double accuracy(tn_trainer *trainer, const pictures *p, batch *b) {
    int64_t order[BATCH], right = 0;
    const tn_tensor *scores;
    for (int64_t first = 0; first < p->count; first += BATCH) {
        int64_t count = p->count - first < BATCH ? p->count - first : BATCH;
        for (int64_t i = 0; i < count; i++) order[i] = first + i;
        take(b, p, order, 0, count);
        must(tn_trainer_predict(trainer, (const tn_tensor *const[]){b->x}, &scores));
        const float *row = tn_tensor_const_data(scores);
        for (int64_t i = 0; i < count; i++, row += CLASSES) {
            int best = 0;
            for (int c = 1; c < CLASSES; c++)
                if (row[c] > row[best]) best = c;
            right += best == b->digits[i];
        }
    }
    return (double)right / (double)p->count;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s train.csv test.csv [trained.onnx]\n", argv[0]);
        return 2;
    }
    static batch b;
    pictures train = read_pictures(argv[1]), test = read_pictures(argv[2]);
    int64_t steps = train.count / BATCH, *order = memory(NULL, (size_t)train.count * sizeof *order);
    tn_trainer_options options = {
        .struct_size = sizeof options,
        .loss = TN_LOSS_CROSS_ENTROPY,
        .optimizer = {.kind = TN_ADAMW, .rate = 4e-3, .weight_decay = 0.01},
        .schedule = {.kind = TN_SCHEDULE_ONE_CYCLE, .total = EPOCHS * steps},
    };
    tn_trainer *trainer;
    must(tn_trainer_create(network(), &options, &trainer));
    for (int64_t i = 0; i < train.count; i++) order[i] = i;
    for (int epoch = 1; epoch <= EPOCHS; epoch++) {
        double sum = 0, loss;
        for (int64_t i = train.count - 1; i > 0; i--) { /* Fisher and Yates */
            int64_t k = random_bits() % (i + 1), moved = order[i];
            order[i] = order[k];
            order[k] = moved;
        }
        for (int64_t s = 0; s < steps; s++) {
            take(&b, &train, order, s * BATCH, BATCH);
            must(tn_trainer_step(trainer, (const tn_tensor *const[]){b.x}, b.y, &loss));
            sum += loss;
        }
        if (epoch % 5 == 0) printf("epoch %d: loss %.4f\n", epoch, sum / (double)steps);
    }
    printf("accuracy %.4f\n", accuracy(trainer, &test, &b));
    if (argc > 3) {
        tn_graph *graph;
        must(tn_trainer_export(trainer, &graph));
        must(tn_graph_save_onnx(graph, argv[3], NULL));
        tn_graph_destroy(graph);
    }
    tn_trainer_destroy(trainer);
    tn_tensor_destroy(b.x);
    tn_tensor_destroy(b.y);
    free(train.pixels);
    free(train.digits);
    free(test.pixels);
    free(test.digits);
    free(order);
    return 0;
}
