/* The loops around a transposing tile, for the copy_<level>.c files.
 *
 * TN_TRANSPOSE(name, type, side, line, tile) defines a kernel of copy.inc from `tile`, which transposes side x side
 * elements. `line` (a multiple of side) is how many rows of dst are made together: as many as a cache line of src has
 * elements, so that each line of src is read once. Rests are done one by one. */
#ifndef TN_KERNELS_TRANSPOSE_H
#define TN_KERNELS_TRANSPOSE_H

#include "kernels/kernels.h"
#include <string.h>

/* Elements may lie at any address (weights lie as their file has them): they move through memcpy, which costs nothing.
 */
#define TN_TRANSPOSE(name, type, side, line, tile)                                                                     \
    static void name##_edge(int64_t i0, int64_t i1, int64_t j0, int64_t j1, const char *src, int64_t ss, char *dst,    \
                            int64_t ds) {                                                                              \
        for (int64_t i = i0; i < i1; i++)                                                                              \
            for (int64_t j = j0; j < j1; j++)                                                                          \
                memcpy(dst + i * ds + j * (int64_t)sizeof(type), src + j * ss + i * (int64_t)sizeof(type),             \
                       sizeof(type));                                                                                  \
    }                                                                                                                  \
    static void name(int64_t rows, int64_t cols, const void *src, int64_t ss, void *dst, int64_t ds) {                 \
        const int64_t size = (int64_t)sizeof(type), full = rows - rows % (side);                                       \
        for (int64_t i0 = 0; i0 < full; i0 += (line)) {                                                                \
            int64_t i1 = i0 + (line) < full ? i0 + (line) : full, j = 0;                                               \
            for (; j + (side) <= cols; j += (side))                                                                    \
                for (int64_t i = i0; i < i1; i += (side))                                                              \
                    tile((const char *)src + j * ss + i * size, ss, (char *)dst + i * ds + j * size, ds);              \
            name##_edge(i0, i1, j, cols, src, ss, dst, ds);                                                            \
        }                                                                                                              \
        name##_edge(full, rows, 0, cols, src, ss, dst, ds);                                                            \
    }

#endif
