/* A pointwise and a depthwise convolution as one node: bit for bit the same as two, at every CPU level and thread count. */
#include "unit.h"
#include "kernels/kernels.h"
#include <tenon/tenon.h>

typedef struct pair_case {
    int64_t batch, channels, height, width, middle, kernel, stride, pad;
    const char *first, *second; /* activations; NULL: none */
    bool bias;
    bool pairs; /* whether they become one */
} pair_case;

static const pair_case cases[] = {
    {1, 8, 60, 64, 40, 3, 1, 1, "Relu", "Relu", true, true},
    {2, 5, 61, 57, 43, 3, 2, 1, "HardSwish", NULL, false, true},
    {1, 16, 50, 81, 34, 5, 1, 2, NULL, "Relu", true, true},
    {1, 3, 47, 90, 37, 5, 2, 2, "Relu", "HardSwish", true, true},
    {1, 780, 40, 30, 110, 3, 1, 1, "Relu", "Relu", true, true}, /* the product in two blocks */
    {1, 4, 80, 40, 45, 7, 3, 0, "Relu", "Relu", true, true},    /* neither a usual kernel nor padding */
    {1, 4, 700, 24, 10, 3, 1, 1, "Relu", "Relu", true, true},   /* many bands */
    {1, 6, 3, 6000, 8, 3, 1, 1, "Relu", "Relu", true, true},    /* bands of hardly a row */
    {1, 8, 600, 20, 40, 3, 1, 1, "Relu", "Relu", true, false},  /* narrow */
    {1, 8, 30, 30, 40, 3, 1, 1, "Relu", "Relu", true, false},   /* small */
};

static float next(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) / (float)(1u << 23) - 1;
}

static tn_tensor *numbers(uint32_t *seed, int rank, const int64_t *dims) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    for (int64_t i = 0; i < tn_tensor_count(t); i++) ((float *)tn_tensor_data(t))[i] = next(seed);
    return t;
}

static int constant(tn_graph *g, uint32_t *seed, int rank, const int64_t *dims) {
    tn_tensor *t = numbers(seed, rank, dims);
    int value;
    assert_ok(tn_graph_constant(g, NULL, t, &value));
    tn_tensor_destroy(t);
    return value;
}

static int activated(tn_graph *g, int x, const char *activation) {
    int y;
    if (!activation) return x;
    assert_ok(tn_graph_node(g, activation, NULL, 1, &x, 1, &y, NULL));
    return y;
}

/* more: the middle is an output too. */
static tn_model *build(const pair_case *c, const char *cpu, const char *skip, bool more) {
    tn_graph *g;
    tn_model *model;
    int x, y;
    uint32_t seed = 7;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 4, (int64_t[]){c->batch, c->channels, c->height, c->width}, &x));
    int in[3] = {x, constant(g, &seed, 4, (int64_t[]){c->middle, c->channels, 1, 1}),
                 constant(g, &seed, 1, &c->middle)};
    assert_ok(tn_graph_node(g, "Conv", NULL, c->bias ? 3 : 2, in, 1, &y, NULL));
    in[0] = y = activated(g, y, c->first);
    if (more) assert_ok(tn_graph_output(g, y, "middle"));
    in[1] = constant(g, &seed, 4, (int64_t[]){c->middle, 1, c->kernel, c->kernel});
    in[2] = constant(g, &seed, 1, &c->middle);
    const int64_t pads[] = {c->pad, c->pad, c->pad, c->pad}, strides[] = {c->stride, c->stride};
    const tn_attribute attributes[] = {{.name = "group", .kind = TN_ATTR_INT, .i = c->middle},
                                       {.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = pads},
                                       {.name = "strides", .kind = TN_ATTR_INTS, .count = 2, .ints = strides},
                                       {0}};
    assert_ok(tn_graph_node(g, "Conv", NULL, c->bias ? 3 : 2, in, 1, &y, attributes));
    assert_ok(tn_graph_output(g, activated(g, y, c->second), "y"));
    tn_model_options options = {.struct_size = sizeof options, .skip_passes = skip, .cpu = cpu};
    assert_ok(tn_model_from_graph(g, &options, &model));
    return model;
}

static bool has_pair(const tn_model *model) {
    const tn_graph *graph = tn_model_graph(model);
    tn_node_info info;
    bool found = false;
    for (int n = 0; n < tn_graph_node_count(graph); n++) {
        assert_ok(tn_graph_node_info(graph, n, &info));
        found |= strcmp(info.op, "PointwiseDepthwise") == 0;
    }
    return found;
}

static tn_session *run(const tn_model *model, const tn_tensor *x, int threads, const tn_tensor **y) {
    tn_session *session;
    tn_session_options options = {.struct_size = sizeof options, .threads = threads};
    assert_ok(tn_session_create(model, &options, &session));
    assert_ok(tn_session_set_input(session, 0, x));
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output(session, 0, y));
    return session;
}

static void check(const pair_case *c, const char *cpu, const tn_tensor *x) {
    tn_model *one = build(c, cpu, NULL, false), *two = build(c, cpu, "conv-pair", false);
    assert_int_equal(has_pair(one), c->pairs);
    assert_false(has_pair(two));
    for (int threads = 1; threads <= 3; threads += 2) {
        const tn_tensor *y, *expected;
        tn_session *a = run(one, x, threads, &y), *b = run(two, x, threads, &expected);
        assert_int_equal(tn_tensor_bytes(y), tn_tensor_bytes(expected));
        if (memcmp(tn_tensor_const_data(y), tn_tensor_const_data(expected), tn_tensor_bytes(y)) != 0)
            fail_msg("case %d differs at %s with %d threads", (int)(c - cases), cpu, threads);
        tn_session_destroy(a);
        tn_session_destroy(b);
    }
    tn_model_destroy(one);
    tn_model_destroy(two);
}

static void pairs_give_what_two_nodes_give(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        const pair_case *c = &cases[i];
        uint32_t seed = 11;
        tn_tensor *x = numbers(&seed, 4, (int64_t[]){c->batch, c->channels, c->height, c->width});
        for (int level = 0; level < TN_CPU_LEVELS; level++)
            if (tn_kernels_at((tn_cpu_level)level)) check(c, tn_cpu_level_name((tn_cpu_level)level), x);
        tn_tensor_destroy(x);
    }
}

static void what_somebody_else_reads_stays(void **state) {
    (void)state;
    tn_model *model = build(&cases[0], NULL, NULL, true);
    assert_false(has_pair(model));
    tn_model_destroy(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_give_what_two_nodes_give),
        cmocka_unit_test(what_somebody_else_reads_stays),
    };
    return cmocka_run_group_tests_name("conv_pair", tests, NULL, NULL);
}
