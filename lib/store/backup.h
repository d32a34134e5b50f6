/* Backups inside the library: the file's layout (tenon/backup.h), and reading its parts. */
#ifndef TN_STORE_BACKUP_H
#define TN_STORE_BACKUP_H

#include <tenon/backup.h>
#include "store/store.h"

enum { TN_BACKUP_HEADER = 64, TN_BACKUP_MAJOR = 1, TN_BACKUP_MINOR = 0, TN_BACKUP_PIECE = 4 << 20 };
#define TN_BACKUP_CATALOGUE_BYTES (64u << 20)

extern const uint8_t tn_backup_magic[8];

/* A backup whose header and catalogue were found right; its parts are looked at when they are read. */
typedef struct tn_backup {
    const char *path;
    tn_string contents;
    bool mapped; /* contents are the backup's own */
    json_t *catalogue;
    json_t *parts; /* by name; borrows from the catalogue */
    char digest[TN_STORE_DIGEST];
} tn_backup;

tn_status tn_backup_open(const char *path, tn_backup *out);
/* From memory, which must outlive it; `path` for sentences. */
tn_status tn_backup_parse(tn_string contents, const char *path, tn_backup *out);
void tn_backup_close(tn_backup *b); /* of zeros too */
/* Index in a list of digests of the catalogue; NULL past the last. */
const char *tn_backup_digest_at(const tn_backup *b, const char *list, size_t index);
/* Calls write with the part's bytes, whose stored form was verified before. TN_E_NOT_FOUND if there is none. */
typedef tn_status tn_backup_write(void *context, const void *data, size_t size);
tn_status tn_backup_read(const tn_backup *b, const char *name, tn_backup_write *write, void *context);
/* Whether the log of the backup's store is the beginning of this one. */
tn_status tn_backup_is_of(const tn_backup *b, const char *log, size_t size);
void tn_backup_tell(const tn_backup *b, tn_backup_state *out);

#endif
