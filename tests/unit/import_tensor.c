/* The importer's tensors: every storage of their elements, external files that stay in their folder, absurd sizes. */
#include <stdio.h>
#include <sys/stat.h>
#include <tenon/model.h>
#include <unistd.h>
#include "onnx_import.h"

static void absurd_tensors_are_refused(void **state) {
    (void)state;
    static const struct {
        int rank;
        int64_t dims[9];
        tn_status status;
    } cases[] = {{2, {INT64_C(1) << 40, INT64_C(1) << 40}, TN_E_SHAPE},
                 {1, {-1}, TN_E_SHAPE},
                 {9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, TN_E_SHAPE},
                 {1, {INT64_C(1) << 40}, TN_E_FORMAT}};
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        pb_bytes graph, model, tensor = {0};
        small_graph(&graph);
        onnx_tensor(&tensor, "huge", TN_FLOAT32, cases[i].rank, cases[i].dims);
        pb_raw(&tensor, 9, "1234", 4);
        pb_message(&graph, 5, &tensor);
        onnx_model(&model, 21, &graph, NULL);
        refused(&model, cases[i].status, "tensor 'huge'");
    }
}

/* Values 1 and 2 at places 0 and 3 of four, or at a place outside. */
static void sparse_model(pb_bytes *model, const int64_t *dims, int64_t second) {
    pb_bytes graph, values = {0}, indices = {0}, sparse = {0};
    small_graph(&graph);
    onnx_tensor(&values, "sparse", TN_FLOAT32, 1, (int64_t[]){2});
    pb_numbers(&values, 9, (float[]){1, 2}, 8, 4);
    onnx_tensor(&indices, "", TN_INT64, 1, (int64_t[]){2});
    pb_numbers(&indices, 9, (int64_t[]){0, second}, 16, 8);
    pb_message(&sparse, 1, &values);
    pb_message(&sparse, 2, &indices);
    pb_int(&sparse, 3, dims[0]);
    pb_int(&sparse, 3, dims[1]);
    pb_message(&graph, 15, &sparse);
    onnx_model(model, 21, &graph, NULL);
}

static void sparse_initializers_become_dense(void **state) {
    (void)state;
    pb_bytes model;
    tn_graph *g;
    sparse_model(&model, (int64_t[]){2, 2}, 3);
    assert_ok(import(&model, &g));
    const tn_tensor *t = constant(g, "sparse");
    assert_memory_equal(t->data, ((float[]){1, 0, 0, 2}), 16);
    tn_graph_destroy(g);
    sparse_model(&model, (int64_t[]){2, 2}, 4);
    refused(&model, TN_E_FORMAT, "outside");
    sparse_model(&model, (int64_t[]){1 << 20, 1 << 20}, 3);
    refused_from(&model, NULL, 1 << 20, TN_E_MEMORY, "limit");
}

static void every_storage_of_elements_is_read(void **state) {
    (void)state;
    pb_bytes graph, model, t;
    tn_graph *g;
    small_graph(&graph);
    t.size = 0;
    onnx_tensor(&t, "int4", TN_INT4, 1, (int64_t[]){3}); /* packed by two */
    pb_raw(&t, 5, "\x21\x03", 2);
    pb_message(&graph, 5, &t);
    t.size = 0;
    onnx_tensor(&t, "half", TN_FLOAT16, 1, (int64_t[]){2}); /* not packed by protobuf */
    pb_int(&t, 5, 0x3c00);
    pb_int(&t, 5, 0xc000);
    pb_message(&graph, 5, &t);
    t.size = 0;
    onnx_tensor(&t, "text", TN_STRING, 1, (int64_t[]){2});
    pb_text(&t, 6, "one");
    pb_text(&t, 6, "");
    pb_message(&graph, 5, &t);
    t.size = 0;
    onnx_tensor(&t, "bool", TN_BOOL, 1, (int64_t[]){3});
    pb_raw(&t, 9, "\x00\x01\x80", 3);
    pb_message(&graph, 5, &t);
    t.size = 0;
    onnx_tensor(&t, "int64", TN_INT64, 1, (int64_t[]){1});
    pb_int(&t, 7, -5);
    pb_message(&graph, 5, &t);
    onnx_model(&model, 21, &graph, NULL);
    assert_ok(import(&model, &g));
    assert_memory_equal(constant(g, "int4")->data, "\x21\x03", 2);
    assert_memory_equal(constant(g, "half")->data, ((uint16_t[]){0x3c00, 0xc000}), 4);
    const tn_string *text = constant(g, "text")->data;
    assert_int_equal(text[0].size, 3);
    assert_int_equal(text[1].size, 0);
    assert_memory_equal(constant(g, "bool")->data, "\x00\x01\x01", 3);
    assert_int_equal(*(const int64_t *)constant(g, "int64")->data, -5);
    tn_graph_destroy(g);
}

static void external_model(pb_bytes *model, const char *location, const char *offset) {
    pb_bytes graph, tensor = {0};
    static const char *const keys[] = {"location", "offset"};
    small_graph(&graph);
    onnx_tensor(&tensor, "outside", TN_FLOAT32, 1, (int64_t[]){2});
    for (int i = 0; i < 2; i++) {
        pb_bytes entry = {0};
        pb_text(&entry, 1, keys[i]);
        pb_text(&entry, 2, i ? offset : location);
        pb_message(&tensor, 13, &entry);
    }
    pb_int(&tensor, 14, 1);
    pb_message(&graph, 5, &tensor);
    onnx_model(model, 21, &graph, NULL);
}

static void external_data_stay_in_the_folder(void **state) {
    (void)state;
    static const char *const escapes[] = {"../secret", "/etc/passwd", "a/../../b", "..", "", "a\\..\\b"};
    pb_bytes model;
    for (size_t i = 0; i < TN_COUNT(escapes); i++) {
        external_model(&model, escapes[i], "0");
        refused_from(&model, "/tmp", 0, TN_E_FORMAT, "inside the model's folder");
    }
    external_model(&model, "weights", "0");
    refused(&model, TN_E_UNSUPPORTED, "no folder");
}

static void external_data_are_used_within_their_file(void **state) {
    (void)state;
    char folder[] = "/tmp/tenon-import-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/weights", folder);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    float numbers[4];
    pb_little(numbers, (float[]){1, 2, 3, 4}, sizeof numbers, sizeof *numbers);
    fwrite(numbers, sizeof *numbers, 4, file);
    fclose(file);
    pb_bytes model;
    tn_graph *g;
    external_model(&model, "weights", "8");
    assert_ok(import_bytes(model.data, model.size, folder, 0, &g));
    assert_memory_equal(constant(g, "outside")->data, ((float[]){3, 4}), 8);
    tn_graph_destroy(g);
    external_model(&model, "weights", "9");
    refused_from(&model, folder, 0, TN_E_FORMAT, "beyond the end");
    external_model(&model, "weights", "18446744073709551615");
    refused_from(&model, folder, 0, TN_E_FORMAT, "beyond the end");
    external_model(&model, "weights", "99999999999999999999");
    refused_from(&model, folder, 0, TN_E_FORMAT, "decimal");
    external_model(&model, "missing", "0");
    refused_from(&model, folder, 0, TN_E_IO, "missing");
    unlink(path);
    rmdir(folder);
}

static void tensors_survive_their_file(void **state) {
    (void)state;
    char path[] = "/tmp/tenon-tensor-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    tn_string words[] = {{"ab", 2}, {"", 0}, {"c\0d", 3}};
    int8_t bytes[] = {1, -2, 3, -4, 5, -6};
    tn_tensor *text, *numbers, *back;
    assert_ok(tn_tensor_wrap(TN_STRING, 1, (int64_t[]){3}, NULL, words, sizeof words, &text));
    assert_ok(tn_tensor_save_pb(text, "words", path));
    assert_ok(tn_tensor_load_pb(path, &back));
    assert_memory_equal(((const tn_string *)tn_tensor_const_data(back))[2].data, "c\0d", 3);
    tn_tensor_destroy(back);
    tn_tensor_destroy(text);
    assert_ok(
        tn_tensor_wrap(TN_INT8, 2, (int64_t[]){3, 2}, (int64_t[]){1, 3}, bytes, sizeof bytes, &numbers)); /* strided */
    assert_ok(tn_tensor_save_pb(numbers, NULL, path));
    assert_ok(tn_tensor_load_pb(path, &back));
    assert_memory_equal(tn_tensor_const_data(back), ((int8_t[]){1, -4, -2, 5, 3, -6}), 6);
    tn_tensor_destroy(back);
    tn_tensor_destroy(numbers);
    unlink(path);
    assert_int_equal(tn_tensor_load_pb(path, &back), TN_E_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absurd_tensors_are_refused),
        cmocka_unit_test(sparse_initializers_become_dense),
        cmocka_unit_test(every_storage_of_elements_is_read),
        cmocka_unit_test(external_data_stay_in_the_folder),
        cmocka_unit_test(external_data_are_used_within_their_file),
        cmocka_unit_test(tensors_survive_their_file),
    };
    return end_of_imports(cmocka_run_group_tests_name("import_tensor", tests, NULL, NULL));
}
