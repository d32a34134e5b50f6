/* Reading a delta block by block: what apply, and stores, make files with. */
#ifndef TN_DELTA_READER_H
#define TN_DELTA_READER_H

#include "delta/format.h"

typedef struct tn_delta_reader {
    int base, delta; /* open files; base may be -1 where only headers are looked at */
    const char *base_name, *delta_name;
    tn_delta_header header;
    uint64_t base_size, delta_at; /* of the base; of the next block */
    uint64_t result_at;           /* what the blocks before it make */
    uint64_t blocks;
    tn_delta_block block; /* the next one's header */
    tn_models *models;
    uint8_t *stored, *pieces;
    size_t room; /* of `stored` */
} tn_delta_reader;

/* Reads the header. The names are for sentences. Close it also after a failure. */
tn_status tn_delta_reader_open(tn_delta_reader *r, int base, const char *base_name, int delta, const char *delta_name);
void tn_delta_reader_close(tn_delta_reader *r);
/* Every byte of the base. */
tn_status tn_delta_reader_check_base(const tn_delta_reader *r);
/* Whether there is another block; r->block is its header. TN_E_INTERRUPTED if the delta ends before it does. After the last
 * one there is nothing more, or else it is refused. */
tn_status tn_delta_reader_next(tn_delta_reader *r, bool *out_more);
/* Passes over the block, or checks it and passes over it. TN_E_INTERRUPTED if it is not all there. */
tn_status tn_delta_reader_skip(tn_delta_reader *r);
tn_status tn_delta_reader_check(tn_delta_reader *r);
/* Checks the block, then makes what it makes, in pieces. */
typedef tn_status tn_delta_write(void *context, const void *data, size_t size);
tn_status tn_delta_reader_make(tn_delta_reader *r, tn_delta_write *write, void *context);

/* pread until all is there; *out_size is less than `size` only at the end of the file. */
tn_status tn_delta_read_at(int file, const char *name, void *data, size_t size, uint64_t at, size_t *out_size);
void tn_delta_info_fill(const tn_delta_header *h, uint64_t bytes, uint64_t blocks, uint64_t ready, tn_delta_info *out);

#endif
