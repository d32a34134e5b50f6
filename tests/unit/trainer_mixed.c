/* Mixed precision: products of factors rounded to bfloat16, forwards and backwards, and nothing else. */
#include <math.h>
#include <stdio.h>
#include "base/random.h"
#include "gradient.h"
#include "train/train.h"

enum { ROWS = 5, IN = 7, HIDDEN = 6, OUT = 3, STEPS = 4, DEPTH = 12, WIDTH = 64 };

/* To the nearest, ties to even. */
static float rounded(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* From -1 to 1, without a pattern. */
static float number(int i) {
    uint64_t state = (uint64_t)i;
    return (float)(2 * tn_random_uniform(&state) - 1);
}

static int weights(tn_graph *g, const char *name, int rank, const int64_t *dims, int seed, double scale) {
    int value;
    tn_tensor *t = make(TN_FLOAT32, rank, dims, NULL);
    for (int64_t i = 0; i < tn_count(t); i++) ((float *)t->data)[i] = (float)scale * number((int)i + seed);
    assert_ok(tn_graph_constant(g, name, t, &value));
    tn_tensor_destroy(t);
    return value;
}

/* x -> Gemm -> Relu -> MatMul */
static tn_graph *network(void) {
    tn_graph *g;
    int x, y;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){tn_graph_symbol(g, "batch"), IN}, &x));
    int gemm[] = {x, weights(g, "w1", DIMS(IN, HIDDEN), 1, 0.7), weights(g, "b1", DIMS(HIDDEN), 2, 0.3)};
    assert_ok(tn_graph_node(g, "Gemm", NULL, 3, gemm, 1, &y, NULL));
    assert_ok(tn_graph_node(g, "Relu", NULL, 1, &y, 1, &y, NULL));
    int product[] = {y, weights(g, "w2", DIMS(HIDDEN, OUT), 3, 0.9)};
    assert_ok(tn_graph_node(g, "MatMul", NULL, 2, product, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    return g;
}

/* c [n, m] = a b, of rounded factors; ta: a is [k, n], tb: b is [m, k]. */
static void product(int n, int k, int m, const float *a, bool ta, const float *b, bool tb, float *c) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++) {
            double sum = 0;
            for (int q = 0; q < k; q++)
                sum += (double)rounded(ta ? a[q * n + i] : a[i * k + q]) *
                       (double)rounded(tb ? b[j * k + q] : b[q * m + j]);
            c[i * m + j] = (float)sum;
        }
}

typedef struct {
    float w1[IN * HIDDEN], b1[HIDDEN], w2[HIDDEN * OUT], x[ROWS * IN], y[ROWS * OUT];
} by_hand;

/* A step of gradient descent of the mean squared error, of rate 1. */
static double step(by_hand *h) {
    float hidden[ROWS * HIDDEN], out[ROWS * OUT], d[ROWS * OUT], dhidden[ROWS * HIDDEN], d1[IN * HIDDEN],
        d2[HIDDEN * OUT];
    double loss = 0;
    product(ROWS, IN, HIDDEN, h->x, false, h->w1, false, hidden);
    for (int i = 0; i < ROWS * HIDDEN; i++) hidden[i] = fmaxf(hidden[i] + h->b1[i % HIDDEN], 0);
    product(ROWS, HIDDEN, OUT, hidden, false, h->w2, false, out);
    for (int i = 0; i < ROWS * OUT; i++) {
        const double by = (double)out[i] - (double)h->y[i];
        loss += by * by / (ROWS * OUT);
        d[i] = (float)(2 * by / (ROWS * OUT));
    }
    product(HIDDEN, ROWS, OUT, hidden, true, d, false, d2);
    product(ROWS, OUT, HIDDEN, d, false, h->w2, true, dhidden);
    for (int i = 0; i < ROWS * HIDDEN; i++) dhidden[i] = hidden[i] > 0 ? dhidden[i] : 0;
    product(IN, ROWS, HIDDEN, h->x, true, dhidden, false, d1);
    for (int i = 0; i < IN * HIDDEN; i++) h->w1[i] -= d1[i];
    for (int i = 0; i < ROWS * HIDDEN; i++) h->b1[i % HIDDEN] -= dhidden[i];
    for (int i = 0; i < HIDDEN * OUT; i++) h->w2[i] -= d2[i];
    return loss;
}

static void steps_are_those_of_rounded_factors_at_every_cpu_level(void **state) {
    (void)state;
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        if (!tn_kernels_at((tn_cpu_level)level)) continue;
        by_hand h;
        tn_trainer *t;
        const tn_tensor *w;
        tn_tensor *x = make(TN_FLOAT32, DIMS(ROWS, IN), NULL), *y = make(TN_FLOAT32, DIMS(ROWS, OUT), NULL);
        for (int i = 0; i < IN * HIDDEN; i++) h.w1[i] = 0.7f * number(i + 1);
        for (int i = 0; i < HIDDEN; i++) h.b1[i] = 0.3f * number(i + 2);
        for (int i = 0; i < HIDDEN * OUT; i++) h.w2[i] = 0.9f * number(i + 3);
        for (int i = 0; i < ROWS * IN; i++) ((float *)x->data)[i] = h.x[i] = number(3 * i);
        for (int i = 0; i < ROWS * OUT; i++) ((float *)y->data)[i] = h.y[i] = number(5 * i);
        const tn_trainer_options o = {.struct_size = sizeof o,
                                      .loss = TN_LOSS_MSE,
                                      .optimizer = {.kind = TN_SGD, .rate = 1},
                                      .products = TN_BFLOAT16,
                                      .cpu = tn_cpu_level_name((tn_cpu_level)level)};
        assert_ok(tn_trainer_create(network(), &o, &t));
        for (int s = 0; s < STEPS; s++) {
            double loss, expected = step(&h);
            assert_ok(tn_trainer_step(t, (const tn_tensor *const[]){x}, y, &loss));
            /* A sum in another order may round to the other side further on. */
            if (!(fabs(loss - expected) <= (s ? 2e-3 : 1e-6) * expected))
                fail_msg("%s, step %d: %.9g, not %.9g", o.cpu, s, loss, expected);
        }
        assert_ok(tn_trainer_parameter(t, 0, NULL, &w));
        for (int i = 0; i < IN * HIDDEN; i++) assert_true(fabsf(((const float *)w->data)[i] - h.w1[i]) < 2e-3f);
        tn_trainer_destroy(t);
        tn_tensor_destroy(x);
        tn_tensor_destroy(y);
    }
}

/* Convolutions and dense layers, and products of attention. */
static tn_graph *deep(void) {
    tn_graph *g;
    int x, y, turned;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 3, (int64_t[]){tn_graph_symbol(g, "batch"), 2, WIDTH}, &x));
    int conv[] = {x, weights(g, "c", DIMS(8, 2, 3), 5, 0.4)};
    assert_ok(tn_graph_node(g, "Conv", NULL, 2, conv, 1, &y, ATTRIBUTES(INTS("pads", 1, 1))));
    assert_ok(tn_graph_node(g, "Relu", NULL, 1, &y, 1, &x, NULL));
    for (int l = 0; l < DEPTH; l++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", l);
        int in[] = {x, weights(g, name, DIMS(WIDTH, WIDTH), 10000 * l, 0.3)};
        assert_ok(tn_graph_node(g, "MatMul", NULL, 2, in, 1, &y, NULL));
        assert_ok(tn_graph_node(g, "Relu", NULL, 1, &y, 1, &x, NULL));
    }
    assert_ok(tn_graph_node(g, "Transpose", NULL, 1, &x, 1, &turned, ATTRIBUTES(INTS("perm", 0, 2, 1))));
    assert_ok(tn_graph_node(g, "MatMul", NULL, 2, (int[]){x, turned}, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    return g;
}

typedef struct {
    double losses[STEPS];
    size_t arena;
} outcome;

static outcome run(tn_dtype products, int threads, int64_t recompute) {
    enum { BATCH = 24 };
    outcome out;
    tn_trainer *t;
    tn_tensor *x = make(TN_FLOAT32, DIMS(BATCH, 2, WIDTH), NULL), *y = make(TN_FLOAT32, DIMS(BATCH, 8, 8), NULL);
    for (int64_t i = 0; i < tn_count(x); i++) ((float *)x->data)[i] = number((int)i);
    for (int64_t i = 0; i < tn_count(y); i++) ((float *)y->data)[i] = number((int)(i / 3));
    const tn_trainer_options o = {.struct_size = sizeof o,
                                  .optimizer = {.kind = TN_ADAM, .rate = 0.01},
                                  .threads = threads,
                                  .recompute = recompute,
                                  .products = products};
    assert_ok(tn_trainer_create(deep(), &o, &t));
    for (int s = 0; s < STEPS; s++) assert_ok(tn_trainer_step(t, (const tn_tensor *const[]){x}, y, &out.losses[s]));
    tn_session_memory memory = {.struct_size = sizeof memory};
    assert_ok(tn_session_memory_info(t->train, &memory));
    out.arena = memory.arena;
    tn_trainer_destroy(t);
    tn_tensor_destroy(x);
    tn_tensor_destroy(y);
    return out;
}

static void losses_are_near_those_of_float32_and_the_same_at_any_thread_count(void **state) {
    (void)state;
    const outcome full = run(TN_FLOAT32, 1, 0), mixed = run(TN_BFLOAT16, 1, 0), two = run(TN_BFLOAT16, 2, 0),
                  anew = run(TN_BFLOAT16, 1, 4);
    for (int s = 0; s < STEPS; s++) {
        assert_true(fabs(mixed.losses[s] - full.losses[s]) < 0.03 * full.losses[s]);
        assert_true(fabs(anew.losses[s] - mixed.losses[s]) < 0.01 * full.losses[s]);
        assert_true(mixed.losses[s] != full.losses[s]);
    }
    assert_memory_equal(mixed.losses, two.losses, sizeof mixed.losses);
    print_message("%zu bytes for %zu\n", mixed.arena, full.arena);
    assert_true(mixed.arena < full.arena * 8 / 10); /* activations are kept as they are multiplied */
}

static void other_types_and_graphs_are_refused(void **state) {
    (void)state;
    tn_trainer *t;
    tn_graph *g;
    int in[2], y;
    tn_trainer_options o = {.struct_size = sizeof o, .products = TN_FLOAT16};
    assert_int_equal(tn_trainer_create(network(), &o, &t), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "expected float32 or bfloat16"));
    tn_tensor *w = make(TN_FLOAT64, DIMS(2, 2), VALUES(1, 2, 3, 4));
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT64, 2, (int64_t[]){tn_graph_symbol(g, "batch"), 2}, &in[0]));
    assert_ok(tn_graph_constant(g, "w", w, &in[1]));
    assert_ok(tn_graph_node(g, "MatMul", NULL, 2, in, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    tn_tensor_destroy(w);
    o.products = TN_BFLOAT16;
    assert_int_equal(tn_trainer_create(g, &o, &t), TN_E_TYPE);
    assert_non_null(strstr(tn_last_error(), "are for graphs of float32"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_those_of_rounded_factors_at_every_cpu_level),
        cmocka_unit_test(losses_are_near_those_of_float32_and_the_same_at_any_thread_count),
        cmocka_unit_test(other_types_and_graphs_are_refused),
    };
    return cmocka_run_group_tests_name("trainer_mixed", tests, NULL, NULL);
}
