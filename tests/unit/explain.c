/* Attacks and explanations against their formulas: on a linear model, where all of them are known, and on a network, where
 * gradients are compared with finite differences and attributions must add up. */
#include "unit.h"
#include <math.h>
#include <tenon/tenon.h>

enum { ROWS = 5, WIDTH = 4, CLASSES = 3 };

static double wave(int i) {
    return sin(1.7 * i + 0.3);
}

static int constant(tn_graph *g, int rank, const int64_t *dims, int from) {
    int value;
    tn_tensor *t;
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    for (int64_t i = 0; i < tn_tensor_count(t); i++) ((float *)tn_tensor_data(t))[i] = (float)wave(from + (int)i);
    assert_ok(tn_graph_constant(g, "", t, &value));
    tn_tensor_destroy(t);
    return value;
}

static const int64_t first_dims[] = {WIDTH, 8}, last_dims[] = {8, CLASSES}, linear_dims[] = {WIDTH, 1};

/* x W tanh V softmax; or x w alone. */
static tn_probe *probe_of(bool linear) {
    tn_graph *g;
    tn_probe *p;
    int x, y;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 2, (int64_t[]){tn_graph_symbol(g, "batch"), WIDTH}, &x));
    int in[] = {x, constant(g, 2, linear ? linear_dims : first_dims, 0)};
    assert_ok(tn_graph_node(g, "MatMul", "first", 2, in, 1, &y, NULL));
    if (!linear) {
        assert_ok(tn_graph_node(g, "Tanh", "tanh", 1, &y, 1, &y, NULL));
        int last[] = {y, constant(g, 2, last_dims, 50)};
        assert_ok(tn_graph_node(g, "MatMul", "last", 2, last, 1, &y, NULL));
        assert_ok(tn_graph_node(g, "Softmax", "softmax", 1, &y, 1, &y, NULL));
    }
    assert_ok(tn_graph_output(g, y, "y"));
    assert_ok(tn_probe_create(g, 1, &p));
    return p;
}

static tn_tensor *rows_of(int64_t rows) {
    tn_tensor *x;
    assert_ok(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){rows, WIDTH}, NULL, &x));
    for (int64_t i = 0; i < rows * WIDTH; i++) ((float *)tn_tensor_data(x))[i] = (float)wave(100 + (int)i);
    return x;
}

static tn_tensor *labels_of(int64_t rows) {
    tn_tensor *y;
    assert_ok(tn_tensor_create(TN_INT64, 1, &rows, NULL, &y));
    for (int64_t i = 0; i < rows; i++) ((int64_t *)tn_tensor_data(y))[i] = i % CLASSES;
    return y;
}

/* Output c of the network, in float64. */
static double network(const double *x, int c) {
    double hidden[8], out[CLASSES], sum = 0;
    for (int h = 0; h < 8; h++) {
        hidden[h] = 0;
        for (int i = 0; i < WIDTH; i++) hidden[h] += x[i] * (double)(float)wave(i * 8 + h);
        hidden[h] = tanh(hidden[h]);
    }
    for (int k = 0; k < CLASSES; k++) {
        out[k] = 0;
        for (int h = 0; h < 8; h++) out[k] += hidden[h] * (double)(float)wave(50 + h * CLASSES + k);
        sum += exp(out[k]);
    }
    return exp(out[c]) / sum;
}

static void read_row(const tn_tensor *x, int64_t r, double out[WIDTH]) {
    for (int i = 0; i < WIDTH; i++) out[i] = (double)((const float *)tn_tensor_const_data(x))[r * WIDTH + i];
}

static void gradients_of_losses_are_finite_differences(void **state) {
    (void)state;
    tn_probe *p = probe_of(false);
    int64_t rows = 300; /* more than a batch */
    tn_tensor *x = rows_of(rows), *y = labels_of(rows), *g, *predicted;
    assert_ok(tn_probe_loss_gradient(p, x, y, &g));
    assert_ok(tn_probe_predict(p, x, &predicted));
    for (int64_t r = 0; r < rows; r++) {
        double row[WIDTH];
        int c = (int)(r % CLASSES);
        read_row(x, r, row);
        double found = (double)((const float *)tn_tensor_const_data(predicted))[r * CLASSES + c];
        assert_true(fabs(found - network(row, c)) < 1e-5);
        for (int i = 0; i < WIDTH; i++) {
            double was = row[i];
            row[i] = was + 1e-5;
            double above = -log(network(row, c));
            row[i] = was - 1e-5;
            double expected = (above + log(network(row, c))) / 2e-5;
            row[i] = was;
            double is = (double)((const float *)tn_tensor_const_data(g))[r * WIDTH + i];
            if (!(fabs(is - expected) < 1e-4)) fail_msg("row %d, %d: %g, not %g", (int)r, i, is, expected);
        }
    }
    tn_tensor_destroy(x);
    tn_tensor_destroy(y);
    tn_tensor_destroy(g);
    tn_tensor_destroy(predicted);
    tn_probe_destroy(p);
}

static double loss_of(const tn_tensor *x) {
    double sum = 0, row[WIDTH];
    for (int64_t r = 0; r < tn_tensor_dims(x)[0]; r++) {
        read_row(x, r, row);
        sum -= log(network(row, (int)(r % CLASSES)));
    }
    return sum;
}

static void attacks_raise_the_loss_within_their_box(void **state) {
    (void)state;
    tn_probe *p = probe_of(false);
    tn_tensor *x = rows_of(ROWS), *y = labels_of(ROWS), *g, *fast, *long_way, *kept;
    assert_ok(tn_probe_loss_gradient(p, x, y, &g));
    tn_attack_options o = {.struct_size = sizeof o, .epsilon = 0.2};
    assert_ok(tn_attack(p, x, y, &o, &fast));
    o.steps = 20;
    assert_ok(tn_attack(p, x, y, &o, &long_way));
    o.bounded = true;
    o.low = -0.5;
    o.high = 0.5;
    assert_ok(tn_attack(p, x, y, &o, &kept));
    for (int i = 0; i < ROWS * WIDTH; i++) {
        float from = ((const float *)tn_tensor_const_data(x))[i], slope = ((const float *)tn_tensor_const_data(g))[i];
        float to = ((const float *)tn_tensor_const_data(fast))[i];
        assert_true(fabsf(to - (from + 0.2f * (float)((slope > 0) - (slope < 0)))) < 1e-6f);
        assert_true(fabsf(((const float *)tn_tensor_const_data(long_way))[i] - from) < 0.2f + 1e-6f);
        assert_true(fabsf(((const float *)tn_tensor_const_data(kept))[i]) <= 0.5f);
    }
    assert_true(loss_of(fast) > loss_of(x) + 0.1);
    assert_true(loss_of(long_way) >= loss_of(fast) - 1e-6);
    o = (tn_attack_options){.struct_size = sizeof o, .epsilon = -1};
    tn_tensor *none;
    assert_int_equal(tn_attack(p, x, y, &o, &none), TN_E_INVALID);
    tn_tensor *all[] = {x, y, g, fast, long_way, kept};
    for (size_t i = 0; i < TN_COUNT(all); i++) tn_tensor_destroy(all[i]);
    tn_probe_destroy(p);
}

static void of_a_linear_model_all_explanations_are_its_weights(void **state) {
    (void)state;
    static const float baseline[WIDTH] = {0.5f, -1, 0, 2};
    tn_probe *p = probe_of(true);
    tn_tensor *x = rows_of(ROWS), *found[3];
    assert_ok(tn_integrated_gradients(p, x, baseline, NULL, 7, &found[0]));
    assert_ok(tn_occlusion(p, x, baseline, NULL, &found[1]));
    assert_ok(tn_shapley(p, x, baseline, NULL, 3, 1, &found[2]));
    for (int i = 0; i < ROWS * WIDTH; i++) {
        double expected = wave(i % WIDTH) * (double)(((const float *)tn_tensor_const_data(x))[i] - baseline[i % WIDTH]);
        for (int k = 0; k < 3; k++)
            if (!(fabs((double)((const float *)tn_tensor_const_data(found[k]))[i] - expected) < 1e-5))
                fail_msg("explanation %d of %d: %g, not %g", k, i,
                         (double)((const float *)tn_tensor_const_data(found[k]))[i], expected);
    }
    for (int k = 0; k < 3; k++) tn_tensor_destroy(found[k]);
    tn_tensor_destroy(x);
    tn_probe_destroy(p);
}

/* Shapley's values by their definition: the mean over all 24 orders. */
static void all_orders(const double *x, int c, double out[WIDTH]) {
    static const double weights[] = {1. / 4, 1. / 12, 1. / 12, 1. / 4}; /* by how many came before */
    for (int i = 0; i < WIDTH; i++) {
        out[i] = 0;
        for (unsigned set = 0; set < 1u << WIDTH; set++) {
            double without[WIDTH], with[WIDTH];
            int size = 0;
            if (set >> i & 1) continue;
            for (int k = 0; k < WIDTH; k++) {
                size += set >> k & 1;
                without[k] = with[k] = set >> k & 1 ? x[k] : 0;
            }
            with[i] = x[i];
            out[i] += weights[size] * (network(with, c) - network(without, c));
        }
    }
}

static void attributions_of_a_network_add_up(void **state) {
    (void)state;
    static const int64_t classes[ROWS] = {2, 0, 1, 1, 2};
    static const double nothing[WIDTH] = {0};
    tn_probe *p = probe_of(false);
    tn_tensor *x = rows_of(ROWS), *found[3];
    assert_ok(tn_integrated_gradients(p, x, NULL, classes, 600, &found[0]));
    assert_ok(tn_shapley(p, x, NULL, classes, 3000, 7, &found[1]));
    assert_ok(tn_occlusion(p, x, NULL, classes, &found[2]));
    for (int64_t r = 0; r < ROWS; r++) {
        double row[WIDTH], exact[WIDTH], sums[2] = {0};
        int c = (int)classes[r];
        read_row(x, r, row);
        all_orders(row, c, exact);
        for (int i = 0; i < WIDTH; i++) {
            float now[3];
            double was = row[i];
            for (int k = 0; k < 3; k++) now[k] = ((const float *)tn_tensor_const_data(found[k]))[r * WIDTH + i];
            sums[0] += (double)now[0];
            sums[1] += (double)now[1];
            assert_true(fabs((double)now[1] - exact[i]) < 0.01);
            double all = network(row, c);
            row[i] = 0;
            assert_true(fabs((double)now[2] - (all - network(row, c))) < 1e-5);
            row[i] = was;
        }
        double expected = network(row, c) - network(nothing, c);
        assert_true(fabs(sums[0] - expected) < 1e-4);
        assert_true(fabs(sums[1] - expected) < 1e-4);
    }
    for (int k = 0; k < 3; k++) tn_tensor_destroy(found[k]);
    tn_tensor *none;
    assert_int_equal(tn_occlusion(p, x, NULL, (int64_t[]){3, 0, 0, 0, 0}, &none), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "no output 3"));
    assert_int_equal(tn_shapley(p, x, NULL, classes, 0, 0, &none), TN_E_INVALID);
    tn_tensor_destroy(x);
    tn_probe_destroy(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_losses_are_finite_differences),
        cmocka_unit_test(attacks_raise_the_loss_within_their_box),
        cmocka_unit_test(of_a_linear_model_all_explanations_are_its_weights),
        cmocka_unit_test(attributions_of_a_network_add_up),
    };
    return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
