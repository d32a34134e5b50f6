/* Deltas in stores: tenon/fetch.h says how they lie there. */
#ifndef TN_STORE_DELTA_H
#define TN_STORE_DELTA_H

#include <tenon/fetch.h>
#include "store/store.h"

typedef struct tn_store_delta {
    char blob[TN_STORE_DIGEST], base[TN_STORE_DIGEST];
    uint64_t size;
} tn_store_delta;

#define TN_DELTA_TYPE "application/vnd.tenon.delta.v1" /* of artifacts, and of their layer */

/* Number `number` of those in an index that make this file; TN_E_NOT_FOUND past the last. Entries that say nothing of use are
 * passed over. */
tn_status tn_delta_at(const json_t *index, const char *file_digest, int number, tn_store_delta *out);
/* The smallest of them whose base the store has, and that is smaller than the file; out->size 0: there is none. */
void tn_delta_choose(const json_t *index, const tn_store *s, const char *file_digest, uint64_t file_bytes,
                     tn_store_delta *out);

/* The entry that the index has for such a manifest; NULL if it is of something else, or says
 * nothing of use. */
tn_status tn_delta_entry(const json_t *manifest, const char *digest, uint64_t size, json_t **out_entry);

/* delta_use.c: bytes of a blob on their way into the store; those that are staged already are passed over. */
typedef struct tn_sink {
    const tn_store *store;
    tn_staged *staged;
    const char *digest; /* of the blob */
    uint64_t size, at;
} tn_sink;
tn_status tn_sink_take(void *sink, const void *data, size_t size);
/* All that the delta, an open file whose digest is right, makes of its base in the store. */
tn_status tn_sink_delta(tn_sink *k, const tn_store_delta *d, int delta);

#endif
