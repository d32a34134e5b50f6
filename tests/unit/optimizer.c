/* Optimizers and schedules take the steps that PyTorch takes, to 1e-6 in float32 and closer in float64. */
#include "gradient.h"
#include "train/train.h"
#include "train/torch_reference.inc"

static double gradient_at(int k, int i, double w) {
    return cos(1.3 * k + i) * (1 + i / 2.0) + w / 5;
}

/* A graph of nothing but the clipping and the step of one parameter. */
static tn_session *stepper(const tn_optimizer_options *options, tn_dtype dtype, int states, tn_model **model) {
    tn_graph *g;
    tn_session *session;
    int rate, count, factor, in[4], out[3];
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "rate", TN_FLOAT64, 0, NULL, &rate));
    assert_ok(tn_graph_input(g, "count", TN_INT64, 0, NULL, &count));
    for (int i = 0; i < 2 + states; i++)
        assert_ok(tn_graph_input(g, "x", dtype, 1, (int64_t[]){REFERENCE_SIZE}, &in[i]));
    assert_ok(tn_optimizer_clip(g, options, -1, 1, &in[1], &factor));
    assert_ok(tn_optimizer_node(g, options, rate, count, factor, in[0], in[1], in + 2, out));
    for (int i = 0; i < 1 + states; i++) assert_ok(tn_graph_output(g, out[i], NULL));
    assert_ok(tn_model_from_graph(g, NULL, model));
    assert_ok(tn_session_create(*model, NULL, &session));
    return session;
}

static void check_steps(size_t which, tn_dtype dtype, double tolerance) {
    tn_optimizer_options options;
    tn_model *model;
    assert_ok(tn_optimizer_defaults(&optimizers[which].options, &options));
    int states = tn_optimizer_states(&options);
    tn_session *session = stepper(&options, dtype, states, &model);
    tn_tensor *rate = make(TN_FLOAT64, SCALAR, VALUES(options.rate)), *count = make(TN_INT64, SCALAR, NULL), *x[4];
    for (int i = 0; i < 2 + states; i++) x[i] = make(dtype, DIMS(REFERENCE_SIZE), NULL);
    for (int i = 0; i < REFERENCE_SIZE; i++) tn_set_double(dtype, x[0]->data, i, 0.5 - 0.3 * i);
    assert_ok(tn_session_set_input(session, 0, rate));
    assert_ok(tn_session_set_input(session, 1, count));
    for (int i = 0; i < 2 + states; i++) assert_ok(tn_session_set_input(session, 2 + i, x[i]));
    for (int k = 0; k < REFERENCE_STEPS; k++) {
        *(int64_t *)count->data = k + 1;
        for (int i = 0; i < REFERENCE_SIZE; i++)
            tn_set_double(dtype, x[1]->data, i, gradient_at(k, i, tn_get_double(dtype, x[0]->data, i)));
        assert_ok(tn_session_run(session));
        for (int i = 0; i < 1 + states; i++) {
            const tn_tensor *y;
            assert_ok(tn_session_output(session, i, &y));
            assert_ok(tn_tensor_copy(x[i ? 1 + i : 0], y));
        }
        for (int i = 0; i < REFERENCE_SIZE; i++) {
            double found = tn_get_double(dtype, x[0]->data, i), expected = optimizers[which].after[k][i];
            if (!(fabs(found - expected) <= tolerance))
                fail_msg("optimizer %zu, %s, step %d, element %d: %.12g, not %.12g", which, tn_dtype_name(dtype), k, i,
                         found, expected);
        }
    }
    tn_session_destroy(session);
    tn_model_destroy(model);
    tn_tensor_destroy(rate);
    tn_tensor_destroy(count);
    for (int i = 0; i < 2 + states; i++) tn_tensor_destroy(x[i]);
}

static void optimizers_step_as_in_pytorch(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(optimizers); i++) {
        check_steps(i, TN_FLOAT64, 1e-10);
        check_steps(i, TN_FLOAT32, 1e-6);
    }
}

static void schedules_are_those_of_pytorch(void **state) {
    (void)state;
    for (size_t i = 0; i < TN_COUNT(schedules); i++)
        for (int step = 0; step < REFERENCE_RATES; step++) {
            double found = tn_schedule_factor(&schedules[i].schedule, step, 0), expected = schedules[i].factors[step];
            if (!(fabs(found - expected) <= 1e-12))
                fail_msg("schedule %zu, step %d: %.15g, not %.15g", i, step, found, expected);
        }
}

static void a_plateau_lowers_the_rate_as_in_pytorch(void **state) {
    (void)state;
    tn_graph *g;
    int x, w, y;
    tn_trainer *t;
    tn_tensor *one = make(TN_FLOAT32, DIMS(1, 1), VALUES(1));
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){1, 1}, &x));
    assert_ok(tn_graph_constant(g, "w", one, &w));
    assert_ok(tn_graph_node(g, "MatMul", NULL, 2, (int[]){x, w}, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    tn_trainer_options o = {.struct_size = sizeof o,
                            .optimizer = {.rate = 1},
                            .schedule = {.kind = TN_SCHEDULE_PLATEAU, .factor = 0.5, .patience = 1, .floor = 0.1}};
    assert_ok(tn_trainer_create(g, &o, &t));
    for (int i = 0; i < REFERENCE_RATES; i++) {
        assert_ok(tn_trainer_report(t, plateau_losses[i], NULL));
        if (!(fabs(tn_trainer_rate(t) - plateau_rates[i]) <= 1e-12))
            fail_msg("report %d: %.15g, not %.15g", i, tn_trainer_rate(t), plateau_rates[i]);
    }
    tn_trainer_destroy(t);
    tn_tensor_destroy(one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optimizers_step_as_in_pytorch),
        cmocka_unit_test(schedules_are_those_of_pytorch),
        cmocka_unit_test(a_plateau_lowers_the_rate_as_in_pytorch),
    };
    return cmocka_run_group_tests_name("optimizer", tests, NULL, NULL);
}
