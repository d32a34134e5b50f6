/* Export: what is written is read back as the same graph, whatever its names are; and what cannot be written is refused. */
#include "unit.h"
#include <stdlib.h>
#include <tenon/tenon.h>
#include "export/export.h"

typedef struct bytes {
    uint8_t data[1 << 16];
    size_t size;
} bytes;

static tn_status collect(void *context, const void *data, size_t size) {
    bytes *b = context;
    if (size > sizeof b->data - b->size) return tn_fail(TN_E_LIMIT, "too small a buffer");
    memcpy(b->data + b->size, data, size);
    b->size += size;
    return TN_OK;
}

static int weights(tn_graph *g, const char *name, int64_t count) {
    tn_tensor *t;
    int value;
    assert_ok(tn_tensor_create(TN_FLOAT32, 1, &count, NULL, &t));
    for (int64_t i = 0; i < count; i++) ((float *)tn_tensor_data(t))[i] = (float)i;
    assert_ok(tn_graph_constant(g, name, t, &value));
    tn_tensor_destroy(t);
    return value;
}

/* Values of one name, and of none. */
static tn_graph *ambiguous(void) {
    tn_graph *g;
    int x, a, b, y;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){tn_graph_symbol(g, "n"), 400}, &x));
    int first = weights(g, "w", 400), second = weights(g, "w", 1);
    assert_ok(tn_graph_node(g, "Add", NULL, 2, (int[]){x, first}, 1, &a, NULL));
    assert_ok(tn_graph_node(g, "Mul", "m", 2, (int[]){a, second}, 1, &b, NULL));
    assert_ok(tn_graph_node(g, "Relu", NULL, 1, &b, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "w"));
    return g;
}

static void a_written_graph_is_read_back(void **state) {
    (void)state;
    static bytes b, again;
    tn_graph *g = ambiguous();
    tn_model *model, *copy;
    tn_value_info info;
    b.size = again.size = 0;
    assert_ok(tn_graph_write_onnx(g, collect, &b));
    tn_graph_destroy(g);
    tn_model_options options = {sizeof options, .skip_passes = "all"};
    assert_ok(tn_model_load_memory(b.data, b.size, NULL, &options, &model));
    assert_ok(tn_graph_write_onnx(tn_model_graph(model), collect, &again));
    assert_int_equal(b.size, again.size);
    assert_memory_equal(b.data, again.data, b.size);
    assert_int_equal(tn_graph_node_count(tn_model_graph(model)), 3);
    assert_ok(tn_model_output_info(model, 0, &info));
    assert_string_equal(info.name, "w");
    assert_string_equal(info.symbols[0], "n");
    assert_ok(tn_model_load_memory(again.data, again.size, NULL, NULL, &copy));
    tn_model_destroy(copy);
    tn_model_destroy(model);
}

static void a_writer_that_fails_stops_it(void **state) {
    (void)state;
    static bytes b;
    tn_graph *g = ambiguous();
    b.size = sizeof b.data - 10;
    assert_int_equal(tn_graph_write_onnx(g, collect, &b), TN_E_LIMIT);
    tn_graph_destroy(g);
}

static void operators_of_tenons_own_are_refused(void **state) {
    (void)state;
    static bytes b;
    tn_graph *g = ambiguous();
    int x, y;
    b.size = 0;
    assert_ok(tn_graph_input(g, "m", TN_FLOAT32, 2, (int64_t[]){4, 400}, &x));
    int w = weights(g, "v", 400);
    assert_ok(tn_graph_node(g, "tenon:FusedMatMul", "fused", 2, (int[]){x, w}, 1, &y, NULL));
    assert_int_equal(tn_graph_write_onnx(g, collect, &b), TN_E_UNSUPPORTED);
    assert_non_null(strstr(tn_last_error(), "fused"));
    tn_graph_destroy(g);
}

static void weights_outside_of_the_message_are_aligned_and_shared(void **state) {
    (void)state;
    tn_graph *g = ambiguous();
    tn_region *scratch = tn_region_create(NULL);
    tn_pb_out message = {0};
    tn_weights list = {0};
    tn_tensor *large = NULL;
    for (int v = 0; v < g->value_count; v++)
        if (g->values[v].constant && g->values[v].constant->dims[0] == 400)
            large = tn_graph_tensor(g, TN_FLOAT32, 2, (int64_t[]){20, 20}, g->values[v].constant->data);
    assert_non_null(large);
    int twin = tn_graph_add_constant(g, "twin", large), sum;
    assert_ok(tn_graph_node(g, "Neg", NULL, 1, &twin, 1, &sum, NULL));
    assert_ok(tn_graph_output(g, sum, "negative"));
    assert_ok(tn_export_onnx(g, &(tn_export_options){"weights", 4, false}, scratch, &message, &list));
    assert_non_null(list.first);
    assert_int_equal(list.first->bytes, 1600);
    assert_non_null(list.first->next);
    assert_null(list.first->next->next); /* the twin is not there twice */
    assert_int_equal(list.first->next->offset % 64, 0);
    assert_int_equal(message.spliced, 0);
    tn_pb_out_free(&message);
    tn_region_destroy(scratch);
    tn_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_written_graph_is_read_back),
        cmocka_unit_test(a_writer_that_fails_stops_it),
        cmocka_unit_test(operators_of_tenons_own_are_refused),
        cmocka_unit_test(weights_outside_of_the_message_are_aligned_and_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
