/* Ensembles: one graph gives what its members together would, for every row of every batch; what is fitted is the best there
 * is; members that do not fit each other are refused with what is wrong. */
#include "unit.h"
#include <math.h>
#include <tenon/tenon.h>
#include "base/random.h"
#include "tree.h"

TREE_ROOT("ensemble")

enum { WIDE = 4, CLASSES = 3, MOST_ROWS = 40 };

static tn_tensor *tensor(int rank, const int64_t *dims, uint64_t seed, double scale) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    float *data = tn_tensor_data(t);
    for (int64_t i = 0; i < tn_tensor_count(t); i++) data[i] = (float)(scale * (2 * tn_random_uniform(&seed) - 1));
    return t;
}

/* x [rows, 4] -> MatMul -> Softmax [rows, columns]; rows -1: any. softmax may be left out. */
static tn_graph *member(uint64_t seed, int64_t rows, int64_t columns, bool softmax, double scale) {
    tn_graph *g;
    int in[2], y;
    tn_tensor *w = tensor(2, (int64_t[]){WIDE, columns}, seed, scale);
    assert_ok(tn_graph_create(NULL, &g));
    int64_t dims[] = {rows < 0 ? tn_graph_symbol(g, seed % 2 ? "batch" : "N") : rows, WIDE};
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, dims, &in[0]));
    assert_ok(tn_graph_constant(g, "w", w, &in[1]));
    assert_ok(tn_graph_node(g, "MatMul", "product", 2, in, 1, &y, NULL));
    if (softmax) assert_ok(tn_graph_node(g, columns == 1 ? "Sigmoid" : "Softmax", "last", 1, &y, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "probabilities"));
    tn_tensor_destroy(w);
    return g;
}

static float *run_model(const tn_model *model, const float *x, int64_t rows) {
    tn_session *session;
    tn_tensor *in;
    const tn_tensor *out;
    assert_ok(tn_session_create(model, NULL, &session));
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){rows, WIDE}, NULL, (void *)x, (size_t)rows * WIDE * 4, &in));
    assert_ok(tn_session_set_input(session, 0, in));
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output(session, 0, &out));
    assert_int_equal(tn_tensor_dims(out)[0], rows);
    float *copy = malloc(tn_tensor_bytes(out) + 4);
    memcpy(copy, tn_tensor_const_data(out), tn_tensor_bytes(out));
    tn_tensor_destroy(in);
    tn_session_destroy(session);
    return copy;
}

static float *run(tn_graph *graph, const float *x, int64_t rows) {
    tn_model *model;
    assert_ok(tn_model_from_graph(graph, NULL, &model));
    float *y = run_model(model, x, rows);
    tn_model_destroy(model);
    return y;
}

static tn_ensemble *ensemble(tn_ensemble_kind kind, int count, const double *weights, double threshold, int64_t rows) {
    tn_ensemble *e;
    assert_ok(tn_ensemble_create(kind, &e));
    for (int i = 0; i < count; i++) {
        const tn_ensemble_member m = {
            .struct_size = sizeof m, .name = "m", .weight = weights ? weights[i] : 0, .threshold = threshold};
        assert_ok(tn_ensemble_add(e, member((uint64_t)i + 1, rows, CLASSES, true, 2), &m));
    }
    return e;
}

static tn_graph *compiled(tn_ensemble *e) {
    tn_graph *g;
    assert_ok(tn_ensemble_graph(e, &g));
    return g;
}

static void fill(float *x, int64_t rows, uint64_t seed) {
    for (int64_t i = 0; i < rows * WIDE; i++) x[i] = (float)(4 * tn_random_uniform(&seed) - 2);
}

static int greatest(const float *p) {
    return p[1] > p[0] ? (p[2] > p[1] ? 2 : 1) : p[2] > p[0] ? 2 : 0;
}

static void a_mean_is_the_weighted_mean_of_the_members(void **state) {
    (void)state;
    float x[MOST_ROWS * WIDE];
    const double weights[] = {1, -1, 3, 0}, parts[] = {0.2, 0, 0.6, 0.2};
    fill(x, MOST_ROWS, 3);
    tn_ensemble *e = ensemble(TN_ENSEMBLE_AVERAGE, 4, weights, 0, -1);
    tn_graph *g = compiled(e);
    double part;
    const char *name;
    assert_ok(tn_ensemble_member_at(e, 2, &name, &part, NULL));
    assert_string_equal(name, "m_3");
    assert_true(fabs(part - 0.6) < 1e-12);
    assert_int_equal(tn_ensemble_member_at(e, 4, NULL, NULL, NULL), TN_E_NOT_FOUND);
    tn_ensemble_destroy(e); /* the graph lives on */
    float *y = run(g, x, MOST_ROWS), *own[4];
    for (int m = 0; m < 4; m++) own[m] = run(member((uint64_t)m + 1, -1, CLASSES, true, 2), x, MOST_ROWS);
    for (int i = 0; i < MOST_ROWS * CLASSES; i++) {
        double mean = 0;
        for (int m = 0; m < 4; m++) mean += parts[m] * (double)own[m][i];
        assert_true(fabs(mean - (double)y[i]) < 1e-6);
    }
    for (int m = 0; m < 4; m++) free(own[m]);
    free(y);
}

static void a_vote_counts_who_has_which_class(void **state) {
    (void)state;
    float x[MOST_ROWS * WIDE];
    fill(x, MOST_ROWS, 4);
    tn_ensemble *e = ensemble(TN_ENSEMBLE_VOTE, 5, NULL, 0, -1);
    float *y = run(compiled(e), x, MOST_ROWS), *own[5];
    tn_ensemble_destroy(e);
    for (int m = 0; m < 5; m++) own[m] = run(member((uint64_t)m + 1, -1, CLASSES, true, 2), x, MOST_ROWS);
    for (int r = 0; r < MOST_ROWS; r++) {
        double share[CLASSES] = {0};
        for (int m = 0; m < 5; m++) share[greatest(own[m] + r * CLASSES)] += 0.2;
        for (int c = 0; c < CLASSES; c++) assert_true(fabs(share[c] - (double)y[r * CLASSES + c]) < 1e-6);
    }
    for (int m = 0; m < 5; m++) free(own[m]);
    free(y);
    /* Of class 1 alone. */
    assert_ok(tn_ensemble_create(TN_ENSEMBLE_VOTE, &e));
    for (uint64_t m = 1; m < 4; m++)
        assert_ok(tn_ensemble_add(
            e, member(m, -1, 1, false, 2),
            &(tn_ensemble_member){.struct_size = sizeof(tn_ensemble_member), .name = "m", .logits = true}));
    y = run(compiled(e), x, MOST_ROWS);
    tn_ensemble_destroy(e);
    for (int m = 0; m < 3; m++) own[m] = run(member((uint64_t)m + 1, -1, 1, true, 2), x, MOST_ROWS);
    for (int r = 0; r < MOST_ROWS; r++) {
        double share = ((own[0][r] >= 0.5f) + (own[1][r] >= 0.5f) + (own[2][r] >= 0.5f)) / 3.0;
        assert_true(fabs(share - (double)y[r]) < 1e-6);
    }
    for (int m = 0; m < 3; m++) free(own[m]);
    free(y);
}

/* Row by row what the stages say: the first that is sure enough, or the last. */
static void check_cascade(const float *y, float *const *own, int stages, int64_t rows, double threshold, int *counts) {
    for (int64_t r = 0; r < rows; r++) {
        int s = 0;
        while (s + 1 < stages && own[s][r * CLASSES + greatest(own[s] + r * CLASSES)] < (float)threshold) s++;
        counts[s]++;
        for (int c = 0; c < CLASSES; c++) assert_true(fabsf(own[s][r * CLASSES + c] - y[r * CLASSES + c]) < 1e-6f);
    }
}

static void a_cascade_passes_on_the_rows_that_are_unsure_and_no_others(void **state) {
    (void)state;
    float x[MOST_ROWS * WIDE];
    int counts[3] = {0}, one_row[3] = {0};
    fill(x, MOST_ROWS, 5);
    tn_ensemble *e = ensemble(TN_ENSEMBLE_CASCADE, 3, NULL, 0.8, -1);
    tn_model *model;
    assert_ok(tn_model_from_graph(compiled(e), NULL, &model));
    tn_ensemble_destroy(e);
    float *own[3];
    for (int m = 0; m < 3; m++) own[m] = run(member((uint64_t)m + 1, -1, CLASSES, true, 2), x, MOST_ROWS);
    float *y = run_model(model, x, MOST_ROWS);
    check_cascade(y, own, 3, MOST_ROWS, 0.8, counts);
    assert_true(counts[0] > 3 && counts[1] > 3 && counts[2] > 3);
    free(y);
    for (int64_t r = 0; r < MOST_ROWS; r++) {
        float *at[3] = {own[0] + r * CLASSES, own[1] + r * CLASSES, own[2] + r * CLASSES};
        y = run_model(model, x + r * WIDE, 1);
        check_cascade(y, at, 3, 1, 0.8, one_row);
        free(y);
    }
    assert_memory_equal(counts, one_row, sizeof counts);
    y = run_model(model, x, 0); /* no rows are no reason to fail */
    free(y);
    for (int m = 0; m < 3; m++) free(own[m]);
    tn_model_destroy(model);
}

static void a_cascade_of_a_fixed_batch_answers_the_same(void **state) {
    (void)state;
    float x[5 * WIDE];
    for (int64_t rows = 1; rows <= 5; rows += 4) {
        int counts[2] = {0};
        for (uint64_t seed = 0; seed < 12; seed++) {
            fill(x, rows, seed);
            tn_ensemble *e = ensemble(TN_ENSEMBLE_CASCADE, 2, NULL, 0.8, rows);
            float *y = run(compiled(e), x, rows), *own[2];
            tn_ensemble_destroy(e);
            for (int m = 0; m < 2; m++) own[m] = run(member((uint64_t)m + 1, rows, CLASSES, true, 2), x, rows);
            check_cascade(y, own, 2, rows, 0.8, counts);
            for (int m = 0; m < 2; m++) free(own[m]);
            free(y);
        }
        assert_true(counts[0] && counts[1]);
    }
}

/* Also subgraphs as parts of members, and through ONNX and back. */
static void ensembles_are_members_of_ensembles(void **state) {
    (void)state;
    float x[MOST_ROWS * WIDE];
    fill(x, MOST_ROWS, 6);
    tn_ensemble *inner = ensemble(TN_ENSEMBLE_CASCADE, 3, NULL, 0.8, -1), *outer;
    float *a = run(compiled(inner), x, MOST_ROWS), *b = run(member(7, -1, CLASSES, true, 2), x, MOST_ROWS);
    tn_ensemble_member m = {.struct_size = sizeof m, .name = "cascade"};
    assert_ok(tn_ensemble_create(TN_ENSEMBLE_AVERAGE, &outer));
    assert_ok(tn_ensemble_add(outer, compiled(inner), &m));
    tn_ensemble_destroy(inner);
    m.name = "single";
    assert_ok(tn_ensemble_add(outer, member(7, -1, CLASSES, true, 2), &m));
    tn_graph *g = compiled(outer), *again;
    tn_ensemble_destroy(outer);
    assert_ok(tn_graph_save_onnx(g, tree_at(root, "outer.onnx"), NULL));
    tn_graph_destroy(g);
    assert_ok(tn_graph_load(tree_at(root, "outer.onnx"), NULL, &again));
    float *y = run(again, x, MOST_ROWS);
    for (int i = 0; i < MOST_ROWS * CLASSES; i++) assert_true(fabsf((a[i] + b[i]) / 2 - y[i]) < 1e-6f);
    free(a);
    free(b);
    free(y);
}

static int constants_of(const tn_graph *g, int64_t elements) {
    int count = 0;
    for (int v = 0; v < tn_graph_value_count(g); v++) {
        tn_value_info info;
        assert_ok(tn_graph_value_info(g, v, &info));
        count += info.constant && tn_tensor_count(info.constant) == elements;
    }
    return count;
}

static void equal_weights_are_there_once(void **state) {
    (void)state;
    tn_ensemble *e;
    assert_ok(tn_ensemble_create(TN_ENSEMBLE_AVERAGE, &e));
    const tn_ensemble_member m = {.struct_size = sizeof m, .name = "m"};
    for (int i = 0; i < 3; i++) assert_ok(tn_ensemble_add(e, member(i == 2 ? 9 : 5, -1, CLASSES, true, 2), &m));
    tn_graph *g = compiled(e);
    assert_int_equal(constants_of(g, WIDE * CLASSES), 2);
    tn_graph_destroy(g);
    tn_ensemble_destroy(e);
}

/* ---- fitting ---- */

typedef struct rows {
    tn_tensor *x, *labels, *numbers;
} rows;

/* Labels as member `right` draws them, numbers as a mixture of members 1 and 2. */
static rows make_rows(int64_t count, uint64_t right) {
    rows r;
    r.x = tensor(2, (int64_t[]){count, WIDE}, 77, 2);
    assert_ok(tn_tensor_create(TN_INT64, 1, &count, NULL, &r.labels));
    assert_ok(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){count, CLASSES}, NULL, &r.numbers));
    const float *x = tn_tensor_const_data(r.x);
    float *p = run(member(right, -1, CLASSES, true, 2), x, count), *a = run(member(1, -1, CLASSES, true, 2), x, count),
          *b = run(member(2, -1, CLASSES, true, 2), x, count);
    uint64_t seed = 5;
    for (int64_t i = 0; i < count; i++) {
        double u = tn_random_uniform(&seed);
        int64_t label = u < (double)p[i * CLASSES] ? 0 : u < (double)(p[i * CLASSES] + p[i * CLASSES + 1]) ? 1 : 2;
        ((int64_t *)tn_tensor_data(r.labels))[i] = label;
    }
    for (int64_t i = 0; i < count * CLASSES; i++) ((float *)tn_tensor_data(r.numbers))[i] = 0.3f * a[i] + 0.7f * b[i];
    free(p);
    free(a);
    free(b);
    return r;
}

static void free_rows(rows *r) {
    tn_tensor_destroy(r->x);
    tn_tensor_destroy(r->labels);
    tn_tensor_destroy(r->numbers);
}

static void weights_go_to_who_is_right(void **state) {
    (void)state;
    rows r = make_rows(600, 3);
    tn_ensemble_fit_result result = {.struct_size = sizeof result};
    tn_ensemble *e = ensemble(TN_ENSEMBLE_AVERAGE, 4, NULL, 0, -1);
    double w[4];
    assert_ok(tn_ensemble_fit(e, r.x, r.labels, NULL, &result));
    for (int i = 0; i < 4; i++) assert_ok(tn_ensemble_member_at(e, i, NULL, &w[i], NULL));
    assert_true(w[2] > 0.85);
    assert_int_equal(result.rows, 600);
    assert_true(result.accuracy > 0.6 && result.accuracy >= result.best - 0.01);
    assert_ok(tn_ensemble_fit(e, r.x, r.numbers, NULL, &result));
    for (int i = 0; i < 4; i++) assert_ok(tn_ensemble_member_at(e, i, NULL, &w[i], NULL));
    assert_true(fabs(w[0] - 0.3) < 1e-3 && fabs(w[1] - 0.7) < 1e-3);
    assert_true(result.loss < 1e-7 && isnan(result.accuracy));
    tn_ensemble_destroy(e);
    free_rows(&r);
}

static void a_stack_learns_what_its_members_do_not_say(void **state) {
    (void)state;
    rows r = make_rows(600, 3);
    tn_ensemble_fit_result result = {.struct_size = sizeof result};
    tn_ensemble *e = ensemble(TN_ENSEMBLE_STACK, 3, NULL, 0, -1);
    tn_graph *g;
    assert_int_equal(tn_ensemble_graph(e, &g), TN_E_STATE);
    /* Class 0 and 1 have changed their names: no mean of the members is right. */
    int64_t *labels = tn_tensor_data(r.labels);
    for (int i = 0; i < 600; i++) labels[i] = labels[i] == 2 ? 2 : 1 - labels[i];
    assert_ok(tn_ensemble_fit(e, r.x, r.labels,
                              &(tn_ensemble_fit_options){.struct_size = sizeof(tn_ensemble_fit_options), .steps = 800},
                              &result));
    assert_true(result.accuracy > 0.6 && result.best < 0.5);
    float *y = run(compiled(e), tn_tensor_const_data(r.x), 600);
    for (int i = 0; i < 600; i++)
        assert_true(fabsf(y[i * CLASSES] + y[i * CLASSES + 1] + y[i * CLASSES + 2] - 1) < 1e-5f);
    free(y);
    /* Numbers far from 0, which are 1000 + 50 of the mixture: the decay is little beside them. */
    float *numbers = tn_tensor_data(r.numbers);
    for (int i = 0; i < 600 * CLASSES; i++) numbers[i] = 1000 + 50 * numbers[i];
    const tn_ensemble_fit_options some = {.struct_size = sizeof some, .decay = 1e-3};
    assert_ok(tn_ensemble_fit(e, r.x, r.numbers, &some, &result));
    assert_true(result.loss < 1); /* their variance is some 200 */
    tn_ensemble_destroy(e);
    free_rows(&r);
}

/* In the order of the members, as fit itself asks them. */
static void answers_that_are_given_are_as_good_as_rows(void **state) {
    (void)state;
    rows r = make_rows(200, 3);
    const tn_ensemble_fit_options o = {.struct_size = sizeof o, .steps = 200};
    for (int kind = TN_ENSEMBLE_AVERAGE; kind <= TN_ENSEMBLE_CASCADE; kind++) {
        int count = kind == TN_ENSEMBLE_CASCADE ? 2 : 3;
        tn_ensemble_fit_result one = {.struct_size = sizeof one}, two = one;
        tn_ensemble *e = ensemble((tn_ensemble_kind)kind, count, NULL, 0, -1);
        tn_tensor *answers;
        assert_ok(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){200, count * CLASSES}, NULL, &answers));
        for (int m = 0; m < count; m++) {
            tn_graph *g = member((uint64_t)m + 1, -1, CLASSES, true, 2);
            float *y = run(g, tn_tensor_const_data(r.x), 200);
            for (int i = 0; i < 200; i++)
                memcpy((float *)tn_tensor_data(answers) + (i * count + m) * CLASSES, y + i * CLASSES,
                       CLASSES * sizeof *y);
            free(y);
        }
        assert_ok(tn_ensemble_fit(e, r.x, r.labels, &o, &one));
        assert_ok(tn_ensemble_fit_answers(e, answers, r.labels, &o, &two));
        assert_memory_equal(&one, &two, sizeof one);
        /* The figures are those of the graph that comes of it. */
        float *y = run(compiled(e), tn_tensor_const_data(r.x), 200);
        int right = 0;
        for (int i = 0; i < 200; i++) {
            const float *p = y + i * CLASSES;
            int64_t best = p[1] > p[0] ? 1 : 0;
            if (p[2] > p[best]) best = 2;
            right += best == ((const int64_t *)tn_tensor_const_data(r.labels))[i];
        }
        assert_true(fabs(right / 200.0 - two.accuracy) < 1e-9);
        free(y);
        assert_int_equal(tn_ensemble_fit_answers(e, r.x, r.labels, &o, NULL), TN_E_SHAPE);
        tn_tensor_destroy(answers);
        tn_ensemble_destroy(e);
    }
    free_rows(&r);
}

static void a_cascades_threshold_keeps_to_the_drop_that_is_allowed(void **state) {
    (void)state;
    rows r = make_rows(600, 2);
    double threshold, last = 1;
    for (int i = 0; i < 3; i++) {
        tn_ensemble_fit_result result = {.struct_size = sizeof result};
        const tn_ensemble_fit_options o = {.struct_size = sizeof o, .max_drop = i * 0.05};
        tn_ensemble *e = ensemble(TN_ENSEMBLE_CASCADE, 2, NULL, 0, -1);
        assert_ok(tn_ensemble_fit(e, r.x, r.labels, &o, &result));
        assert_ok(tn_ensemble_member_at(e, 0, NULL, NULL, &threshold));
        assert_true(result.accuracy >= result.best - o.max_drop - 1e-9);
        assert_true(result.passed_on <= last);
        last = result.passed_on;
        tn_ensemble_destroy(e);
    }
    assert_true(last < 1);
    free_rows(&r);
}

/* ---- what is wrong ---- */

static void refuse(tn_ensemble_kind kind, tn_graph *a, tn_graph *b, const char *sentence) {
    tn_ensemble *e;
    tn_graph *g;
    const tn_ensemble_member m = {.struct_size = sizeof m, .name = "m"};
    assert_ok(tn_ensemble_create(kind, &e));
    assert_ok(tn_ensemble_add(e, a, &m));
    assert_ok(tn_ensemble_add(e, b, &m));
    assert_int_not_equal(tn_ensemble_graph(e, &g), TN_OK);
    assert_null(g);
    if (!strstr(tn_last_error(), sentence)) fail_msg("'%s' is not in '%s'", sentence, tn_last_error());
    tn_ensemble_destroy(e);
}

static tn_graph *two_inputs(const char *second) {
    tn_graph *g;
    int in[2], y;
    assert_ok(tn_graph_create(NULL, &g));
    int64_t dims[] = {tn_graph_symbol(g, "batch"), CLASSES};
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, dims, &in[0]));
    assert_ok(tn_graph_input(g, second, TN_FLOAT32, 2, dims, &in[1]));
    assert_ok(tn_graph_node(g, "Add", NULL, 2, in, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    return g;
}

static void members_that_do_not_fit_are_refused(void **state) {
    (void)state;
    refuse(TN_ENSEMBLE_AVERAGE, member(1, -1, CLASSES, true, 1), member(2, -1, CLASSES + 1, true, 1), "must be alike");
    refuse(TN_ENSEMBLE_AVERAGE, member(1, 2, CLASSES, true, 1), member(2, 3, CLASSES, true, 1),
           "input 'x' is float32[3,4] in member 'm_2' and float32[2,4]");
    refuse(TN_ENSEMBLE_AVERAGE, two_inputs("left"), two_inputs("right"),
           "has an input 'right', which the first, 'm', has not; it has 'x', 'left'");
    tn_ensemble *e;
    tn_graph *g;
    tn_ensemble_member m = {.struct_size = sizeof m, .name = "m", .output = "nothing"};
    assert_int_equal(tn_ensemble_create((tn_ensemble_kind)9, &e), TN_E_INVALID);
    assert_ok(tn_ensemble_create(TN_ENSEMBLE_AVERAGE, &e));
    assert_int_equal(tn_ensemble_add(e, member(1, -1, CLASSES, true, 1), &m), TN_E_NOT_FOUND);
    assert_int_equal(tn_ensemble_add(e, member(1, -1, CLASSES, true, 1), NULL), TN_E_INVALID);
    m.output = NULL;
    m.weight = -3;
    assert_int_equal(tn_ensemble_add(e, member(1, -1, CLASSES, true, 1), &m), TN_E_INVALID);
    m.weight = -1;
    assert_ok(tn_ensemble_add(e, member(1, -1, CLASSES, true, 1), &m));
    assert_int_equal(tn_ensemble_graph(e, &g), TN_E_INVALID); /* one member */
    assert_ok(tn_ensemble_add(e, member(1, -1, CLASSES, true, 1), &m));
    assert_int_equal(tn_ensemble_graph(e, &g), TN_E_INVALID); /* no weight */
    assert_int_equal(tn_ensemble_add_file(e, tree_at(root, "missing.onnx"), NULL), TN_E_IO);
    assert_int_equal(tn_ensemble_count(e), 2);
    tn_ensemble_destroy(e);
    /* Targets. */
    rows r = make_rows(20, 1);
    e = ensemble(TN_ENSEMBLE_AVERAGE, 2, NULL, 0, -1);
    ((int64_t *)tn_tensor_data(r.labels))[7] = 3;
    assert_int_equal(tn_ensemble_fit(e, r.x, r.labels, NULL, NULL), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "row 7 is of class 3"));
    ((float *)tn_tensor_data(r.numbers))[4] = NAN;
    assert_int_equal(tn_ensemble_fit(e, r.x, r.numbers, NULL, NULL), TN_E_INVALID);
    tn_ensemble_destroy(e);
    free_rows(&r);
}

/* ---- YAML ---- */

static void an_ensemble_of_files_is_a_file(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    static const char yaml[] = "name: pair\nversion: 2.0.0\nlicence: MIT\nmethod: average\n"
                               "members: [{file: a.tenon, weight: 3}, {file: b.onnx, name: other}]\n";
    const char *manifest = "name: a\nversion: 1.0.0\noutputs: [{name: probabilities, classes: [x, y, z]}]\n";
    const tn_model_file_options o = {.struct_size = sizeof o, .manifest = manifest};
    float x[3 * WIDE];
    tn_graph *a = member(1, -1, CLASSES, true, 2), *b = member(2, -1, CLASSES, true, 2);
    tn_ensemble *e;
    tn_model *model;
    tn_manifest *m;
    fill(x, 3, 8);
    assert_ok(tn_graph_save(a, tree_at(root, "a.tenon"), &o));
    assert_ok(tn_graph_save_onnx(b, tree_at(root, "b.onnx"), NULL));
    float *one = run(a, x, 3), *two = run(b, x, 3);
    assert_ok(tn_ensemble_parse(yaml, sizeof yaml - 1, root, &e));
    assert_ok(tn_ensemble_run(e, 1, NULL));
    tn_ensemble_destroy(e);
    assert_ok(tn_model_load(tree_at(root, "pair.tenon"), NULL, &model));
    float *y = run_model(model, x, 3);
    for (int i = 0; i < 3 * CLASSES; i++) assert_true(fabsf(0.75f * one[i] + 0.25f * two[i] - y[i]) < 1e-6f);
    assert_ok(tn_manifest_parse(tn_model_manifest(model), strlen(tn_model_manifest(model)), &m));
    assert_string_equal(tn_manifest_get(m, "version"), "2.0.0");
    assert_string_equal(tn_manifest_get(m, "outputs/0/classes/2"), "z");
    assert_string_equal(tn_manifest_get(m, "extra/ensemble/method"), "average");
    assert_string_equal(tn_manifest_get(m, "extra/ensemble/members/1/name"), "other");
    assert_int_equal(strlen(tn_manifest_get(m, "extra/ensemble/members/0/digest")), 71);
    tn_manifest_destroy(m);
    tn_model_destroy(model);
    free(one);
    free(two);
    free(y);
    /* Other classes are another question. */
    a = member(3, -1, CLASSES, true, 2);
    const tn_model_file_options other = {
        .struct_size = sizeof other,
        .manifest = "name: c\nversion: 1.0.0\noutputs: [{name: probabilities, classes: [x, y, w]}]\n"};
    assert_ok(tn_graph_save(a, tree_at(root, "c.tenon"), &other));
    tn_graph_destroy(a);
    static const char wrong[] = "name: pair\nmethod: vote\nmembers: [{file: a.tenon}, {file: c.tenon}]\n";
    assert_ok(tn_ensemble_parse(wrong, sizeof wrong - 1, root, &e));
    assert_int_equal(tn_ensemble_run(e, 1, NULL), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "has other classes than 'a'"));
    tn_ensemble_destroy(e);
}

/* ---- folds ---- */

static void write_table(const char *name, uint64_t seed) {
    FILE *f = fopen(tree_at(root, name), "w");
    fputs("a,b,day,kind\n", f);
    for (int i = 0; i < 90; i++) {
        double a = tn_random_uniform(&seed), b = tn_random_uniform(&seed);
        fprintf(f, "%.6f,%.6f,%d,%s\n", a, b, i % 10, a * b > 0.2 ? "good" : "bad");
    }
    fclose(f);
}

static void train_plan(const char *name, const char *split, int folds, int fold) {
    char yaml[500];
    tn_plan *plan;
    int size = snprintf(yaml, sizeof yaml,
                        "name: %s\ndata: {train: all.csv}\n"
                        "pipeline:\n  features: [{column: a, scale: standard}, {column: b, scale: standard}]\n"
                        "  target: {column: kind, encode: ordinal}\n%s"
                        "model: {layers: [{dense: %d, activation: relu}]}\ntrain: {epochs: 5, seed: 3}\n",
                        name, split, name[0] == 'p' ? 3 : 8);
    assert_ok(tn_plan_parse(yaml, (size_t)size, root, &plan));
    if (fold) assert_ok(tn_plan_set_fold(plan, folds, fold));
    assert_ok(tn_plan_train(plan, NULL, NULL));
    tn_plan_destroy(plan);
}

static tn_status run_folds(const char *data, int folds, tn_ensemble_fit_result *result) {
    char yaml[300];
    tn_ensemble *e;
    int size = snprintf(yaml, sizeof yaml,
                        "name: both\nmethod: stack\nmembers: [{file: p.tenon}, {file: q.tenon}]\n"
                        "fit: {data: %s, folds: %d, steps: 300}\n",
                        data, folds);
    assert_ok(tn_ensemble_parse(yaml, (size_t)size, root, &e));
    tn_status status = tn_ensemble_run(e, 1, result);
    tn_ensemble_destroy(e);
    return status;
}

static void a_stack_is_fitted_on_answers_of_models_that_have_not_seen_the_row(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    tn_ensemble_fit_result result = {.struct_size = sizeof result};
    tn_model *model;
    write_table("all.csv", 5);
    write_table("other.csv", 6);
    for (int i = 0; i < 2; i++)
        for (int fold = 0; fold <= 3; fold++) train_plan(i ? "q" : "p", "", 3, fold);
    assert_ok(run_folds("all.csv", 3, &result));
    assert_int_equal(result.rows, 90);
    assert_true(result.accuracy > 0.6 && result.loss > 0);
    assert_ok(tn_model_load(tree_at(root, "both.tenon"), NULL, &model));
    tn_model_destroy(model);
    static const struct {
        const char *data, *sentence;
        int folds;
    } wrong[] = {{"all.csv", "of fold 1 of 3, not 1 of 2", 2},
                 {"all.csv", "of fold 1 of 3, not 1 of 4", 4},
                 {"other.csv", "trained on other data", 3}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_not_equal(run_folds(wrong[i].data, wrong[i].folds, NULL), TN_OK);
        if (!strstr(tn_last_error(), wrong[i].sentence))
            fail_msg("'%s' is not in '%s'", wrong[i].sentence, tn_last_error());
    }
    /* A member that is itself of a fold has not seen all rows. */
    assert_int_equal(rename(tree_at(root, "q.fold-1.tenon"), tree_at(root, "q.tenon")), 0);
    assert_int_equal(run_folds("all.csv", 3, NULL), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "trained on a part of the rows"));
    train_plan("q", "", 0, 0);
    assert_int_equal(run_folds("all.csv", 3, NULL), TN_E_IO);
    assert_non_null(strstr(tn_last_error(), "tenon train PLAN --folds"));
}

/* Of ten days 4, 3 and 3 are a fold; by time each of three folds is a quarter, or what whole days make of it. */
static void folds_of_a_stack_may_be_groups_or_what_comes_later(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    static const struct {
        const char *split;
        int64_t rows, tested[3];
    } cases[] = {{"  split: {by: group, column: day, test: 0}\n", 90, {36, 27, 27}},
                 {"  split: {by: time, column: day, test: 0}\n", 63, {18, 27, 18}}};
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        tn_ensemble_fit_result result = {.struct_size = sizeof result};
        tn_table *table;
        write_table("all.csv", 5);
        assert_ok(tn_table_read(tree_at(root, "all.csv"), NULL, &table));
        for (int fold = 0; fold <= 3; fold++) {
            train_plan("p", cases[i].split, 3, fold);
            train_plan("q", cases[i].split, 3, fold);
            if (!fold) continue;
            char name[20];
            tn_model *model;
            tn_evaluation *e;
            snprintf(name, sizeof name, "q.fold-%d.tenon", fold);
            assert_ok(tn_model_load(tree_at(root, name), NULL, &model));
            const tn_evaluate_options o = {.struct_size = sizeof o, .rows = TN_ROWS_TESTING};
            assert_ok(tn_evaluate(model, table, &o, &e));
            assert_int_equal(tn_metrics_samples(tn_evaluation_metrics(e)), cases[i].tested[fold - 1]);
            tn_evaluation_destroy(e);
            tn_model_destroy(model);
        }
        assert_ok(run_folds("all.csv", 3, &result));
        assert_int_equal(result.rows, cases[i].rows);
        tn_model *whole; /* trained on all rows, of which none are for testing */
        tn_evaluation *e;
        assert_ok(tn_model_load(tree_at(root, "q.tenon"), NULL, &whole));
        const tn_evaluate_options o = {.struct_size = sizeof o, .rows = TN_ROWS_TESTING};
        assert_int_equal(tn_evaluate(whole, table, &o, &e), TN_E_INVALID);
        assert_non_null(strstr(tn_last_error(), "has no split"));
        tn_model_destroy(whole);
        tn_table_destroy(table);
    }
}

static void what_is_wrong_in_yaml_is_named(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    static const struct {
        const char *yaml, *sentence;
    } cases[] = {
        {"method: vote\nmembers: [{file: a}]\n", "'name' is missing"},
        {"name: a\nmembers: [{file: a}]\n", "'method' is missing"},
        {"name: a\nmethod: vote\n", "'members' is missing"},
        {"name: a\nmethod: guess\nmembers: [{file: a}]\n", "line 2, column 1: 'method' is one of average, vote"},
        {"name: a\nmethod: vote\nmembers: []\n", "list of maps"},
        {"name: a\nmethod: vote\nmembers: [{name: a}]\n", "'file' is missing"},
        {"name: a\nmethod: vote\nmembers: [{file: a, weight: -1}]\n", "'weight' is a number"},
        {"name: a\nmethod: vote\nmembers: [{file: a, colour: red}]\n", "no key 'colour'"},
        {"name: a\nmethod: stack\nmembers: [{file: a}]\n", "a stack needs 'fit'"},
        {"name: a\nmethod: vote\nmembers: [{file: a}]\nfit: {rows: all}\n", "'data' is missing"},
        {"name: a\nmethod: vote\nmembers: [{file: a}]\nfit: {data: b, folds: 3, rows: testing}\n",
         "'rows' has no place"},
        {"name: a\nmethod: vote\nmembers: [{file: a}]\nfit: {data: b, folds: 1}\n", "'folds' is"},
        {"name: a\nversion: one\nmethod: vote\nmembers: [{file: a}]\n", "name or version"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tn_ensemble *e;
        assert_int_not_equal(tn_ensemble_parse(cases[i].yaml, strlen(cases[i].yaml), NULL, &e), TN_OK);
        assert_null(e);
        if (!strstr(tn_last_error(), cases[i].sentence))
            fail_msg("'%s' is not in '%s'", cases[i].sentence, tn_last_error());
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mean_is_the_weighted_mean_of_the_members),
        cmocka_unit_test(a_vote_counts_who_has_which_class),
        cmocka_unit_test(a_cascade_passes_on_the_rows_that_are_unsure_and_no_others),
        cmocka_unit_test(a_cascade_of_a_fixed_batch_answers_the_same),
        cmocka_unit_test(ensembles_are_members_of_ensembles),
        cmocka_unit_test(equal_weights_are_there_once),
        cmocka_unit_test(weights_go_to_who_is_right),
        cmocka_unit_test(a_stack_learns_what_its_members_do_not_say),
        cmocka_unit_test(answers_that_are_given_are_as_good_as_rows),
        cmocka_unit_test(a_cascades_threshold_keeps_to_the_drop_that_is_allowed),
        cmocka_unit_test(members_that_do_not_fit_are_refused),
        cmocka_unit_test(an_ensemble_of_files_is_a_file),
        cmocka_unit_test(a_stack_is_fitted_on_answers_of_models_that_have_not_seen_the_row),
        cmocka_unit_test(folds_of_a_stack_may_be_groups_or_what_comes_later),
        cmocka_unit_test(what_is_wrong_in_yaml_is_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
