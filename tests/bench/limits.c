/* How near to the machine's limits the products come.
 *
 *     build/tests/bench/limits [-s] [part of a section's name ...]      peaks memory float32 bfloat16 int8
 *
 * First what the machine can do: multiplications a second by instruction set, bytes a second by what holds them. Then
 * products of matrices whose right side is packed once, on one thread: their rate, their share of the peak, and OpenBLAS
 * on the same shapes where it is linked. What is compared takes turns, the peak too, since clocks and neighbours change;
 * each figure is the median of its turns. -s: fewer turns. */
#include "kernels/product.h"
#include "kernels/qgemm.h"
#include "peaks.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <tenon/tenon.h>
#include <time.h>
#if TN_WITH_OPENBLAS
#include <cblas.h>
void openblas_set_num_threads(int threads);
char *openblas_get_config(void);
#endif

enum { MOST_TURNS = 15, MOST_RUNNERS = 4 };
#define TURN_SECONDS 0.002

static int turns = MOST_TURNS;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct runner {
    void (*work)(void *context);
    void *context;
    double operations; /* a call */
    double rate;       /* out: of operations, in thousand millions a second */
} runner;

static void alternate(runner *runners, int count) {
    static double rates[MOST_RUNNERS][MOST_TURNS];
    for (int turn = -1; turn < turns; turn++)
        for (int r = 0; r < count; r++) {
            double start = now(), end;
            int calls = 0;
            do {
                runners[r].work(runners[r].context);
                calls++;
                end = now();
            } while (end - start < TURN_SECONDS);
            if (turn >= 0) rates[r][turn] = runners[r].operations * calls / (end - start) * 1e-9;
        }
    for (int r = 0; r < count; r++) {
        qsort(rates[r], (size_t)turns, sizeof **rates, compare);
        runners[r].rate = rates[r][turns / 2];
    }
}

/* The best of a list that this machine has; NULL if none. */
static const peak *best_peak(const peak *list, size_t count) {
    for (size_t i = count; i-- > 0;)
        if (tn_kernels_at(list[i].level)) return &list[i];
    return NULL;
}
#define BEST_PEAK(list) best_peak(list, TN_COUNT(list))

static void print_peaks(const char *type, const peak *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!tn_kernels_at(list[i].level)) continue;
        runner r = {list[i].work, NULL, list[i].operations, 0};
        alternate(&r, 1);
        printf("%-8s %-10s %-10s %8.1f GOP/s\n", type, tn_cpu_level_name(list[i].level), list[i].name, r.rate);
    }
}

static void peaks(void) {
    printf("\npeaks of one thread\n");
    print_peaks("float32", float_peaks, TN_COUNT(float_peaks));
    print_peaks("bfloat16", half_peaks, TN_COUNT(half_peaks));
    print_peaks("int8", byte_peaks, TN_COUNT(byte_peaks));
}

typedef struct block {
    char *data;
    size_t bytes, times;
} block;

static void read_block(void *context) {
    const block *b = context;
    for (size_t i = 0; i < b->times; i++) read_all(b->data, b->bytes, tn_kernels_best()->level);
}

static void memory(void) {
    static const size_t kib[] = {16, 32, 256, 1024, 4096, 16384, 131072};
    printf("\nmemory: bytes that one thread reads, by how many there are\n");
    for (size_t i = 0; i < TN_COUNT(kib); i++) {
        const size_t bytes = kib[i] << 10;
        /* Whole lines; and often enough that reading the clock takes no part of the time. */
        block b = {aligned_alloc(4096, bytes), bytes, TN_MAX(((size_t)4 << 20) / bytes, (size_t)1)};
        if (!b.data) continue;
        memset(b.data, 1, b.bytes);
        runner r = {read_block, &b, (double)b.bytes * (double)b.times, 0};
        alternate(&r, 1);
        printf("%8zu KiB %8.1f GB/s\n", kib[i], r.rate);
        free(b.data);
    }
}

static void must(tn_status status) {
    if (status == TN_OK) return;
    fprintf(stderr, "%s\n", tn_last_error());
    exit(1);
}

static tn_tensor *numbers(int64_t rows, int64_t columns) {
    tn_tensor *t;
    must(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){rows, columns}, NULL, &t));
    float *data = tn_tensor_data(t);
    for (int64_t i = 0; i < rows * columns; i++) data[i] = (float)(i * 7 % 17) / 16 - 0.5f;
    return t;
}

typedef struct matmul {
    size_t m, n, k;
    tn_tensor *a, *b;
    float *c; /* OpenBLAS's */
    tn_model *model;
    tn_session *session;
} matmul;

static void matmul_create(matmul *p, size_t m, size_t n, size_t k, tn_precision precision) {
    const tn_model_options options = {.struct_size = sizeof options, .precision = precision};
    tn_graph *graph;
    int in[2], out;
    *p = (matmul){.m = m, .n = n, .k = k, .c = malloc(m * n * sizeof *p->c)};
    p->a = numbers((int64_t)m, (int64_t)k);
    p->b = numbers((int64_t)k, (int64_t)n);
    must(tn_graph_create(NULL, &graph));
    must(tn_graph_input(graph, "a", TN_FLOAT32, 2, tn_tensor_dims(p->a), &in[0]));
    must(tn_graph_constant(graph, "b", p->b, &in[1]));
    must(tn_graph_node(graph, "MatMul", NULL, 2, in, 1, &out, NULL));
    must(tn_graph_output(graph, out, "c"));
    must(tn_model_from_graph(graph, &options, &p->model));
    must(tn_session_create(p->model, NULL, &p->session));
    must(tn_session_set_input(p->session, 0, p->a));
    must(tn_session_prepare(p->session));
}
static void matmul_destroy(matmul *p) {
    tn_session_destroy(p->session);
    tn_model_destroy(p->model);
    tn_tensor_destroy(p->a);
    tn_tensor_destroy(p->b);
    free(p->c);
}
static void matmul_run(void *context) {
    must(tn_session_run(((matmul *)context)->session));
}
#if TN_WITH_OPENBLAS
static void openblas_run(void *context) {
    const matmul *p = context;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)p->m, (int)p->n, (int)p->k, 1,
                tn_tensor_const_data(p->a), (int)p->k, tn_tensor_const_data(p->b), (int)p->n, 0, p->c, (int)p->n);
}
#endif

static const size_t large[][3] = {{512, 512, 512},  {768, 768, 768},  {1024, 1024, 1024}, {512, 2048, 2048},
                                  {128, 3072, 768}, {128, 768, 3072}, {196, 512, 4608},   {49, 2048, 512}};

/* One row; returns our rate over OpenBLAS's, 0 without it. */
static double float32_row(size_t m, size_t n, size_t k) {
    matmul p;
    matmul_create(&p, m, n, k, TN_PRECISION_FULL);
    const peak *top = BEST_PEAK(float_peaks);
    double operations = 2.0 * (double)m * (double)n * (double)k;
    runner r[3] = {{matmul_run, &p, operations, 0}};
    int count = 1, blas = 0, at_peak = 0;
#if TN_WITH_OPENBLAS
    blas = count;
    r[count++] = (runner){openblas_run, &p, operations, 0};
#endif
    if (top) at_peak = count, r[count++] = (runner){top->work, NULL, top->operations, 0};
    alternate(r, count);
    printf("%5zu x %4zu x %4zu %8.1f GFLOP/s", m, n, k, r[0].rate);
    if (at_peak) printf(", %5.1f %% of the peak", 100 * r[0].rate / r[at_peak].rate);
    if (blas) printf("; OpenBLAS %8.1f, ours is %5.2f times as fast", r[blas].rate, r[0].rate / r[blas].rate);
    printf("\n");
    fflush(stdout);
    matmul_destroy(&p);
    return blas ? r[0].rate / r[blas].rate : 0;
}

static void float32(void) {
    static const size_t heights[] = {1, 4, 16, 49, 196}, widths[] = {64, 256, 1024, 4096};
    printf("\nfloat32: MatMul of m x n x k, weights on the right packed once, one thread\n");
    for (size_t i = 0; i < TN_COUNT(large); i++) float32_row(large[i][0], large[i][1], large[i][2]);
    for (size_t i = 0; i < TN_COUNT(heights); i++) {
        double product = 1, least = INFINITY;
        for (size_t j = 0; j < TN_COUNT(widths); j++)
            for (size_t l = 0; l < TN_COUNT(widths); l++) {
                double ratio = float32_row(heights[i], widths[j], widths[l]);
                product *= ratio;
                least = fmin(least, ratio);
            }
        double mean = pow(product, 1.0 / (double)(TN_COUNT(widths) * TN_COUNT(widths)));
        if (mean > 0)
            printf("m = %zu: %.2f times OpenBLAS on geometric average, at least %.2f\n", heights[i], mean, least);
    }
}

/* MatMul of TN_PRECISION_FAST beside that of full precision. */
static void half_precision(void) {
    const peak *top = BEST_PEAK(half_peaks);
    if (!top) return;
    printf("\nbfloat16: MatMul of m x n x k with TN_PRECISION_FAST, weights packed once, one thread\n");
    for (size_t i = 0; i < TN_COUNT(large); i++) {
        const size_t m = large[i][0], n = large[i][1], k = large[i][2];
        const double operations = 2.0 * (double)m * (double)n * (double)k;
        matmul fast, full;
        matmul_create(&fast, m, n, k, TN_PRECISION_FAST);
        matmul_create(&full, m, n, k, TN_PRECISION_FULL);
        runner r[3] = {{matmul_run, &fast, operations, 0},
                       {matmul_run, &full, operations, 0},
                       {top->work, NULL, top->operations, 0}};
        alternate(r, 3);
        printf("%5zu x %4zu x %4zu %8.1f GFLOP/s, %5.1f %% of %s's peak; %5.2f times as fast as float32\n", m, n, k,
               r[0].rate, 100 * r[0].rate / r[2].rate, top->name, r[0].rate / r[1].rate);
        fflush(stdout);
        matmul_destroy(&fast);
        matmul_destroy(&full);
    }
}

typedef struct byte_product {
    const tn_kernels *kernels;
    const tn_qgemm_layout *layout;
    size_t m, n, k, padded;
    void *a, *b;
    int32_t *c;
} byte_product;

/* Blocks as the operators make them: their sums stay in the nearest caches. */
static void byte_run(void *context) {
    enum { N_BLOCK = 128, M_BLOCK = 32 };
    const byte_product *p = context;
    for (size_t j = 0; j < p->n; j += N_BLOCK)
        for (size_t i = 0; i < p->m; i += M_BLOCK)
            p->kernels->qgemm_us(TN_MIN(p->m - i, (size_t)M_BLOCK), TN_MIN(p->n - j, (size_t)N_BLOCK), p->padded,
                                 (const char *)p->a + i * p->padded * (size_t)p->layout->a_size,
                                 (const char *)p->b + j * p->padded, tn_qgemm_order(p->layout, p->b, p->k, p->n, j),
                                 p->c, N_BLOCK, NULL, 0);
}

static void int8(void) {
    static const size_t shapes[][3] = {
        {512, 512, 512},  {1024, 1024, 1024}, {128, 3072, 768}, {64, 3136, 64},  {64, 3136, 576}, {256, 3136, 64},
        {128, 784, 1152}, {512, 196, 1024},   {256, 196, 2304}, {2048, 49, 512}, {512, 49, 4608}, {96, 12544, 16},
        {24, 3136, 96},   {1, 1024, 1024},    {4, 1024, 1024},  {8, 1024, 1024}, {16, 1024, 1024}};
    printf("\nint8: the kernel on m x n x k, both sides packed\n");
    for (size_t i = 0; i < TN_COUNT(byte_peaks); i++) {
        byte_product p = {.kernels = tn_kernels_at(byte_peaks[i].level)};
        if (!p.kernels) continue;
        for (size_t s = 0; s < TN_COUNT(shapes); s++) {
            p.m = shapes[s][0], p.n = shapes[s][1], p.k = shapes[s][2];
            p.layout = tn_qgemm_layout_of(p.kernels);
            p.padded = tn_qgemm_k(p.layout, p.k);
            p.a = aligned_alloc(64, (tn_qgemm_a_bytes(p.layout, p.m, p.k) + 63) & ~(size_t)63);
            p.b = aligned_alloc(64, (tn_qgemm_b_bytes(p.layout, p.k, p.n) + 63) & ~(size_t)63);
            p.c = calloc(32 * 128, sizeof *p.c);
            uint8_t *b = malloc(p.k * p.n);
            if (!p.a || !p.b || !p.c || !b) exit(1);
            memset(p.a, 3, tn_qgemm_a_bytes(p.layout, p.m, p.k));
            memset(b, 5, p.k * p.n);
            tn_qgemm_pack_b(p.layout, p.b, b, p.n, 1, p.k, p.n, true, 0, NULL);
            free(b);
            runner r[2] = {{byte_run, &p, 2.0 * (double)(p.m * p.n * p.k), 0},
                           {byte_peaks[i].work, NULL, byte_peaks[i].operations, 0}};
            alternate(r, 2);
            printf("%-8s %5zu x %5zu x %4zu %8.1f GOP/s, %5.1f %% of %s's peak\n",
                   tn_cpu_level_name(byte_peaks[i].level), p.m, p.n, p.k, r[0].rate, 100 * r[0].rate / r[1].rate,
                   byte_peaks[i].name);
            fflush(stdout);
            free(p.a), free(p.b), free(p.c);
        }
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} sections[] = {
    {"peaks", peaks}, {"memory", memory}, {"float32", float32}, {"bfloat16", half_precision}, {"int8", int8}};

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "-s") == 0) {
        turns = 5;
        argc--;
        argv++;
    }
    printf("Tenon %s at level %s", tn_version(), tn_cpu_level_name(tn_kernels_best()->level));
#if TN_WITH_OPENBLAS
    openblas_set_num_threads(1);
    printf("; %s", openblas_get_config());
#endif
    printf("\n");
    for (size_t i = 0; i < TN_COUNT(sections); i++) {
        bool wanted = argc == 1;
        for (int a = 1; a < argc; a++) wanted = wanted || strstr(sections[i].name, argv[a]);
        if (wanted) sections[i].run();
    }
    return 0;
}
