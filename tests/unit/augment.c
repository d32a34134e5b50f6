/* Augmentation: what each change leaves as it was, and how much it changes. */
#include "unit.h"
#include <math.h>
#include "plan/plan.h"

enum { ROWS = 400, SIZE = 24 };
static float x[ROWS * SIZE], y[ROWS * SIZE];

/* Row r has r * 100 + its place. */
static void fill(void) {
    for (int i = 0; i < ROWS * SIZE; i++) x[i] = (float)(i / SIZE * 100 + i % SIZE);
}

static void flips_turn_half_of_the_samples_round(void **state) {
    (void)state;
    const tn_augmentation a = {.flip = true};
    int flipped = 0;
    fill();
    tn_augment(&a, 1, 2, (int64_t[]){2, 12}, x, ROWS, NULL, 0, false);
    for (int r = 0; r < ROWS; r++) {
        const float *row = x + r * SIZE;
        bool turned = row[0] != (float)(r * 100);
        for (int i = 0; i < SIZE; i++)
            assert_true(row[i] == (float)(r * 100 + (turned ? i / 12 * 12 + 11 - i % 12 : i)));
        flipped += turned;
    }
    assert_in_range(flipped, 160, 240); /* four deviations */
}

static void shifts_move_samples_and_repeat_their_edges(void **state) {
    (void)state;
    const tn_augmentation a = {.shift = 0.3};
    int seen[7] = {0};
    fill();
    tn_augment(&a, 2, 2, (int64_t[]){2, 12}, x, ROWS, NULL, 0, false);
    for (int r = 0; r < ROWS; r++) { /* by up to floor(3.6) */
        const float *row = x + r * SIZE;
        int by = 6 - (int)(row[6] - (float)(r * 100));
        assert_in_range(by + 3, 0, 6);
        seen[by + 3]++;
        for (int i = 0; i < SIZE; i++) {
            int from = i % 12 - by;
            from = from < 0 ? 0 : from > 11 ? 11 : from;
            assert_true(row[i] == (float)(r * 100 + i / 12 * 12 + from));
        }
    }
    for (int i = 0; i < 7; i++) assert_in_range(seen[i], 25, 95);
    /* Of pictures along both axes: [1, 4, 6], by up to 2 and 3. */
    const tn_augmentation half = {.shift = 0.5};
    fill();
    tn_augment(&half, 3, 3, (int64_t[]){1, 4, 6}, x, ROWS, NULL, 0, false);
    int ways[5][7] = {{0}}, met = 0;
    for (int r = 0; r < ROWS; r++) {
        int found = 0;
        for (int v = -2; v <= 2; v++)
            for (int h = -3; h <= 3; h++) {
                bool same = true;
                for (int i = 0; i < SIZE; i++) {
                    int line = TN_MIN(TN_MAX(i / 6 - v, 0), 3), column = TN_MIN(TN_MAX(i % 6 - h, 0), 5);
                    same = same && x[r * SIZE + i] == (float)(r * 100 + line * 6 + column);
                }
                found += same;
                ways[v + 2][h + 3] += same;
            }
        assert_int_equal(found, 1);
    }
    for (int i = 0; i < 35; i++) met += ways[i / 7][i % 7] > 0;
    assert_in_range(met, 30, 35);
}

static void scales_and_noise_have_their_deviations(void **state) {
    (void)state;
    double low = 2, high = 0, sum = 0, squares = 0;
    for (int i = 0; i < ROWS * SIZE; i++) x[i] = 1;
    tn_augment(&(tn_augmentation){.scale = 0.25}, 4, 1, (int64_t[]){SIZE}, x, ROWS, NULL, 0, false);
    for (int r = 0; r < ROWS; r++) {
        for (int i = 1; i < SIZE; i++) assert_true(x[r * SIZE + i] == x[r * SIZE]);
        low = fmin(low, x[r * SIZE]);
        high = fmax(high, x[r * SIZE]);
    }
    assert_true(low >= 0.75 && low < 0.76 && high > 1.24 && high <= 1.25);
    memset(x, 0, sizeof x);
    tn_augment(&(tn_augmentation){.noise = 0.5}, 5, 1, (int64_t[]){SIZE}, x, ROWS, y, SIZE, true);
    for (int i = 0; i < ROWS * SIZE; i++) {
        assert_true(y[i] == 0); /* what is rebuilt has no noise */
        sum += x[i];
        squares += (double)x[i] * x[i];
    }
    assert_float_equal(sum / (ROWS * SIZE), 0, 0.02);
    assert_float_equal(sqrt(squares / (ROWS * SIZE)), 0.5, 0.015);
}

static void mixtures_are_of_samples_and_targets_alike(void **state) {
    (void)state;
    double shares = 0;
    fill();
    for (int r = 0; r < ROWS; r++) y[r] = (float)r;
    tn_augment(&(tn_augmentation){.mixup = 0.4}, 6, 1, (int64_t[]){SIZE}, x, ROWS, y, 1, false);
    for (int r = 0; r < ROWS; r++) {
        int other = ROWS - 1 - r;
        double by = (y[r] - (double)other) / (r - other);
        assert_true(by >= 0.5 - 1e-4 && by <= 1 + 1e-4);
        shares += by / ROWS;
        for (int i = 0; i < SIZE; i++) assert_float_equal(x[r * SIZE + i], 100 * y[r] + (float)i, 0.01);
    }
    assert_float_equal(shares, 0.84, 0.03); /* the mean of max(v, 1 - v), v of Beta(0.4, 0.4) */
}

static void a_seed_and_a_batch_always_give_the_same(void **state) {
    (void)state;
    static float first[ROWS * SIZE];
    const tn_augmentation all = {.noise = 0.1, .shift = 0.2, .scale = 0.1, .flip = true};
    for (uint64_t seed = 7; seed < 9; seed++) {
        fill();
        tn_augment(&all, seed, 1, (int64_t[]){SIZE}, x, ROWS, NULL, 0, false);
        memcpy(first, x, sizeof x);
        fill();
        tn_augment(&all, seed, 1, (int64_t[]){SIZE}, x, ROWS, NULL, 0, false);
        assert_memory_equal(first, x, sizeof x);
        tn_augment(&all, seed + 1, 1, (int64_t[]){SIZE}, x, ROWS, NULL, 0, false);
        assert_memory_not_equal(first, x, sizeof x);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flips_turn_half_of_the_samples_round),
        cmocka_unit_test(shifts_move_samples_and_repeat_their_edges),
        cmocka_unit_test(scales_and_noise_have_their_deviations),
        cmocka_unit_test(mixtures_are_of_samples_and_targets_alike),
        cmocka_unit_test(a_seed_and_a_batch_always_give_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
