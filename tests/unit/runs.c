/* Runs of half bytes: what is written is read back, and nothing else is. */
#include "unit.h"
#include <stdlib.h>
#include "base/random.h"
#include "base/runs.h"

enum { MOST = 3 * TN_RUNS_PIECE };

/* Half bytes of which `share` are 7. */
static void fill(uint8_t *data, size_t size, double share, uint64_t *seed) {
    for (size_t i = 0; i < size; i++) {
        const unsigned low = tn_random_uniform(seed) < share ? 7 : (unsigned)tn_random_below(seed, 16);
        const unsigned high = tn_random_uniform(seed) < share ? 7 : (unsigned)tn_random_below(seed, 16);
        data[i] = (uint8_t)(high << 4 | low);
    }
}

static size_t write_all(const uint8_t *data, size_t size, uint8_t *out) {
    size_t used = 0;
    for (size_t i = 0; i < size; i += TN_RUNS_PIECE)
        used += tn_runs_write(data + i, TN_MIN(size - i, (size_t)TN_RUNS_PIECE), out + used);
    return used;
}

/* From memory of exactly that size, for the sanitizers. */
static bool read_back(const uint8_t *runs, size_t stored, uint8_t *out, size_t size) {
    uint8_t *copy = malloc(stored ? stored : 1);
    memcpy(copy, runs, stored);
    const bool read = tn_runs_read(copy, stored, out, size);
    free(copy);
    return read;
}

static void data_of_any_density_and_size_are_read_back(void **state) {
    (void)state;
    static const double shares[] = {0, 0.5, 0.9, 0.99, 1};
    uint8_t data[MOST], runs[MOST + 3], found[MOST];
    uint64_t seed = 1;
    for (size_t s = 0; s < TN_COUNT(shares); s++)
        for (size_t size = 0; size <= MOST; size += 1 + size / 7) {
            fill(data, size, shares[s], &seed);
            const size_t stored = write_all(data, size, runs);
            assert_true(stored <= size + (size + TN_RUNS_PIECE - 1) / TN_RUNS_PIECE);
            assert_true(size <= TN_RUNS_MOST * stored);
            assert_true(read_back(runs, stored, found, size));
            assert_memory_equal(found, data, size);
            if (!size) continue;
            assert_false(read_back(runs, stored - 1, found, size));
            assert_false(read_back(runs, stored, found, size - 1));
            assert_false(read_back(runs, stored, found, size + 1));
        }
}

static void nine_of_ten_alike_take_a_quarter(void **state) {
    (void)state;
    uint8_t data[MOST], runs[MOST + 3];
    uint64_t seed = 2;
    fill(data, MOST, 0.9, &seed);
    assert_true(write_all(data, MOST, runs) < MOST / 4 + 3);
}

static void damaged_bytes_stay_within_bounds(void **state) {
    (void)state;
    uint8_t data[MOST], runs[MOST + 3], found[MOST];
    uint64_t seed = 3;
    int refused = 0;
    for (int turn = 0; turn < 2000; turn++) {
        fill(data, MOST, 0.9, &seed);
        const size_t stored = write_all(data, MOST, runs);
        runs[tn_random_below(&seed, stored)] ^= (uint8_t)(1 + tn_random_below(&seed, 255));
        refused += !read_back(runs, stored, found, MOST);
    }
    assert_true(refused > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_of_any_density_and_size_are_read_back),
        cmocka_unit_test(nine_of_ten_alike_take_a_quarter),
        cmocka_unit_test(damaged_bytes_stay_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
