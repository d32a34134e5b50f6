/* Runs of half bytes: see runs.h. Reading costs a few steps for each half byte that is not the usual one, and none for those
 * that are. */
#include "base/runs.h"

static unsigned half(const uint8_t *data, size_t i) {
    return data[i / 2] >> 4 * (i % 2) & 15;
}

static unsigned most_frequent(const uint8_t *piece, size_t size) {
    unsigned count[16] = {0}, most = 0;
    for (size_t i = 0; i < 2 * size; i++) count[half(piece, i)]++;
    for (unsigned h = 1; h < 16; h++)
        if (count[h] > count[most]) most = h;
    return most;
}

size_t tn_runs_write(const uint8_t *piece, size_t size, uint8_t out[TN_RUNS_PIECE + 1]) {
    const unsigned usual = most_frequent(piece, size);
    size_t used = 0, run = 0;
    out[used++] = (uint8_t)(16 | usual);
    for (size_t i = 0; i < 2 * size && used <= size; i++) {
        const unsigned h = half(piece, i);
        if (h == usual && run < 15 && i + 1 < 2 * size) {
            run++;
            continue;
        }
        out[used++] = (uint8_t)(run << 4 | h);
        run = 0;
    }
    if (used <= size) return used;
    out[0] = 0;
    memcpy(out + 1, piece, size);
    return size + 1;
}

/* Returns where it ends, or NULL. */
static const uint8_t *read_piece(const uint8_t *in, const uint8_t *end, uint8_t *out, size_t size) {
    if (in == end) return NULL;
    const unsigned head = *in++, usual = head & 15;
    if (head == 0) {
        if (size > (size_t)(end - in)) return NULL;
        memcpy(out, in, size);
        return in + size;
    }
    if (head >> 4 != 1) return NULL;
    memset(out, (int)(usual << 4 | usual), size);
    for (size_t at = 0; at < 2 * size; at++) {
        if (in == end) return NULL;
        at += *in >> 4;
        if (at >= 2 * size) return NULL;
        out[at / 2] ^= (uint8_t)(((*in++ ^ usual) & 15) << 4 * (at % 2));
    }
    return in;
}

bool tn_runs_read(const void *in, size_t in_size, void *out, size_t size) {
    const uint8_t *at = in, *end = at + in_size;
    uint8_t *to = out;
    for (size_t n; at && size; size -= n, to += n) {
        n = TN_MIN(size, (size_t)TN_RUNS_PIECE);
        at = read_piece(at, end, to, n);
    }
    return at == end;
}
