/* Deltas in stores: tenon/fetch.h says how they lie there. */
#ifndef TN_STORE_DELTA_H
#define TN_STORE_DELTA_H

#include <tenon/fetch.h>
#include "store/store.h"

typedef struct tn_store_delta {
    char blob[TN_STORE_DIGEST], base[TN_STORE_DIGEST];
    uint64_t size;
} tn_store_delta;

/* Number `index` of those in the index that make this file; TN_E_NOT_FOUND past the last. Entries that say nothing of use are
 * passed over. */
tn_status tn_store_delta_at(const tn_store *s, const char *file_digest, int index, tn_store_delta *out);

/* The entry that the index has for such a manifest; NULL if it is of something else, or says
 * nothing of use. */
tn_status tn_delta_entry(const json_t *manifest, const char *digest, uint64_t size, json_t **out_entry);

#endif
