/* Recurrent layers: steps worked out by hand, directions and lengths, refusals, the same bits at any thread count. */
#include "unit.h"
#include "exec/eager.h"
#include <math.h>

#define DIMS(...)                                                                                                      \
    (int64_t[]) {                                                                                                      \
        __VA_ARGS__                                                                                                    \
    }
#define FLOATS(...)                                                                                                    \
    (float[]) {                                                                                                        \
        __VA_ARGS__                                                                                                    \
    }

static tn_tensor *tensor(tn_dtype dtype, int rank, const int64_t *dims, const void *data) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(dtype, rank, dims, NULL, &t));
    if (data) memcpy(t->data, data, tn_tensor_bytes(t));
    return t;
}
static tn_tensor *floats(int rank, const int64_t *dims, const float *data) {
    return tensor(TN_FLOAT32, rank, dims, data);
}
static tn_attr direction(const char *name) {
    return (tn_attr){.name = "direction", .kind = TN_ATTR_STRING, .s = {name, strlen(name)}};
}
static void destroy(int count, tn_tensor **tensors) {
    for (int i = 0; i < count; i++) tn_tensor_destroy(tensors[i]);
}
static void expect(tn_tensor *t, int count, const float *want) {
    assert_int_equal(tn_count(t), count);
    for (int i = 0; i < count; i++) {
        float got = ((const float *)t->data)[i];
        if (fabsf(got - want[i]) > 1e-6f) fail_msg("[%d] is %f, not %f", i, (double)got, (double)want[i]);
    }
    tn_tensor_destroy(t);
}

/* h = relu(x + 2 h), both ways; the second row has one step only. */
static void sequences_are_turned_round_by_their_own_length(void **state) {
    (void)state;
    static const tn_string relu[] = {{"Relu", 4}};
    const tn_attr attrs[] = {direction("bidirectional"),
                             {.name = "activations", .kind = TN_ATTR_STRINGS, .count = 1, .strings = relu}};
    tn_tensor *in[5] = {floats(3, DIMS(3, 2, 1), FLOATS(1, 10, 2, 20, 3, 30)), floats(3, DIMS(2, 1, 1), FLOATS(1, 1)),
                        floats(3, DIMS(2, 1, 1), FLOATS(2, 2)), NULL, tensor(TN_INT32, 1, DIMS(2), (int32_t[]){3, 1})};
    tn_tensor *y[2];
    assert_ok(tn_eager_run(NULL, tn_op_find("", "RNN"), 2, attrs, 5, (const tn_tensor *const *)in, 2, y));
    expect(y[0], 12, FLOATS(1, 10, 17, 10, 4, 0, 8, 0, 11, 0, 3, 0));
    expect(y[1], 4, FLOATS(11, 10, 17, 10));
    destroy(5, in);
}

static void a_gru_mixes_old_and_new_by_its_update_gate(void **state) {
    (void)state;
    const tn_attr before = {.name = "linear_before_reset", .kind = TN_ATTR_INT, .i = 1};
    for (int linear = 0; linear < 2; linear++) {
        tn_tensor *in[6] = {floats(3, DIMS(1, 1, 1), FLOATS(1)),
                            floats(3, DIMS(1, 3, 1), FLOATS(0.1f, 0.2f, 0.3f)),
                            floats(3, DIMS(1, 3, 1), FLOATS(0.4f, 0.5f, 0.6f)),
                            floats(2, DIMS(1, 6), FLOATS(0, 0, 0.1f, 0, 0, 0.2f)),
                            NULL,
                            floats(3, DIMS(1, 1, 1), FLOATS(0.5f))};
        float z = 1 / (1 + expf(-0.3f)), r = 1 / (1 + expf(-0.45f));
        float h = tanhf(linear ? 0.3f + r * (0.3f + 0.2f) + 0.1f : 0.3f + r * 0.5f * 0.6f + 0.3f);
        tn_tensor *y[2];
        assert_ok(tn_eager_run(NULL, tn_op_find("", "GRU"), linear, &before, 6, (const tn_tensor *const *)in, 2, y));
        expect(y[0], 1, FLOATS((1 - z) * h + z * 0.5f));
        tn_tensor_destroy(y[1]);
        destroy(6, in);
    }
}

static void an_lstm_has_gates_in_the_order_input_output_forget_cell(void **state) {
    (void)state;
    tn_tensor *in[7] = {floats(3, DIMS(1, 1, 1), FLOATS(1)),
                        floats(3, DIMS(1, 4, 1), FLOATS(0.1f, 0.2f, 0.3f, 0.4f)),
                        floats(3, DIMS(1, 4, 1), NULL),
                        NULL,
                        NULL,
                        NULL,
                        floats(3, DIMS(1, 1, 1), FLOATS(2))};
    float i = 1 / (1 + expf(-0.1f)), o = 1 / (1 + expf(-0.2f)), f = 1 / (1 + expf(-0.3f));
    float c = f * 2 + i * tanhf(0.4f);
    tn_tensor *y[3];
    assert_ok(tn_eager_run(NULL, tn_op_find("", "LSTM"), 0, NULL, 7, (const tn_tensor *const *)in, 3, y));
    expect(y[0], 1, FLOATS(o * tanhf(c)));
    expect(y[2], 1, FLOATS(c));
    tn_tensor_destroy(y[1]);
    destroy(7, in);
}

static void bits_do_not_depend_on_threads(void **state) {
    (void)state;
    const tn_attr both = direction("bidirectional");
    tn_tensor *in[3] = {floats(3, DIMS(5, 3, 40), NULL), floats(3, DIMS(2, 800, 40), NULL),
                        floats(3, DIMS(2, 800, 200), NULL)};
    uint32_t seed = 1;
    for (int i = 0; i < 3; i++)
        for (int64_t k = 0; k < tn_count(in[i]); k++)
            ((float *)in[i]->data)[k] = (float)((seed = seed * 1664525 + 1013904223) >> 8) / (1 << 25) - 0.25f;
    tn_pool *pool;
    assert_ok(tn_pool_create(3, NULL, &pool));
    tn_tensor *one[3], *three[3];
    const tn_eager options = {NULL, NULL, pool};
    assert_ok(tn_eager_run(NULL, tn_op_find("", "LSTM"), 1, &both, 3, (const tn_tensor *const *)in, 3, one));
    assert_ok(tn_eager_run(&options, tn_op_find("", "LSTM"), 1, &both, 3, (const tn_tensor *const *)in, 3, three));
    for (int i = 0; i < 3; i++) assert_memory_equal(one[i]->data, three[i]->data, tn_tensor_bytes(one[i]));
    tn_pool_destroy(pool);
    destroy(3, in), destroy(3, one), destroy(3, three);
}

/* Given the lengths, even if all are the same, a layer computes cells apart from products. Threads do not change a bit. */
static void whole_steps_match_cells_apart(void **state) {
    (void)state;
    static const struct {
        const char *op;
        int64_t gates, hidden, batch, seq, layout;
        const char *direction;
    } cases[] = {
        {"LSTM", 4, 1, 1, 3, 0, "forward"},        {"LSTM", 4, 37, 1, 4, 0, "bidirectional"},
        {"LSTM", 4, 64, 1, 1, 0, "reverse"},       {"LSTM", 4, 40, 13, 3, 0, "bidirectional"},
        {"LSTM", 4, 16, 4, 3, 1, "bidirectional"}, {"GRU", 3, 37, 1, 4, 0, "bidirectional"},
        {"GRU", 3, 130, 5, 3, 1, "bidirectional"}, {"GRU", 3, 300, 1, 2, 0, "forward"},
    };
    uint32_t seed = 1;
    tn_pool *pool;
    assert_ok(tn_pool_create(3, NULL, &pool));
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        int64_t d = cases[i].direction[0] == 'b' ? 2 : 1, n = cases[i].hidden, g = cases[i].gates, b = cases[i].batch;
        bool major = cases[i].layout;
        const tn_attr attrs[] = {direction(cases[i].direction),
                                 {.name = "layout", .kind = TN_ATTR_INT, .i = cases[i].layout},
                                 {.name = "linear_before_reset", .kind = TN_ATTR_INT, .i = 1}};
        int attr_count = g == 3 ? 3 : 2, outs = g == 3 ? 2 : 3, ins = g == 3 ? 6 : 7;
        const int64_t *state_dims = major ? DIMS(b, d, n) : DIMS(d, b, n);
        tn_tensor *in[7] = {floats(3, major ? DIMS(b, cases[i].seq, 9) : DIMS(cases[i].seq, b, 9), NULL),
                            floats(3, DIMS(d, g * n, 9), NULL),
                            floats(3, DIMS(d, g * n, n), NULL),
                            floats(2, DIMS(d, 2 * g * n), NULL),
                            tensor(TN_INT32, 1, &b, NULL),
                            floats(3, state_dims, NULL),
                            floats(3, state_dims, NULL)};
        for (int k = 0; k < 7; k++)
            for (int64_t j = 0; j < tn_count(in[k]); j++) {
                seed = seed * 1664525 + 1013904223;
                if (k == 4)
                    ((int32_t *)in[k]->data)[j] = (int32_t)cases[i].seq;
                else
                    ((float *)in[k]->data)[j] = (float)(seed >> 8) / (1 << 24) - 0.5f;
            }
        for (int level = 0; level < TN_CPU_LEVELS; level++) {
            const tn_eager options = {NULL, tn_kernels_at((tn_cpu_level)level), NULL};
            const tn_eager shared = {NULL, options.kernels, pool};
            const tn_tensor *whole[7];
            tn_tensor *a[3], *c[3], *three[3];
            if (!options.kernels) continue;
            memcpy(whole, in, sizeof in);
            whole[4] = NULL;
            const tn_op *op = tn_op_find("", cases[i].op);
            assert_ok(tn_eager_run(&options, op, attr_count, attrs, ins, (const tn_tensor *const *)in, outs, a));
            assert_ok(tn_eager_run(&options, op, attr_count, attrs, ins, whole, outs, c));
            assert_ok(tn_eager_run(&shared, op, attr_count, attrs, ins, whole, outs, three));
            for (int k = 0; k < outs; k++) assert_memory_equal(c[k]->data, three[k]->data, tn_tensor_bytes(c[k]));
            for (int k = 0; k < outs; k++)
                for (int64_t j = 0; j < tn_count(a[k]); j++) {
                    float x = ((const float *)a[k]->data)[j], y = ((const float *)c[k]->data)[j];
                    if (!(fabsf(x - y) < 4e-6f))
                        fail_msg("case %d, %s, output %d: [%d] is %f, not %f", (int)i,
                                 tn_cpu_level_name(options.kernels->level), k, (int)j, (double)y, (double)x);
                }
            destroy(outs, a), destroy(outs, c), destroy(outs, three);
        }
        destroy(7, in);
    }
    tn_pool_destroy(pool);
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    const tn_attr sideways = direction("sideways");
    tn_tensor *in[5] = {floats(3, DIMS(3, 2, 1), NULL), floats(3, DIMS(1, 4, 1), NULL), floats(3, DIMS(1, 4, 1), NULL),
                        NULL, tensor(TN_INT32, 1, DIMS(2), (int32_t[]){3, 4})};
    tn_tensor *y[3];
    assert_int_equal(tn_eager_run(NULL, tn_op_find("", "LSTM"), 0, NULL, 5, (const tn_tensor *const *)in, 3, y),
                     TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "sequence_lens has 4"));
    assert_int_equal(tn_eager_run(NULL, tn_op_find("", "LSTM"), 1, &sideways, 3, (const tn_tensor *const *)in, 3, y),
                     TN_E_INVALID);
    assert_int_equal(tn_eager_run(NULL, tn_op_find("", "GRU"), 0, NULL, 3, (const tn_tensor *const *)in, 2, y),
                     TN_E_SHAPE);
    assert_non_null(strstr(tn_last_error(), "[1,3,1]"));
    destroy(5, in);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_are_turned_round_by_their_own_length),
        cmocka_unit_test(a_gru_mixes_old_and_new_by_its_update_gate),
        cmocka_unit_test(an_lstm_has_gates_in_the_order_input_output_forget_cell),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(whole_steps_match_cells_apart),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests_name("recurrent", tests, NULL, NULL);
}
