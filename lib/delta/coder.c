/* The arithmetic coder: see coder.h. */
#include "delta/coder.h"

enum { SLOT_LIMIT = 400, EDGE = 3071, MIXER_RATE = 1 << 17 };

void tn_coder_encode_to(tn_coder *c, uint8_t *out, size_t room) {
    *c = (tn_coder){.high = UINT64_MAX, .out = out, .room = room};
}

/* Zeros follow the last byte. */
static uint8_t next_byte(tn_coder *c) {
    size_t at = c->at++;
    return at < c->in_size ? c->in[at] : 0;
}

void tn_coder_decode_from(tn_coder *c, const uint8_t *in, size_t size) {
    *c = (tn_coder){.decodes = true, .high = UINT64_MAX, .in = in, .in_size = size};
    for (int i = 0; i < 8; i++) c->code = c->code << 8 | next_byte(c);
}

static void put_byte(tn_coder *c, uint8_t byte) {
    if (c->used == c->room)
        c->full = true;
    else
        c->out[c->used++] = byte;
}

void tn_coder_finish(tn_coder *c) {
    /* The ends differ in their first byte: that of the higher one, with zeros behind it, lies between them. */
    put_byte(c, (uint8_t)(c->high >> 56));
    while (!c->full && c->used && c->out[c->used - 1] == 0) c->used--;
}

bool tn_coder_is_done(const tn_coder *c) {
    return c->at >= c->in_size + 7 && (!c->in_size || c->in[c->in_size - 1]);
}

/* Bytes that both ends agree on are done with. */
static void shift(tn_coder *c) {
    while (!((c->low ^ c->high) >> 56)) {
        if (c->decodes)
            c->code = c->code << 8 | next_byte(c);
        else
            put_byte(c, (uint8_t)(c->high >> 56));
        c->low <<= 8;
        c->high = c->high << 8 | 255;
    }
}

int tn_coder_bit(tn_coder *c, uint32_t p, int bit) {
    uint64_t middle = c->low + ((c->high - c->low) >> 16) * p;
    if (c->decodes) bit = c->code <= middle;
    if (bit)
        c->high = middle;
    else
        c->low = middle + 1;
    shift(c);
    return bit;
}

/* Up to 16 bits at once: the range in equal parts. */
static uint32_t raw16(tn_coder *c, int count, uint32_t value) {
    uint64_t part = (c->high - c->low) >> count;
    if (part == 0) { /* both ends are a hair's breadth apart, which is rare: bit by bit */
        uint32_t v = 0;
        for (int i = count - 1; i >= 0; i--) v = v << 1 | (uint32_t)tn_coder_bit(c, 32768, (int)(value >> i & 1));
        return v;
    }
    if (c->decodes) value = (uint32_t)TN_MIN((c->code - c->low) / part, (UINT64_C(1) << count) - 1);
    c->low += part * value;
    if (value != (1u << count) - 1) c->high = c->low + part - 1;
    shift(c);
    return value;
}

uint64_t tn_coder_raw(tn_coder *c, int count, uint64_t value) {
    uint64_t v = 0;
    for (int left = count; left > 0;) {
        int n = TN_MIN(left, 16);
        left -= n;
        v = v << n | raw16(c, n, (uint32_t)(value >> left) & ((1u << n) - 1));
    }
    return v;
}

/* 65536 / (1 + exp(-x / 256)) at x = -3072, -2944 ... 3072; between them a straight line. */
static const uint32_t knots[49] = {
    0,     1,     1,     2,     3,     5,     8,     13,    22,    36,    60,    98,    162,
    267,   439,   720,   1179,  1921,  3108,  4971,  7812,  11955, 17625, 24743, 32768, 40793,
    47911, 53581, 57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476,
    65500, 65514, 65523, 65528, 65531, 65533, 65534, 65535, 65535, 65536,
};

static uint32_t squash(int32_t x) {
    if (x < -EDGE) x = -EDGE;
    if (x > EDGE) x = EDGE;
    uint32_t up = (uint32_t)(x + 3072), i = up >> 7, part = up & 127;
    uint32_t p = (knots[i] * (128 - part) + knots[i + 1] * part + 64) >> 7;
    return p < 1 ? 1 : p > 65535 ? 65535 : p;
}

void tn_logistic_make(tn_logistic *out) {
    uint32_t next = 0;
    for (int32_t x = -EDGE; x <= EDGE; x++)
        for (uint32_t p = squash(x) >> 4; next <= p; next++) out->stretch[next] = (int16_t)x;
    while (next < 4096) out->stretch[next++] = EDGE;
    for (uint32_t n = 0; n < 1024; n++) out->rate[n] = 131072 / (2 * n + 3);
}

/* Towards the bit by 1 / (n + 1.5) of the way, n being how often the slot was met, up to a limit. */
static void learn(const tn_logistic *l, tn_slot *slot, int bit) {
    uint32_t p = *slot >> 10, n = *slot & 1023;
    int64_t way = (bit ? (int64_t)4194303 : 0) - (int64_t)p;
    p = (uint32_t)((int64_t)p + way * (int64_t)l->rate[n] / 65536);
    *slot = p << 10 | (n < SLOT_LIMIT ? n + 1 : n);
}

int tn_coder_learn(tn_coder *c, const tn_logistic *l, tn_slot *slot, int bit) {
    uint32_t p = *slot >> 16;
    bit = tn_coder_bit(c, p < 1 ? 1 : p, bit);
    learn(l, slot, bit);
    return bit;
}

int tn_coder_mix(tn_coder *c, const tn_logistic *l, tn_mixer *mixer, tn_slot *const slots[3], int bit) {
    int32_t x[3];
    int64_t sum = 0;
    for (int i = 0; i < 3; i++) {
        x[i] = l->stretch[*slots[i] >> 20];
        sum += (int64_t)x[i] * mixer->weight[i];
    }
    uint32_t p = squash((int32_t)TN_MAX(TN_MIN(sum / 65536, 100000), -100000));
    bit = tn_coder_bit(c, p, bit);
    int32_t error = (bit ? 65536 : 0) - (int32_t)p;
    for (int i = 0; i < 3; i++) {
        int64_t w = mixer->weight[i] + (int64_t)x[i] * error / MIXER_RATE;
        mixer->weight[i] = (int32_t)TN_MAX(TN_MIN(w, 1 << 20), -(1 << 20));
        learn(l, slots[i], bit);
    }
    return bit;
}
