/* "Deep Compression" (Han, Mao, Dally, 2015) from end to end: trains a network on square pictures, prunes it while it goes on
 * training, lets its weights share values, trains those, and deflates the file.
 *
 *     deep_compression mlp|cnn train.csv test.csv plain.onnx small.tenon [sparsity [bits [epochs]]]
 *
 * A line of the files is a picture's pixels, from 0 to the largest there is, and the digit that it shows. Prints the accuracy
 * after each stage, and the files' sizes. tests/compress/digits.py runs it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tenon/tenon.h>

enum { CLASSES = 10, BATCH = 32, MOST = 1024 };

typedef struct {
    float *pixels; /* [count, side x side], from 0 to 1 */
    int64_t *digits, count, side;
} pictures;

static void must(tn_status status) {
    if (status == TN_OK) return;
    fprintf(stderr, "deep_compression: %s\n", tn_last_error());
    exit(1);
}

static void *memory(void *old, size_t size) {
    void *moved = realloc(old, size);
    if (moved) return moved;
    fputs("deep_compression: out of memory\n", stderr);
    exit(1);
}

static uint32_t random_bits(void) { /* the same numbers in each run */
    static uint64_t state = 42;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static pictures read_pictures(const char *path) {
    tn_table *table;
    pictures p = {0};
    double most = 0;
    must(tn_table_read(path, &(tn_csv_options){.struct_size = sizeof(tn_csv_options), .no_header = true}, &table));
    const int64_t columns = tn_table_column_count(table), pixels = columns - 1;
    while (p.side * p.side < pixels) p.side++;
    p.count = tn_table_rows(table);
    if (pixels < 1 || pixels > MOST || p.side * p.side != pixels || p.count < BATCH) {
        fprintf(stderr,
                "deep_compression: '%s' has %lld lines of %lld pixels; expected square pictures of at most %d\n", path,
                (long long)p.count, (long long)pixels, MOST);
        exit(1);
    }
    p.pixels = memory(NULL, (size_t)(p.count * pixels) * sizeof *p.pixels);
    p.digits = memory(NULL, (size_t)p.count * sizeof *p.digits);
    for (int c = 0; c < (int)columns; c++) {
        const double *numbers = tn_table_numbers(table, c);
        for (int64_t i = 0; i < p.count; i++) {
            if (c < (int)pixels && numbers[i] > most) most = numbers[i];
            if (c < (int)pixels)
                p.pixels[i * pixels + c] = (float)numbers[i];
            else
                p.digits[i] = (int64_t)numbers[i];
        }
    }
    for (int64_t i = 0; i < p.count * pixels; i++) p.pixels[i] /= (float)most;
    tn_table_destroy(table);
    return p;
}

/* ---- two networks ---- */

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

static int dense(tn_graph *g, const char *name, int x, int64_t from, int64_t to) {
    char text[2][32];
    for (int i = 0; i < 2; i++) snprintf(text[i], sizeof text[i], "%s.%s", name, i ? "bias" : "weight");
    int in[] = {x, weights(g, text[0], 2, (int64_t[]){to, from}), weights(g, text[1], 1, &to)}, y;
    const tn_attribute rows[] = {{.name = "transB", .kind = TN_ATTR_INT, .i = 1}, {0}};
    must(tn_graph_node(g, "Gemm", name, 3, in, 1, &y, rows));
    return y;
}

static int convolution(tn_graph *g, const char *name, int x, int64_t from, int64_t to) {
    char text[2][32];
    for (int i = 0; i < 2; i++) snprintf(text[i], sizeof text[i], "%s.%s", name, i ? "bias" : "weight");
    int in[] = {x, weights(g, text[0], 4, (int64_t[]){to, from, 3, 3}), weights(g, text[1], 1, &to)}, y;
    const tn_attribute around[] = {{.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = (int64_t[]){1, 1, 1, 1}},
                                   {0}};
    const tn_attribute halved[] = {
        {.name = "kernel_shape", .kind = TN_ATTR_INTS, .count = 2, .ints = (int64_t[]){2, 2}},
        {.name = "strides", .kind = TN_ATTR_INTS, .count = 2, .ints = (int64_t[]){2, 2}},
        {0}};
    must(tn_graph_node(g, "Conv", name, 3, in, 1, &y, around));
    must(tn_graph_node(g, "Relu", NULL, 1, &y, 1, &y, NULL));
    must(tn_graph_node(g, "MaxPool", NULL, 1, &y, 1, &y, halved));
    return y;
}

/* The multilayer perceptron is LeNet-300-100; the other one has two convolutions and two dense layers. */
static tn_graph *network(bool cnn, int64_t side) {
    tn_graph *g;
    int y;
    int64_t wide = side * side;
    must(tn_graph_create(NULL, &g));
    must(tn_graph_input(g, "pixels", TN_FLOAT32, 4, (int64_t[]){tn_graph_symbol(g, "batch"), 1, side, side}, &y));
    if (cnn) {
        y = convolution(g, "conv1", y, 1, 16);
        y = convolution(g, "conv2", y, 16, 32);
        wide = 32 * (side / 4) * (side / 4);
    }
    must(tn_graph_node(g, "Flatten", NULL, 1, &y, 1, &y, NULL));
    y = dense(g, "dense1", y, wide, cnn ? 256 : 300);
    must(tn_graph_node(g, "Relu", NULL, 1, &y, 1, &y, NULL));
    if (!cnn) {
        y = dense(g, "dense2", y, 300, 100);
        must(tn_graph_node(g, "Relu", NULL, 1, &y, 1, &y, NULL));
    }
    y = dense(g, "scores", y, cnn ? 256 : 100, CLASSES);
    must(tn_graph_output(g, y, "scores"));
    return g;
}

/* ---- training ---- */

typedef struct {
    float pixels[BATCH * MOST];
    int64_t digits[BATCH];
    tn_tensor *x, *y;
} batch;

static void take(batch *b, const pictures *p, const int64_t *order, int64_t first, int64_t count) {
    const int64_t pixels = p->side * p->side;
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = order ? order[first + i] : first + i;
        memcpy(b->pixels + i * pixels, p->pixels + at * pixels, (size_t)pixels * sizeof *b->pixels);
        b->digits[i] = p->digits[at];
    }
    tn_tensor_destroy(b->x);
    tn_tensor_destroy(b->y);
    must(tn_tensor_wrap(TN_FLOAT32, 4, (int64_t[]){count, 1, p->side, p->side}, NULL, b->pixels, sizeof b->pixels,
                        &b->x));
    must(tn_tensor_wrap(TN_INT64, 1, &count, NULL, b->digits, sizeof b->digits, &b->y));
}

/* Takes the graph over; returns it trained. */
static tn_graph *train(tn_graph *graph, const pictures *p, int epochs, double rate) {
    static batch b;
    const int64_t steps = p->count / BATCH;
    int64_t *order = memory(NULL, (size_t)p->count * sizeof *order);
    tn_trainer_options options = {.struct_size = sizeof options,
                                  .loss = TN_LOSS_CROSS_ENTROPY,
                                  .optimizer = {.kind = TN_ADAM, .rate = rate},
                                  .schedule = {.kind = TN_SCHEDULE_COSINE, .period = epochs * steps},
                                  .freeze = "mask.*",
                                  .threads = 2};
    tn_trainer *trainer;
    tn_graph *trained;
    must(tn_trainer_create(graph, &options, &trainer));
    for (int64_t i = 0; i < p->count; i++) order[i] = i;
    for (int epoch = 0; epoch < epochs; epoch++) {
        for (int64_t i = p->count - 1; i > 0; i--) { /* Fisher and Yates */
            int64_t k = random_bits() % (i + 1), moved = order[i];
            order[i] = order[k];
            order[k] = moved;
        }
        for (int64_t s = 0; s < steps; s++) {
            take(&b, p, order, s * BATCH, BATCH);
            must(tn_trainer_step(trainer, (const tn_tensor *const[]){b.x}, b.y, NULL));
        }
    }
    must(tn_trainer_export(trainer, &trained));
    tn_trainer_destroy(trainer);
    free(order);
    return trained;
}

/* The share of pictures that the file's model names rightly. */
static double accuracy(const char *path, const pictures *p) {
    static batch b;
    tn_model *model;
    tn_session *session;
    const tn_tensor *scores;
    int64_t right = 0;
    must(tn_model_load(path, NULL, &model));
    must(tn_session_create(model, NULL, &session));
    for (int64_t first = 0; first < p->count; first += BATCH) {
        const int64_t count = p->count - first < BATCH ? p->count - first : BATCH;
        take(&b, p, NULL, first, count);
        must(tn_session_set_input(session, 0, b.x));
        must(tn_session_run(session));
        must(tn_session_output(session, 0, &scores));
        const float *row = tn_tensor_const_data(scores);
        for (int64_t i = 0; i < count; i++, row += CLASSES) {
            int best = 0;
            for (int c = 1; c < CLASSES; c++)
                if (row[c] > row[best]) best = c;
            right += best == b.digits[i];
        }
    }
    tn_session_destroy(session);
    tn_model_destroy(model);
    return (double)right / (double)p->count;
}

static void report(const char *stage, const char *path, const pictures *test) {
    struct stat status;
    if (stat(path, &status) != 0) status.st_size = 0;
    printf("%s: accuracy %.4f, %lld bytes\n", stage, accuracy(path, test), (long long)status.st_size);
}

int main(int argc, char **argv) {
    enum { TURNS = 6 }; /* from no zeros to all of them */
    if (argc < 6) {
        fprintf(stderr, "usage: %s mlp|cnn train.csv test.csv plain.onnx small.tenon [sparsity [bits [epochs]]]\n",
                argv[0]);
        return 2;
    }
    pictures learn = read_pictures(argv[2]), test = read_pictures(argv[3]);
    const double sparsity = argc > 6 ? atof(argv[6]) : 0.9;
    const int bits = argc > 7 ? atoi(argv[7]) : 4, epochs = argc > 8 ? atoi(argv[8]) : 20;
    const tn_model_file_options deflated = {.struct_size = sizeof deflated, .compress = true};
    tn_graph *graph = train(network(strcmp(argv[1], "cnn") == 0, learn.side), &learn, epochs, 2e-3);
    must(tn_graph_save_onnx(graph, argv[4], NULL));
    report("trained", argv[4], &test);
    for (int turn = 1; turn <= TURNS; turn++) {
        tn_prune_options prune = {.struct_size = sizeof prune, .keep = "scores,conv1"};
        prune.sparsity = tn_prune_schedule(0, sparsity, turn, TURNS);
        must(tn_graph_prune(graph, &prune, NULL));
        must(tn_graph_mask_zeros(graph));
        graph = train(graph, &learn, turn < TURNS ? (epochs + 4) / 5 : epochs, turn < TURNS ? 1e-3 : 2e-3);
        must(tn_graph_fold_masks(graph));
    }
    must(tn_graph_save(graph, argv[5], &deflated));
    report("pruned", argv[5], &test);
    must(tn_graph_cluster(graph, &(tn_cluster_options){.struct_size = sizeof(tn_cluster_options), .bits = bits}, NULL));
    graph = train(graph, &learn, (epochs + 4) / 5, 1e-4);
    must(tn_graph_save(graph, argv[5], &deflated));
    report("shared", argv[5], &test);
    tn_graph_destroy(graph);
    free(learn.pixels);
    free(learn.digits);
    free(test.pixels);
    free(test.digits);
    return 0;
}
