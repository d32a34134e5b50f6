/* Elements of a tensor by tasks: what elementwise operators run with.
 *
 * Tasks are ranges of elements, as many for each thread. Of images with large planes a thread takes its own rows of all
 * channels, as it does in the convolutions around (conv.h), and so finds them in its cache. */
#ifndef TN_ELEMENTS_H
#define TN_ELEMENTS_H

#include "graph/op.h"

/* Whether planes of an image are so large that each thread takes a part of all of them. */
static inline bool tn_planes_in_parts(int64_t images, int64_t plane, int64_t threads) {
    enum { PART_ELEMENTS = 1024 };
    return threads > 1 && images < threads && plane >= PART_ELEMENTS * threads;
}

typedef void (*tn_elements_fn)(void *context, int64_t first, int64_t last);

typedef struct tn_elements {
    int64_t count, plane; /* plane: of an image; 0: of no image */
    int64_t images;
} tn_elements;

tn_elements tn_elements_of(int rank, const int64_t *dims);
/* grain: elements, so many that they are worth handing to a thread. */
void tn_elements_run(const tn_elements *e, tn_pool *pool, int64_t grain, tn_elements_fn range, void *context);

#endif
