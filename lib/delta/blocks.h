/* Writing a delta: steps, one after another, become blocks. */
#ifndef TN_DELTA_BLOCKS_H
#define TN_DELTA_BLOCKS_H

#include "base/output.h"
#include "delta/format.h"

typedef struct tn_blocks {
    tn_string base, result;
    tn_output *output;
    tn_models *models;
    tn_coder coder;
    uint8_t *room;
    tn_step waiting;       /* the last step, which the next may go on with; length 0: none */
    uint64_t result_at;    /* where `waiting` begins */
    uint64_t block_at;     /* where the block began */
    uint64_t coded, count; /* bytes of CHANGE and NEW in the block; blocks written */
} tn_blocks;

tn_status tn_blocks_begin(tn_blocks *b, tn_string base, tn_string result, tn_output *output);
tn_status tn_blocks_add(tn_blocks *b, tn_step step);
/* The base's bytes that would go on where the last step stops. */
uint64_t tn_blocks_expected(const tn_blocks *b);
/* Ends the last block if `status` is TN_OK, and frees all. */
tn_status tn_blocks_end(tn_blocks *b, tn_status status);

#endif
