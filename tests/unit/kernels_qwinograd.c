/* Winograd convolution of bytes: at every level the very sums of the plain convolution, of the greatest values too. */
#include "unit.h"
#include "kernels/qwinograd.h"
#include <stdlib.h>

static uint64_t seed = 1;
static uint8_t random_byte(void) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint8_t)(seed >> 33);
}

/* Tiles side by side, of an image of 4 rows and as many columns as they cover. */
static void check(const tn_kernels *k, size_t tiles, size_t channels, size_t maps, bool extreme) {
    const size_t wide = 2 * tiles + 2, terms = TN_QWINOGRAD_TERMS;
    uint8_t *x = malloc(4 * wide * channels);
    int8_t *w = malloc(maps * 9 * channels);
    int16_t *u = malloc(terms * maps * channels * 2), *v = malloc(terms * tiles * channels * 2);
    int32_t *m = malloc(terms * tiles * maps * 4), *y = malloc(4 * tiles * maps * 4);
    for (size_t i = 0; i < 4 * wide * channels; i++) x[i] = extreme ? 255 : random_byte();
    for (size_t i = 0; i < maps * 9 * channels; i++) w[i] = (int8_t)(extreme ? 128 : random_byte());
    tn_qwinograd_pack(u, w, maps, channels);
    for (size_t t = 0; t < tiles; t++) {
        const uint8_t *patch[16];
        for (size_t i = 0; i < 16; i++) patch[i] = x + (i / 4 * wide + 2 * t + i % 4) * channels;
        k->qwinograd_input(v + t * channels, tiles * channels, patch, channels);
    }
    for (size_t e = 0; e < terms; e++)
        k->qwinograd_product(tiles, maps, channels, v + e * tiles * channels, u + e * maps * channels,
                             m + e * tiles * maps, maps);
    for (size_t t = 0; t < tiles; t++)
        k->qwinograd_output(y + 2 * t * maps, 2 * tiles * maps, maps, m + t * maps, tiles * maps, maps);
    for (size_t at = 0; at < 4 * tiles; at++)
        for (size_t map = 0; map < maps; map++) {
            int32_t want = 0;
            for (size_t tap = 0; tap < 9; tap++)
                for (size_t c = 0; c < channels; c++)
                    want += x[((at / (2 * tiles) + tap / 3) * wide + at % (2 * tiles) + tap % 3) * channels + c] *
                            w[(map * 9 + tap) * channels + c];
            if (y[at * maps + map] != want)
                fail_msg("%s: %zu tiles, %zu channels: [%zu,%zu] is %d, not %d", tn_cpu_level_name(k->level), tiles,
                         channels, at, map, y[at * maps + map], want);
        }
    free(x), free(w), free(u), free(v), free(m), free(y);
}

static void winograd_of_bytes_is_exact_at_every_cpu_level(void **state) {
    (void)state;
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *k = tn_kernels_at((tn_cpu_level)level);
        for (size_t tiles = 1; k && tiles < 9; tiles++) check(k, tiles, 16 * (1 + tiles % 3), 16 * (1 + tiles % 4), 0);
        if (k) check(k, 2, TN_QWINOGRAD_CHANNELS / 16 * 16, 16, true);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(winograd_of_bytes_is_exact_at_every_cpu_level),
    };
    return cmocka_run_group_tests_name("kernels_qwinograd", tests, NULL, NULL);
}
