/* Inside of trust; what it promises is in tenon/trust.h, the specification's sections are named where they are kept.
 *
 * Metadata is read in three steps that are never mixed: its form is checked (metadata.c), then its signatures (also
 * there), then what it says is compared with what is trusted (update.c). Nothing is taken from metadata before the
 * second step but the sentence that refuses it. */
#ifndef TN_TRUST_TRUST_H
#define TN_TRUST_TRUST_H

#include <tenon/trust.h>
#include "store/store.h"

typedef enum tn_role { TN_ROOT, TN_TIMESTAMP, TN_SNAPSHOT, TN_TARGETS, TN_ROLES } tn_role;
extern const char *const tn_role_names[TN_ROLES];
extern const size_t tn_role_bytes[TN_ROLES]; /* most that a file of this role has */

#define TN_TRUST_KEY 65                  /* 32 bytes as hexadecimal digits, with the zero: key ids, public keys */
#define TN_TRUST_SIGNED "x-tenon-signed" /* when it was signed, in the signed part: the floor of time */
#define TN_TRUST_DAYS "x-tenon-days"     /* of a role in the root: how long what it signs lives */

/* canonical.c: OLPC's canonical JSON, what signatures and key ids are made of. Free with tn_store_free_text. */
tn_status tn_canonical(const json_t *json, char **out_text, size_t *out_size);

/* metadata.c: a file of metadata, of good form. All zero is none. */
typedef struct tn_metadata {
    char *text;
    size_t size;
    json_t *json, *body; /* the whole; the signed part within */
    int64_t version;
    const char *expires;
} tn_metadata;
/* Takes a copy of the text. Sentences begin with the role. */
tn_status tn_metadata_read(tn_role role, const char *text, size_t size, tn_metadata *out);
void tn_metadata_free(tn_metadata *m);
/* Whether a threshold of the keys that `root` gives this role signed it. */
tn_status tn_metadata_verify(const tn_metadata *m, tn_role role, const tn_metadata *root);
/* Whether these two roots give a role other keys. */
bool tn_metadata_rekeys(const tn_metadata *old_root, const tn_metadata *new_root, tn_role role);
/* The description {version, length, hashes} of a file in timestamp or snapshot; compares a file with it. */
const json_t *tn_metadata_meta(const tn_metadata *m, const char *file);
tn_status tn_metadata_match(tn_role role, const char *text, size_t size, const json_t *meta);
json_t *tn_metadata_role(const tn_metadata *root, tn_role role); /* {keyids, threshold} */
/* The id of a key, by its type, scheme and value. */
tn_status tn_key_id(const json_t *key, char id[TN_TRUST_KEY]);

/* state.c: trusted.json */
typedef struct tn_trusted {
    /* The root is always there; snapshot and timestamp go together, and targets never without them. */
    tn_metadata part[TN_ROLES];
    json_t *counters; /* of each channel ever seen: {counter, digest} */
    tn_trust_clock clock;
} tn_trusted;
/* Reads and verifies all but expiry. TN_E_NOT_FOUND if the store trusts no root. */
tn_status tn_trusted_load(const tn_store *s, tn_trusted *out);
void tn_trusted_free(tn_trusted *t);
/* Begins a change of a store that trusts nothing yet, and makes t->counters. */
tn_status tn_trust_begin(tn_store *s, tn_trusted *t);
/* With the lock held and a change begun: makes it the store's, with a line in the log. */
tn_status tn_trusted_commit(tn_store *s, const tn_trusted *t, const char *action, const tn_store_version *v);
/* Writes the copies for others that a cut may have kept from being written. */
tn_status tn_trusted_publish(const tn_store *s, const tn_trusted *t);
/* How each change of a store begins: the log's line of a change of trust, where a cut kept it from the log. */
tn_status tn_trust_mend(tn_store *s);
/* For tn_store_verify: TN_OK also where there is nothing. */
tn_status tn_trust_verify(const tn_store *s);

/* clock.c: times are texts in UTC; they compare as texts. */
void tn_trust_now(const tn_store *s, char now[32]);
/* Now, by the policy and what is trusted. */
void tn_trusted_now(const tn_store *s, const tn_trusted *t, char now[32]);
void tn_trust_add_days(const char *from, int days, char to[32]);
tn_status tn_trusted_check_expiry(const tn_trusted *t, const tn_metadata *m, tn_role role, const char *now);

/* update.c: where the files of a repository come from. */
typedef struct tn_trust_source {
    /* A whole file of at most `limit` bytes, with a zero behind them: free with tn_store_free_text. TN_E_NOT_FOUND if there
     * is none. */
    tn_status (*read)(void *context, const char *name, size_t limit, char **out_data, size_t *out_size);
    void *context;
    const char *what; /* for sentences */
} tn_trust_source;
tn_status tn_trust_update_from(tn_store *s, const tn_trust_source *source);
/* Reads what an update would read, with neither the lock nor any change. */
tn_status tn_trust_rehearse(const tn_store *s, const tn_trust_source *source);

/* Channels of new targets against the counters, which rise with them. */
tn_status tn_trusted_raise_counters(tn_trusted *t, const tn_metadata *targets);
/* What a new root makes void. */
void tn_trusted_drop_rotated(tn_trusted *t, const tn_metadata *next);

/* keys.c */
typedef struct tn_signer {
    char id[TN_TRUST_KEY], public_key[TN_TRUST_KEY];
    unsigned char secret[64];
} tn_signer;
typedef struct tn_signers {
    tn_signer *all;
    int count;
} tn_signers;
/* All key files of the folders, which have colons between. */
tn_status tn_signers_load(const char *folders, tn_signers *out);
void tn_signers_free(tn_signers *k);
/* Makes a key, writes its file into the first of the folders, and adds it. */
tn_status tn_signers_make(tn_signers *k, const char *folders, tn_role role, const tn_signer **out_key);

/* write.c: signs `body` (taken) with the keys that the roots give the role. `root` NULL: a root's own; `old_root` may be
 * NULL. */
tn_status tn_metadata_sign(tn_role role, json_t *body, const tn_metadata *root, const tn_metadata *old_root,
                           const tn_signers *k, tn_metadata *out);
/* Signs targets (the member `targets` taken), snapshot and timestamp anew, with versions one above these. */
tn_status tn_trusted_renew(const tn_store *s, tn_trusted *t, json_t *targets, const int64_t versions[TN_ROLES],
                           const tn_signers *k);
void tn_trusted_versions(const tn_trusted *t, int64_t versions[TN_ROLES]);
json_t *tn_metadata_body(tn_role role, int64_t version, const char *now, int days);
/* tn_store_promote, if targets are still of this version once the lock is held; if not, *out_stale and TN_E_STATE. 0: of
 * any. */
tn_status tn_trust_promote(tn_store *s, const char *reference, const char *channel, const char *keys, int64_t targets,
                           bool *out_stale);
/* Begins a change of what is trusted and signed here: keys, lock, state. */
tn_status tn_trust_write_begin(tn_store *s, const char *keys, tn_trusted *t, tn_signers *k);
void tn_trust_write_end(tn_store *s, tn_trusted *t, tn_signers *k);

/* channel.c: targets that are channels have a counter; others are left alone. */
bool tn_channel_is_one(const char *path, const json_t *target);
tn_status tn_channel_read(const char *path, const json_t *target, tn_store_channel_info *out);
tn_status tn_channel_find(tn_store *s, const char *reference, tn_store_version *out_version);

#endif
