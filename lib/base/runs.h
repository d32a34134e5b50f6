/* Weights that were pruned and share values, in few bytes that are read back in a moment: runs of one half byte, the code of
 * zero, with others between ("Deep Compression" calls them relative indices: Han et al., arXiv 1510.00149, section 2). */
#ifndef TN_BASE_RUNS_H
#define TN_BASE_RUNS_H

#include "base/base.h"

/* Data are cut into pieces of so many bytes, the last of which may have fewer. A piece begins with a byte. Where that is 0, the
 * piece follows as it is. Where its upper half is 1, its lower half is the usual half byte u, and each byte that follows stands
 * for as many u as its upper half says and then once its lower half, the lower half of a byte of the data being first, until
 * the piece is full. */
#define TN_RUNS_PIECE 512
#define TN_RUNS_MOST 8 /* the most bytes that one can become */

/* Writes a piece of 1 to TN_RUNS_PIECE bytes in the shorter form, and returns how many bytes it takes. */
size_t tn_runs_write(const uint8_t *piece, size_t size, uint8_t out[TN_RUNS_PIECE + 1]);
/* Fails unless `in` holds exactly `size` bytes; `out` may be written to then all the same. */
bool tn_runs_read(const void *in, size_t in_size, void *out, size_t size);

#endif
