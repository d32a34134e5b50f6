/* Memory for data that may be larger than the machine's: what goes beyond a limit lies in files, and is mapped. */
#ifndef TN_DATA_SPILL_H
#define TN_DATA_SPILL_H

#include "base/base.h"

typedef struct tn_spill {
    tn_allocator allocator; /* whose context this is: it does not move while something is allocated */
    const char *beside;     /* the files are made there, and have no name once they are */
    size_t used, limit;     /* bytes in memory, of pieces of their own */
    int error;              /* errno of a file that could not be made */
    struct tn_spilled *files;
} tn_spill;

/* limit 0: half of the machine's memory. Not for use by two threads at once. */
void tn_spill_init(tn_spill *spill, const char *beside, size_t limit);
/* Whether a piece, at its beginning or within, lies in a file. */
bool tn_spill_has(const tn_spill *spill, const void *at);
/* How the file of a piece, or all files (at NULL), are read from now on: in order, or as they are asked for. */
void tn_spill_in_order(const tn_spill *spill, const void *at, bool in_order);
/* The same of memory that may be of any allocator: it is read in order. */
void tn_spill_scan(const void *at, size_t size);
/* Asks the system to read what lies there soon. */
void tn_spill_ask(const void *at, size_t size);

#endif
