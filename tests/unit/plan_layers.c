/* Layers of plans give what PyTorch's give of the same weights, and their gradients, by the input and by each weight, match
 * finite differences in float64; so does the loss of a variational autoencoder, whose noise is there in training alone. */
#include <stdio.h>
#include "gradient.h"
#include "plan/plan.h"
#include "train/layers_reference.inc"
#include "train/train.h"

static tn_plan *plan_of(const char *layers) {
    char text[600];
    tn_plan *plan;
    snprintf(text, sizeof text,
             "name: layers\ndata: {train: x.csv}\npipeline: {features: [{column: a}]}\nmodel: {layers: [%s]}\n",
             layers);
    assert_ok(tn_plan_parse(text, strlen(text), NULL, &plan));
    return plan;
}

/* Weights as layers_reference.py has them, as inputs: their number. */
static int weigh(tn_graph *g, int *values, tn_tensor **weights, int most) {
    int count = 0;
    const int all = g->value_count;
    for (int v = 0; v < all; v++) {
        const tn_tensor *constant = g->values[v].constant;
        if (!constant || constant->dtype != TN_FLOAT64 || constant->rank == 0) continue;
        assert_true(count < most);
        tn_tensor *w = make(TN_FLOAT64, constant->rank, constant->dims, NULL);
        for (int64_t i = 0; i < tn_count(w); i++) ((double *)w->data)[i] = 0.4 * sin(1.7 * (double)i + 0.6 * count);
        g->values[v].constant = NULL;
        assert_ok(tn_graph_add_input(g, v));
        values[count] = v;
        weights[count++] = w;
    }
    return count;
}

enum { MOST = GRADIENT_INPUTS };

static void check_layers(size_t which) {
    tn_graph *g;
    tn_model *model;
    tn_session *session;
    tn_tensor *in[MOST] = {some(DIMS(BATCH, CHANNELS, LENGTH))}, *factors = some(DIMS(BATCH, OUTPUTS));
    int values[MOST], grads[MOST], loss;
    tn_plan *plan = plan_of(references[which].layers);
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT64, 3, in[0]->dims, &values[0]));
    if (tn_plan_layers(plan, g, values[0], OUTPUTS) != TN_OK)
        fail_msg("%s: %s", references[which].layers, tn_last_error());
    loss = g->outputs[0];
    int count = 1 + weigh(g, values + 1, in + 1, MOST - 1), weights;
    assert_ok(tn_graph_infer(g));
    assert_ok(tn_graph_constant(g, "factors", factors, &weights));
    assert_ok(tn_graph_node(g, "Mul", "weigh", 2, (int[]){loss, weights}, 1, &loss, NULL));
    assert_ok(tn_graph_node(g, "ReduceSum", "loss", 1, &loss, 1, &loss, ATTRIBUTES(INT("keepdims", 0))));
    assert_ok(tn_graph_gradient(g, loss, count, values, grads));
    g->output_count = 0;
    assert_ok(tn_graph_output(g, loss, "loss"));
    for (int k = 0; k < count; k++) {
        if (grads[k] < 0) fail_msg("%s: no gradient by '%s'", references[which].layers, g->values[values[k]].name);
        assert_ok(tn_graph_output(g, grads[k], NULL));
    }
    assert_ok(tn_model_from_graph(g, NULL, &model));
    assert_ok(tn_session_create(model, NULL, &session));
    for (int k = 0; k < count; k++) assert_ok(tn_session_set_input(session, k, in[k]));
    double found = loss_of(session), expected = references[which].loss;
    if (!(fabs(found - expected) <= 1e-10 * (1 + fabs(expected))))
        fail_msg("%s: %.15g, not %.15g", references[which].layers, found, expected);
    const tn_tensor *grad;
    assert_ok(tn_session_output(session, 1, &grad));
    for (int64_t i = 0; i < tn_count(grad); i++) {
        found = ((const double *)grad->data)[i];
        expected = references[which].gradient[i];
        if (!(fabs(found - expected) <= 1e-10))
            fail_msg("%s: gradient %lld is %.15g, not %.15g", references[which].layers, (long long)i, found, expected);
    }
    compare_gradients(session, count, in, references[which].layers);
    tn_session_destroy(session);
    tn_model_destroy(model);
    for (int k = 0; k < count; k++) tn_tensor_destroy(in[k]);
    tn_tensor_destroy(factors);
    tn_plan_destroy(plan);
}

static void layers_and_their_gradients_are_those_of_pytorch(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    for (size_t i = 0; i < TN_COUNT(references); i++) check_layers(i);
}

static void layers_that_do_not_fit_are_named(void **state) {
    (void)state;
    static const struct {
        const char *layers, *sentence;
    } bad[] = {
        {"{attention: 3}", "3 heads do not divide 4 channels"},
        {"{dense: 4}, {lstm: 2}", "layer 2 'lstm': an LSTM needs samples of [channels, length]"},
        {"{norm: group, groups: 3}", "3 groups do not divide 4 channels"},
        {"{transpose: [2, 1, 3]}", "the order is of 3 axes, and a sample has 2"},
        {"{branches: [[{conv: 3}], [{pool: max}]]}", "branch 2 does not give the shape that branch 1 gives"},
        {"{branches: [[{conv: 3}], [{conv: 2}]], join: add}", "branch 2 does not give the shape"},
        {"{latent: 2}, {latent: 2}", "two latent layers"},
    };
    if (!TN_WITH_YAML) skip();
    for (size_t i = 0; i < TN_COUNT(bad); i++) {
        tn_graph *g;
        int x;
        tn_plan *plan = plan_of(bad[i].layers);
        assert_ok(tn_graph_create(NULL, &g));
        assert_ok(tn_graph_input(g, "x", TN_FLOAT64, 3, (int64_t[]){BATCH, CHANNELS, LENGTH}, &x));
        assert_int_equal(tn_plan_layers(plan, g, x, OUTPUTS), TN_E_SHAPE);
        if (!strstr(tn_last_error(), bad[i].sentence)) fail_msg("'%s' without '%s'", tn_last_error(), bad[i].sentence);
        tn_graph_destroy(g);
        tn_plan_destroy(plan);
    }
}

/* ---- variational autoencoders ---- */

enum { ROWS = 3, WIDTH = 4, LATENT = 2 };

/* An encoder to means and logarithms of variances, a decoder of the means. */
static tn_graph *variational(tn_dtype dtype) {
    tn_graph *g;
    int x, y, means, logs;
    tn_tensor *a = some(DIMS(WIDTH, LATENT)), *b = some(DIMS(WIDTH, LATENT)), *c = some(DIMS(LATENT, WIDTH)),
              *all[3] = {a, b, c};
    int w[3];
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", dtype, 2, (int64_t[]){ROWS, WIDTH}, &x));
    for (int i = 0; i < 3; i++) {
        tn_tensor *t = make(dtype, 2, all[i]->dims, all[i]->data);
        for (int64_t k = 0; k < tn_count(t); k++)
            tn_set_double(dtype, t->data, k, 0.3 * ((const double *)all[i]->data)[k] + 0.1 * i);
        assert_ok(tn_graph_constant(g, i == 0 ? "a" : i == 1 ? "b" : "c", t, &w[i]));
        tn_tensor_destroy(t);
        tn_tensor_destroy(all[i]);
    }
    assert_ok(tn_graph_node(g, "MatMul", "means", 2, (int[]){x, w[0]}, 1, &means, NULL));
    assert_ok(tn_graph_node(g, "MatMul", "logs", 2, (int[]){x, w[1]}, 1, &logs, NULL));
    assert_ok(tn_graph_node(g, "MatMul", "decoder", 2, (int[]){means, w[2]}, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    assert_ok(tn_graph_output(g, means, "m"));
    assert_ok(tn_graph_output(g, logs, "v"));
    return g;
}

/* The mean over rows of what the header says, of the outputs in inference. */
static double expected_elbo(tn_trainer *t, const tn_tensor *x, double beta) {
    tn_graph *g;
    tn_model *model;
    tn_session *session;
    const tn_tensor *out[3];
    double sum = 0;
    assert_ok(tn_trainer_export(t, &g));
    assert_ok(tn_model_from_graph(g, NULL, &model));
    assert_ok(tn_session_create(model, NULL, &session));
    assert_ok(tn_session_set_input(session, 0, x));
    assert_ok(tn_session_run(session));
    for (int i = 0; i < 3; i++) assert_ok(tn_session_output(session, i, &out[i]));
    for (int i = 0; i < ROWS * WIDTH; i++) {
        double d = ((const double *)out[0]->data)[i] - ((const double *)x->data)[i];
        sum += d * d / 2;
    }
    for (int i = 0; i < ROWS * LATENT; i++) {
        double m = ((const double *)out[1]->data)[i], v = ((const double *)out[2]->data)[i];
        sum += beta * (m * m + exp(v) - 1 - v) / 2;
    }
    tn_session_destroy(session);
    tn_model_destroy(model);
    return sum / ROWS;
}

static void an_elbo_is_what_it_says_and_noise_is_of_training_alone(void **state) {
    (void)state;
    tn_tensor *x = some(DIMS(ROWS, WIDTH));
    const tn_tensor *in[] = {x};
    double loss, again, losses[3];
    for (int i = 0; i < 3; i++) {
        const double beta = i == 0 ? 1 : 0.25;
        const tn_trainer_options o = {.struct_size = sizeof o,
                                      .loss = TN_LOSS_ELBO,
                                      .loss_options = {.beta = i == 0 ? 0 : beta},
                                      .optimizer = {.kind = TN_SGD, .rate = 1e-9},
                                      .seed = (uint64_t)(i == 2)};
        tn_trainer *t;
        assert_ok(tn_trainer_create(variational(TN_FLOAT64), &o, &t));
        assert_ok(tn_trainer_evaluate(t, in, x, &loss));
        double expected = expected_elbo(t, x, beta);
        if (!(fabs(loss - expected) < 1e-12)) fail_msg("an ELBO of %.15g, not %.15g", loss, expected);
        assert_ok(tn_trainer_evaluate(t, in, x, &again));
        assert_true(again == loss);
        assert_ok(tn_trainer_step(t, in, x, &losses[i]));
        assert_true(fabs(losses[i] - loss) > 1e-3); /* noise */
        assert_ok(tn_trainer_step(t, in, x, &again));
        assert_true(fabs(losses[i] - again) > 1e-4); /* another one at each step */
        tn_trainer_destroy(t);
    }
    assert_true(fabs(losses[1] - losses[2]) > 1e-4); /* and by another seed */
    tn_tensor_destroy(x);
}

/* The expectation over many steps is that of the formula: y = z c with z = m + s e: E |y - x|^2 = |m c - x|^2 + sum over latents of s^2 |row of c|^2. */
static void the_noise_has_the_variance_that_is_encoded(void **state) {
    (void)state;
    enum { STEPS = 4000 };
    tn_tensor *x = some(DIMS(ROWS, WIDTH));
    const tn_tensor *in[] = {x}, *c = NULL, *b = NULL;
    const char *name;
    double at_means, sum = 0, loss, extra = 0;
    const tn_trainer_options o = {
        .struct_size = sizeof o, .loss = TN_LOSS_ELBO, .optimizer = {.kind = TN_SGD, .rate = 1e-12}};
    tn_trainer *t;
    assert_ok(tn_trainer_create(variational(TN_FLOAT64), &o, &t));
    assert_ok(tn_trainer_evaluate(t, in, x, &at_means));
    for (int i = 0; i < tn_trainer_parameter_count(t); i++) {
        const tn_tensor *p;
        assert_ok(tn_trainer_parameter(t, i, &name, &p));
        if (*name == 'b') b = p;
        if (*name == 'c') c = p;
    }
    for (int r = 0; r < ROWS; r++)
        for (int l = 0; l < LATENT; l++) {
            double v = 0, square = 0;
            for (int k = 0; k < WIDTH; k++) {
                double w = ((const double *)c->data)[l * WIDTH + k];
                v += ((const double *)x->data)[r * WIDTH + k] * ((const double *)b->data)[k * LATENT + l];
                square += w * w;
            }
            extra += exp(v) * square / 2 / ROWS;
        }
    for (int s = 0; s < STEPS; s++) {
        assert_ok(tn_trainer_step(t, in, x, &loss));
        sum += loss;
    }
    if (!(fabs(sum / STEPS - at_means - extra) < 0.06 * extra))
        fail_msg("noise adds %g, not %g", sum / STEPS - at_means, extra);
    tn_trainer_destroy(t);
    tn_tensor_destroy(x);
}

/* With the noise held still (a constant in its place), gradients match finite differences. */
static void gradients_of_an_elbo_match_finite_differences(void **state) {
    (void)state;
    tn_graph *g = variational(TN_FLOAT64);
    tn_model *model;
    tn_session *session;
    tn_tensor *x = some(DIMS(ROWS, WIDTH)), *noise = some(DIMS(ROWS, LATENT)), *in[3];
    const tn_loss_options o = {.beta = 0.7};
    int values[3], grads[3], count = 0, loss, held;
    assert_ok(tn_elbo_noise(g));
    for (int n = 0; n < g->node_count; n++) {
        if (strcmp(g->nodes[n].op->name, "RandomNormalLike") != 0) continue;
        assert_ok(tn_graph_constant(g, "noise", noise, &held));
        tn_graph_replace_uses(g, g->nodes[n].out[0], held);
    }
    for (int v = 0; v < g->value_count; v++)
        if (g->values[v].constant && strlen(g->values[v].name) == 1) {
            assert_ok(tn_tensor_clone(g->values[v].constant, NULL, &in[count]));
            values[count++] = v;
        }
    assert_int_equal(count, 3);
    assert_ok(tn_elbo_nodes(g, &o, g->outputs, g->inputs[0], &loss));
    assert_ok(tn_graph_gradient(g, loss, count, values, grads));
    g->output_count = 0;
    assert_ok(tn_graph_output(g, loss, "loss"));
    for (int k = 0; k < count; k++) {
        g->values[values[k]].constant = NULL;
        assert_ok(tn_graph_add_input(g, values[k]));
        assert_ok(tn_graph_output(g, grads[k], NULL));
    }
    assert_ok(tn_model_from_graph(g, NULL, &model));
    assert_ok(tn_session_create(model, NULL, &session));
    assert_ok(tn_session_set_input(session, 0, x));
    for (int k = 0; k < count; k++) assert_ok(tn_session_set_input(session, 1 + k, in[k]));
    loss_of(session);
    compare_gradients(session, count, in, "elbo");
    tn_session_destroy(session);
    tn_model_destroy(model);
    for (int k = 0; k < count; k++) tn_tensor_destroy(in[k]);
    tn_tensor_destroy(x);
    tn_tensor_destroy(noise);
}

static void graphs_without_latents_have_no_elbo(void **state) {
    (void)state;
    const tn_trainer_options o = {.struct_size = sizeof o, .loss = TN_LOSS_ELBO};
    tn_trainer *t;
    tn_graph *g = variational(TN_FLOAT32);
    g->output_count = 2;
    assert_int_equal(tn_trainer_create(g, &o, &t), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "the graph has 2 outputs"));
    g = variational(TN_FLOAT32);
    g->outputs[1] = g->outputs[2]; /* which nothing reads */
    assert_int_equal(tn_trainer_create(g, &o, &t), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "nothing reads output 1"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_and_their_gradients_are_those_of_pytorch),
        cmocka_unit_test(layers_that_do_not_fit_are_named),
        cmocka_unit_test(an_elbo_is_what_it_says_and_noise_is_of_training_alone),
        cmocka_unit_test(the_noise_has_the_variance_that_is_encoded),
        cmocka_unit_test(gradients_of_an_elbo_match_finite_differences),
        cmocka_unit_test(graphs_without_latents_have_no_elbo),
    };
    return cmocka_run_group_tests_name("plan_layers", tests, NULL, NULL);
}
