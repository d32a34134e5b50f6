/* Arrays of .npy read in pieces, from a file or from memory, so that none of them is in memory whole. */
#ifndef TN_DATA_NPY_H
#define TN_DATA_NPY_H

#include <tenon/media.h>
#include "base/base.h"

typedef struct tn_npy {
    tn_dtype dtype; /* TN_STRING: text, which tn_npy_parse and tn_npy_load give whole */
    int rank;
    int64_t dims[TN_MAX_RANK];
    bool fortran;   /* elements come with the first dim fastest, else the last */
    size_t swapped; /* bytes of what has the other order of bytes; 0: nothing has */
    const char *name;
    int file; /* -1: memory */
    const unsigned char *memory;
} tn_npy;

/* What is there is as much as the header says, or it is refused. Path or name outlive it, and so does memory. */
tn_status tn_npy_open(const char *path, tn_npy *out);
tn_status tn_npy_open_memory(const void *data, size_t size, const char *name, tn_npy *out);
/* The next elements, in the host's order of bytes; as many must be left. */
tn_status tn_npy_read(tn_npy *npy, int64_t count, void *out);
void tn_npy_close(tn_npy *npy);

/* tn_npz_open with memory of the allocator's, also for what is inflated. */
tn_status tn_npz_open_in(const char *path, const tn_allocator *allocator, tn_npz **out_npz);
/* An entry's bytes, in the archive or, if *out_own, to be given back with tn_free(allocator, data, size). */
tn_status tn_npz_bytes(const tn_npz *npz, int index, tn_string *out, bool *out_own);

#endif
