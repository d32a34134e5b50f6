/* How fast kernels and the operators on top of them are: GFLOP/s by level and shape.
 *
 *     build/tests/bench/kernels [-t threads] [part of a name ...]
 *
 * Each row is the median over turns of a few milliseconds. Operators run in a session, as a model's would. */
#include "kernels/product.h"
#include <stdio.h>
#include <stdlib.h>
#include <tenon/tenon.h>
#include <time.h>

#define TURNS 31
#define TURN_SECONDS 0.004

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median seconds of one call, and the least (what a busy machine disturbs less). */
static double measure(void (*work)(void *context), void *context, double *out_best) {
    double times[TURNS];
    for (int i = -1; i < TURNS; i++) {
        double start = now(), end;
        int calls = 0;
        do {
            work(context);
            calls++;
            end = now();
        } while (end - start < TURN_SECONDS);
        if (i >= 0) times[i] = (end - start) / calls;
    }
    qsort(times, TURNS, sizeof *times, compare);
    *out_best = times[0];
    return times[TURNS / 2];
}

static int name_count, threads = 1;
static char **names;

static bool wanted(const char *name) {
    for (int i = 0; i < name_count; i++)
        if (strstr(name, names[i])) return true;
    return name_count == 0;
}

static void report(const char *name, void (*work)(void *context), void *context, double operations) {
    double best, median = measure(work, context, &best);
    printf("%-58s %9.1f us %7.1f GFLOP/s; best %9.1f us %7.1f\n", name, median * 1e6, operations / median * 1e-9,
           best * 1e6, operations / best * 1e-9);
    fflush(stdout);
}

static float *numbers(size_t n) {
    float *x = tn_alloc(NULL, n * sizeof *x);
    for (size_t i = 0; x && i < n; i++) x[i] = (float)(i * 7 % 17) / 16 - 0.5f;
    return x;
}

typedef struct gemm_call {
    const tn_kernels *kernels;
    tn_gemm_f32 g;
} gemm_call;

static void run_gemm_at(void *context) {
    gemm_call *c = context;
    c->kernels->gemm_f32(&c->g);
}

static void bench_gemm(void) {
    static const size_t ks[] = {16, 64, 256, 1024};
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        gemm_call c = {.kernels = tn_kernels_at((tn_cpu_level)level)};
        if (!c.kernels) continue;
        size_t rows, columns, lanes;
        c.kernels->gemm_f32_tile(&rows, &columns, &lanes);
        for (size_t i = 0; i < TN_COUNT(ks); i++) {
            size_t k = ks[i], m = rows * 4;
            char name[100];
            snprintf(name, sizeof name, "gemm_f32 %s %zux%zu k=%zu", tn_cpu_level_name((tn_cpu_level)level), m, columns,
                     k);
            if (!wanted(name)) continue;
            float *a = numbers(m * k), *b = numbers(columns * k), *y = numbers(m * columns);
            c.g = (tn_gemm_f32){.m = m,
                                .n = columns,
                                .k = k,
                                .rows = rows,
                                .a = a,
                                .a_panel = rows * k,
                                .b = b,
                                .b_stride = columns,
                                .c = y,
                                .c_stride = columns,
                                .first = true,
                                .last = true};
            report(name, run_gemm_at, &c, 2.0 * (double)(m * columns * k));
            tn_free(NULL, a, 0), tn_free(NULL, b, 0), tn_free(NULL, y, 0);
        }
    }
}

static void run_session(void *context) {
    if (tn_session_run(context) != TN_OK) {
        fprintf(stderr, "%s\n", tn_last_error());
        exit(1);
    }
}

static tn_tensor *tensor(int rank, const int64_t *dims) {
    tn_tensor *t;
    if (tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t) != TN_OK) exit(1);
    float *data = tn_tensor_data(t);
    for (int64_t i = 0; i < tn_tensor_count(t); i++) data[i] = (float)(i * 7 % 17) / 16 - 0.5f;
    return t;
}

static void must(tn_status status) {
    if (status == TN_OK) return;
    fprintf(stderr, "%s\n", tn_last_error());
    exit(1);
}

/* One node with weights: inputs x and constants. */
static void bench_node(const char *name, const char *op, tn_tensor *x, int constants, tn_tensor *const *constant,
                       const tn_attribute *attributes, double operations) {
    tn_graph *graph;
    tn_model *model;
    tn_session *session;
    int in[4], out;
    tn_session_options options = {.struct_size = sizeof options, .threads = threads};
    must(tn_graph_create(NULL, &graph));
    must(tn_graph_input(graph, "x", TN_FLOAT32, tn_tensor_rank(x), tn_tensor_dims(x), &in[0]));
    for (int i = 0; i < constants; i++) must(tn_graph_constant(graph, "c", constant[i], &in[i + 1]));
    must(tn_graph_node(graph, op, NULL, constants + 1, in, 1, &out, attributes));
    must(tn_graph_output(graph, out, "y"));
    must(tn_model_from_graph(graph, NULL, &model));
    must(tn_session_create(model, &options, &session));
    must(tn_session_set_input(session, 0, x));
    report(name, run_session, session, operations);
    tn_session_destroy(session);
    tn_model_destroy(model);
    for (int i = 0; i < constants; i++) tn_tensor_destroy(constant[i]);
    tn_tensor_destroy(x);
}

typedef struct conv_shape {
    const char *network, *activation;
    int64_t channels, h, w, outputs, group, kernel[2], stride[2], pad[2];
} conv_shape;

static void bench_conv(void) {
    static const conv_shape shapes[] = {
        {"conv", "HardSwish", 3, 320, 320, 16, 1, {3, 3}, {2, 2}, {1, 1}},
        {"conv", "", 16, 160, 160, 16, 1, {1, 1}, {1, 1}, {0, 0}},
        {"conv", "Relu", 16, 160, 160, 64, 1, {1, 1}, {1, 1}, {0, 0}},
        {"conv", "", 96, 80, 80, 24, 1, {1, 1}, {1, 1}, {0, 0}},
        {"conv", "HardSwish", 40, 40, 40, 240, 1, {1, 1}, {1, 1}, {0, 0}},
        {"conv", "", 240, 40, 40, 40, 1, {1, 1}, {1, 1}, {0, 0}},
        {"conv", "HardSwish", 80, 20, 20, 480, 1, {1, 1}, {1, 1}, {0, 0}},
        {"conv", "", 480, 20, 20, 80, 1, {1, 1}, {1, 1}, {0, 0}},
        {"conv", "HardSwish", 160, 10, 10, 960, 1, {1, 1}, {1, 1}, {0, 0}},
        {"conv", "", 960, 1, 1, 240, 1, {1, 1}, {1, 1}, {0, 0}},
        {"conv", "Relu", 64, 160, 160, 64, 64, {3, 3}, {2, 2}, {1, 1}},
        {"conv", "Relu", 72, 80, 80, 72, 72, {3, 3}, {1, 1}, {1, 1}},
        {"conv", "HardSwish", 240, 40, 40, 240, 240, {5, 5}, {1, 1}, {2, 2}},
        {"conv", "HardSwish", 480, 20, 20, 480, 480, {5, 5}, {1, 1}, {2, 2}},
        {"conv", "HardSwish", 960, 10, 10, 960, 960, {5, 5}, {1, 1}, {2, 2}},
        {"conv", "", 96, 80, 80, 24, 1, {3, 3}, {1, 1}, {1, 1}},
        {"conv", "Relu", 64, 56, 56, 64, 1, {3, 3}, {1, 1}, {1, 1}},
        {"conv", "Relu", 256, 14, 14, 256, 1, {3, 3}, {1, 1}, {1, 1}},
        {"conv", "", 24, 80, 80, 24, 1, {9, 9}, {1, 1}, {4, 4}},
        {"conv", "", 16, 80, 80, 16, 1, {7, 7}, {1, 1}, {3, 3}},
        {"conv", "Relu", 3, 224, 224, 64, 1, {7, 7}, {2, 2}, {3, 3}},
        {"conv", "HardSwish", 120, 6, 80, 120, 120, {5, 5}, {1, 1}, {2, 2}},
        {"conv", "HardSwish", 120, 3, 80, 360, 1, {1, 1}, {1, 1}, {0, 0}},
        {"resnet50", "Relu", 3, 224, 224, 64, 1, {7, 7}, {2, 2}, {3, 3}},
        {"resnet50", "Relu", 64, 56, 56, 64, 1, {1, 1}, {1, 1}, {0, 0}},
        {"resnet50", "Relu", 64, 56, 56, 64, 1, {3, 3}, {1, 1}, {1, 1}},
        {"resnet50", "Relu", 64, 56, 56, 256, 1, {1, 1}, {1, 1}, {0, 0}},
        {"resnet50", "Relu", 256, 56, 56, 64, 1, {1, 1}, {1, 1}, {0, 0}},
        {"resnet50", "Relu", 256, 56, 56, 128, 1, {1, 1}, {1, 1}, {0, 0}},
        {"resnet50", "Relu", 128, 56, 56, 128, 1, {3, 3}, {2, 2}, {1, 1}},
        {"resnet50", "Relu", 256, 56, 56, 512, 1, {1, 1}, {2, 2}, {0, 0}},
        {"resnet50", "Relu", 512, 28, 28, 128, 1, {1, 1}, {1, 1}, {0, 0}},
        {"resnet50", "Relu", 128, 28, 28, 128, 1, {3, 3}, {1, 1}, {1, 1}},
        {"resnet50", "Relu", 128, 28, 28, 512, 1, {1, 1}, {1, 1}, {0, 0}},
        {"resnet50", "Relu", 512, 28, 28, 256, 1, {1, 1}, {1, 1}, {0, 0}},
        {"resnet50", "Relu", 256, 28, 28, 256, 1, {3, 3}, {2, 2}, {1, 1}},
        {"resnet50", "Relu", 512, 28, 28, 1024, 1, {1, 1}, {2, 2}, {0, 0}},
        {"resnet50", "Relu", 1024, 14, 14, 256, 1, {1, 1}, {1, 1}, {0, 0}},
        {"resnet50", "Relu", 256, 14, 14, 256, 1, {3, 3}, {1, 1}, {1, 1}},
        {"resnet50", "Relu", 256, 14, 14, 1024, 1, {1, 1}, {1, 1}, {0, 0}},
        {"resnet50", "Relu", 1024, 14, 14, 512, 1, {1, 1}, {1, 1}, {0, 0}},
        {"resnet50", "Relu", 512, 14, 14, 512, 1, {3, 3}, {2, 2}, {1, 1}},
        {"resnet50", "Relu", 1024, 14, 14, 2048, 1, {1, 1}, {2, 2}, {0, 0}},
        {"resnet50", "Relu", 2048, 7, 7, 512, 1, {1, 1}, {1, 1}, {0, 0}},
        {"resnet50", "Relu", 512, 7, 7, 512, 1, {3, 3}, {1, 1}, {1, 1}},
        {"resnet50", "Relu", 512, 7, 7, 2048, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "Clip", 3, 224, 224, 32, 1, {3, 3}, {2, 2}, {1, 1}},
        {"mobilenetv2", "Clip", 32, 112, 112, 32, 32, {3, 3}, {1, 1}, {1, 1}},
        {"mobilenetv2", "", 32, 112, 112, 16, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "Clip", 16, 112, 112, 96, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "Clip", 96, 112, 112, 96, 96, {3, 3}, {2, 2}, {1, 1}},
        {"mobilenetv2", "", 96, 56, 56, 24, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "Clip", 24, 56, 56, 144, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "Clip", 144, 56, 56, 144, 144, {3, 3}, {1, 1}, {1, 1}},
        {"mobilenetv2", "", 144, 56, 56, 24, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "Clip", 144, 56, 56, 144, 144, {3, 3}, {2, 2}, {1, 1}},
        {"mobilenetv2", "", 144, 28, 28, 32, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "Clip", 32, 28, 28, 192, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "Clip", 192, 28, 28, 192, 192, {3, 3}, {1, 1}, {1, 1}},
        {"mobilenetv2", "", 192, 28, 28, 32, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "Clip", 192, 28, 28, 192, 192, {3, 3}, {2, 2}, {1, 1}},
        {"mobilenetv2", "", 192, 14, 14, 64, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "Clip", 64, 14, 14, 384, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "Clip", 384, 14, 14, 384, 384, {3, 3}, {1, 1}, {1, 1}},
        {"mobilenetv2", "", 384, 14, 14, 64, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "", 384, 14, 14, 96, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "Clip", 96, 14, 14, 576, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "Clip", 576, 14, 14, 576, 576, {3, 3}, {1, 1}, {1, 1}},
        {"mobilenetv2", "", 576, 14, 14, 96, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "Clip", 576, 14, 14, 576, 576, {3, 3}, {2, 2}, {1, 1}},
        {"mobilenetv2", "", 576, 7, 7, 160, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "Clip", 160, 7, 7, 960, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "Clip", 960, 7, 7, 960, 960, {3, 3}, {1, 1}, {1, 1}},
        {"mobilenetv2", "", 960, 7, 7, 160, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "", 960, 7, 7, 320, 1, {1, 1}, {1, 1}, {0, 0}},
        {"mobilenetv2", "Clip", 320, 7, 7, 1280, 1, {1, 1}, {1, 1}, {0, 0}},
        {"yolov8n", "Swish", 3, 640, 640, 16, 1, {3, 3}, {2, 2}, {1, 1}},
        {"yolov8n", "Swish", 16, 320, 320, 32, 1, {3, 3}, {2, 2}, {1, 1}},
        {"yolov8n", "Swish", 32, 160, 160, 32, 1, {1, 1}, {1, 1}, {0, 0}},
        {"yolov8n", "Swish", 16, 160, 160, 16, 1, {3, 3}, {1, 1}, {1, 1}},
        {"yolov8n", "Swish", 48, 160, 160, 32, 1, {1, 1}, {1, 1}, {0, 0}},
        {"yolov8n", "Swish", 32, 160, 160, 64, 1, {3, 3}, {2, 2}, {1, 1}},
        {"yolov8n", "Swish", 64, 80, 80, 64, 1, {1, 1}, {1, 1}, {0, 0}},
        {"yolov8n", "Swish", 32, 80, 80, 32, 1, {3, 3}, {1, 1}, {1, 1}},
        {"yolov8n", "Swish", 128, 80, 80, 64, 1, {1, 1}, {1, 1}, {0, 0}},
        {"yolov8n", "Swish", 64, 80, 80, 128, 1, {3, 3}, {2, 2}, {1, 1}},
        {"yolov8n", "Swish", 128, 40, 40, 128, 1, {1, 1}, {1, 1}, {0, 0}},
        {"yolov8n", "Swish", 64, 40, 40, 64, 1, {3, 3}, {1, 1}, {1, 1}},
        {"yolov8n", "Swish", 256, 40, 40, 128, 1, {1, 1}, {1, 1}, {0, 0}},
        {"yolov8n", "Swish", 128, 40, 40, 256, 1, {3, 3}, {2, 2}, {1, 1}},
        {"yolov8n", "Swish", 256, 20, 20, 256, 1, {1, 1}, {1, 1}, {0, 0}},
        {"yolov8n", "Swish", 128, 20, 20, 128, 1, {3, 3}, {1, 1}, {1, 1}},
        {"yolov8n", "Swish", 384, 20, 20, 256, 1, {1, 1}, {1, 1}, {0, 0}},
        {"yolov8n", "Swish", 64, 80, 80, 64, 1, {3, 3}, {1, 1}, {1, 1}},
        {"yolov8n", "Swish", 64, 80, 80, 80, 1, {3, 3}, {1, 1}, {1, 1}},
        {"yolov8n", "Swish", 80, 80, 80, 80, 1, {3, 3}, {1, 1}, {1, 1}},
        {"yolov8n", "Swish", 80, 80, 80, 80, 1, {1, 1}, {1, 1}, {0, 0}},
        {"yolov8n", "Swish", 128, 40, 40, 64, 1, {3, 3}, {1, 1}, {1, 1}},
        {"yolov8n", "Swish", 128, 40, 40, 80, 1, {3, 3}, {1, 1}, {1, 1}},
        {"yolov8n", "Swish", 80, 40, 40, 80, 1, {3, 3}, {1, 1}, {1, 1}},
        {"yolov8n", "Swish", 256, 20, 20, 64, 1, {3, 3}, {1, 1}, {1, 1}},
        {"yolov8n", "Swish", 80, 20, 20, 80, 1, {3, 3}, {1, 1}, {1, 1}},
        {"yolov8n", "Swish", 64, 20, 20, 64, 1, {3, 3}, {1, 1}, {1, 1}},
    };
    for (size_t i = 0; i < TN_COUNT(shapes); i++) {
        const conv_shape *s = &shapes[i];
        char name[120];
        snprintf(name, sizeof name, "%s %dx%dx%d -> %d g%d k%dx%d s%d %s", s->network, (int)s->channels, (int)s->h,
                 (int)s->w, (int)s->outputs, (int)s->group, (int)s->kernel[0], (int)s->kernel[1], (int)s->stride[0],
                 s->activation);
        if (!wanted(name)) continue;
        const int64_t pads[4] = {s->pad[0], s->pad[1], s->pad[0], s->pad[1]};
        const tn_attribute attributes[] = {{.name = "strides", .kind = TN_ATTR_INTS, .count = 2, .ints = s->stride},
                                           {.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = pads},
                                           {.name = "group", .kind = TN_ATTR_INT, .i = s->group},
                                           {.name = "activation", .kind = TN_ATTR_STRING, .s = s->activation},
                                           {0}};
        int64_t positions = ((s->h + 2 * s->pad[0] - s->kernel[0]) / s->stride[0] + 1) *
                            ((s->w + 2 * s->pad[1] - s->kernel[1]) / s->stride[1] + 1);
        int64_t terms = s->channels / s->group * s->kernel[0] * s->kernel[1];
        tn_tensor *constants[2] = {
            tensor(4, (int64_t[]){s->outputs, s->channels / s->group, s->kernel[0], s->kernel[1]}),
            tensor(1, &s->outputs)};
        bench_node(name, "com.microsoft:FusedConv", tensor(4, (int64_t[]){1, s->channels, s->h, s->w}), 2, constants,
                   attributes, 2.0 * (double)(positions * s->outputs * terms));
    }
}

static void bench_matmul(void) {
    static const int64_t shapes[][3] = {{1, 1024, 1024}, {1, 768, 3072},   {4, 768, 768},   {32, 384, 384},
                                        {128, 768, 768}, {128, 3072, 768}, {512, 512, 512}, {240, 120, 6625}};
    for (size_t i = 0; i < TN_COUNT(shapes); i++) {
        const int64_t *s = shapes[i];
        char name[120];
        snprintf(name, sizeof name, "matmul %dx%d * %dx%d", (int)s[0], (int)s[1], (int)s[1], (int)s[2]);
        if (!wanted(name)) continue;
        tn_tensor *constants[1] = {tensor(2, (int64_t[]){s[1], s[2]})};
        bench_node(name, "MatMul", tensor(2, (int64_t[]){s[0], s[1]}), 1, constants, NULL,
                   2.0 * (double)(s[0] * s[1] * s[2]));
    }
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "-t") == 0) {
        threads = atoi(argv[2]);
        argc -= 2;
        argv += 2;
    }
    name_count = argc - 1;
    names = argv + 1;
    bench_gemm();
    bench_conv();
    bench_matmul();
    return 0;
}
