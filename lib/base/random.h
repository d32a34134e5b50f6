/* Random numbers by seed: the same ones on every machine. The state is 64 bits; a seed is a state. */
#ifndef TN_BASE_RANDOM_H
#define TN_BASE_RANDOM_H

#include <stdint.h>

#define TN_RANDOM_STEP 0x9E3779B97F4A7C15u /* from one state to the next */

/* SplitMix64 (Steele, Lea, Flood 2014): a counter through a mixing function. */
static inline uint64_t tn_random_next(uint64_t *state) {
    uint64_t z = *state += TN_RANDOM_STEP;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* In [0, limit), each as likely as the others (Lemire 2019); limit > 0. */
static inline uint64_t tn_random_below(uint64_t *state, uint64_t limit) {
    for (;;) {
        __extension__ unsigned __int128 wide = (unsigned __int128)tn_random_next(state) * limit;
        if ((uint64_t)wide >= (0 - limit) % limit) return (uint64_t)(wide >> 64);
    }
}

/* In [0, 1). */
static inline double tn_random_uniform(uint64_t *state) {
    return (double)(tn_random_next(state) >> 11) * 0x1p-53;
}

#endif
