/* Packing for Winograd convolution of bytes. See qwinograd.h. */
#include "kernels/qwinograd.h"
#include <string.h>

enum { WIDE = 2 * TN_QWINOGRAD_STEP };

/* One side of as many kernels as vectors like: three weights, `step` rows apart, to four, `to_step` apart. */
static void transform(int16_t (*to)[WIDE], size_t to_step, int16_t (*w)[WIDE], size_t step) {
    for (size_t i = 0; i < WIDE; i++) {
        const int a = w[0][i], b = w[step][i], c = w[2 * step][i];
        to[0][i] = (int16_t)(2 * a);
        to[to_step][i] = (int16_t)(a + b + c);
        to[2 * to_step][i] = (int16_t)(a - b + c);
        to[3 * to_step][i] = (int16_t)(2 * c);
    }
}

void tn_qwinograd_pack(int16_t *u, const int8_t *w, size_t maps, size_t channels) {
    /* In the order in which panels lie; of weights, as many rows as a panel has stay in the first-level cache. */
    for (size_t first = 0; first < maps; first += TN_QWINOGRAD_STEP)
        for (size_t c = 0; c < channels; c += 2, u += WIDE) {
            int16_t g[9][WIDE], half[12][WIDE], all[16][WIDE];
            for (size_t t = 0; t < 9; t++)
                for (size_t i = 0; i < WIDE; i++) g[t][i] = w[((first + i / 2) * 9 + t) * channels + c + i % 2];
            for (size_t s = 0; s < 3; s++) transform(half + s, 3, g + s, 3);
            for (size_t r = 0; r < 4; r++) transform(all + 4 * r, 1, half + 3 * r, 1);
            for (size_t e = 0; e < TN_QWINOGRAD_TERMS; e++) memcpy(u + e * maps * channels, all[e], sizeof all[e]);
        }
}
