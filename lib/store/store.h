/* Inside of stores; the folder's layout and its promises are in tenon/store.h.
 *
 * How a change becomes durable. New bytes are written to files in journal/ and flushed there, before any lock is taken.
 * Then, with `lock` held, they are renamed to their places in blobs/, that folder is flushed, and index.json is replaced
 * by a flushed file of the journal: this rename is the moment of the change. What a cut leaves before it are blobs and
 * journal files that nobody refers to. The audit line of the change stands inside the new index as well; who takes the
 * lock next appends it to audit.log if it is not there yet, and takes off a line that was cut. So index and log agree
 * whenever the lock is free or just taken.
 *
 * Blobs never change and are deleted only by tn_store_collect, with the lock held; readers open them by the index that
 * they read, and read the index again if one is gone. Open and mapped blobs outlive their names. */
#ifndef TN_STORE_STORE_H
#define TN_STORE_STORE_H

#include <jansson.h>
#include <sys/stat.h>
#include <tenon/store.h>
#include "base/semver.h"
#include "base/base.h"
#include <time.h>

#define TN_STORE_JSON_BYTES (4u << 20) /* most of a manifest or a configuration */
#define TN_STORE_INDEX_BYTES (64u << 20)
#define TN_STORE_PIECE (64u << 10) /* of a file at a time, which the cache still holds when it is hashed and written */

#define TN_STORE_TRIES 3 /* a version may be removed, and its file collected, between one read and the next */

#define TN_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define TN_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define TN_MODEL_MANIFEST "application/vnd.cncf.model.manifest.v1+json"
#define TN_MODEL_CONFIG "application/vnd.cncf.model.config.v1+json"
#define TN_MODEL_WEIGHT "application/vnd.cncf.model.weight.v1.raw"

/* How far the log was read, and that it is a chain up to there. Zeros: from its start. */
typedef struct tn_audit_mark {
    uint64_t inode, offset, number; /* of the file; where the next line begins; lines before it */
    char digest[TN_STORE_DIGEST];   /* of the last of them */
} tn_audit_mark;

struct tn_store {
    char *path;
    int folder, lock;      /* file descriptors */
    json_t *index;         /* as last read or written; NULL before */
    tn_store_version *all; /* its versions in order of name, then of version */
    int count;
    struct stat known;           /* of the file that index and all are of; zeros while they may differ from it */
    char now[32];                /* by tn_trust_set_time; "": the system's clock */
    tn_audit_mark audited, told; /* by tn_store_audit, and into history */
    json_t *history;             /* digests of manifests by "name:version", as the log told last; NULL before */
};

/* store.c: the steps of opening, for repair */
tn_status tn_store_open_folder(const char *path, tn_store **out_store); /* no lock yet, nothing checked */
tn_status tn_store_open_lock(tn_store *s);
tn_status tn_store_write_layout(const tn_store *s);
/* What a store has besides its files, in a folder that is no store yet and has nothing else in it. Opens the lock. */
tn_status tn_store_make_folders(tn_store *s);

/* digest.c: "sha256:" and 64 lower-case digits. */
typedef struct tn_digester tn_digester;
tn_status tn_digester_create(tn_digester **out_digester);
void tn_digester_add(tn_digester *d, const void *data, size_t size);
void tn_digester_end(tn_digester *d, char digest[TN_STORE_DIGEST]); /* and is gone */
void tn_digest_of(const void *data, size_t size, char digest[TN_STORE_DIGEST]);
bool tn_digest_is_valid(const char *text);

/* file.c: files of the store, by names below its folder. Failures name the file. */
tn_status tn_store_io_error(const tn_store *s, const char *what, const char *name); /* by errno */
/* Whole contents, and a zero behind them; free with tn_store_free_text. TN_E_NOT_FOUND if there is no such file. */
tn_status tn_store_read(const tn_store *s, const char *name, size_t limit, char **out_data, size_t *out_size);
void tn_store_free_text(char *data, size_t size); /* accepts NULL */
/* The name of a file in blobs/sha256 as a digest; false if it is none. */
bool tn_store_digest_of_name(const char *name, char digest[TN_STORE_DIGEST]);
tn_status tn_store_flush_folder(const tn_store *s, const char *name);
/* Calls visit for each name in a folder of the store until it fails. */
tn_status tn_store_each_file(const tn_store *s, const char *folder,
                             tn_status (*visit)(const tn_store *s, const char *name, void *context), void *context);

/* journal.c: a file on its way into the store. */
typedef struct tn_staged {
    char name[64]; /* "journal/..."; "": none */
    int file;      /* open and locked, so that others see that its writer lives */
    char digest[TN_STORE_DIGEST];
    uint64_t size;
    tn_digester *digester; /* between begin and end */
} tn_staged;
tn_status tn_stage_bytes(const tn_store *s, const void *data, size_t size, tn_staged *out);
/* Piece by piece. After begin comes end, whose status is `status`, or what fails there; then nothing is staged. */
tn_status tn_stage_begin(const tn_store *s, tn_staged *out);
tn_status tn_stage_add(const tn_store *s, tn_staged *staged, const void *data, size_t size);
tn_status tn_stage_end(const tn_store *s, tn_staged *staged, tn_status status);
/* Copies an open file from its start; `what` names it in sentences. */
tn_status tn_stage_file(const tn_store *s, int file, const char *what, tn_staged *out);
/* With the lock held: to its place among the blobs, unless a sound blob is there. Flush blobs/sha256 afterwards. */
tn_status tn_staged_place(const tn_store *s, tn_staged *staged);
/* With the lock held: over `name`, and flushes the store's folder. */
tn_status tn_staged_replace(const tn_store *s, tn_staged *staged, const char *name);
void tn_staged_drop(const tn_store *s, tn_staged *staged);
/* A blob that comes in pieces over days: after begin, out->size bytes of it are there from earlier. If another process is at
 * it, this one begins its own. */
tn_status tn_stage_resume(const tn_store *s, const char *digest, tn_staged *out);
tn_status tn_stage_restart(const tn_store *s, tn_staged *staged); /* from the first byte */
/* All of it: resumes, has `fill` add what is missing behind staged->size, and compares. What a cut left may be wrong (a power
 * cut tears files): then once more from the first byte. `from` gave the bytes, for sentences. Adds to *resumed. */
typedef tn_status tn_stage_fill(void *context);
tn_status tn_stage_blob(const tn_store *s, const char *digest, uint64_t size, tn_staged *staged, tn_stage_fill *fill,
                        void *context, const char *from, uint64_t *resumed);
/* As tn_staged_drop, but what was resumed stays for the next time. */
void tn_staged_keep(const tn_store *s, tn_staged *staged);
/* Deletes what writers that are gone left in the journal; adds to *bytes. */
tn_status tn_journal_clean(const tn_store *s, uint64_t *bytes);

/* blob.c */
void tn_blob_name(const char *digest, char name[96]);
tn_status tn_blob_open(const tn_store *s, const char *digest, int *out_file, uint64_t *out_size);
/* Reads all of an open blob and compares; fails with a sentence that names it. */
tn_status tn_blob_check(const tn_store *s, const char *digest, int file);
/* Whether the store has it whole and right; size NULL: of any size. */
bool tn_blob_is_sound(const tn_store *s, const char *digest, const uint64_t *size);
/* A small one, checked. Free with json_decref. */
tn_status tn_blob_json(const tn_store *s, const char *digest, json_t **out_json);

/* json.c: members of an object; fail with a sentence that begins with `what`. */
tn_status tn_json_parse(const char *what, const char *text, size_t size, json_t **out_json);
tn_status tn_json_text(const json_t *object, const char *what, const char *key, const char **out_text);
/* Copies text of less than `size` bytes. */
tn_status tn_json_copy(const json_t *object, const char *what, const char *key, char *text, size_t size);
const char *tn_json_annotation(const json_t *object, const char *key); /* "" if it is not there */
/* Compact, keys in order, free with free(). NULL if there is no memory. */
char *tn_json_dump(const json_t *json);

/* manifest.c */
tn_status tn_oci_manifest_make(const tn_store_put_options *options, const tn_store_version *version,
                               const char *file_name, json_t **out_config, json_t **out_manifest);
/* Completes the manifest with its configuration's digest and size. */
tn_status tn_oci_manifest_set_config(json_t *manifest, const char *digest, size_t size);
/* Fills all of *out_version; `digest` is the manifest's. */
tn_status tn_oci_manifest_read(const json_t *manifest, const char *digest, tn_store_version *out_version);
/* Digest and size of the configuration (i = -1) or of layer i; TN_E_NOT_FOUND past the last. */
tn_status tn_oci_manifest_part(const json_t *manifest, const char *what, int i, char digest[TN_STORE_DIGEST],
                               uint64_t *out_size);

/* put.c */
/* What the store has under *v's name and version: nothing, or *v then (*out_there), or TN_E_STATE. exact: the manifest must
 * be the same, not just the model's file. */
tn_status tn_version_expect(tn_store *s, tn_store_version *v, bool exact, bool *out_there);
/* Makes it a version of the store: places what is staged of it (files of -1 are passed over), if it is not there yet. */
tn_status tn_version_publish(tn_store *s, tn_staged *parts, size_t count, uint64_t manifest_size, tn_store_version *v,
                             bool exact);

/* All of a version from its manifest, whose digest is checked, whatever the index says. */
tn_status tn_version_read(const tn_store *s, const char *digest, tn_store_version *out_version);

/* get.c: the file of a version, every byte of it checked. */
typedef struct tn_opened {
    tn_store_version version;
    int file;
    char path[64]; /* of the very file that was checked, whatever becomes of its name */
} tn_opened;
tn_status tn_version_open(tn_store *s, const char *reference, tn_opened *out);
/* Names the version in the sentence of `status`, and returns it. */
tn_status tn_version_close(const tn_store *s, tn_opened *opened, tn_status status);

/* reference.c */
tn_status tn_store_check_name(const char *name);
tn_status tn_store_check_version(const char *version);
tn_status tn_store_check_time(const char *time);
/* Such a text of a time: "2026-03-01T12:00:00Z". They compare as texts. */
void tn_store_time_text(time_t at, char text[32]);
/* The version that the reference names, among versions in order. */
tn_status tn_reference_find(const char *reference, const tn_store_version *all, int count,
                            const tn_store_version **out_found);
int tn_store_order(const void *a, const void *b); /* of two tn_store_version */

/* index.c. A change reads the index; who only looks refreshes it, which costs next to nothing while it stays. */
tn_status tn_index_read(tn_store *s);
tn_status tn_index_refresh(tn_store *s);
/* Makes s->all of s->index. */
tn_status tn_index_list(tn_store *s);
json_t *tn_index_new(void);
tn_status tn_index_is_one(const tn_store *s); /* by its version and media type */
/* The entry that the index has for a version; NULL if there is no memory. */
json_t *tn_index_entry(const tn_store_version *v, uint64_t manifest_size);
/* The entry of a version or of a delta (see delta.h), by its manifest; NULL if that is another program's. */
tn_status tn_index_entry_of(const tn_store *s, const char *digest, json_t **out_entry);
/* What the index should have in place of this entry; NULL likewise. */
tn_status tn_index_expect(const tn_store *s, const json_t *entry, json_t **out_expected);
/* Adds a version's entry, or takes it out, in s->index alone. */
tn_status tn_index_add(tn_store *s, const tn_store_version *v, uint64_t manifest_size);
void tn_index_drop(tn_store *s, const char *digest); /* and what lies beside it: entries whose subject it is */
#define TN_STORE_SUBJECT "org.tenon.subject"         /* of such an entry: the version's digest */

/* change.c. Who reads more than the index, as verify does, holds the lock shared. */
tn_status tn_store_lock(const tn_store *s, bool shared);
tn_status tn_change_begin(tn_store *s); /* takes the lock, reads the index, mends the log */
/* Whether the log's last line is the newest change's, as the index has it, or the one before. */
tn_status tn_change_check(const tn_store *s);
/* Appends the newest line where a cut kept it from the log. */
tn_status tn_change_mend(const tn_store *s);
/* Makes s->index as it is now the store's, with a line in the log. */
tn_status tn_change_commit(tn_store *s, const char *action, const tn_store_version *v);
void tn_change_end(tn_store *s);

/* audit.c */
/* A line with its newline; free with free(). */
tn_status tn_audit_line(uint64_t number, const char *previous, const char *action, const tn_store_version *v,
                        char **out_line);
/* The last whole line's number and digest, and (if not NULL) where it ends; 0 and "" of an empty log. */
tn_status tn_audit_tail(const tn_store *s, uint64_t *out_number, char digest[TN_STORE_DIGEST], uint64_t *out_end);
/* With the lock held: cuts off what a power cut left of a line. */
tn_status tn_audit_cut(const tn_store *s);
/* Number and the previous line's digest of a line. */
tn_status tn_audit_place(const char *line, uint64_t *out_number, char previous[TN_STORE_DIGEST]);
/* Puts a log that is broken aside, under a name that tells the time. */
tn_status tn_audit_retire(const tn_store *s);
tn_status tn_audit_append(const tn_store *s, const char *line);
typedef tn_status tn_audit_visit(const tn_store_event *event, void *context);
/* The lines from the mark to number `last` in turn, the chain checked. A mark of a log that was put aside, and one where
 * this failed, becomes one of the start. */
tn_status tn_audit_follow(const tn_store *s, tn_audit_mark *mark, uint64_t last, tn_audit_visit *visit, void *context);
/* All of them. */
tn_status tn_audit_each(const tn_store *s, tn_audit_visit *visit, void *context);
/* The manifest that this pair of name and version was last put with, "" if never. */
tn_status tn_audit_history(tn_store *s, const char *name, const char *version, char digest[TN_STORE_DIGEST]);
#endif
