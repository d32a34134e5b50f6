/* A file that is being written, which others see whole or not at all.
 *
 * Everything goes to a temporary file beside the place. Commit flushes it to the disk, renames it and flushes the folder;
 * until then, and after any failure (a full disk, a power cut), what was at the place stays as it was. The first failure
 * is kept: what follows does nothing, and commit reports it.
 *
 *     tn_output o;
 *     TN_TRY(tn_output_open(&o, path));
 *     tn_output_write(&o, data, size);
 *     return tn_output_commit(&o);
 */
#ifndef TN_BASE_OUTPUT_H
#define TN_BASE_OUTPUT_H

#include "base/base.h"

typedef struct tn_output {
    int file; /* -1: not open */
    tn_status status;
    uint64_t position;
    size_t used;
    char *path, *temporary;
    uint8_t *buffer;
    bool stays; /* the temporary file, when the output is aborted */
} tn_output;

tn_status tn_output_open(tn_output *o, const char *path);
/* Goes on with what an output of the same path left in PATH.part, or begins it; it stays when the output is aborted or fails.
 * TN_E_STATE while another process does the same. Read o->file to see what is there, then say with tn_output_keep how much of
 * it is right. After a power cut any of its bytes may be wrong. */
tn_status tn_output_resume(tn_output *o, const char *path);
/* Of what was there, the first `size` bytes stay; writing goes on behind them. */
void tn_output_keep(tn_output *o, uint64_t size);
void tn_output_write(tn_output *o, const void *data, size_t size);
/* Zeros up to the next multiple of `alignment`. */
void tn_output_align(tn_output *o, size_t alignment);
/* Writes over what is there, from `offset` on, and leaves the position as it is. */
void tn_output_patch(tn_output *o, uint64_t offset, const void *data, size_t size);
/* Ends the file, in its place or, after a failure, nowhere. */
tn_status tn_output_commit(tn_output *o);
void tn_output_abort(tn_output *o);
/* Removes what processes of this machine that are gone left of this path: a killed one cannot abort its output. */
void tn_output_sweep(const char *path);
/* A new name, or a rename, is on the disk once its folder is. */
tn_status tn_output_flush_folder(const char *path);

#endif
