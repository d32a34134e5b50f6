/* Elements of a tensor by tasks: what elementwise operators run with.
 *
 * Tasks are ranges of elements, as many for each thread. Of images with large planes (see tn_conv_parts of conv.h) a thread
 * takes its own rows of all channels, as it does in the convolutions around, and so finds them in its cache. */
#ifndef TN_ELEMENTS_H
#define TN_ELEMENTS_H

#include "graph/op.h"

typedef void (*tn_elements_fn)(void *context, int64_t first, int64_t last);

typedef struct tn_elements {
    int64_t count, plane; /* plane: of an image; 0: of no image */
    int64_t images;
} tn_elements;

tn_elements tn_elements_of(int rank, const int64_t *dims);
/* grain: elements, so many that they are worth handing to a thread. */
void tn_elements_run(const tn_elements *e, tn_pool *pool, int64_t grain, tn_elements_fn range, void *context);

#endif
