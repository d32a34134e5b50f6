/* Deflate (RFC 1951) in zlib's wrapping (RFC 1950). Codes are read bit by bit against the counts of their lengths,
 * which is short and fast enough for pictures. The checksum is not looked at. */
#include "image/image.h"

typedef struct bits {
    const uint8_t *at, *end;
    uint32_t held;
    unsigned count;
    bool bad; /* more was read than there is */
} bits;

static unsigned take(bits *b, unsigned n) {
    while (b->count < n) {
        if (b->at == b->end) {
            b->bad = true;
            return 0;
        }
        b->held |= (uint32_t)*b->at++ << b->count;
        b->count += 8;
    }
    unsigned value = b->held & ((1u << n) - 1);
    b->held >>= n;
    b->count -= n;
    return value;
}

typedef struct code {
    uint16_t count[16]; /* codes of each length */
    uint16_t symbol[288];
} code;

/* False if the lengths ask for more codes than there are. */
static bool make_code(code *c, const uint8_t *lengths, int n) {
    uint16_t offset[16];
    int left = 1;
    memset(c->count, 0, sizeof c->count);
    for (int i = 0; i < n; i++) c->count[lengths[i]]++;
    c->count[0] = 0;
    offset[1] = 0;
    for (int length = 1; length < 16; length++) {
        left = left * 2 - c->count[length];
        if (left < 0) return false;
        if (length < 15) offset[length + 1] = (uint16_t)(offset[length] + c->count[length]);
    }
    for (int i = 0; i < n; i++)
        if (lengths[i]) c->symbol[offset[lengths[i]]++] = (uint16_t)i;
    return true;
}

static int read_symbol(bits *b, const code *c) {
    int value = 0, first = 0, index = 0;
    for (int length = 1; length < 16 && !b->bad; length++) {
        value |= (int)take(b, 1);
        int count = c->count[length];
        if (value - first < count) return c->symbol[index + value - first];
        index += count;
        first = (first + count) * 2;
        value *= 2;
    }
    b->bad = true;
    return 0;
}

static bool read_codes(bits *b, code *literal, code *distance) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[320] = {0};
    int literals = (int)take(b, 5) + 257, distances = (int)take(b, 5) + 1, given = (int)take(b, 4) + 4, n = 0;
    if (literals > 286) return false;
    for (int i = 0; i < given; i++) lengths[order[i]] = (uint8_t)take(b, 3);
    if (!make_code(literal, lengths, 19)) return false;
    while (n < literals + distances && !b->bad) {
        int symbol = read_symbol(b, literal), repeat = 1;
        uint8_t value = (uint8_t)symbol;
        if (symbol == 16) {
            if (n == 0) return false;
            value = lengths[n - 1];
            repeat = 3 + (int)take(b, 2);
        } else if (symbol > 16) {
            value = 0;
            repeat = symbol == 17 ? 3 + (int)take(b, 3) : 11 + (int)take(b, 7);
        }
        if (repeat > literals + distances - n) return false;
        while (repeat-- > 0) lengths[n++] = value;
    }
    return !b->bad && make_code(distance, lengths + literals, distances) && make_code(literal, lengths, literals);
}

static bool inflate_codes(bits *b, const code *literal, const code *distance, uint8_t *out, size_t size, size_t *done) {
    static const uint16_t length_base[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                           31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t length_bits[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                          2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static const uint16_t far_base[] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                        33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                        1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    for (;;) {
        int symbol = read_symbol(b, literal);
        if (b->bad) return false;
        if (symbol == 256) return true;
        if (symbol < 256) {
            if (*done == size) return false;
            out[(*done)++] = (uint8_t)symbol;
            continue;
        }
        if (symbol > 285) return false;
        size_t length = length_base[symbol - 257] + take(b, length_bits[symbol - 257]);
        int far = read_symbol(b, distance);
        if (far > 29) return false;
        size_t back = far_base[far] + take(b, far < 2 ? 0 : (unsigned)far / 2 - 1);
        if (b->bad || back > *done || length > size - *done) return false;
        for (; length > 0; length--, ++*done) out[*done] = out[*done - back];
    }
}

static bool stored(bits *b, uint8_t *out, size_t size, size_t *done) {
    b->held = b->count = 0;
    if (b->end - b->at < 4) return false;
    size_t length = tn_get16(b->at);
    b->at += 4;
    if (length > (size_t)(b->end - b->at) || length > size - *done) return false;
    memcpy(out + *done, b->at, length);
    b->at += length;
    *done += length;
    return true;
}

bool tn_inflate(const uint8_t *in, size_t in_size, uint8_t *out, size_t size) {
    bits b = {.at = in + 2, .end = in + in_size};
    size_t done = 0;
    if (in_size < 2 || (in[0] & 15) != 8 || (in[1] & 32)) return false;
    for (bool last = false; !last;) {
        code literal, distance;
        last = take(&b, 1);
        unsigned kind = take(&b, 2);
        if (kind == 1) {
            uint8_t lengths[288];
            for (int i = 0; i < 288; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
            make_code(&literal, lengths, 288);
            memset(lengths, 5, 30);
            make_code(&distance, lengths, 30);
        }
        bool good = kind == 0   ? stored(&b, out, size, &done)
                    : kind == 3 ? false
                                : (kind == 1 || read_codes(&b, &literal, &distance)) &&
                                      inflate_codes(&b, &literal, &distance, out, size, &done);
        if (!good || b.bad) return false;
    }
    return done == size;
}
