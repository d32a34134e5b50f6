/* Copies of arrays between two layouts: what Transpose, Slice, Concat, Split, Pad and the like come down to.
 *
 * A move is planned once for its shape and strides, then run on any pointers. The plan merges dims that lie side by
 * side in both layouts and picks the inner loop: rows copied whole, a transpose in tiles, single elements at strides,
 * or elements of 4 and 2 bits one by one (slow).
 *
 *     tn_move m = {.bits = tn_dtype_bits(dtype), .rank = 2, .dims = {3, 4}, .dst_strides = {4, 1}, .src_strides = {1,
 * 3}}; tn_move_plan(&m); tn_move_run(&m, kernels, pool, dst, 0, src, 0); */
#ifndef TN_KERNELS_MOVE_H
#define TN_KERNELS_MOVE_H

#include "base/half.h"
#include "base/tensor.h"
#include "base/threads.h"
#include "kernels/kernels.h"

typedef enum tn_move_kind { TN_MOVE_ROWS, TN_MOVE_TRANSPOSE, TN_MOVE_STRIDED, TN_MOVE_PACKED } tn_move_kind;

typedef struct tn_move {
    /* Given by the caller, in elements. Strides may be negative; those of src may be 0. Replaced by the plan. */
    size_t bits; /* of an element */
    int rank;
    int64_t dims[TN_MAX_RANK + 2];
    int64_t dst_strides[TN_MAX_RANK + 2], src_strides[TN_MAX_RANK + 2];
    /* The plan: `rank` outer dims count tiles of rows x cols elements, of which those at the far end may be smaller. */
    tn_move_kind kind;
    size_t element;     /* bytes that move together */
    int64_t rows, cols; /* in all */
    int64_t row_tile, col_tile;
    int64_t dst_row, src_row, dst_col, src_col; /* strides in bytes */
    int64_t tiles;                              /* in all; 0: nothing to copy */
    int64_t tasks;
} tn_move;

void tn_move_plan(tn_move *move);
/* Offsets are in elements, of the first element to write and to read. Source and destination must not overlap. */
void tn_move_run(const tn_move *move, const tn_kernels *kernels, tn_pool *pool, void *dst, int64_t dst_offset,
                 const void *src, int64_t src_offset);

#endif
