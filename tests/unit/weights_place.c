/* Where the weights of matrix products are: packed, or read where a model file has them, with results of the same bits. */
#include "unit.h"
#include <sys/stat.h>
#include <tenon/tenon.h>
#include <unistd.h>
#include "base/base.h"
#include "tree.h"

static char root[64], folder[80];

/* Some of -1 to 1. */
static void constant(tn_graph *g, const char *name, int rank, const int64_t *dims, int *out) {
    tn_tensor *t;
    uint32_t state = (uint32_t)strlen(name) * 2654435761u + (uint32_t)name[0];
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    float *to = tn_tensor_data(t);
    for (size_t i = 0; i < tn_tensor_bytes(t) / sizeof *to; i++) {
        state = state * 1664525u + 1013904223u;
        to[i] = (float)(state >> 8) / (1 << 23) - 1;
    }
    assert_ok(tn_graph_constant(g, name, t, out));
    tn_tensor_destroy(t);
}

static char *model_path(void) {
    return tree_at(root, "m.tenon");
}

static int setup(void **state) {
    (void)state;
    if (!tree_make(root, "places")) return -1;
    snprintf(folder, sizeof folder, "%s/packed", root);
    return mkdir(folder, 0700);
}
static int teardown(void **state) {
    (void)state;
    return tree_remove(root);
}

/* A matrix on the left, one on the right, and one on the right that is transposed. */
static void save_products(void) {
    tn_graph *g;
    int x, w[3], a, b, y;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){40, 70}, &x));
    constant(g, "left", 2, (int64_t[]){30, 40}, &w[0]);
    constant(g, "right", 2, (int64_t[]){70, 90}, &w[1]);
    constant(g, "transposed", 2, (int64_t[]){50, 90}, &w[2]);
    const tn_attribute transposed[] = {{.name = "transB", .kind = TN_ATTR_INT, .i = 1}, {0}};
    assert_ok(tn_graph_node(g, "MatMul", "first", 2, (int[]){w[0], x}, 1, &a, NULL));
    assert_ok(tn_graph_node(g, "MatMul", "second", 2, (int[]){a, w[1]}, 1, &b, NULL));
    assert_ok(tn_graph_node(g, "Gemm", "third", 2, (int[]){b, w[2]}, 1, &y, transposed));
    assert_ok(tn_graph_output(g, y, "y"));
    assert_ok(tn_graph_save(g, model_path(), NULL));
    tn_graph_destroy(g);
}

static void products_read_weights_in_place_and_answer_the_same_at_every_cpu_level(void **state) {
    (void)state;
    float in[40 * 70], y[2][30 * 50];
    for (int i = 0; i < 40 * 70; i++) in[i] = (float)(i % 31) / 16 - 0.9f;
    save_products();
    for (int level = 0; tn_cpu_level_at(level); level++) {
        for (int in_place = 0; in_place < 2; in_place++) {
            tn_model_options options = {sizeof options, .cpu = tn_cpu_level_at(level)};
            options.weights = in_place ? TN_WEIGHTS_IN_PLACE : TN_WEIGHTS_PACKED;
            tn_session_memory memory = {.struct_size = sizeof memory};
            const tn_tensor *out;
            tn_session *s;
            tn_model *model;
            tn_tensor *x;
            assert_ok(tn_model_load(model_path(), &options, &model));
            assert_ok(tn_session_create(model, NULL, &s));
            assert_ok(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){40, 70}, NULL, in, sizeof in, &x));
            assert_ok(tn_session_set_input(s, 0, x));
            assert_ok(tn_session_run(s));
            assert_ok(tn_session_output(s, 0, &out));
            assert_int_equal(tn_tensor_bytes(out), sizeof y[0]);
            memcpy(y[in_place], tn_tensor_const_data(out), sizeof y[0]);
            assert_ok(tn_session_memory_info(s, &memory));
            assert_true(in_place ? memory.packed == 0 : memory.packed >= (30 * 40 + 70 * 90 + 50 * 90) * sizeof(float));
            tn_session_destroy(s);
            tn_tensor_destroy(x);
            tn_model_destroy(model);
        }
        assert_memory_equal(y[0], y[1], sizeof y[0]);
    }
}

static void save_tall(const char *onnx) {
    tn_graph *g;
    int x, w, y;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){tn_graph_symbol(g, "rows"), 70}, &x));
    constant(g, "right", 2, (int64_t[]){70, 90}, &w);
    assert_ok(tn_graph_node(g, "MatMul", "product", 2, (int[]){x, w}, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    assert_ok(tn_graph_save(g, model_path(), NULL));
    assert_ok(tn_graph_save_onnx(g, onnx, NULL));
    tn_graph_destroy(g);
}

/* Bytes that are packed then. */
static size_t run_tall(const char *path, tn_weights_place weights, bool shared, int rows, float *out) {
    static float in[128 * 70];
    tn_model_options options = {sizeof options, .packed_folder = shared ? folder : NULL, .weights = weights};
    tn_session_memory memory = {.struct_size = sizeof memory};
    const tn_tensor *y;
    tn_session *s;
    tn_model *model;
    tn_tensor *x;
    for (int i = 0; i < 128 * 70; i++) in[i] = (float)(i % 31) / 16 - 0.9f;
    assert_ok(tn_model_load(path, &options, &model));
    assert_ok(tn_session_create(model, NULL, &s));
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){rows, 70}, NULL, in, sizeof in, &x));
    assert_ok(tn_session_set_input(s, 0, x));
    assert_ok(tn_session_run(s));
    assert_ok(tn_session_output(s, 0, &y));
    assert_int_equal(tn_tensor_bytes(y), (size_t)rows * 90 * sizeof *out);
    memcpy(out, tn_tensor_const_data(y), tn_tensor_bytes(y));
    assert_ok(tn_session_memory_info(s, &memory));
    tn_session_destroy(s);
    tn_tensor_destroy(x);
    tn_model_destroy(model);
    return memory.packed;
}

/* Few rows, an ONNX file, and hosts that keep packed weights have them packed. */
static void by_default_weights_of_model_files_are_in_place_for_many_rows(void **state) {
    (void)state;
    if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) skip(); /* a file's numbers are copied, turned around */
    static float expected[128 * 90], y[128 * 90];
    const size_t bytes = (size_t)70 * 90 * sizeof(float);
    char onnx[200];
    snprintf(onnx, sizeof onnx, "%s", tree_at(root, "tall.onnx"));
    save_tall(onnx);
    assert_true(run_tall(model_path(), TN_WEIGHTS_PACKED, false, 128, expected) >= bytes);
    assert_int_equal(run_tall(model_path(), TN_WEIGHTS_AUTO, false, 128, y), 0);
    assert_memory_equal(y, expected, sizeof y);
    assert_true(run_tall(onnx, TN_WEIGHTS_AUTO, false, 128, y) >= bytes);
    assert_memory_equal(y, expected, sizeof y);
    assert_true(run_tall(model_path(), TN_WEIGHTS_AUTO, true, 128, y) >= bytes);
    assert_memory_equal(y, expected, sizeof y);
    assert_true(run_tall(model_path(), TN_WEIGHTS_AUTO, false, 20, y) >= bytes);
    assert_memory_equal(y, expected, (size_t)20 * 90 * sizeof *y);
}

static void a_place_that_is_none_is_refused(void **state) {
    (void)state;
    tn_model_options options = {sizeof options, .weights = (tn_weights_place)3};
    tn_model *model;
    save_products();
    assert_int_equal(tn_model_load(model_path(), &options, &model), TN_E_INVALID);
    assert_null(model);
}

static void what_takes_most_of_the_memory_is_not_read_before_it_is_needed(void **state) {
    (void)state;
    const size_t all = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    assert_true(tn_memory_is_ample(0));
    assert_true(tn_memory_is_ample(all / 5));
    assert_false(tn_memory_is_ample(all / 3));
    assert_false(tn_memory_is_ample(SIZE_MAX));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(products_read_weights_in_place_and_answer_the_same_at_every_cpu_level, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(by_default_weights_of_model_files_are_in_place_for_many_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(a_place_that_is_none_is_refused, setup, teardown),
        cmocka_unit_test(what_takes_most_of_the_memory_is_not_read_before_it_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
