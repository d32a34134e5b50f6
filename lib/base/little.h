/* Numbers in files, of 1 to 8 bytes, the lowest first. */
#ifndef TN_LITTLE_H
#define TN_LITTLE_H

#include <stdint.h>

static inline uint64_t tn_get_little(const uint8_t *at, int bytes) {
    uint64_t v = 0;
    for (int i = bytes; i > 0; i--) v = v << 8 | at[i - 1];
    return v;
}
static inline void tn_put_little(uint8_t *at, int bytes, uint64_t v) {
    for (int i = 0; i < bytes; i++, v >>= 8) at[i] = (uint8_t)v;
}

#endif
