/* A batch that goes sample by sample gives what each sample gives alone, in less memory. */
#include "unit.h"
#include "exec/model.h"
#include <math.h>
#include <stdlib.h>
#include <tenon/tenon.h>

enum { CHANNELS = 8, SIDE = 48, BATCH = 8, PIXELS = SIDE * SIDE, SAMPLE = CHANNELS * PIXELS, MIDDLE = 2 * SAMPLE };

static float number(size_t i) {
    return (float)((i * 2654435761u >> 7) % 2001) / 1000.0f - 1.0f;
}

static int constant(tn_graph *g, int rank, const int64_t *dims, size_t seed) {
    tn_tensor *t;
    int value;
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    for (int64_t i = 0; i < tn_tensor_count(t); i++) ((float *)tn_tensor_data(t))[i] = 0.2f * number((size_t)i + seed);
    assert_ok(tn_graph_constant(g, "w", t, &value));
    tn_tensor_destroy(t);
    return value;
}

static int node(tn_graph *g, const char *op, int count, const int *in, const tn_attribute *attributes) {
    int out;
    assert_ok(tn_graph_node(g, op, op, count, in, 1, &out, attributes));
    return out;
}

static int conv(tn_graph *g, int x, int64_t maps, int64_t channels, size_t seed) {
    const int64_t ones[4] = {1, 1, 1, 1};
    const tn_attribute pads[] = {{.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = ones}, {0}};
    const int w = constant(g, 4, (int64_t[]){maps, channels, 3, 3}, seed);
    return node(g, "Conv", 2, (int[]){x, w}, pads);
}

/* Convolutions, a residual, a part that all samples share (of an input and as a constant), a split and a joint, an output
 * from the middle, and a flat end. */
static tn_model *branched_model(void) {
    tn_graph *g;
    tn_model *model;
    int x, gate, half[2];
    const int64_t two[2] = {2, 2};
    const tn_attribute axis[] = {{.name = "axis", .kind = TN_ATTR_INT, .i = 1}, {0}};
    const tn_attribute parts[] = {
        {.name = "axis", .kind = TN_ATTR_INT, .i = 1}, {.name = "num_outputs", .kind = TN_ATTR_INT, .i = 2}, {0}};
    const tn_attribute pool[] = {{.name = "kernel_shape", .kind = TN_ATTR_INTS, .count = 2, .ints = two},
                                 {.name = "strides", .kind = TN_ATTR_INTS, .count = 2, .ints = two},
                                 {0}};
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 4, (int64_t[]){tn_graph_symbol(g, "n"), CHANNELS, SIDE, SIDE}, &x));
    assert_ok(tn_graph_input(g, "gate", TN_FLOAT32, 4, (int64_t[]){1, CHANNELS, 1, 1}, &gate));
    const int open = node(g, "Sigmoid", 1, &gate, NULL);
    const int first = node(g, "Relu", 1, (int[]){conv(g, x, 2 * CHANNELS, CHANNELS, 1)}, NULL);
    const int second = conv(g, first, 2 * CHANNELS, 2 * CHANNELS, 2);
    const int sum = node(g, "Add", 2, (int[]){second, first}, NULL);
    assert_ok(tn_graph_node(g, "Split", "split", 1, &sum, 2, half, parts));
    const int gated = node(g, "Mul", 2, (int[]){half[0], open}, NULL);
    const int shifted = node(g, "Add", 2, (int[]){half[1], constant(g, 3, (int64_t[]){CHANNELS, 1, 1}, 3)}, NULL);
    const int joint = node(g, "Concat", 2, (int[]){node(g, "Tanh", 1, &shifted, NULL), gated}, axis);
    const int third = conv(g, joint, CHANNELS, 2 * CHANNELS, 4);
    const int fourth = conv(g, node(g, "Sigmoid", 1, &third, NULL), 2 * CHANNELS, CHANNELS, 5);
    const int pooled = node(g, "MaxPool", 1, &fourth, pool);
    const int means = node(g, "GlobalAveragePool", 1, &pooled, NULL);
    const int flat = node(g, "Flatten", 1, &means, NULL);
    const int y = node(g, "MatMul", 2, (int[]){flat, constant(g, 2, (int64_t[]){2 * CHANNELS, 3}, 6)}, NULL);
    assert_ok(tn_graph_output(g, y, "y"));
    assert_ok(tn_graph_output(g, sum, "sum"));
    tn_model_options options = {.struct_size = sizeof options};
    assert_ok(tn_model_from_graph(g, &options, &model));
    return model;
}

typedef struct {
    tn_model *model;
    tn_session *session;
    float *x, gate[CHANNELS];
    tn_tensor *in, *gates;
} fixture;

static fixture begin(tn_model *model, int threads, bool profile) {
    fixture f = {.model = model, .x = malloc(BATCH * SAMPLE * sizeof(float))};
    const tn_session_options options = {.struct_size = sizeof options, .threads = threads, .profile = profile};
    for (size_t i = 0; i < BATCH * SAMPLE; i++) f.x[i] = number(i);
    assert_ok(tn_session_create(model, &options, &f.session));
    return f;
}

static void run(fixture *f, int from, int count) {
    for (int c = 0; c < CHANNELS; c++) f->gate[c] = number(77 + (size_t)c);
    tn_tensor_destroy(f->in), tn_tensor_destroy(f->gates);
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 4, (int64_t[]){count, CHANNELS, SIDE, SIDE}, NULL, f->x + from * SAMPLE,
                             (size_t)count * SAMPLE * sizeof(float), &f->in));
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 4, (int64_t[]){1, CHANNELS, 1, 1}, NULL, f->gate, sizeof f->gate, &f->gates));
    assert_ok(tn_session_set_input_by_name(f->session, "x", f->in));
    assert_ok(tn_session_set_input_by_name(f->session, "gate", f->gates));
    assert_ok(tn_session_run(f->session));
}

static const float *output(const fixture *f, const char *name) {
    const tn_tensor *t;
    assert_ok(tn_session_output_by_name(f->session, name, &t));
    return tn_tensor_const_data(t);
}

static size_t arena(const fixture *f) {
    tn_session_memory memory = {.struct_size = sizeof memory};
    assert_ok(tn_session_memory_info(f->session, &memory));
    return memory.arena;
}

static void end(fixture *f) {
    tn_session_destroy(f->session);
    tn_tensor_destroy(f->in), tn_tensor_destroy(f->gates);
    free(f->x);
}

static void check_near(const float *a, const float *b, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(a[i] - b[i]) <= 1e-5f)) fail_msg("[%zu]: %g, not %g", i, (double)a[i], (double)b[i]);
}

static void a_batch_gives_what_its_samples_give(void **state) {
    (void)state;
    tn_model *model = branched_model();
    const int counts[] = {1, 2, BATCH + 1};
    for (int i = 0; i < 3; i++) {
        const int threads = counts[i];
        fixture f = begin(model, threads, false), one = begin(model, threads, false);
        for (int repeat = 0; repeat < 2; repeat++) {
            run(&f, 0, BATCH);
            for (int n = 0; n < BATCH; n++) {
                run(&one, n, 1);
                check_near(output(&f, "sum") + (size_t)n * MIDDLE, output(&one, "sum"), MIDDLE);
                check_near(output(&f, "y") + (size_t)n * 3, output(&one, "y"), 3);
            }
        }
        /* The middle is there for all samples, what comes before and behind it for one; two threads have samples of their own. */
        const size_t turns = (BATCH + 5) * MIDDLE * sizeof(float);
        assert_true(threads == 2 ? arena(&f) > turns : arena(&f) < turns);
        run(&f, 1, 3); /* too small for turns, and back */
        run(&f, 0, BATCH);
        check_near(output(&f, "sum") + (BATCH - 1) * (size_t)MIDDLE, output(&one, "sum"), MIDDLE);
        end(&f), end(&one);
    }
    tn_model_destroy(model);
}

static void outputs_of_turns_go_where_they_are_bound(void **state) {
    (void)state;
    tn_model *model = branched_model();
    fixture f = begin(model, 1, false), bound = begin(model, 1, false);
    tn_tensor *to;
    assert_ok(tn_tensor_create(TN_FLOAT32, 4, (int64_t[]){BATCH, 2 * CHANNELS, SIDE, SIDE}, NULL, &to));
    assert_ok(tn_session_bind_output(bound.session, tn_model_output_index(model, "sum"), to));
    run(&f, 0, BATCH);
    run(&bound, 0, BATCH);
    assert_memory_equal(tn_tensor_const_data(to), output(&f, "sum"), BATCH * MIDDLE * sizeof(float));
    end(&f), end(&bound);
    tn_tensor_destroy(to);
    tn_model_destroy(model);
}

static void turns_are_one_run_in_a_profile(void **state) {
    (void)state;
    tn_model *model = branched_model();
    fixture f = begin(model, 1, true);
    for (int r = 0; r < 3; r++) run(&f, 0, BATCH);
    tn_profile_row row = {.struct_size = sizeof row};
    int rows = 0;
    for (; tn_session_profile(f.session, rows, &row) == TN_OK; rows++) {
        assert_true(row.runs == 3 || row.runs == 0);
        assert_true(row.last_ns <= row.nanoseconds);
    }
    assert_true(rows > 5);
    end(&f);
    tn_model_destroy(model);
}

typedef struct {
    const tn_node *nodes[64];
    int count;
} watcher;

static void see(void *context, const tn_node *node) {
    watcher *w = context;
    for (int i = 0; i < w->count; i++) assert_ptr_not_equal(w->nodes[i], node);
    w->nodes[w->count++] = node;
}

static void whoever_watches_sees_each_node_once(void **state) {
    (void)state;
    tn_model *model = branched_model();
    fixture f = begin(model, 1, false), before = begin(model, 1, false);
    watcher all = {.count = 0};
    run(&f, 0, BATCH), run(&before, 0, BATCH);
    tn_session_watch(f.session, see, &all);
    run(&f, 0, BATCH);
    assert_true(all.count > 8);
    check_near(output(&f, "sum"), output(&before, "sum"), BATCH * (size_t)MIDDLE);
    assert_true(arena(&f) > arena(&before));
    end(&f), end(&before);
    tn_model_destroy(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_gives_what_its_samples_give),
        cmocka_unit_test(outputs_of_turns_go_where_they_are_bound),
        cmocka_unit_test(turns_are_one_run_in_a_profile),
        cmocka_unit_test(whoever_watches_sees_each_node_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
