/* A model's file is searched for what no model needs, and so is a file that is none; marks at the very end of a file are read no
 * further than the file goes. What hides in models of each form is tests/command/test_scan.py. */
#include "unit.h"
#include <math.h>
#include <tenon/tenon.h>
#include "tree.h"

static char root[64];

static int setup(void **state) {
    (void)state;
    return tree_make(root, "scan") ? 0 : -1;
}
static int teardown(void **state) {
    (void)state;
    return tree_remove(root);
}

typedef struct told {
    int count;
    char where[200], what[200];
} told;

static void on_finding(void *context, const char *where, const char *what) {
    told *t = context;
    t->count++;
    snprintf(t->where, sizeof t->where, "%s", where);
    snprintf(t->what, sizeof t->what, "%s", what);
}

static void what_is_no_model_is_searched(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *where, *what; /* NULL: nothing */
    } files[] = {
        {"", 0, NULL, NULL},
        {"\x7f"
         "ELF",
         4, NULL, NULL},
        {"..\x7f"
         "ELF\2\1\1",
         9, "byte 2", "a program (ELF)"},
        {"MZ", 2, NULL, NULL},
        {"PK\x03\x04\x14", 5, NULL, NULL},
        {".PK\x03\x04\x14\0\0\0\x08\0....................", 31, "byte 1", "an archive (zip)"},
        {"\xcf\xfa\xed\xfe\x07\0\0\1", 8, "byte 0", "a program (Mach-O)"},
        {"\xcf\xfa\xed\xfe\x07\0\0", 7, NULL, NULL},
        {"\x80\x02"
         "cposix\nsystem\n",
         16, "byte 2", "a Python pickle that calls programs"},
    };
    for (size_t i = 0; i < TN_COUNT(files); i++) {
        told t = {0};
        int count = -1;
        const char *path = tree_at(root, "file.onnx");
        FILE *f = fopen(path, "wb");
        fwrite(files[i].bytes, 1, files[i].size, f);
        fclose(f);
        assert_int_not_equal(tn_scan(path, on_finding, &t, &count), TN_OK);
        assert_true(*tn_last_error() != 0);
        assert_int_equal(count, t.count);
        assert_int_equal(count, files[i].what != NULL);
        if (!files[i].what) continue;
        assert_string_equal(t.where, files[i].where);
        assert_string_equal(t.what, files[i].what);
    }
    assert_int_equal(tn_scan(tree_at(root, "none.onnx"), NULL, NULL, NULL), TN_E_IO);
}

static void weights_that_are_no_numbers_are_told(void **state) {
    (void)state;
    for (int wrong = 0; wrong < 2; wrong++) {
        tn_graph *graph;
        tn_tensor *weights;
        told t = {0};
        int count, x, w, y;
        float values[] = {1, -INFINITY, wrong ? NAN : 3};
        assert_ok(tn_graph_create(NULL, &graph));
        assert_ok(tn_tensor_wrap(TN_FLOAT32, 1, (int64_t[]){3}, NULL, values, sizeof values, &weights));
        assert_ok(tn_graph_input(graph, "x", TN_FLOAT32, 1, (int64_t[]){3}, &x));
        assert_ok(tn_graph_constant(graph, "w", weights, &w));
        assert_ok(tn_graph_node(graph, "Add", "sum", 2, (int[]){x, w}, 1, &y, NULL));
        assert_ok(tn_graph_output(graph, y, "y"));
        const char *path = tree_at(root, "model.onnx");
        assert_ok(tn_graph_save_onnx(graph, path, NULL));
        assert_ok(tn_scan(path, on_finding, &t, &count));
        assert_int_equal(count, wrong);
        assert_string_equal(t.where, wrong ? "constant 'w'" : "");
        assert_string_equal(t.what, wrong ? "1 of 3 numbers are NaN" : "");
        tn_tensor_destroy(weights);
        tn_graph_destroy(graph);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_model_is_searched),
        cmocka_unit_test(weights_that_are_no_numbers_are_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
