/* Gathered gradients make the step of one large batch; averages of weights are PyTorch's; both resume bit for bit. */
#include <stdio.h>
#include <unistd.h>
#include "gradient.h"
#include "train/average_reference.inc"

enum { FEATURES = 3 };

/* x [batch, 3] -> Gemm 1, in float64 */
static tn_graph *line(void) {
    tn_graph *g;
    int in[3], y;
    tn_tensor *w = make(TN_FLOAT64, DIMS(1, FEATURES), VALUES(0.5, 0.2, -0.1)),
              *b = make(TN_FLOAT64, DIMS(1), VALUES(0.1));
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT64, 2, (int64_t[]){tn_graph_symbol(g, "batch"), FEATURES}, &in[0]));
    assert_ok(tn_graph_constant(g, "w", w, &in[1]));
    assert_ok(tn_graph_constant(g, "b", b, &in[2]));
    assert_ok(tn_graph_node(g, "Gemm", NULL, 3, in, 1, &y, ATTRIBUTES(INT("transB", 1))));
    assert_ok(tn_graph_output(g, y, "y"));
    tn_tensor_destroy(w);
    tn_tensor_destroy(b);
    return g;
}

/* Rows [first, last) of batch k, whose rows are those of average_reference.py. */
static double step(tn_trainer *t, int k, int first, int last) {
    tn_tensor *x = make(TN_FLOAT64, DIMS(last - first, FEATURES), NULL),
              *y = make(TN_FLOAT64, DIMS(last - first, 1), NULL);
    double loss;
    for (int r = first; r < last; r++) {
        for (int c = 0; c < FEATURES; c++)
            ((double *)x->data)[(r - first) * FEATURES + c] = cos(0.7 * (FEATURES * r + c) + k);
        ((double *)y->data)[r - first] = sin(r + k);
    }
    assert_ok(tn_trainer_step(t, (const tn_tensor *const[]){x}, y, &loss));
    tn_tensor_destroy(x);
    tn_tensor_destroy(y);
    return loss;
}

/* w, then b. */
static void weights_of(const tn_trainer *t, double out[FEATURES + 1]) {
    const tn_tensor *p;
    assert_ok(tn_trainer_parameter(t, 0, NULL, &p));
    memcpy(out, p->data, FEATURES * sizeof *out);
    assert_ok(tn_trainer_parameter(t, 1, NULL, &p));
    out[FEATURES] = *(const double *)p->data;
}
/* What is exported: the average, where there is one. */
static void exported(const tn_trainer *t, double out[FEATURES + 1]) {
    tn_graph *g;
    tn_value_info info;
    assert_ok(tn_trainer_export(t, &g));
    for (int v = 0; v < tn_graph_value_count(g); v++) {
        assert_ok(tn_graph_value_info(g, v, &info));
        if (strcmp(info.name, "w") == 0) memcpy(out, info.constant->data, FEATURES * sizeof *out);
        if (strcmp(info.name, "b") == 0) out[FEATURES] = *(const double *)info.constant->data;
    }
    tn_graph_destroy(g);
}
/* What predicts: the answers to the unit vectors and 0. */
static void predicting(tn_trainer *t, double out[FEATURES + 1]) {
    tn_tensor *x = make(TN_FLOAT64, DIMS(4, FEATURES), VALUES(1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0));
    const tn_tensor *y;
    assert_ok(tn_trainer_predict(t, (const tn_tensor *const[]){x}, &y));
    out[FEATURES] = ((const double *)y->data)[FEATURES];
    for (int i = 0; i < FEATURES; i++) out[i] = ((const double *)y->data)[i] - out[FEATURES];
    tn_tensor_destroy(x);
}

static void expect_weights(size_t which, int k, const char *what, const double *found, const double *expected) {
    for (int i = 0; i <= FEATURES; i++)
        if (!(fabs(found[i] - expected[i]) <= 1e-12))
            fail_msg("average %zu, step %d, %s, number %d: %.15g, not %.15g", which, k, what, i, found[i], expected[i]);
}

static tn_trainer *trainer_of(const tn_average *average, int64_t accumulate) {
    tn_trainer *t;
    const tn_trainer_options o = {.struct_size = sizeof o,
                                  .optimizer = {.kind = TN_SGD, .rate = 0.1, .momentum = 0.9, .clip_norm = 0.5},
                                  .average = *average,
                                  .accumulate = accumulate};
    assert_ok(tn_trainer_create(line(), &o, &t));
    return t;
}

static void averages_and_gathered_steps_are_those_of_pytorch(void **state) {
    (void)state;
    double found[FEATURES + 1];
    for (size_t i = 0; i < TN_COUNT(averages); i++) {
        const int batches = averages[i].batches;
        tn_trainer *t = trainer_of(&averages[i].average, batches);
        for (int k = 0; k < REFERENCE_STEPS; k++) {
            for (int b = 0; b < batches; b++) step(t, k * batches + b, 0, REFERENCE_ROWS);
            assert_int_equal(tn_trainer_steps(t), k + 1);
            assert_int_equal(tn_trainer_batches(t), (k + 1) * batches);
            weights_of(t, found);
            expect_weights(i, k, "weights", found, averages[i].after[k]);
            exported(t, found);
            expect_weights(i, k, "exported", found, averages[i].after[k] + FEATURES + 1);
            predicting(t, found);
            expect_weights(i, k, "predicting", found, averages[i].after[k] + FEATURES + 1);
        }
        tn_trainer_destroy(t);
    }
}

/* Parts of unequal size weigh what they have of rows, also where an epoch ends before the last of them. */
static void parts_of_a_batch_make_its_step(void **state) {
    (void)state;
    double whole[FEATURES + 1], parts[FEATURES + 1];
    tn_trainer *a = trainer_of(&(tn_average){.kind = TN_AVERAGE_EMA}, 0),
               *b = trainer_of(&(tn_average){.kind = TN_AVERAGE_EMA}, 4);
    for (int k = 0; k < 6; k++) {
        double loss = step(a, k, 0, 7), sum = 0;
        sum += step(b, k, 0, 1) * 1;
        sum += step(b, k, 1, 5) * 4;
        assert_int_equal(tn_trainer_steps(b), k);
        sum += step(b, k, 5, 7) * 2;
        assert_ok(tn_trainer_finish_step(b));
        assert_ok(tn_trainer_finish_step(b)); /* nothing is left */
        assert_int_equal(tn_trainer_steps(b), k + 1);
        assert_true(fabs(sum / 7 - loss) < 1e-12);
        weights_of(a, whole);
        weights_of(b, parts);
        expect_weights(0, k, "parts", parts, whole);
    }
    tn_trainer_destroy(a);
    tn_trainer_destroy(b);
}

/* Stopped after each number of batches, also within a step. */
static void averages_and_gathered_gradients_resume_bit_for_bit(void **state) {
    (void)state;
    char path[64];
    double whole[3][FEATURES + 1], found[3][FEATURES + 1];
    const tn_average average = {.kind = TN_AVERAGE_SWA, .start = 1};
    snprintf(path, sizeof path, "/tmp/tenon_average_%d", (int)getpid());
    for (int stop = 0; stop < 9; stop++) {
        tn_trainer *a = trainer_of(&average, 3), *b = trainer_of(&average, 3);
        if (stop % 2) step(b, 100, 0, 3); /* what is loaded replaces what was there */
        for (int k = 0; k < 9; k++) {
            if (k == stop) {
                assert_ok(tn_trainer_report(a, 1, NULL));
                assert_ok(tn_trainer_save(a, path));
                assert_ok(tn_trainer_load(b, path));
            }
            double loss = step(a, k, 0, 3);
            if (k >= stop) assert_true(step(b, k, 0, 3) == loss);
        }
        tn_trainer *const both[] = {a, b};
        for (int i = 0; i < 2; i++) {
            double(*to)[FEATURES + 1] = i ? found : whole;
            weights_of(both[i], to[0]);
            exported(both[i], to[1]);
            assert_ok(tn_trainer_restore_best(both[i]));
            exported(both[i], to[2]);
        }
        assert_memory_equal(found, whole, sizeof found);
        assert_memory_not_equal(whole[0], whole[1], sizeof whole[0]);
        tn_trainer_destroy(a);
        tn_trainer_destroy(b);
    }
    unlink(path);
}

static void checkpoints_of_other_options_are_refused(void **state) {
    (void)state;
    char path[64];
    static const float even[] = {1, 1}, uneven[] = {1, 2};
    static const struct {
        tn_trainer_options options;
        bool fits;
    } others[] = {
        {{.loss = TN_LOSS_QUANTILE, .loss_options = {.quantile = 0.3}}, true},
        {{.loss = TN_LOSS_QUANTILE, .loss_options = {.quantile = 0.3}, .accumulate = 4}, true},
        {{.loss = TN_LOSS_QUANTILE, .loss_options = {.quantile = 0.4}}, false},
        {{.loss = TN_LOSS_QUANTILE, .loss_options = {.quantile = 0.3}, .average = {.kind = TN_AVERAGE_EMA}}, false},
        {{.loss = TN_LOSS_MSE}, false},
    };
    snprintf(path, sizeof path, "/tmp/tenon_average_%d", (int)getpid());
    for (size_t i = 0; i < TN_COUNT(others); i++) {
        tn_trainer *t;
        tn_trainer_options o = others[i].options;
        o.struct_size = sizeof o;
        assert_ok(tn_trainer_create(line(), &o, &t));
        if (i == 0) assert_ok(tn_trainer_save(t, path));
        if ((tn_trainer_load(t, path) == TN_OK) != others[i].fits) fail_msg("options %zu: %s", i, tn_last_error());
        tn_trainer_destroy(t);
    }
    /* Gathered gradients need a trainer that gathers. */
    tn_trainer *several = trainer_of(&(tn_average){.kind = TN_AVERAGE_NONE}, 2),
               *one = trainer_of(&(tn_average){.kind = TN_AVERAGE_NONE}, 1);
    step(several, 0, 0, 3);
    assert_ok(tn_trainer_save(several, path));
    assert_int_equal(tn_trainer_load(one, path), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "gathered 1 batches"));
    tn_trainer_destroy(several);
    tn_trainer_destroy(one);
    /* Weights of classes are part of what a checkpoint is of. */
    const float *weights[] = {even, even, uneven, NULL};
    for (int i = 0; i < 4; i++) {
        tn_graph *g;
        int in[2], y;
        tn_trainer *t;
        tn_tensor *w = some(DIMS(FEATURES, 2));
        assert_ok(tn_graph_create(NULL, &g));
        assert_ok(tn_graph_input(g, "x", TN_FLOAT64, 2, (int64_t[]){-1, FEATURES}, &in[0]));
        assert_ok(tn_graph_constant(g, "w", w, &in[1]));
        assert_ok(tn_graph_node(g, "MatMul", NULL, 2, in, 1, &y, NULL));
        assert_ok(tn_graph_output(g, y, "y"));
        const tn_trainer_options o = {.struct_size = sizeof o,
                                      .loss = TN_LOSS_CROSS_ENTROPY,
                                      .loss_options = {.class_weights = weights[i], .class_count = 2}};
        assert_ok(tn_trainer_create(g, &o, &t));
        if (i == 0) assert_ok(tn_trainer_save(t, path));
        assert_int_equal(tn_trainer_load(t, path), i < 2 ? TN_OK : TN_E_INVALID);
        tn_trainer_destroy(t);
        tn_tensor_destroy(w);
    }
    unlink(path);
}

static void averages_that_make_no_sense_are_refused(void **state) {
    (void)state;
    static const struct {
        tn_trainer_options options;
        const char *text;
    } wrong[] = {
        {{.average = {.kind = (tn_average_kind)7}}, "average number 7"},
        {{.average = {.kind = TN_AVERAGE_EMA, .decay = 1}}, "average.decay is 1"},
        {{.average = {.kind = TN_AVERAGE_SWA, .start = -1}}, "average.start is -1"},
        {{.accumulate = -2}, "accumulate is -2"},
    };
    for (size_t i = 0; i < TN_COUNT(wrong); i++) {
        tn_trainer *t;
        tn_trainer_options o = wrong[i].options;
        o.struct_size = sizeof o;
        assert_int_equal(tn_trainer_create(line(), &o, &t), TN_E_INVALID);
        if (!strstr(tn_last_error(), wrong[i].text)) fail_msg("'%s' without '%s'", tn_last_error(), wrong[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(averages_and_gathered_steps_are_those_of_pytorch),
        cmocka_unit_test(parts_of_a_batch_make_its_step),
        cmocka_unit_test(averages_and_gathered_gradients_resume_bit_for_bit),
        cmocka_unit_test(checkpoints_of_other_options_are_refused),
        cmocka_unit_test(averages_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests_name("trainer_average", tests, NULL, NULL);
}
