/* Files of packed weights: what one process packed of a model's weights, for others to map. Numbers are little-endian.
 *
 *     0  magic 0x89 "TNP" CR LF 0x1a LF      8  u32 version, 1        12  u32 number of rows
 *    16  u64 bytes of the file              24  u64 bytes of the texts behind the rows
 *    32  key: SHA-256 of all that says whose packed weights these are, and how they are packed
 *    64  32 zeros                           96  SHA-256 of what is before it, the rows and the texts
 *   128  rows of 64 bytes: u64 origin, u64 its bytes, u32 its kind, u32 bytes of the layout's name, u64 where that
 *        begins among the texts, u64 offset of the packed weights, u64 their bytes, u64 their checksum (XXH64), u64 0
 *        texts, then the packed weights: 64-byte aligned, large ones by pages, so that they can be mapped one by one
 *
 * Nothing in a file is trusted: a reader that finds it wrong goes without. Whether somebody meant it to be wrong is not to be
 * seen in it, so that who may write one must be settled before it is opened. */
#ifndef TN_PACK_FILE_H
#define TN_PACK_FILE_H

#include "base/base.h"
#include "kernels/sha256.h"

#define TN_PACK_FILE_HEADER 128
#define TN_PACK_FILE_ROW 64
#define TN_PACK_FILE_LARGE (16u << 10) /* from so many bytes on it begins a page */

enum { TN_PACK_OF_WEIGHTS, TN_PACK_OF_CONTENTS };

typedef struct tn_pack_row {
    uint64_t origin, origin_bytes; /* offset in the section of weights; or the checksum of what was packed */
    uint32_t kind;                 /* which of them, and the dtype in the bits from 8 on */
    tn_string layout;
    const void *data;
    size_t bytes;
    uint64_t offset, checksum;
    enum { TN_PACK_UNCHECKED, TN_PACK_GOOD, TN_PACK_DAMAGED } state; /* its checksum, when it was first wanted */
} tn_pack_row;

typedef struct tn_pack_file {
    tn_string contents;
    tn_pack_row *rows;
    size_t count;
} tn_pack_file;

/* The rows are in the region, and point into the contents. */
tn_status tn_pack_file_read(tn_string contents, const uint8_t key[TN_SHA256_BYTES], tn_region *region,
                            tn_pack_file *out);
bool tn_pack_row_is_good(tn_pack_row *row);
/* Writes a file whole or not at all. Offsets and checksums are filled in. It is for nobody to change, and for those to read
 * whom the process's umask lets. */
tn_status tn_pack_file_write(const char *path, const uint8_t key[TN_SHA256_BYTES], tn_pack_row *rows, size_t count);

#endif
