/* Headers of deltas and of their blocks; the format is in tenon/delta.h. */
#ifndef TN_DELTA_FORMAT_H
#define TN_DELTA_FORMAT_H

#include <tenon/delta.h>
#include "delta/elements.h"
#include "kernels/sha256.h"

#define TN_DELTA_HEADER 96
#define TN_DELTA_BLOCK_HEADER 16
#define TN_DELTA_CODED (1u << 20)  /* most that the CHANGEs and NEWs of a block make */
#define TN_DELTA_STORED (3u << 20) /* most that a block's steps take */
#define TN_DELTA_LENGTH (1u << 30) /* most that a block makes */
#define TN_DELTA_RATIO 1024        /* the result has at most so many bytes for each of the base, and of a MiB more */

typedef struct tn_delta_header {
    uint64_t base_bytes, result_bytes;
    uint8_t base_digest[TN_SHA256_BYTES], result_digest[TN_SHA256_BYTES];
} tn_delta_header;

typedef struct tn_delta_block {
    uint32_t stored, length;
    uint8_t result_check[4], check[4];
} tn_delta_block;

/* Whether so much can be made of a base of so many bytes. */
bool tn_delta_is_possible(uint64_t base_bytes, uint64_t result_bytes);

void tn_delta_header_write(const tn_delta_header *h, uint8_t out[TN_DELTA_HEADER]);
tn_status tn_delta_header_read(const uint8_t *at, size_t size, tn_delta_header *out);
void tn_delta_block_write(tn_delta_block *b, const uint8_t *steps, uint8_t out[TN_DELTA_BLOCK_HEADER]);
/* `left`: what of the result is still to come. */
tn_status tn_delta_block_read(const uint8_t at[TN_DELTA_BLOCK_HEADER], uint64_t left, tn_delta_block *out);
/* Whether the steps are those that the block was written with. */
bool tn_delta_block_is_whole(const tn_delta_block *b, const uint8_t *steps);

#endif
