/* Random operators: moments, seeds, ranges. */
#include "ops.h"
#include <math.h>

enum { N = 20000 };

static void moments(const tn_tensor *y, double *mean, double *deviation) {
    double sum = 0, squares = 0;
    int64_t n = tn_count(y);
    for (int64_t i = 0; i < n; i++) {
        double x = tn_get_double(y->dtype, y->data, i);
        sum += x;
        squares += x * x;
    }
    *mean = sum / (double)n;
    *deviation = sqrt(squares / (double)n - *mean * *mean);
}

static tn_tensor *draw(const char *name, int attr_count, const tn_attr *attrs) {
    tn_tensor *y;
    assert_ok(run_op(name, attr_count, attrs, 0, NULL, 1, &y));
    return y;
}

static void normal_and_uniform_have_their_moments(void **state) {
    (void)state;
    double mean, deviation;
    tn_tensor *y = draw("RandomNormal", ATTRS(ATTR_INTS("shape", N), ATTR_FLOAT("mean", 3), ATTR_FLOAT("scale", 2)));
    moments(y, &mean, &deviation);
    assert_true(y->dtype == TN_FLOAT32 && fabs(mean - 3) < 0.06 && fabs(deviation - 2) < 0.06);
    tn_tensor_destroy(y);
    y = draw("RandomUniform", ATTRS(ATTR_INTS("shape", 4, N / 4), ATTR_FLOAT("low", -1), ATTR_FLOAT("high", 3),
                                    ATTR_INT("dtype", TN_FLOAT16)));
    moments(y, &mean, &deviation);
    assert_true(y->dtype == TN_FLOAT16 && y->rank == 2 && fabs(mean - 1) < 0.05);
    for (int64_t i = 0; i < N; i++) {
        double x = tn_get_double(TN_FLOAT16, y->data, i);
        assert_true(x >= -1 && x <= 3);
    }
    tn_tensor_destroy(y);
}

static void a_seed_gives_the_same_numbers_again(void **state) {
    (void)state;
    tn_tensor *y[3];
    for (int i = 0; i < 3; i++)
        y[i] = run1("RandomNormalLike", ATTRS(ATTR_FLOAT("seed", i < 2 ? 5 : 6), ATTR_INT("dtype", TN_FLOAT64)),
                    make(TN_INT8, DIMS(7), NULL));
    assert_memory_equal(y[0]->data, y[1]->data, 7 * sizeof(double));
    assert_memory_not_equal(y[0]->data, y[2]->data, 7 * sizeof(double));
    for (int i = 0; i < 3; i++) tn_tensor_destroy(y[i]);
}

static void bernoulli_follows_its_probabilities(void **state) {
    (void)state;
    double mean, deviation;
    tn_tensor *p = make(TN_FLOAT16, DIMS(N), NULL);
    for (int i = 0; i < N; i++) tn_set_double(TN_FLOAT16, p->data, i, 0.25);
    tn_tensor *y = run1("Bernoulli", ATTRS(ATTR_INT("dtype", TN_INT32)), p);
    moments(y, &mean, &deviation);
    assert_true(y->dtype == TN_INT32 && fabs(mean - 0.25) < 0.02);
    tn_tensor_destroy(y);
    expect(run1("Bernoulli", NO_ATTRS, make(TN_FLOAT32, DIMS(3), VALUES(0, 1, NAN))), TN_FLOAT32, DIMS(3),
           VALUES(0, 1, 0));
}

static void multinomial_follows_its_log_probabilities(void **state) {
    (void)state;
    double share[3] = {0};
    tn_tensor *y = run1("Multinomial", ATTRS(ATTR_INT("sample_size", N), ATTR_INT("dtype", TN_INT64)),
                        make(TN_FLOAT32, DIMS(2, 3), VALUES(100, 100 + log(2), -INFINITY, -NAN, 0, 0)));
    assert_true(y->dtype == TN_INT64 && y->rank == 2 && y->dims[1] == N);
    for (int64_t i = 0; i < 2 * N; i++) {
        int64_t class = tn_get_int(TN_INT64, y->data, i);
        assert_in_range(class, 0, 2);
        if (i < N) share[class] += 1.0 / N;
    }
    assert_true(fabs(share[0] - 1.0 / 3) < 0.02 && share[2] == 0);
    tn_tensor_destroy(y);
    refused("Multinomial", NO_ATTRS, TN_E_SHAPE, "no classes", make(TN_FLOAT32, DIMS(2, 0), NULL));
    refused("Multinomial", ATTRS(ATTR_INT("sample_size", -3)), TN_E_INVALID, "-3", make(TN_FLOAT32, DIMS(2, 1), NULL));
    refused("RandomUniformLike", NO_ATTRS, TN_E_TYPE, "number 6", make(TN_INT32, DIMS(2), NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normal_and_uniform_have_their_moments),
        cmocka_unit_test(a_seed_gives_the_same_numbers_again),
        cmocka_unit_test(bernoulli_follows_its_probabilities),
        cmocka_unit_test(multinomial_follows_its_log_probabilities),
    };
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
