/* Fetching: versions from another store's folder, such as a USB stick's, a mount's or a mirror's, through what changed.
 *
 *     // where models are made: what makes 1.2.0 of 1.1.0 lies beside it
 *     tn_store_put_delta(s, "press:1.1.0", "press:1.2.0", NULL);
 *     // where they run: 1.1.0 is there
 *     tn_fetch_options o = {.struct_size = sizeof o, .most_bytes = 2 << 20};
 *     tn_store_fetch(edge, "/media/usb/models", "press@stable", &o, &version, NULL);
 *
 * A delta (tenon/delta.h) in a store is a manifest of OCI of the artifactType application/vnd.tenon.delta.v1, which has the
 * delta as its one layer and the version's manifest as its subject, with an entry in index.json whose annotations say
 * org.tenon.delta.base and org.tenon.delta.result (the digests of both model files), org.tenon.delta.blob and
 * org.tenon.delta.size. So it travels with the folder, is verified, backed up and collected like a version, and goes when
 * the version that it makes is removed. It cannot make anything but the version's file, to its last byte: that is compared
 * with the digest in the manifest.
 *
 * The other store is read only, and is not trusted: each blob is compared with its digest, a delta is parsed only after that,
 * and what a channel of ours (NAME@CHANNEL) leads to is what its signed metadata says (tenon/trust.h), whatever the other
 * store says. A delta that is damaged or missing is passed over for the file, if most_bytes allows it.
 *
 * What a cut leaves of the model's file stays in the store's journal and is gone on from, by the next fetch, in this process
 * or another; tn_store_collect deletes it. The version enters the store in one step: durable, or not there.
 *
 * Thread-safety is that of the store. A library built without stores answers TN_E_UNSUPPORTED. */
#ifndef TENON_FETCH_H
#define TENON_FETCH_H

#include <tenon/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes what makes the one version's file of the other's, and puts it beside the one. Both are references to versions in the
 * store; what is there already stays as it is. out_bytes (may be NULL): of the delta. TN_E_LIMIT, and nothing is put there,
 * if it would not be smaller than the file. */
TN_API tn_status tn_store_put_delta(tn_store *store, const char *base, const char *reference, uint64_t *out_bytes);

/* All zero but struct_size is the default. */
typedef struct tn_fetch_options {
    size_t struct_size;
    uint64_t most_bytes; /* that may come from the other store, known before the first of them comes; 0: no limit */
} tn_fetch_options;

typedef struct tn_fetch_result {
    size_t struct_size; /* set by the caller */
    uint64_t bytes;     /* of blobs that came from the other store */
    uint64_t resumed;   /* of the model's file, what an earlier fetch had left */
    int deltas;         /* 1 if the file was made of one that was there */
} tn_fetch_result;

/* Brings the version that the reference names from the store in the folder `from`. A channel is read as this store trusts it;
 * anything else as that store has it. What is there already is not fetched. TN_E_LIMIT: more than most_bytes would have to
 * come. Options, out_version and out_result may be NULL. */
TN_API tn_status tn_store_fetch(tn_store *store, const char *from, const char *reference,
                                const tn_fetch_options *options, tn_store_version *out_version,
                                tn_fetch_result *out_result);

#ifdef __cplusplus
}
#endif
#endif
