/* Going over the blobs that versions need, those of other programs' manifests in the index included. */
#ifndef TN_STORE_PARTS_H
#define TN_STORE_PARTS_H

#include "store/store.h"

typedef struct tn_parts tn_parts;
struct tn_parts {
    const tn_store *store;
    /* For each blob; size NULL: a manifest, whose size is not known beforehand. */
    tn_status (*visit)(tn_parts *p, const char *digest, const uint64_t *size);
    /* What a manifest cannot tell, with a sentence: TN_OK to go on with the next one. */
    tn_status (*fault)(tn_parts *p, tn_status status);
    void *context;
};

tn_status tn_parts_each(tn_parts *p, const char *manifest_digest);
tn_status tn_parts_each_entry(tn_parts *p); /* of the index as it was read */

/* To visit: fails if the blob is not there, or not of that size. To take faults: fails as they do. */
tn_status tn_part_is_there(tn_parts *p, const char *digest, const uint64_t *size);
tn_status tn_part_fault(tn_parts *p, tn_status status);

#endif
