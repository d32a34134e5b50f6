/* Sparse weights, and weights of few values, against dense ones, all by Tenon on one thread: milliseconds of a product
 * [m, k] x [k, n].
 *
 *     build/tests/bench/sparse
 *
 * The patterns are those of tn_graph_prune: zeros anywhere, blocks of 4 outputs by 1 input, and 2 of 4; the values are as
 * tn_graph_cluster leaves them, with codes of 4 and of 8 bits. */
#include <stdio.h>
#include <stdlib.h>
#include <tenon/tenon.h>
#include <time.h>

static const struct {
    int m, k, n;
} shapes[] = {{128, 384, 1536}, {128, 1536, 384}, {512, 1024, 1024}, {256, 768, 768},
              {1, 1024, 1024},  {1, 4096, 4096},  {8, 2048, 2048}};
static const struct {
    const char *name;
    double sparsity;
    tn_prune_pattern pattern;
    uint32_t values; /* 0: any */
} rows[] = {{"dense", 0, TN_PRUNE_ANYWHERE, 0},
            {"80 % in blocks of 4", 0.8, TN_PRUNE_BLOCKS, 0},
            {"90 % in blocks of 4", 0.9, TN_PRUNE_BLOCKS, 0},
            {"80 % anywhere", 0.8, TN_PRUNE_ANYWHERE, 0},
            {"90 % anywhere", 0.9, TN_PRUNE_ANYWHERE, 0},
            {"95 % anywhere", 0.95, TN_PRUNE_ANYWHERE, 0},
            {"2 of 4", 0.5, TN_PRUNE_N_OF_M, 0},
            {"16 values", 0, TN_PRUNE_ANYWHERE, 16},
            {"256 values", 0, TN_PRUNE_ANYWHERE, 256}};

static void must(tn_status status) {
    if (status == TN_OK) return;
    fprintf(stderr, "sparse: %s\n", tn_last_error());
    exit(1);
}

static tn_tensor *random_matrix(int64_t rows_of, int64_t columns, uint32_t values) {
    tn_tensor *t;
    static uint32_t seed = 5;
    must(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){rows_of, columns}, NULL, &t));
    for (int64_t i = 0; i < rows_of * columns; i++) {
        uint32_t bits = (seed = seed * 1664525 + 1013904223) >> 8 & 0xffff;
        if (values) bits = bits % values * (65536 / values) + 77;
        ((float *)tn_tensor_data(t))[i] = (float)bits / 32768 - 1;
    }
    return t;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static double measure(int shape, int row) {
    const int64_t m = shapes[shape].m, k = shapes[shape].k, n = shapes[shape].n;
    tn_graph *g;
    tn_model *model;
    tn_session *session;
    int x, w, y;
    double least = 1e9;
    tn_tensor *weights = random_matrix(k, n, rows[row].values), *in = random_matrix(m, k, 0);
    must(tn_graph_create(NULL, &g));
    must(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){m, k}, &x));
    must(tn_graph_constant(g, "w", weights, &w));
    must(tn_graph_node(g, "MatMul", NULL, 2, (int[]){x, w}, 1, &y, NULL));
    must(tn_graph_output(g, y, "y"));
    tn_prune_options o = {.struct_size = sizeof o, .sparsity = rows[row].sparsity, .pattern = rows[row].pattern};
    if (o.sparsity > 0) must(tn_graph_prune(g, &o, NULL));
    must(tn_model_from_graph(g, NULL, &model));
    must(tn_session_create(model, NULL, &session));
    must(tn_session_set_input(session, 0, in));
    const double flops = 2.0 * (double)m * (double)k * (double)n;
    for (int turn = 0; turn < 12; turn++) {
        const int runs = 1 + (int)(1e8 / flops);
        double from = now();
        for (int i = 0; i < runs; i++) must(tn_session_run(session));
        double each = (now() - from) / runs;
        least = each < least ? each : least;
    }
    tn_session_destroy(session);
    tn_model_destroy(model);
    tn_tensor_destroy(weights);
    tn_tensor_destroy(in);
    return least;
}

int main(void) {
    for (int s = 0; s < (int)(sizeof shapes / sizeof shapes[0]); s++) {
        double dense = 0;
        printf("%d x %d x %d\n", shapes[s].m, shapes[s].k, shapes[s].n);
        for (int r = 0; r < (int)(sizeof rows / sizeof rows[0]); r++) {
            if (shapes[s].m < 32 && rows[r].sparsity > 0) continue; /* zeros are left out of many rows only */
            double ms = measure(s, r);
            if (r == 0) dense = ms;
            printf("    %-20s %8.3f ms  %5.2f times as fast as dense\n", rows[r].name, ms, dense / ms);
        }
    }
    return 0;
}
