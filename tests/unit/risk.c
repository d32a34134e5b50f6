/* Risks: membership by losses is what counting pairs and thresholds gives, neighbours are the nearest there are, and rows that
 * were put in wrongly are found. */
#include "unit.h"
#include <math.h>
#include <stdlib.h>
#include <tenon/tenon.h>
#include "base/random.h"

enum { MEMBERS = 130, OTHERS = 210, ROWS = 300, WIDE = 3 };

/* Coarse, so that some are equal. */
static void draw(double *losses, int count, double scale, uint64_t seed) {
    for (int i = 0; i < count; i++) losses[i] = floor(-scale * log(1 - tn_random_uniform(&seed)) * 20) / 20;
}

static void membership_is_what_pairs_and_thresholds_say(void **state) {
    (void)state;
    double members[MEMBERS], others[OTHERS], pairs = 0, advantage = 0, exposed = 0;
    tn_membership m = {.struct_size = sizeof m};
    draw(members, MEMBERS, 0.5, 1);
    draw(others, OTHERS, 1, 2);
    assert_ok(tn_membership_of(members, MEMBERS, others, OTHERS, &m));
    for (int i = 0; i < MEMBERS; i++)
        for (int k = 0; k < OTHERS; k++) pairs += members[i] < others[k] ? 1 : members[i] == others[k] ? 0.5 : 0;
    assert_true(fabs(m.auc - pairs / MEMBERS / OTHERS) < 1e-12);
    for (double at = -0.01; at < 20; at += 0.01) {
        double told = 0, wrong = 0;
        for (int i = 0; i < MEMBERS; i++) told += members[i] < at;
        for (int k = 0; k < OTHERS; k++) wrong += others[k] < at;
        advantage = fmax(advantage, told / MEMBERS - wrong / OTHERS);
        if (wrong / OTHERS <= 0.01) exposed = fmax(exposed, told / MEMBERS);
    }
    assert_true(fabs(m.advantage - advantage) < 1e-12 && fabs(m.exposed - exposed) < 1e-12);
    assert_true(m.auc > 0.55 && m.members == MEMBERS && m.others == OTHERS);
    assert_ok(tn_membership_of(members, MEMBERS, members, MEMBERS, &m));
    assert_true(fabs(m.auc - 0.5) < 1e-12 && m.advantage == 0);
    assert_int_equal(tn_membership_of(members, 0, others, OTHERS, &m), TN_E_INVALID);
    others[3] = NAN;
    assert_int_equal(tn_membership_of(members, MEMBERS, others, OTHERS, &m), TN_E_INVALID);
}

/* Two groups, with labels by group. */
static void make_rows(float *x, int64_t *labels, int count) {
    uint64_t seed = 9;
    for (int r = 0; r < count; r++) {
        labels[r] = r % 2;
        for (int i = 0; i < WIDE; i++) x[r * WIDE + i] = (float)(tn_random_uniform(&seed) + 3 * (r % 2));
    }
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double distance_of(const float *x, int a, int b) {
    double sum = 0;
    for (int i = 0; i < WIDE; i++) sum += pow((double)x[a * WIDE + i] - (double)x[b * WIDE + i], 2);
    return sqrt(sum);
}

static void rows_that_are_wrong_are_found(void **state) {
    (void)state;
    enum { K = 7 };
    float x[ROWS * WIDE];
    int64_t labels[ROWS];
    double distance[ROWS], other[ROWS], means[ROWS], sorted[ROWS];
    tn_tensor *rows, *classes;
    make_rows(x, labels, ROWS);
    labels[40] = 1;    /* labelled wrongly */
    x[77 * WIDE] = 30; /* measured wrongly */
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){ROWS, WIDE}, NULL, x, sizeof x, &rows));
    assert_ok(tn_tensor_wrap(TN_INT64, 1, (int64_t[]){ROWS}, NULL, labels, sizeof labels, &classes));
    assert_ok(tn_suspects(rows, classes, K, distance, other));
    for (int r = 0; r < ROWS; r++) {
        double all[ROWS];
        int count = 0;
        for (int k = 0; k < ROWS; k++)
            if (k != r) all[count++] = distance_of(x, r, k);
        qsort(all, (size_t)count, sizeof *all, by_size);
        means[r] = 0;
        for (int i = 0; i < K; i++) means[r] += all[i] / K;
        assert_true(r == 77 || distance[r] < 4);
        assert_true(r == 40 ? other[r] > 0.99 : r == 77 || other[r] < 0.5);
    }
    memcpy(sorted, means, sizeof sorted);
    qsort(sorted, ROWS, sizeof *sorted, by_size);
    double median = (sorted[ROWS / 2 - 1] + sorted[ROWS / 2]) / 2;
    for (int r = 0; r < ROWS; r++) assert_true(fabs(distance[r] - means[r] / median) < 1e-9);
    assert_true(distance[77] > 20);
    assert_ok(tn_suspects(rows, NULL, K, distance, NULL));
    assert_int_equal(tn_suspects(rows, NULL, ROWS, distance, NULL), TN_E_INVALID);
    assert_int_equal(tn_suspects(rows, NULL, 0, distance, NULL), TN_E_INVALID);
    assert_int_equal(tn_suspects(classes, NULL, K, distance, NULL), TN_E_TYPE);
    assert_int_equal(tn_suspects(rows, rows, K, distance, other), TN_E_TYPE);
    x[5] = INFINITY;
    assert_int_equal(tn_suspects(rows, NULL, K, distance, NULL), TN_E_INVALID);
    tn_tensor_destroy(rows);
    tn_tensor_destroy(classes);
}

static void many_rows_are_compared_with_some(void **state) {
    (void)state;
    enum { MANY = 6000 };
    float *x = malloc(MANY * WIDE * sizeof *x);
    int64_t *labels = malloc(MANY * sizeof *labels);
    double *distance = malloc(2 * MANY * sizeof *distance), *other = distance + MANY;
    tn_tensor *rows, *classes;
    make_rows(x, labels, MANY);
    labels[4321] = 1 - labels[4321];
    x[1234 * WIDE + 1] = -40;
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){MANY, WIDE}, NULL, x, MANY * WIDE * sizeof *x, &rows));
    assert_ok(tn_tensor_wrap(TN_INT64, 1, (int64_t[]){MANY}, NULL, labels, MANY * sizeof *labels, &classes));
    assert_ok(tn_suspects(rows, classes, 5, distance, other));
    for (int r = 0; r < MANY; r++) {
        assert_true((distance[r] > 10) == (r == 1234));
        assert_true(r == 1234 || (other[r] > 0.5) == (r == 4321));
    }
    tn_tensor_destroy(rows);
    tn_tensor_destroy(classes);
    free(x);
    free(labels);
    free(distance);
}

static void losses_fall_and_scores_rise(void **state) {
    (void)state;
    static const char *const falling[] = {"log_loss", "brier", "ece", "mae", "mse", "rmse", "mape", "label_error_rate"};
    const char *name;
    int found = 0;
    for (int i = 0; (name = tn_metric_name(i)); i++) {
        bool listed = false;
        for (size_t k = 0; k < sizeof falling / sizeof falling[0]; k++) listed |= strcmp(falling[k], name) == 0;
        assert_int_equal(tn_metric_falls(name), listed);
        found += listed;
    }
    assert_int_equal(found, 8);
    assert_false(tn_metric_falls("guess"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(membership_is_what_pairs_and_thresholds_say),
        cmocka_unit_test(rows_that_are_wrong_are_found),
        cmocka_unit_test(many_rows_are_compared_with_some),
        cmocka_unit_test(losses_fall_and_scores_rise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
