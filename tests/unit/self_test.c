/* Self-tests: recorded, kept in a model file, run; what computes otherwise is told, and what is forged is refused. */
#include "unit.h"
#include <math.h>
#include <stdlib.h>
#include <tenon/tenon.h>
#include "model/self_test.h"
#include "tree.h"

static char path[96];

static int make_folder(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/tenon-self-XXXXXX");
    if (!mkdtemp(path)) return -1;
    strcat(path, "/m.tenon");
    return 0;
}
static int drop_folder(void **state) {
    (void)state;
    unlink(path);
    *strrchr(path, '/') = 0;
    return rmdir(path);
}

/* y = x w, n = the number of rows, as int64. */
static tn_graph *graph_of(float w) {
    tn_graph *g;
    tn_tensor *t;
    int x, wv, y, shape, n;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){tn_graph_symbol(g, "rows"), 4}, &x));
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 0, NULL, NULL, &w, sizeof w, &t));
    assert_ok(tn_graph_constant(g, "w", t, &wv));
    tn_tensor_destroy(t);
    assert_ok(tn_graph_node(g, "Mul", "product", 2, (int[]){x, wv}, 1, &y, NULL));
    assert_ok(tn_graph_node(g, "Shape", "shape", 1, &x, 1, &shape, NULL));
    assert_ok(tn_graph_node(g, "ReduceMin", "n", 1, &shape, 1, &n, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    assert_ok(tn_graph_output(g, n, "n"));
    return g;
}

static tn_model *model_of(float w) {
    tn_model *m;
    assert_ok(tn_model_from_graph(graph_of(w), NULL, &m));
    return m;
}

static tn_tensor *rows(int64_t n) {
    tn_tensor *x;
    assert_ok(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){n, 4}, NULL, &x));
    for (int i = 0; i < 4 * n; i++) ((float *)tn_tensor_data(x))[i] = (float)(i - 3) / 8;
    return x;
}

/* Of two cases, of one and of three rows. */
static tn_self_test *recorded(const tn_model *model, float relative) {
    tn_self_test *test;
    assert_ok(tn_self_test_create(&test));
    for (int n = 1; n < 4; n += 2) {
        tn_tensor *x = rows(n);
        tn_self_test_case c = {sizeof c, .name = n == 1 ? "one" : "three", .relative = relative, .input_count = 1,
                               .inputs = &(tn_named_tensor){"x", x}};
        assert_ok(tn_self_test_record(test, model, &c));
        tn_tensor_destroy(x);
    }
    return test;
}

static void a_model_passes_what_it_was_recorded_with_and_another_does_not(void **state) {
    (void)state;
    tn_model *model = model_of(2), *near = model_of(2.001f), *far = model_of(3);
    tn_self_test *exact = recorded(model, 0), *loose = recorded(model, 1e-3f);
    tn_self_test_result r = {.struct_size = sizeof r};
    assert_ok(tn_self_test_run(exact, model, NULL, &r));
    assert_int_equal(r.cases, 2);
    assert_int_equal(r.failed, 0);
    assert_true(r.worst == 0);
    assert_ok(tn_self_test_run(loose, near, NULL, &r));
    assert_true(r.worst > 0.4 && r.worst < 0.6);
    assert_int_equal(tn_self_test_run(exact, near, NULL, &r), TN_E_CHECK);
    assert_int_equal(tn_self_test_run(loose, far, NULL, &r), TN_E_CHECK);
    assert_non_null(strstr(tn_last_error(), "'one' fails: element 0 of output 'y' is -1.125; expected -0.75"));
    assert_int_equal(r.failed, 2);
    assert_true(r.worst > 400);
    tn_self_test_destroy(exact);
    tn_self_test_destroy(loose);
    tn_model_destroy(model);
    tn_model_destroy(near);
    tn_model_destroy(far);
}

static void shapes_types_names_and_texts_must_be_the_same(void **state) {
    (void)state;
    tn_model *model = model_of(1);
    tn_tensor *x = rows(1), *wrong_shape = rows(2), *wrong_type;
    assert_ok(tn_tensor_create(TN_FLOAT64, 2, (int64_t[]){1, 4}, NULL, &wrong_type));
    const struct {
        tn_named_tensor in, out;
        tn_status status;
        const char *words;
    } cases[] = {
        {{"x", x}, {"y", x}, TN_OK, ""},
        {{"x", x}, {"y", wrong_shape}, TN_E_CHECK, "the shape of output 'y' is float32[1,4]; expected float32[2,4]"},
        {{"x", x}, {"y", wrong_type}, TN_E_CHECK, "expected float64[1,4]"},
        {{"x", x}, {"z", x}, TN_E_NOT_FOUND, "'a case'"},
        {{"q", x}, {"y", x}, TN_E_NOT_FOUND, "'a case'"},
        {{"x", wrong_type}, {"y", x}, TN_E_TYPE, "'a case'"},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        tn_self_test *test;
        tn_self_test_case c = {sizeof c,          .name = "a case",        .input_count = 1, .inputs = &cases[i].in,
                               .output_count = 1, .outputs = &cases[i].out};
        assert_ok(tn_self_test_create(&test));
        assert_ok(tn_self_test_add(test, &c));
        assert_int_equal(tn_self_test_run(test, model, NULL, NULL), cases[i].status);
        if (cases[i].status != TN_OK && !strstr(tn_last_error(), cases[i].words))
            fail_msg("'%s' is not in '%s'", cases[i].words, tn_last_error());
        tn_self_test_destroy(test);
    }
    tn_tensor_destroy(x);
    tn_tensor_destroy(wrong_shape);
    tn_tensor_destroy(wrong_type);
    tn_model_destroy(model);
}

static void bad_cases_are_refused(void **state) {
    (void)state;
    tn_tensor *x = rows(1);
    tn_self_test *test;
    tn_named_tensor one = {"x", x}, twice[] = {{"x", x}, {"x", x}};
    const tn_self_test_case cases[] = {
        {sizeof cases[0], .input_count = 1, .inputs = &one},
        {sizeof cases[0], .output_count = 1, .outputs = &one, .relative = -1},
        {sizeof cases[0], .output_count = 1, .outputs = &one, .absolute = NAN},
        {sizeof cases[0], .output_count = 2, .outputs = twice},
        {sizeof cases[0], .output_count = 1 << 20, .outputs = &one},
    };
    assert_ok(tn_self_test_create(&test));
    for (size_t i = 0; i < TN_COUNT(cases); i++) assert_int_not_equal(tn_self_test_add(test, &cases[i]), TN_OK);
    tn_self_test_case c = {.struct_size = sizeof c};
    assert_int_equal(tn_self_test_at(test, 0, &c), TN_E_NOT_FOUND);
    tn_self_test_destroy(test);
    tn_tensor_destroy(x);
}

/* `graph` with a self-test recorded on another model, as a file. */
static void save(tn_graph *graph, const tn_self_test *test, bool compress) {
    tn_model_file_options o = {sizeof o, .compress = compress, .self_test = test};
    assert_ok(tn_graph_save(graph, path, &o));
    tn_graph_destroy(graph);
}

static void it_comes_back_from_its_file_and_goes_along(void **state) {
    (void)state;
    for (int compress = 0; compress < 1 + TN_WITH_ZLIB; compress++) {
        tn_model *model = model_of(2);
        tn_self_test *test = recorded(model, 1e-4f), *back;
        tn_graph *again;
        tn_self_test_case a = {.struct_size = sizeof a}, b = {.struct_size = sizeof b};
        assert_int_equal(tn_self_test_of_model(model, &back), TN_E_NOT_FOUND);
        tn_model_destroy(model);
        save(graph_of(2), test, compress);
        assert_ok(tn_graph_load(path, NULL, &again));
        save(again, NULL,
             !compress && TN_WITH_ZLIB); /* a new file takes the old one's name, and the old one stays mapped */
        assert_ok(tn_model_load(path, NULL, &model));
        assert_ok(tn_self_test_of_model(model, &back));
        for (int i = 0; i < 2; i++) {
            assert_ok(tn_self_test_at(test, i, &a));
            assert_ok(tn_self_test_at(back, i, &b));
            assert_string_equal(a.name, b.name);
            assert_true(a.relative == b.relative && a.absolute == b.absolute);
            assert_int_equal(b.input_count, 1);
            assert_int_equal(b.output_count, 2);
            assert_memory_equal(tn_tensor_const_data(a.outputs[0].tensor), tn_tensor_const_data(b.outputs[0].tensor),
                                tn_tensor_bytes(a.outputs[0].tensor));
            assert_int_equal(*(const int64_t *)tn_tensor_const_data(b.outputs[1].tensor), i ? 3 : 1);
        }
        assert_int_equal(tn_self_test_at(back, 2, &b), TN_E_NOT_FOUND);
        assert_ok(tn_self_test_run(back, model, NULL, NULL));
        tn_self_test_destroy(back);
        tn_self_test_destroy(test);
        tn_model_destroy(model);
    }
}

static void any_cut_or_changed_byte_ends_in_a_test_or_a_sentence(void **state) {
    (void)state;
    tn_model *model = model_of(2);
    tn_self_test *test = recorded(model, 1e-3f), *read;
    tn_pb_out out = {0};
    tn_self_test_put(test, &out);
    size_t size = (size_t)tn_pb_out_bytes(&out);
    tn_output file;
    assert_ok(tn_output_open(&file, path));
    tn_pb_out_each(&out, tn_output_piece, &file);
    assert_ok(tn_output_commit(&file));
    tn_pb_out_free(&out);
    size_t written;
    char *bytes = tree_read(path, &written);
    assert_int_equal(written, size);
    int refused = 0;
    for (size_t i = 0; i < 9 * size; i++) {
        size_t cut = i < size ? i : size;
        uint8_t *copy = malloc(cut ? cut : 1); /* of exactly that size, for sanitizers */
        if (cut) memcpy(copy, bytes, cut);
        if (i >= size) copy[i % size] ^= (uint8_t)(1 << (i / size - 1));
        tn_status status = tn_self_test_read((tn_string){(const char *)copy, cut}, &read);
        if (status == TN_OK) {
            tn_self_test_run(read, model, NULL, NULL);
            tn_self_test_destroy(read);
        } else {
            assert_null(read);
            assert_non_null(strstr(tn_last_error(), "self-test"));
            refused++;
        }
        free(copy);
    }
    assert_true(refused > (int)size);
    free(bytes);
    tn_self_test_destroy(test);
    tn_model_destroy(model);
}

static void kept_files_pass(void **state) {
    (void)state;
    static const char *const files[] = {"tests/golden/v1.1-self-test.tenon",
                                        "tests/golden/v1.1-deflated-self-test.tenon"};
    for (int i = 0; i < 1 + TN_WITH_ZLIB; i++) {
        tn_model *model;
        tn_self_test *test;
        tn_self_test_result r = {.struct_size = sizeof r};
        assert_ok(tn_model_load(files[i], NULL, &model));
        assert_ok(tn_self_test_of_model(model, &test));
        assert_ok(tn_self_test_run(test, model, NULL, &r));
        assert_int_equal(r.cases, 2);
        tn_self_test_destroy(test);
        tn_model_destroy(model);
    }
}

int main(void) {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, drop_folder)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_passes_what_it_was_recorded_with_and_another_does_not),
        cmocka_unit_test(shapes_types_names_and_texts_must_be_the_same),
        cmocka_unit_test(bad_cases_are_refused),
        IN_FOLDER(it_comes_back_from_its_file_and_goes_along),
        IN_FOLDER(any_cut_or_changed_byte_ends_in_a_test_or_a_sentence),
        cmocka_unit_test(kept_files_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
