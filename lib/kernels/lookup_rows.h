/* Rows of lookups, for all instruction sets. Include with LOOKUP_LANES, LOOKUP_BITS, TN_LEVEL_OVERLAY and, where
 * LOOKUP_LANES is not 1:
 *
 *     book_4, load_4(table), put_4(y, codes, book, high)     LOOKUP_LANES elements of the lower or the higher halves of bytes
 *         or, with LOOKUP_PAIRS, put_pair(y, codes, book)    two rows of so many elements, and other rows one by one
 *     book_8, load_8(table), put_8(y, codes, book) */
#include "kernels/kernels.h"

static void lookup_4(float *y, const uint8_t *q, size_t rows, size_t n, const float *table) {
    const size_t half = n / 2;
#if LOOKUP_LANES > 1
    const book_4 book = load_4(table);
#endif
#ifdef LOOKUP_PAIRS
    for (; n == LOOKUP_PAIRS && rows > 1; rows -= 2, y += 2 * n, q += 2 * half) put_pair(y, q, &book);
#endif
    for (; rows > 0; rows--, y += n, q += half) {
        size_t i = 0;
#if LOOKUP_LANES > 1 && !defined LOOKUP_PAIRS
        for (; i + LOOKUP_LANES <= half; i += LOOKUP_LANES) {
            put_4(y + i, q + i, &book, false);
            put_4(y + half + i, q + i, &book, true);
        }
#endif
        for (; i < half; i++) {
            y[i] = table[q[i] & 15];
            y[half + i] = table[q[i] >> 4];
        }
    }
}

static void lookup_8(float *y, const uint8_t *q, size_t rows, size_t n, const float *table) {
    size_t i = 0;
#if LOOKUP_LANES > 1
    const book_8 book = load_8(table);
    for (; i + LOOKUP_LANES <= rows * n; i += LOOKUP_LANES) put_8(y + i, q + i, &book);
#endif
    for (; i < rows * n; i++) y[i] = table[q[i]];
}

static void lookup_panel(float *y, const uint8_t *q, size_t rows, size_t n, int bits, const float *table) {
    if (bits == 4)
        lookup_4(y, q, rows, n, table);
    else
        lookup_8(y, q, rows, n, table);
}

void TN_LEVEL_OVERLAY(tn_kernels *table) {
    table->lookup_panel = lookup_panel;
    table->lookup_bits = LOOKUP_BITS;
}
