/* Writing array files: NumPy's .npy and .npz. The library reads them (tenon/media.h). */
#ifndef TENON_FILES_H
#define TENON_FILES_H

#include "tool.h"

/* npy.c: into a stream. */
bool npy_write(FILE *file, const tn_tensor *t);

/* zip.c: an archive being written, its entries stored without compression. */
typedef struct zip_entry {
    char *name;
    uint32_t crc, size, offset;
} zip_entry;
typedef struct zip_writer {
    FILE *file;
    zip_entry *entries;
    size_t count;
} zip_writer;
bool zip_add(zip_writer *z, const char *name, const void *data, size_t size);
/* An array into an archive; in tensors.c. */
bool tensor_zip(zip_writer *z, const tn_tensor *t, const char *name);
bool zip_finish(zip_writer *z); /* frees the entries, also on failure; the file stays open */

#endif
