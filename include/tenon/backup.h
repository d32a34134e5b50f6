/* Backups: the state of a store in one file, or in a chain of files of which each holds what changed since the one before.
 *
 *     tn_store_backup(s, "monday.tnb", NULL, NULL);
 *     tn_store_backup_options o = {sizeof o, .since = "monday.tnb"};
 *     tn_store_backup(s, "tuesday.tnb", &o, NULL);
 *     // a machine burns down
 *     tn_store_restore("models", (const char *[]){"monday.tnb", "tuesday.tnb"}, 2, NULL);
 *
 * A backup is one state, whatever others do to the store meanwhile. Every byte in it was compared with its digest when it
 * was read, so that damage is found then, and not on the day when the backup is needed. What is restored is checked again.
 *
 * What is restored is the state of the last file given: to go back further, give fewer.
 *
 * Into a new or an empty folder goes all: versions, log, and what is trusted. That may be older than what the store
 * trusted last: tn_trust_update afterwards.
 *
 * Into a store goes the list of versions, and what of their bytes is missing or damaged there. Its log goes on (with a line
 * "restore"), and what it trusts stays: a backup never takes back a counter. Where such a channel leads to a version
 * that the backup does not have, it says so until that version comes back. A store whose log does not begin with that of
 * the backup is another one, and refused. Versions that came after the backup are no versions any more, and their names
 * stay taken; what only they need stays until tn_store_collect.
 *
 *
 * THE FORMAT, version 1.0
 *
 * Numbers are unsigned and little-endian. A file is a header of 64 bytes, parts one behind the other, and a catalogue.
 *
 *     offset  bytes
 *          0      8   magic: 89 54 4e 42 0d 0a 1a 0a
 *          8      2   major version: 1; another one cannot be read
 *         10      2   minor version: 0; keys of a catalogue that a reader does not know are passed over
 *         12      4   zero
 *         16      8   length of the whole file
 *         24      8   length of the catalogue, which ends the file; at most 64 MiB
 *         32     32   SHA-256 of the header's bytes 0 to 31 followed by the catalogue: the backup's digest
 *
 * The catalogue is JSON: `number` (0 of the first of a chain), `previous` (digest of the backup before; not in the first),
 * `created`, `parts`, `needed` (digests of the blobs of this state) and `held` (of all blobs in this file and those before
 * it). A part is {"name", "offset", "stored", "length", "deflated", "digest"}: `digest` is of the stored bytes. Names are
 * index.json, audit.log, trust/FILE and blobs/sha256/HEX, as in a store.
 *
 * A deflated part is a row of pieces, each 4 bytes with its length, then so many bytes, which are one stream of zlib (RFC
 * 1950) that inflates to 4 MiB, the last one to what is left of `length`.
 *
 * A library built without stores answers TN_E_UNSUPPORTED. */
#ifndef TENON_BACKUP_H
#define TENON_BACKUP_H

#include <stdbool.h>
#include <tenon/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All zero but struct_size is the default. */
typedef struct tn_store_backup_options {
    size_t struct_size;
    const char *since; /* an earlier backup of this store: no more than what came since goes into the new one */
    bool compress;     /* deflate what becomes smaller by it */
} tn_store_backup_options;

typedef struct tn_backup_state {
    size_t struct_size; /* set by the caller */
    int number;         /* 0: it stands alone; else so many must be restored before it */
    char digest[TN_STORE_DIGEST], previous[TN_STORE_DIGEST]; /* "": none */
    char created[32];
    int parts, blobs; /* in the file; blobs: of those, what models and manifests are in */
    uint64_t bytes;   /* of the file */
} tn_backup_state;

/* The file at `path`, if there is one, is replaced by the complete new one or stays. options and out_state may be NULL. */
TN_API tn_status tn_store_backup(tn_store *store, const char *path, const tn_store_backup_options *options,
                                 tn_backup_state *out_state);
/* Looks into a backup, and checks every byte of it. */
TN_API tn_status tn_backup_verify(const char *path, tn_backup_state *out_state);

typedef struct tn_restore_result {
    size_t struct_size; /* set by the caller */
    int blobs;          /* that were not there, or damaged */
    int versions;       /* that the store has now */
    bool trust;         /* what is trusted came from the backup; false: the store's own stayed, or there is none */
} tn_restore_result;
/* Of a chain from its first file on. After a failure or a power cut a store is as it was, but for blobs more that may be
 * there; an empty folder is no store yet, and may be restored into again. out_result may be NULL. */
TN_API tn_status tn_store_restore(const char *store, const char *const *files, size_t count,
                                  tn_restore_result *out_result);

#ifdef __cplusplus
}
#endif
#endif
