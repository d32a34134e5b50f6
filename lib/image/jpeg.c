/* JPEG (ITU-T T.81): the markers. Sequential and progressive images with Huffman codes, 8 bits, one or three components. */
#include "image/jpeg.h"

static bool read_quant(tn_jpeg *j, const uint8_t *at, size_t size) {
    while (size) {
        int wide = *at >> 4, number = *at & 15;
        size_t need = 1 + 64u * (wide ? 2 : 1);
        if (wide > 1 || number > 3 || size < need) return false;
        for (int k = 0; k < 64; k++) j->quant[number][k] = (uint16_t)(wide ? tn_get16_big(at + 1 + 2 * k) : at[1 + k]);
        at += need;
        size -= need;
    }
    return true;
}

static bool read_codes(tn_jpeg *j, const uint8_t *at, size_t size) {
    while (size) {
        if (size < 17 || *at >> 4 > 1 || (*at & 15) > 3) return false;
        tn_jpeg_code *code = *at >> 4 ? &j->ac[*at & 15] : &j->dc[*at & 15];
        size_t symbols = 0, room = 1;
        for (int length = 1; length <= 16; length++) {
            code->count[length] = at[length];
            symbols += at[length];
            room *= 2;
            if (at[length] > room) return false;
            room -= at[length];
        }
        if (symbols > 256 || size < 17 + symbols) return false;
        memcpy(code->symbol, at + 17, symbols);
        at += 17 + symbols;
        size -= 17 + symbols;
    }
    return true;
}

/* The frame's header, and memory for the coefficients. `left` bytes of the file are behind it: a block takes at least a
 * bit of them. */
static bool read_frame(tn_jpeg *j, const uint8_t *at, size_t size, size_t left, const tn_image_memory *memory) {
    if (j->count || size < 6 || at[0] != 8) return false;
    j->height = tn_get16_big(at + 1);
    j->width = tn_get16_big(at + 3);
    int count = at[5];
    if (!j->height || !j->width || (count != 1 && count != 3) || size < 6 + 3u * (unsigned)count) return false;
    for (int i = 0; i < count; i++) {
        tn_jpeg_component *c = &j->parts[i];
        *c = (tn_jpeg_component){
            .id = at[6 + 3 * i], .h = at[7 + 3 * i] >> 4, .v = at[7 + 3 * i] & 15, .quant = at[8 + 3 * i]};
        if (count == 1) c->h = c->v = 1; /* its blocks stand one by one whatever the factors say */
        if (c->h < 1 || c->h > 4 || c->v < 1 || c->v > 4 || c->quant > 3) return false;
        j->most_h = TN_MAX(j->most_h, c->h);
        j->most_v = TN_MAX(j->most_v, c->v);
    }
    size_t units_across = (j->width + 8u * (unsigned)j->most_h - 1) / (8u * (unsigned)j->most_h);
    size_t units_down = (j->height + 8u * (unsigned)j->most_v - 1) / (8u * (unsigned)j->most_v);
    for (int i = 0; i < count; i++) {
        tn_jpeg_component *c = &j->parts[i];
        c->width = (j->width * c->h + (unsigned)j->most_h - 1) / (unsigned)j->most_h;
        c->height = (j->height * c->v + (unsigned)j->most_v - 1) / (unsigned)j->most_v;
        c->across = units_across * c->h;
        c->down = units_down * c->v;
        size_t bytes = c->across * c->down * 64 * sizeof *c->blocks;
        if (c->across * c->down / 8 > left || !(c->blocks = memory->alloc(memory->context, bytes))) return false;
        memset(c->blocks, 0, bytes);
    }
    j->count = count;
    return true;
}

static bool read_scan_header(tn_jpeg *j, const uint8_t *at, size_t size, tn_jpeg_pass *pass) {
    int count = size ? at[0] : 0;
    if (count < 1 || count > j->count || size < 4 + 2u * (unsigned)count) return false;
    *pass = (tn_jpeg_pass){.count = count};
    for (int i = 0; i < count; i++) {
        const uint8_t *entry = at + 1 + 2 * i;
        for (int c = 0; c < j->count; c++)
            if (j->parts[c].id == entry[0] && !pass->parts[i]) pass->parts[i] = &j->parts[c];
        if (!pass->parts[i] || entry[1] >> 4 > 3 || (entry[1] & 15) > 3) return false;
        pass->dc[i] = &j->dc[entry[1] >> 4];
        pass->ac[i] = &j->ac[entry[1] & 15];
    }
    const uint8_t *rest = at + 1 + 2 * count;
    pass->first = j->progressive ? rest[0] : 0;
    pass->last = j->progressive ? rest[1] : 63;
    pass->high = j->progressive ? rest[2] >> 4 : 0;
    pass->low = j->progressive ? rest[2] & 15 : 0;
    if (pass->first > pass->last || pass->last > 63 || pass->low > 13 || pass->high > 13) return false;
    return !j->progressive || (pass->first == 0 ? pass->last == 0 : count == 1);
}

bool tn_image_jpeg(tn_string file, const tn_image_memory *memory, tn_image *out) {
    enum { SOF0 = 0xc0, SOF1, SOF2, DHT = 0xc4, RST0 = 0xd0, SOI = 0xd8, EOI, SOS, DQT, DRI = 0xdd, APP14 = 0xee };
    const uint8_t *at = (const uint8_t *)file.data + 2, *end = (const uint8_t *)file.data + file.size;
    size_t most = sizeof(tn_jpeg);
    tn_jpeg *j = memory->alloc(memory->context, most);
    if (!j) return false;
    memset(j, 0, most);
    while (end - at >= 2) {
        if (at[0] != 0xff || at[1] == 0xff || at[1] == 0) { /* fill bytes, or what a scan left over */
            at++;
            continue;
        }
        int marker = at[1];
        at += 2;
        if (marker == EOI) break;
        if (marker >= RST0 && marker <= SOI) continue;
        size_t size = end - at >= 2 ? tn_get16_big(at) : 0;
        if (size < 2 || size > (size_t)(end - at)) return false;
        const uint8_t *body = at + 2;
        at += size;
        size -= 2;
        bool good = true;
        tn_jpeg_pass pass;
        if (marker == DQT) {
            good = read_quant(j, body, size);
        } else if (marker == DHT) {
            good = read_codes(j, body, size);
        } else if (marker == DRI) {
            good = size >= 2;
            if (good) j->restart = tn_get16_big(body);
        } else if (marker == APP14) {
            if (size >= 12 && memcmp(body, "Adobe", 5) == 0) j->rgb = body[11] == 0;
        } else if (marker == SOF0 || marker == SOF1 || marker == SOF2) {
            j->progressive = marker == SOF2;
            good = read_frame(j, body, size, (size_t)(end - at), memory);
        } else if (marker == SOS) {
            good = read_scan_header(j, body, size, &pass) && (at = tn_jpeg_scan(j, &pass, at, end));
        } else if (marker >= 0xc3 && marker <= 0xcf) {
            good = false; /* lossless, hierarchical, arithmetic coding */
        }
        if (!good) return false;
    }
    return j->count && tn_jpeg_pixels(j, memory, out);
}
