/* Memory for data that may be larger than the machine's: what goes beyond a limit lies in files, and is mapped. */
#ifndef TN_DATA_SPILL_H
#define TN_DATA_SPILL_H

#include "base/base.h"

typedef struct tn_spill {
    tn_allocator allocator; /* whose context this is: it does not move while something is allocated */
    const char *beside;     /* the files are made there, and have no name once they are */
    size_t used, limit;     /* bytes in pieces of their own, in memory or not */
    int error;              /* errno of a file that could not be made */
} tn_spill;

/* limit 0: half of the machine's memory. Not for use by two threads at once. */
void tn_spill_init(tn_spill *spill, const char *beside, size_t limit);

#endif
