/* Stores: a folder that keeps versions of models, and never loses or mixes one up.
 *
 *     tn_store *s;  tn_store_version v;
 *     tn_store_create("models");
 *     tn_store_open("models", &s);
 *     tn_store_put_options o = {.struct_size = sizeof o, .name = "press", .version = "1.2.0"};
 *     tn_store_put(s, "press.onnx", &o, &v);
 *     tn_store_load(s, "press:^1.0", NULL, &model);     // the newest that fits
 *
 * The folder is an OCI image layout (github.com/opencontainers/image-spec, image-layout.md) whose manifests are those of
 * CNCF's ModelPack (github.com/modelpack/model-spec), so that skopeo and other tools of registries can copy it:
 *
 *     oci-layout  index.json     which versions there are; replaced as a whole
 *     blobs/sha256/HEX           manifests, configurations, model files: each named by the digest of its bytes
 *     journal/                   what is being written; of no meaning to anybody else
 *     audit.log                  who changed what and when, a line of JSON a change, each with the digest of the line before
 *     trust/                     who may say which version runs, if that was set up: tenon/trust.h
 *     lock                       held by whoever changes the index
 *
 * A version is a name ("press", "line-2/press": lower case, digits, and - _ . / between them) and a semantic version
 * (semver.org), and it is immutable: putting another file under the same pair is refused, putting the same one again
 * changes nothing. What is one file in two versions is stored once.
 *
 * A reference names a version: "press" (the newest that is no pre-release), "press:1.2.0", a range "press:^1.2" (from
 * 1.2.0, below 2.0.0), "press:~1.2" (from 1.2.0, below 1.3.0), a channel "press@stable" (see tenon/trust.h), or
 * the digest of a manifest "sha256:HEX".
 *
 * Durability: each change is flushed to the disk and becomes visible in one rename. After a power cut at any moment the
 * store opens and holds the state before the change or after it. Opening for the first change after that mends what was
 * left (the audit log's last line).
 *
 * Concurrency: any number of processes and threads, each with a tn_store of its own. Readers take no lock and see the
 * versions that there are when they ask; writers wait for one another only while they replace the index.
 *
 * Trust: a store checks each byte against its digest, but whoever can write to the folder can put what he likes there,
 * under any name and version. What a signed channel (tenon/trust.h) or a digest leads to, he cannot change.
 *
 * A library built without libsodium or jansson answers TN_E_UNSUPPORTED. */
#ifndef TENON_STORE_H
#define TENON_STORE_H

#include <tenon/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_store tn_store;

#define TN_STORE_NAME 128  /* bytes of names and of versions, with the zero */
#define TN_STORE_DIGEST 72 /* "sha256:" and 64 hexadecimal digits, with the zero */

typedef struct tn_store_version {
    char name[TN_STORE_NAME], version[TN_STORE_NAME];
    char digest[TN_STORE_DIGEST];      /* of the manifest: the version's identity */
    char file_digest[TN_STORE_DIGEST]; /* of the model file */
    char parent[TN_STORE_DIGEST];      /* of the manifest that it was made from; "" if there is none */
    char created[32];                  /* "2026-03-01T12:00:00Z" */
    uint64_t file_bytes;
} tn_store_version;

/* All but struct_size, name and version may be NULL. */
typedef struct tn_store_put_options {
    size_t struct_size;
    const char *name, *version;
    const char *parent;  /* a reference to a version in the store that this one was made from */
    const char *created; /* NULL: now. RFC 3339, in UTC: "2026-03-01T12:00:00Z" */
    const char *licence; /* an SPDX expression: "Apache-2.0" */
    const char *description;
} tn_store_put_options;

/* Makes an empty store; the folder is new or empty. */
TN_API tn_status tn_store_create(const char *path);
TN_API tn_status tn_store_open(const char *path, tn_store **out_store);
TN_API void tn_store_close(tn_store *store); /* accepts NULL */

/* Copies a model file into the store as a new version. The file is not looked into. out_version may be NULL. */
TN_API tn_status tn_store_put(tn_store *store, const char *file, const tn_store_put_options *options,
                              tn_store_version *out_version);
TN_API tn_status tn_store_find(tn_store *store, const char *reference, tn_store_version *out_version);
/* Versions in order of name, then of version; TN_E_NOT_FOUND past the last. Index 0 looks at the store anew. */
TN_API tn_status tn_store_at(tn_store *store, int index, tn_store_version *out_version);
/* Writes the model file of a version to `path`, checked against its digest, whole or not at all. */
TN_API tn_status tn_store_get(tn_store *store, const char *reference, const char *path);
/* Loads a model from where it lies in the store, after its digest was checked. */
TN_API tn_status tn_store_load(tn_store *store, const char *reference, const tn_model_options *options,
                               tn_model **out_model);
/* Takes a version out of the index; its bytes stay until tn_store_collect. */
TN_API tn_status tn_store_remove(tn_store *store, const char *reference);

/* Deletes what no version needs, and what unfinished changes left. out_bytes (may be NULL): how much that freed. */
TN_API tn_status tn_store_collect(tn_store *store, uint64_t *out_bytes);
/* Reads every byte and checks it. on_fault (may be NULL) hears of each thing that is wrong, in a sentence that names it.
 * Succeeds also where there are faults; *out_faults counts them. Writers wait meanwhile. */
TN_API tn_status tn_store_verify(tn_store *store, void (*on_fault)(void *context, const char *sentence), void *context,
                                 int *out_faults);
/* Brings a damaged store back: blobs from another store that has them (mirror, which may be NULL), the index from the
 * manifests and the log. A log whose chain is broken is put aside as audit.damaged-TIME.log and a new one begun.
 * What is trusted is not mended: see tn_trust_accept. out_mended (may be NULL) counts the blobs. Fails, naming the first
 * version that stays damaged. */
TN_API tn_status tn_store_repair(const char *path, const char *mirror, int *out_mended);

typedef struct tn_store_event {
    uint64_t number; /* from 1 on */
    char time[32];   /* "2026-03-01T12:00:00Z" */
    char action[16]; /* "create", "put", "remove", "collect", "repair", "restore", "delta"; of trust: "trust"... */
    char name[TN_STORE_NAME], version[TN_STORE_NAME];
    char digest[TN_STORE_DIGEST]; /* "" where the action is about no version */
    char user[64];                /* of the process: name or number */
} tn_store_event;
/* The log's line `index`, from 0 on; TN_E_NOT_FOUND past the last, TN_E_FORMAT where the chain is broken. One line after
 * the other is read in one pass over the log. */
TN_API tn_status tn_store_audit(tn_store *store, int index, tn_store_event *out_event);

#ifdef __cplusplus
}
#endif
#endif
