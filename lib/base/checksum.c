/* XXH64 with a seed of 0: four sums over lanes of 8 bytes, joined, then the bytes that are left. See checksum.h. */
#include "base/checksum.h"
#include <string.h>

static const uint64_t P1 = 0x9E3779B185EBCA87u, P2 = 0xC2B2AE3D27D4EB4Fu, P3 = 0x165667B19E3779F9u,
                      P4 = 0x85EBCA77C2B2AE63u, P5 = 0x27D4EB2F165667C5u;

static uint64_t rotate(uint64_t x, unsigned bits) {
    return x << bits | x >> (64 - bits);
}

static uint64_t lane(const uint8_t *at) {
    uint64_t x;
    memcpy(&x, at, sizeof x);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

static uint64_t half_lane(const uint8_t *at) {
    return at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24;
}

static uint64_t take(uint64_t sum, uint64_t x) {
    return rotate(sum + x * P2, 31) * P1;
}

static uint64_t join(uint64_t hash, uint64_t sum) {
    return (hash ^ take(0, sum)) * P1 + P4;
}

uint64_t tn_checksum(const void *data, size_t size) {
    const uint8_t *at = data, *end = at + size;
    uint64_t hash = P5;
    if (size >= 32) {
        uint64_t a = P1 + P2, b = P2, c = 0, d = 0 - P1;
        for (; end - at >= 32; at += 32) {
            a = take(a, lane(at));
            b = take(b, lane(at + 8));
            c = take(c, lane(at + 16));
            d = take(d, lane(at + 24));
        }
        hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
        hash = join(join(join(join(hash, a), b), c), d);
    }
    hash += size;
    for (; end - at >= 8; at += 8) hash = rotate(hash ^ take(0, lane(at)), 27) * P1 + P4;
    if (end - at >= 4) {
        hash = rotate(hash ^ half_lane(at) * P1, 23) * P2 + P3;
        at += 4;
    }
    for (; at < end; at++) hash = rotate(hash ^ *at * P5, 11) * P1;
    hash = (hash ^ hash >> 33) * P2;
    hash = (hash ^ hash >> 29) * P3;
    return hash ^ hash >> 32;
}
