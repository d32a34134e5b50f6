/* Trust: which version of a model may run, said by keys that are not in the store.
 *
 *     // where models are made: keys in a folder of their own, and the first channel
 *     tn_trust_init(s, "keys", NULL);
 *     tn_store_promote(s, "press:1.2.0", "stable", "keys");
 *     // where they run: the first root comes with the machine, all else is checked against it
 *     tn_trust_accept(s, "1.root.json", TN_TRUST_ENFORCE);
 *     tn_trust_update(s, "/media/usb/models/trust");
 *     tn_store_find(s, "press@stable", &v);
 *
 * The metadata is that of The Update Framework, specification 1.0 (theupdateframework.github.io/specification), with
 * Ed25519 keys, as python-tuf and others read and write it. A channel, such as press@stable, is a target of the name
 * "press/stable": the digest and the length of a manifest, and in its `custom` a `counter` that only rises, the `name`
 * and the `version`. A manifest names its files by their digests, so that whatever a channel leads to is signed to its
 * last byte. A rollback is a promotion of an older version: a new signed target with a higher counter.
 *
 * The folder trust/ of a store:
 *
 *     trusted.json       what this store trusts: root, timestamp, snapshot, targets as they were signed, the highest
 *                        counter of each channel, the clock's policy; replaced as a whole, and the only one that counts
 *     N.root.json  N.targets.json  N.snapshot.json  timestamp.json
 *                        copies for others: the folder is a repository that any client of the framework can follow, from
 *                        a static server or a USB stick; the next change writes what a power cut kept from being written
 *
 * What an update refuses, leaving the trusted state as it was: metadata without signatures of a threshold of the right
 * keys, expired (see tn_trust_clock), of a lower version, not of the length, digest or version that the metadata above
 * it states, or too long; channels whose counter fell, or whose version changed under the same counter. A root must
 * follow its predecessor by one and be signed by the thresholds of both. Such roots are kept also where what lies below
 * them is refused then, for they may take back stolen keys; where they change the keys of timestamp or snapshot, those
 * are dropped, and where they change the keys of targets, the counters are.
 *
 * Delegated targets are not followed, and other keys than Ed25519 do not count.
 *
 * Keys are files NAME.key of mode 0600 in a folder; whoever has the folder can sign. The root's can be moved to another
 * place once they have signed (nothing but a new root needs them). Where several folders are needed, give them with
 * colons between: "keys:/media/root-keys".
 *
 * Thread-safety and durability are those of stores (tenon/store.h). A library built without stores answers
 * TN_E_UNSUPPORTED. */
#ifndef TENON_TRUST_H
#define TENON_TRUST_H

#include <tenon/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What expiry means where the clock may be wrong. */
typedef enum tn_trust_clock {
    TN_TRUST_ENFORCE = 0,     /* the clock is right */
    TN_TRUST_FLOOR = 1,       /* it is not before the newest time of signing in what is trusted; it may lag behind */
    TN_TRUST_COUNTER_ONLY = 2 /* there is none: expiry is not looked at; versions and counters only rise */
} tn_trust_clock;

/* Of one of the four roles; zeros: 1 key, a threshold of 1, and the days given below. */
typedef struct tn_trust_role {
    int keys, threshold, days; /* until what it signs expires */
} tn_trust_role;

typedef struct tn_trust_options {
    size_t struct_size;
    tn_trust_role root;      /* 365 days */
    tn_trust_role targets;   /* 90 */
    tn_trust_role snapshot;  /* 30 */
    tn_trust_role timestamp; /* 7 */
    tn_trust_clock clock;
} tn_trust_options;

/* Makes keys in the folder `keys` (made, if it is not there) and the first metadata, without channels. Options may be
 * NULL. TN_E_STATE if the store trusts a root already. */
TN_API tn_status tn_trust_init(tn_store *store, const char *keys, const tn_trust_options *options);
/* Trusts a root file that came on a way that is trusted. TN_E_STATE if there is one already; a trusted.json that is damaged
 * must be deleted first, and with it the store forgets the versions and counters that it had seen. */
TN_API tn_status tn_trust_accept(tn_store *store, const char *root_file, tn_trust_clock clock);
/* Brings what is trusted up to date from a folder with a repository's metadata: another store's trust/, or its copy.
 * Versions that channels name come into the store on another way, before or after. */
TN_API tn_status tn_trust_update(tn_store *store, const char *folder);
/* Signs timestamp, snapshot and targets anew, so that they expire later. (The root's own expiry is put off by new keys for
 * any role: tn_trust_rotate.) */
TN_API tn_status tn_trust_sign(tn_store *store, const char *keys);
/* Signs a new root, with as many new keys for a role ("root", "targets", "snapshot", "timestamp") as it has now; they go
 * into the first folder of `keys`. Wants the root's keys, and those of the other roles to sign them anew. */
TN_API tn_status tn_trust_rotate(tn_store *store, const char *role, const char *keys);

/* Makes channel `channel` ("stable", "canary") of the model point at the version that the reference names. */
TN_API tn_status tn_store_promote(tn_store *store, const char *reference, const char *channel, const char *keys);

typedef struct tn_store_channel_info {
    char name[TN_STORE_NAME], channel[TN_STORE_NAME];
    char version[TN_STORE_NAME];  /* as the signer says; "" if he does not */
    char digest[TN_STORE_DIGEST]; /* of the manifest */
    uint64_t bytes;               /* of the manifest */
    int64_t counter;
} tn_store_channel_info;
/* What the channel points at by what is trusted now, checked as tn_store_find("name@channel") checks it; the version
 * itself need not be in the store yet. */
TN_API tn_status tn_store_channel(tn_store *store, const char *name, const char *channel,
                                  tn_store_channel_info *out_info);
/* Channels in order; TN_E_NOT_FOUND past the last. */
TN_API tn_status tn_store_channel_at(tn_store *store, int index, tn_store_channel_info *out_info);

typedef struct tn_trust_state {
    size_t struct_size; /* set by the caller */
    tn_trust_clock clock;
    /* Versions, and when they expire; 0 and "" of what is not there. */
    int64_t root, targets, snapshot, timestamp;
    char root_expires[32], targets_expires[32], snapshot_expires[32], timestamp_expires[32];
} tn_trust_state;
/* TN_E_NOT_FOUND if the store trusts no root. */
TN_API tn_status tn_trust_info(tn_store *store, tn_trust_state *out_state);
/* The policy from now on. */
TN_API tn_status tn_trust_set_clock(tn_store *store, tn_trust_clock clock);
/* The time that this handle takes for now, from a clock better than the system's: "2026-03-01T12:00:00Z". NULL: the
 * system's. */
TN_API tn_status tn_trust_set_time(tn_store *store, const char *now);

#ifdef __cplusplus
}
#endif
#endif
