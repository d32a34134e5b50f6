/* PBM, PGM and PPM: P1 to P3 are written in digits, P4 to P6 in bytes, with up to 8 bits a sample. */
#include "image/image.h"

typedef struct reader {
    const uint8_t *at, *end;
} reader;

/* A number after white space and comments; a single bit if `bit`, which needs no white space around it. */
static bool read_number(reader *r, bool bit, size_t *out) {
    while (r->at < r->end && (*r->at <= ' ' || *r->at == '#')) {
        bool comment = *r->at == '#';
        while (comment && r->at < r->end && *r->at != '\n') r->at++;
        if (r->at < r->end) r->at++;
    }
    size_t n = 0, digits = 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9' && digits < (bit ? 1 : 9); digits++)
        n = n * 10 + (size_t)(*r->at++ - '0');
    *out = n;
    return digits > 0;
}

bool tn_image_pnm(tn_string file, const tn_image_memory *memory, tn_image *out) {
    reader r = {(const uint8_t *)file.data + 2, (const uint8_t *)file.data + file.size};
    int kind = file.data[1] - '0';
    size_t width, height, most = 1;
    bool bits = kind == 1 || kind == 4;
    if (kind < 1 || kind > 6 || !read_number(&r, false, &width) || !read_number(&r, false, &height)) return false;
    if (!bits && (!read_number(&r, false, &most) || most < 1 || most > 255)) return false;
    int channels = kind % 3 == 0 ? 3 : 1;
    if (width > 1 << 16 || height > 1 << 16 || r.at == r.end) return false;
    if (kind > 3) r.at++; /* one white space, then bytes */
    size_t samples = width * height * (size_t)channels, left = (size_t)(r.end - r.at), row = (width + 7) / 8;
    if ((kind == 4 ? row * height : kind == 1 ? samples : kind < 4 ? samples * 2 - 1 : samples) > left) return false;
    if (!tn_image_alloc(memory, width, height, channels, out)) return false;
    for (size_t i = 0; i < samples; i++) {
        size_t value;
        if (kind < 4) {
            if (!read_number(&r, bits, &value) || value > most) return false;
        } else {
            value = kind == 4 ? r.at[i / width * row + i % width / 8] >> (7 - i % width % 8) & 1 : r.at[i];
        }
        if (bits) value = !value; /* 1 is black */
        out->pixels[i] = (uint8_t)((TN_MIN(value, most) * 255 + most / 2) / most);
    }
    return true;
}
