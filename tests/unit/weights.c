/* Passes of weights: what they make of a small network built by hand, and what they refuse. tests/compress compares them
 * with other programs. */
#include "unit.h"
#include <math.h>
#include <tenon/tenon.h>

enum { ROWS = 5, WIDTH = 64, OUT = 20 };

static uint32_t seed;

static int weight(tn_graph *g, const char *name, int rank, const int64_t *dims) {
    tn_tensor *t;
    int value;
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    float *data = tn_tensor_data(t);
    for (int64_t i = 0; i < tn_tensor_count(t); i++)
        data[i] = ((float)((seed = seed * 1664525 + 1013904223) >> 8 & 0xffff) / 32768 - 1) / 8;
    assert_ok(tn_graph_constant(g, name, t, &value));
    tn_tensor_destroy(t);
    return value;
}

/* x -> MatMul w -> Relu -> MatMul w, once more -> Gemm with a bias. */
static tn_graph *network(void) {
    tn_graph *g;
    int x, y;
    seed = 7;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){tn_graph_symbol(g, "rows"), WIDTH}, &x));
    int w = weight(g, "w", 2, (int64_t[]){WIDTH, WIDTH});
    assert_ok(tn_graph_node(g, "MatMul", "first", 2, (int[]){x, w}, 1, &y, NULL));
    assert_ok(tn_graph_node(g, "Relu", NULL, 1, &y, 1, &y, NULL));
    assert_ok(tn_graph_node(g, "MatMul", "second", 2, (int[]){y, w}, 1, &y, NULL));
    int in[] = {y, weight(g, "dense", 2, (int64_t[]){OUT, WIDTH}), weight(g, "bias", 1, (int64_t[]){OUT})};
    const tn_attribute rows[] = {{.name = "transB", .kind = TN_ATTR_INT, .i = 1}, {0}};
    assert_ok(tn_graph_node(g, "Gemm", "dense", 3, in, 1, &y, rows));
    assert_ok(tn_graph_output(g, y, "y"));
    return g;
}

static tn_tensor *input(void) {
    tn_tensor *x;
    assert_ok(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){ROWS, WIDTH}, NULL, &x));
    for (int i = 0; i < ROWS * WIDTH; i++) ((float *)tn_tensor_data(x))[i] = sinf((float)i * (float)(i % 7 + 1));
    return x;
}

/* Takes the graph over. */
static void run(tn_graph *g, float *y) {
    tn_model *model;
    tn_session *session;
    const tn_tensor *out;
    tn_tensor *x = input();
    assert_ok(tn_model_from_graph(g, NULL, &model));
    assert_ok(tn_session_create(model, NULL, &session));
    assert_ok(tn_session_set_input(session, 0, x));
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output(session, 0, &out));
    assert_int_equal(tn_tensor_count(out), ROWS * OUT);
    memcpy(y, tn_tensor_const_data(out), ROWS * OUT * sizeof *y);
    tn_session_destroy(session);
    tn_model_destroy(model);
    tn_tensor_destroy(x);
}

static double difference(tn_graph *g) {
    float before[ROWS * OUT], after[ROWS * OUT];
    double sum = 0, whole = 0;
    run(network(), before);
    run(g, after);
    for (int i = 0; i < ROWS * OUT; i++) {
        sum += pow((double)before[i] - (double)after[i], 2);
        whole += pow((double)before[i], 2);
    }
    return sqrt(sum / whole);
}

static void half_graphs_are_near_the_float_one(void **state) {
    (void)state;
    for (int bfloat = 0; bfloat < 2; bfloat++) {
        tn_graph *g = network();
        tn_half_options o = {.struct_size = sizeof o, .dtype = bfloat ? TN_BFLOAT16 : TN_FLOAT16};
        tn_weights_report r = {.struct_size = sizeof r};
        assert_ok(tn_graph_to_half(g, &o, &r));
        assert_int_equal(r.layers, 4);
        assert_true(r.bytes_after * 2 == r.bytes_before);
        assert_true(difference(g) < (bfloat ? 1e-2 : 1e-3));
    }
    tn_graph *g = network();
    tn_half_options o = {.struct_size = sizeof o, .dtype = TN_INT8};
    assert_int_equal(tn_graph_to_half(g, &o, NULL), TN_E_INVALID);
    tn_graph_destroy(g);
}

static void weights_of_few_bits_lose_what_their_bits_say(void **state) {
    (void)state;
    tn_tensor *x = input();
    const tn_tensor *samples[] = {x};
    static const struct {
        int bits, method;
        bool symmetric, awq;
        double bound;
    } rows[] = {{8, TN_WEIGHT_NEAREST, false, false, 0.01}, {8, TN_WEIGHT_HQQ, true, false, 0.01},
                {4, TN_WEIGHT_NEAREST, false, false, 0.12}, {4, TN_WEIGHT_HQQ, false, false, 0.12},
                {4, TN_WEIGHT_NEAREST, true, false, 0.15},  {4, TN_WEIGHT_GPTQ, false, false, 0.07},
                {4, TN_WEIGHT_GPTQ, false, true, 0.07},     {2, TN_WEIGHT_NEAREST, false, false, 0.6}};
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        tn_graph *g = network();
        tn_weights_report r = {.struct_size = sizeof r};
        tn_weight_only_options o = {.struct_size = sizeof o,
                                    .bits = rows[i].bits,
                                    .block = 16,
                                    .symmetric = rows[i].symmetric,
                                    .method = (tn_weight_method)rows[i].method,
                                    .awq = rows[i].awq,
                                    .samples = samples,
                                    .sample_count = 1};
        tn_status status = tn_graph_quantize_weights(g, &o, &r);
        if (status == TN_E_UNSUPPORTED && !TN_WITH_OPENBLAS) {
            tn_graph_destroy(g);
            continue;
        }
        assert_ok(status);
        assert_int_equal(r.layers, 3);
        assert_true(r.bytes_after < r.bytes_before);
        double lost = difference(g);
        if (lost >= rows[i].bound) fail_msg("row %zu loses %g", i, lost);
    }
    tn_tensor_destroy(x);
}

static void impossible_requests_are_refused(void **state) {
    (void)state;
    static const tn_weight_only_options rows[] = {
        {.bits = 5}, {.block = 48}, {.method = TN_WEIGHT_GPTQ}, {.awq = true}, {.damping = -1}};
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        tn_graph *g = network();
        tn_weight_only_options o = rows[i];
        o.struct_size = sizeof o;
        assert_int_not_equal(tn_graph_quantize_weights(g, &o, NULL), TN_OK);
        tn_graph_destroy(g);
    }
}

static void pruned_shared_and_thin_weights_run(void **state) {
    (void)state;
    tn_weights_report r = {.struct_size = sizeof r};
    static const tn_prune_options prunes[] = {
        {.sparsity = 0.3},
        {.sparsity = 0.3, .global = true},
        {.pattern = TN_PRUNE_N_OF_M, .kept = 3, .of = 5},
        {.pattern = TN_PRUNE_BLOCKS, .sparsity = 0.3, .block_rows = 3, .block_columns = 5},
        {.criterion = TN_PRUNE_WANDA, .sparsity = 0.3},
        {.criterion = TN_PRUNE_SPARSEGPT, .sparsity = 0.3},
        {.criterion = TN_PRUNE_SPARSEGPT, .pattern = TN_PRUNE_N_OF_M}};
    tn_tensor *x = input();
    const tn_tensor *samples[] = {x};
    for (size_t i = 0; i < TN_COUNT(prunes); i++) {
        tn_graph *g = network();
        tn_prune_options o = prunes[i];
        o.struct_size = sizeof o;
        o.samples = samples;
        o.sample_count = 1;
        tn_status status = tn_graph_prune(g, &o, &r);
        if (status == TN_E_UNSUPPORTED && !TN_WITH_OPENBLAS) {
            tn_graph_destroy(g);
            continue;
        }
        assert_ok(status);
        assert_int_equal(r.layers, 2);
        assert_true(r.zeros >= r.elements / 4 && r.zeros <= r.elements * 6 / 10);
        assert_ok(tn_graph_mask_zeros(g));
        assert_ok(tn_graph_fold_masks(g));
        assert_true(difference(g) < 0.9);
    }
    tn_tensor_destroy(x);
    for (int bits = 2; bits <= 8; bits++) {
        tn_graph *g = network();
        assert_ok(
            tn_graph_cluster(g, &(tn_cluster_options){.struct_size = sizeof(tn_cluster_options), .bits = bits}, &r));
        assert_int_equal(r.layers, 2);
        assert_true(difference(g) < pow(2, -bits) * 3);
    }
    for (int rank = 1; rank < 16 && TN_WITH_OPENBLAS; rank += 7) {
        tn_graph *g = network();
        assert_ok(
            tn_graph_low_rank(g, &(tn_low_rank_options){.struct_size = sizeof(tn_low_rank_options), .rank = rank}, &r));
        assert_int_equal(r.layers, 1); /* the weight that is read twice stays */
        assert_true(difference(g) < 1);
    }
}

static void channels_go_where_their_weight_is_read_once(void **state) {
    (void)state;
    tn_graph *g = network();
    tn_weights_report r = {.struct_size = sizeof r};
    const tn_prune_channels_options o = {.struct_size = sizeof o, .sparsity = 0.5};
    assert_ok(tn_graph_prune_channels(g, &o, &r));
    assert_int_equal(r.layers, 0); /* w is read twice, and the output's channels stay */
    assert_true(difference(g) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_graphs_are_near_the_float_one),
        cmocka_unit_test(weights_of_few_bits_lose_what_their_bits_say),
        cmocka_unit_test(pruned_shared_and_thin_weights_run),
        cmocka_unit_test(channels_go_where_their_weight_is_read_once),
        cmocka_unit_test(impossible_requests_are_refused),
    };
    return cmocka_run_group_tests_name("weights", tests, NULL, NULL);
}
