/* What is computed anew in the backward pass gives the same steps in less memory. */
#include <math.h>
#include <stdio.h>
#include <tenon/tenon.h>
#include "ops.h"
#include "train/train.h"

enum { DEPTH = 16, WIDTH = 48, ROWS = 128, STEPS = 3 };

static int constant(tn_graph *g, const char *name, int rank, int layer, double fill) {
    const int64_t dims[] = {WIDTH, WIDTH};
    int value;
    char full[32];
    tn_tensor *t = make(TN_FLOAT32, rank, dims, NULL);
    for (int64_t i = 0; i < tn_count(t); i++)
        ((float *)t->data)[i] = isnan(fill) ? 0.25f * (float)sin(2.3 * (double)i + layer) : (float)fill;
    snprintf(full, sizeof full, "%s%d", name, layer);
    assert_ok(tn_graph_constant(g, full, t, &value));
    tn_tensor_destroy(t);
    return value;
}

/* Layers of a product, a norm of the batch, an activation, some dropout, and a sum with what came in. */
static tn_graph *deep(void) {
    tn_graph *g;
    int x, y, ratio;
    tn_tensor *tenth = make(TN_FLOAT32, SCALAR, (double[]){0.1});
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){tn_graph_symbol(g, "batch"), WIDTH}, &x));
    assert_ok(tn_graph_constant(g, "ratio", tenth, &ratio));
    tn_tensor_destroy(tenth);
    for (int l = 0; l < DEPTH; l++) {
        int gemm[] = {x, constant(g, "w", 2, l, NAN), constant(g, "b", 1, l, 0)};
        assert_ok(tn_graph_node(g, "Gemm", "product", 3, gemm, 1, &y, NULL));
        int norm[] = {y, constant(g, "scale", 1, l, 1), constant(g, "shift", 1, l, 0), constant(g, "mean", 1, l, 0),
                      constant(g, "variance", 1, l, 1)};
        assert_ok(tn_graph_node(g, "BatchNormalization", "norm", 5, norm, 1, &y, NULL));
        assert_ok(tn_graph_node(g, l % 2 ? "Tanh" : "Gelu", "activation", 1, &y, 1, &y, NULL));
        if (l % 4 == 1) assert_ok(tn_graph_node(g, "Dropout", "drop", 2, (int[]){y, ratio}, 1, &y, NULL));
        assert_ok(tn_graph_node(g, "Add", "sum", 2, (int[]){x, y}, 1, &x, NULL));
    }
    assert_ok(tn_graph_output(g, x, "y"));
    return g;
}

typedef struct {
    double losses[STEPS], trained;
    size_t arena;
    float first; /* weight of the first layer */
} outcome;

static outcome run(int64_t recompute) {
    outcome out;
    tn_trainer *t;
    tn_tensor *x = make(TN_FLOAT32, DIMS(ROWS, WIDTH), NULL), *y = make(TN_FLOAT32, DIMS(ROWS, WIDTH), NULL);
    const tn_tensor *w;
    for (int64_t i = 0; i < tn_count(x); i++) {
        ((float *)x->data)[i] = (float)sin(0.37 * (double)i);
        ((float *)y->data)[i] = (float)cos(0.11 * (double)i);
    }
    const tn_trainer_options o = {.struct_size = sizeof o,
                                  .optimizer = {.kind = TN_ADAM, .rate = 0.01},
                                  .seed = 3,
                                  .threads = 1,
                                  .recompute = recompute};
    assert_ok(tn_trainer_create(deep(), &o, &t));
    for (int s = 0; s < STEPS; s++) assert_ok(tn_trainer_step(t, (const tn_tensor *const[]){x}, y, &out.losses[s]));
    assert_ok(tn_trainer_evaluate(t, (const tn_tensor *const[]){x}, y, &out.trained));
    tn_session_memory memory = {.struct_size = sizeof memory};
    assert_ok(tn_session_memory_info(t->train, &memory));
    out.arena = memory.arena;
    assert_ok(tn_trainer_parameter(t, 0, NULL, &w));
    out.first = *(const float *)w->data;
    tn_trainer_destroy(t);
    tn_tensor_destroy(x);
    tn_tensor_destroy(y);
    return out;
}

static void steps_are_the_same_in_less_memory(void **state) {
    (void)state;
    const outcome whole = run(0);
    size_t least = whole.arena;
    assert_true(whole.losses[STEPS - 1] < whole.losses[0]);
    for (int segments = 1; segments <= 32; segments *= 2) {
        const outcome some = run(segments);
        for (int s = 0; s < STEPS; s++)
            if (!(fabs(some.losses[s] - whole.losses[s]) <= 1e-6 * whole.losses[0]))
                fail_msg("%d segments, step %d: %.9g, not %.9g", segments, s, some.losses[s], whole.losses[s]);
        assert_true(fabs(some.trained - whole.trained) < 1e-5);
        assert_true(fabsf(some.first - whole.first) < 1e-5f);
        if (segments == 1) assert_int_equal(some.arena, whole.arena);
        least = TN_MIN(least, some.arena);
        print_message("%d segments: %zu of %zu bytes\n", segments, some.arena, whole.arena);
    }
    if (!(least < whole.arena / 2)) fail_msg("%zu of %zu bytes", least, whole.arena);
}

static void numbers_of_segments_that_make_no_sense_are_refused(void **state) {
    (void)state;
    tn_trainer *t;
    const tn_trainer_options o = {.struct_size = sizeof o, .recompute = -1};
    assert_int_equal(tn_trainer_create(deep(), &o, &t), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "recompute is -1"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_the_same_in_less_memory),
        cmocka_unit_test(numbers_of_segments_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests_name("trainer_recompute", tests, NULL, NULL);
}
