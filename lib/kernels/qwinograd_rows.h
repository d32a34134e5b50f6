/* The transforms of qwinograd.inc for every instruction set. The including file defines
 *   QW_LANES, QW_V             words in a vector, a divisor of TN_QWINOGRAD_STEP; qw_bytes(p) loads bytes as such
 *   qw_add, qw_sub, qw_store(p, v)
 *   QW_SUMS, QW_S              sums of 32 bits in a vector; its type
 *   qs_load(p), qs_add, qs_sub, qs_quarter(v), qs_store(p, v) */
#include "kernels/qwinograd.h"

static void qwinograd_input(int16_t *v, size_t step, const uint8_t *const *x, size_t n) {
    for (size_t i = 0; i < n; i += QW_LANES) {
        QW_V half[4][4];
#pragma GCC unroll 4
        for (size_t s = 0; s < 4; s++) {
            const QW_V a = qw_bytes(x[s] + i), b = qw_bytes(x[4 + s] + i), c = qw_bytes(x[8 + s] + i);
            half[0][s] = qw_sub(a, c);
            half[1][s] = qw_add(b, c);
            half[2][s] = qw_sub(c, b);
            half[3][s] = qw_sub(b, qw_bytes(x[12 + s] + i));
        }
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++) {
            int16_t *to = v + 4 * r * step + i;
            qw_store(to, qw_sub(half[r][0], half[r][2]));
            qw_store(to + step, qw_add(half[r][1], half[r][2]));
            qw_store(to + 2 * step, qw_sub(half[r][2], half[r][1]));
            qw_store(to + 3 * step, qw_sub(half[r][1], half[r][3]));
        }
    }
}

static void qwinograd_output(int32_t *y, size_t row, size_t pixel, const int32_t *m, size_t step, size_t n) {
    for (size_t i = 0; i < n; i += QW_SUMS) {
        QW_S half[2][4];
#pragma GCC unroll 4
        for (size_t s = 0; s < 4; s++) {
            const QW_S b = qs_load(m + (4 + s) * step + i), c = qs_load(m + (8 + s) * step + i);
            half[0][s] = qs_add(qs_load(m + s * step + i), qs_add(b, c));
            half[1][s] = qs_sub(qs_sub(b, c), qs_load(m + (12 + s) * step + i));
        }
#pragma GCC unroll 2
        for (size_t r = 0; r < 2; r++) {
            const QW_S b = half[r][1], c = half[r][2];
            qs_store(y + r * row + i, qs_quarter(qs_add(half[r][0], qs_add(b, c))));
            qs_store(y + r * row + pixel + i, qs_quarter(qs_sub(qs_sub(b, c), half[r][3])));
        }
    }
}

#define TN_QWINOGRAD_ROWS(table)                                                                                       \
    do {                                                                                                               \
        (table)->qwinograd_input = qwinograd_input;                                                                    \
        (table)->qwinograd_product = qwinograd_product;                                                                \
        (table)->qwinograd_output = qwinograd_output;                                                                  \
    } while (0)
