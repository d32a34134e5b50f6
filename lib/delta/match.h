/* Where bytes of a result are found in the base, when nothing else tells: an index of pieces of the base by their hashes. Its
 * size is bounded, whatever the base's: of a great base fewer pieces are in it. */
#ifndef TN_DELTA_MATCH_H
#define TN_DELTA_MATCH_H

#include "delta/tensors.h"

typedef struct tn_matcher {
    tn_string base;
    uint32_t *table;
} tn_matcher;

/* Pieces between the base's tensors come first: nothing else tells where those belong. */
tn_status tn_matcher_create(tn_matcher *m, tn_string base, const tn_places *places);
void tn_matcher_destroy(tn_matcher *m);
/* Whether the piece of TN_PIECE bytes at `at` is in the index, and where. */
#define TN_PIECE 16
bool tn_matcher_find(const tn_matcher *m, const uint8_t *at, uint64_t *out_base);

static inline uint64_t tn_common(const uint8_t *a, const uint8_t *b, uint64_t most) {
    uint64_t n = 0, x, y;
    for (; n + 8 <= most; n += 8) {
        memcpy(&x, a + n, 8);
        memcpy(&y, b + n, 8);
        if (x != y) break;
    }
    while (n < most && a[n] == b[n]) n++;
    return n;
}

#endif
