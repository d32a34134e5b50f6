/* The loops around a transposing tile, for the copy_<level>.c files.
 *
 * TN_TRANSPOSE(name, type, side, line, tile, rest) defines a kernel of copy.inc from `tile`, which transposes side x
 * side elements. `line` (a multiple of side) is how many rows of dst are made together: as many as a cache line of src
 * has elements, so that each line of src is read once. What does not fill a tile goes to `rest`, a kernel itself:
 * TN_TRANSPOSE_ONE makes one that moves single elements. */
#ifndef TN_KERNELS_TRANSPOSE_H
#define TN_KERNELS_TRANSPOSE_H

#include "kernels/kernels.h"
#include <string.h>

/* Elements may lie at any address: they move through memcpy, which costs nothing. */
#define TN_TRANSPOSE_ONE(name, type)                                                                                   \
    static void name(int64_t rows, int64_t cols, const void *src, int64_t ss, void *dst, int64_t ds) {                 \
        const int64_t size = (int64_t)sizeof(type);                                                                    \
        for (int64_t i = 0; i < rows; i++)                                                                             \
            for (int64_t j = 0; j < cols; j++)                                                                         \
                memcpy((char *)dst + i * ds + j * size, (const char *)src + j * ss + i * size, sizeof(type));          \
    }

#define TN_TRANSPOSE(name, type, side, line, tile, rest)                                                               \
    static void name(int64_t rows, int64_t cols, const void *src, int64_t ss, void *dst, int64_t ds) {                 \
        const int64_t size = (int64_t)sizeof(type), full = cols < (side) ? 0 : rows - rows % (side);                   \
        const char *s = src;                                                                                           \
        char *d = dst;                                                                                                 \
        for (int64_t i0 = 0; i0 < full; i0 += (line)) {                                                                \
            int64_t i1 = i0 + (line) < full ? i0 + (line) : full, j = 0;                                               \
            for (; j + (side) <= cols; j += (side))                                                                    \
                for (int64_t i = i0; i < i1; i += (side)) tile(s + j * ss + i * size, ss, d + i * ds + j * size, ds);  \
            if (j < cols) rest(i1 - i0, cols - j, s + j * ss + i0 * size, ss, d + i0 * ds + j * size, ds);             \
        }                                                                                                              \
        if (full < rows) rest(rows - full, cols, s + full * size, ss, d + full * ds, ds);                              \
    }

#endif
