/* Products with weights of few values: lookups are exact at every CPU level, and products the very bits of those with weights
 * that nobody knows beforehand, on any number of threads. */
#include "unit.h"
#include "kernels/kernels.h"
#include <tenon/tenon.h>

static uint32_t bits(void) {
    static uint32_t seed = 9;
    return (seed = seed * 1664525 + 1013904223) >> 8;
}

static float number(void) {
    return (float)(bits() & 0xffff) / 32768 - 1;
}

static void lookups_are_exact_at_every_cpu_level(void **state) {
    (void)state;
    static const size_t widths[] = {2, 6, 16, 32, 48, 70};
    static float table[256], y[5 * 70 + 1];
    static uint8_t q[5 * 70];
    for (size_t i = 0; i < TN_COUNT(table); i++) table[i] = number();
    for (size_t i = 0; i < TN_COUNT(q); i++) q[i] = (uint8_t)bits();
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *k = tn_kernels_at((tn_cpu_level)level);
        for (size_t w = 0; k && w < 2 * TN_COUNT(widths); w++) {
            const size_t n = widths[w / 2], width = w % 2 ? 8 : 4;
            y[5 * n] = 7;
            k->lookup_panel(y, q, 5, n, (int)width, table);
            for (size_t r = 0; r < 5; r++)
                for (size_t i = 0; i < n; i++) {
                    const uint8_t byte = q[r * n * width / 8 + i % (n * width / 8)];
                    const float expected = table[width == 8 ? byte : i < n / 2 ? byte & 15 : byte >> 4];
                    if (memcmp(&expected, &y[r * n + i], sizeof expected) != 0)
                        fail_msg("level %s, %zu bits, %zu columns", tn_cpu_level_name((tn_cpu_level)level), width, n);
                }
            assert_true(y[5 * n] == 7);
        }
    }
}

/* y = relu(x w + b), w a constant or an input. */
static tn_session *make(int m, bool constant, tn_tensor *w, tn_tensor *b, const char *cpu, int threads,
                        tn_model **model) {
    tn_graph *g;
    int x, weight, bias, y;
    tn_session *s;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){m, tn_tensor_dims(w)[0]}, &x));
    if (constant)
        assert_ok(tn_graph_constant(g, "w", w, &weight));
    else
        assert_ok(tn_graph_input(g, "w", TN_FLOAT32, 2, tn_tensor_dims(w), &weight));
    assert_ok(tn_graph_constant(g, "b", b, &bias));
    assert_ok(tn_graph_node(g, "MatMul", NULL, 2, (int[]){x, weight}, 1, &y, NULL));
    assert_ok(tn_graph_node(g, "Add", NULL, 2, (int[]){y, bias}, 1, &y, NULL));
    assert_ok(tn_graph_node(g, "Relu", NULL, 1, &y, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    const tn_model_options options = {.struct_size = sizeof options, .cpu = cpu};
    const tn_session_options o = {.struct_size = sizeof o, .threads = threads};
    assert_ok(tn_model_from_graph(g, &options, model));
    assert_ok(tn_session_create(*model, &o, &s));
    return s;
}

static tn_tensor *tensor(int rank, const int64_t *dims, int values) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    for (int64_t i = 0; i < tn_tensor_count(t); i++)
        ((float *)tn_tensor_data(t))[i] = values ? (float)((int)bits() % values) / 64 - 0.1f : number();
    return t;
}

static void products_are_those_of_weights_that_nobody_knows(void **state) {
    (void)state;
    /* Large enough to be looked up; a value more than a codebook has is none. */
    static const struct {
        int m, k, n, values;
    } cases[] = {{1, 2050, 4100, 16}, {5, 2050, 4100, 256}, {1, 2050, 4100, 257}};
    for (size_t c = 0; c < TN_COUNT(cases); c++) {
        const int m = cases[c].m, k = cases[c].k, n = cases[c].n;
        tn_tensor *w = tensor(2, (int64_t[]){k, n}, cases[c].values), *b = tensor(1, (int64_t[]){n}, 0);
        tn_tensor *x = tensor(2, (int64_t[]){m, k}, 0);
        const char *level;
        for (int l = 0; (level = tn_cpu_level_at(l)); l++) {
            const tn_tensor *y[2];
            tn_model *models[2];
            tn_session *s[2];
            if (c > 0 && tn_cpu_level_at(l + 1)) continue; /* the best level will do, since it takes its time */
            for (int form = 0; form < 2; form++) {
                s[form] = make(m, form == 0, w, b, level, form ? 1 : 2, &models[form]);
                assert_ok(tn_session_set_input(s[form], 0, x));
                if (form) assert_ok(tn_session_set_input(s[form], 1, w));
                assert_ok(tn_session_run(s[form]));
                assert_ok(tn_session_output(s[form], 0, &y[form]));
            }
            assert_memory_equal(tn_tensor_const_data(y[0]), tn_tensor_const_data(y[1]), tn_tensor_bytes(y[0]));
            for (int form = 0; form < 2; form++) {
                tn_session_destroy(s[form]);
                tn_model_destroy(models[form]);
            }
        }
        tn_tensor_destroy(x);
        tn_tensor_destroy(w);
        tn_tensor_destroy(b);
    }
}

/* A weight as tn_graph_cluster leaves it: y = book[codes], codes of 4 or 8 bits. */
static tn_status gather(tn_dtype dtype, int count, const uint8_t *codes, int entries, float *out) {
    static const float book[] = {0.5f, -1, 2, 3, -4.25f};
    tn_graph *g;
    tn_model *model;
    tn_session *s = NULL;
    tn_tensor *table, *indices;
    const tn_tensor *y;
    int b, c, wide, made;
    assert_ok(tn_tensor_create(TN_FLOAT32, 1, (int64_t[]){entries}, NULL, &table));
    assert_ok(tn_tensor_create(dtype, 1, (int64_t[]){count}, NULL, &indices));
    memcpy(tn_tensor_data(table), book, (size_t)entries * sizeof *book);
    memcpy(tn_tensor_data(indices), codes, tn_tensor_bytes(indices));
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_constant(g, "book", table, &b));
    assert_ok(tn_graph_constant(g, "codes", indices, &c));
    const tn_attribute to[] = {{.name = "to", .kind = TN_ATTR_INT, .i = TN_INT32}, {0}};
    assert_ok(tn_graph_node(g, "Cast", NULL, 1, &c, 1, &wide, to));
    assert_ok(tn_graph_node(g, "Gather", NULL, 2, (int[]){b, wide}, 1, &made, NULL));
    assert_ok(tn_graph_output(g, made, "y"));
    tn_tensor_destroy(table);
    tn_tensor_destroy(indices);
    TN_TRY(tn_model_from_graph(g, NULL, &model));
    tn_status status = tn_session_create(model, NULL, &s);
    if (status == TN_OK) status = tn_session_run(s);
    if (status == TN_OK) status = tn_session_output(s, 0, &y);
    if (status == TN_OK) memcpy(out, tn_tensor_const_data(y), (size_t)count * sizeof *out);
    tn_session_destroy(s);
    tn_model_destroy(model);
    return status;
}

static void codebooks_are_read_at_odd_lengths_and_no_further_than_they_go(void **state) {
    (void)state;
    const float expected[] = {-1, 0.5f, -4.25f, 3, 2};
    float y[5];
    assert_ok(gather(TN_UINT4, 5, (uint8_t[]){0x01, 0x34, 0x02}, 5, y));
    assert_memory_equal(y, expected, sizeof y);
    assert_ok(gather(TN_UINT4, 4, (uint8_t[]){0x01, 0x34}, 5, y));
    assert_memory_equal(y, expected, 4 * sizeof *y);
    assert_ok(gather(TN_UINT8, 5, (uint8_t[]){1, 0, 4, 3, 2}, 5, y));
    assert_memory_equal(y, expected, sizeof y);
    assert_int_not_equal(gather(TN_UINT4, 5, (uint8_t[]){0x01, 0x34, 0x02}, 4, y), TN_OK);
    assert_int_not_equal(gather(TN_UINT4, 5, (uint8_t[]){0x01, 0x12, 0x03}, 3, y), TN_OK);
    assert_int_not_equal(gather(TN_UINT8, 5, (uint8_t[]){1, 0, 4, 3, 2}, 4, y), TN_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codebooks_are_read_at_odd_lengths_and_no_further_than_they_go),
        cmocka_unit_test(lookups_are_exact_at_every_cpu_level),
        cmocka_unit_test(products_are_those_of_weights_that_nobody_knows),
    };
    return cmocka_run_group_tests_name("matmul_codes", tests, NULL, NULL);
}
