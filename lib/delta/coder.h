/* The entropy coder of deltas: binary arithmetic coding whose probabilities are learnt, and mixed, as they are used.
 *
 * One function codes a bit either way: an encoder writes the bit that it is given and returns it, a decoder pays no heed to
 * that and returns the bit that it reads. So each model of the data is written once, and both ends keep step.
 * Sources: arithmetic coding of two ends as in Mahoney's descriptions of PAQ (mattmahoney.net/dc/dce.html, 4.1 and 4.3);
 * mixing in the logistic domain, there too. All of it in whole numbers: every machine makes the same bytes. The numbers
 * are part of the format (tenon/delta.h). */
#ifndef TN_DELTA_CODER_H
#define TN_DELTA_CODER_H

#include "base/base.h"

typedef struct tn_coder {
    bool decodes;
    uint64_t low, high, code;
    const uint8_t *in; /* of a decoder; zeros follow */
    size_t in_size, at;
    uint8_t *out; /* of an encoder */
    size_t room, used;
    bool full; /* `room` was too small, and what was written is of no use */
} tn_coder;

void tn_coder_encode_to(tn_coder *c, uint8_t *out, size_t room);
void tn_coder_decode_from(tn_coder *c, const uint8_t *in, size_t size);
/* What is left of an encoder's bytes. Zeros at the end are not written. */
void tn_coder_finish(tn_coder *c);
/* Whether a decoder needed all bytes that it was given, and they are as an encoder leaves them. */
bool tn_coder_is_done(const tn_coder *c);

/* A bit that is 1 with a probability of p / 65536; p is 1 to 65535. */
int tn_coder_bit(tn_coder *c, uint32_t p, int bit);
/* `count` bits, at most 64, of which nothing is known. */
uint64_t tn_coder_raw(tn_coder *c, int count, uint64_t value);

/* What is known of one bit in one context: a probability of 22 bits, and in 10 bits how often it was met. */
typedef uint32_t tn_slot;
#define TN_SLOT_NEW (1u << 31)

/* Three contexts' probabilities become one; the weights are learnt. */
typedef struct tn_mixer {
    int32_t weight[3];
} tn_mixer;
#define TN_MIXER_NEW 26214 /* each weight at first: 0.4 of 65536 */

typedef struct tn_logistic {
    int16_t stretch[4096]; /* of a probability's upper 12 bits */
    uint32_t rate[1024];
} tn_logistic;
void tn_logistic_make(tn_logistic *out);

/* A bit in one context, and in three. */
int tn_coder_learn(tn_coder *c, const tn_logistic *l, tn_slot *slot, int bit);
int tn_coder_mix(tn_coder *c, const tn_logistic *l, tn_mixer *mixer, tn_slot *const slots[3], int bit);

#endif
