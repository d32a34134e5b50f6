/* One element written many times. */
#ifndef TN_OPS_FILL_H
#define TN_OPS_FILL_H

#include "base/base.h"

/* y[0..count) = *element, of `size` bytes each: copies of what is there already, growing up to a page. */
static inline void tn_fill(void *y, const void *element, size_t size, int64_t count) {
    enum { STEP = 4096 };
    char *bytes = y;
    size_t all = (size_t)count * size, most = STEP < size ? size : STEP / size * size;
    if (all == 0) return;
    memcpy(bytes, element, size);
    for (size_t done = size, n; done < all; done += n) {
        n = TN_MIN(TN_MIN(done, most), all - done);
        memcpy(bytes + done, bytes, n);
    }
}

#endif
