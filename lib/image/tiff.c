/* TIFF, the first image of a file: uncompressed strips of grey or red, green and blue bytes. */
#include "image/image.h"

typedef struct tiff {
    const uint8_t *data;
    size_t size;
    bool big; /* bytes in a number: the highest first */
} tiff;

static uint32_t get16(const tiff *t, size_t at) {
    return t->big ? tn_get16_big(t->data + at) : tn_get16(t->data + at);
}
static uint32_t get32(const tiff *t, size_t at) {
    return t->big ? tn_get32_big(t->data + at) : tn_get32(t->data + at);
}

typedef struct field {
    uint32_t type, count;
    size_t at; /* of its values */
} field;

/* The directory's entry for a tag; false if there is none, or it is no list of short or long numbers in the file. */
static bool find(const tiff *t, size_t directory, uint32_t tag, field *out) {
    size_t entries = get16(t, directory);
    if (entries * 12 > t->size - directory - 2) return false;
    for (size_t i = 0; i < entries; i++) {
        size_t at = directory + 2 + i * 12;
        if (get16(t, at) != tag) continue;
        *out = (field){get16(t, at + 2), get32(t, at + 4), at + 8};
        size_t width = out->type == 3 ? 2 : 4, bytes = out->count * width;
        if ((out->type != 3 && out->type != 4) || out->count == 0) return false;
        if (bytes > 4) out->at = get32(t, at + 8);
        return out->at <= t->size && bytes <= t->size - out->at;
    }
    return false;
}

static uint32_t value_of(const tiff *t, const field *f, size_t i) {
    return f->type == 3 ? get16(t, f->at + i * 2) : get32(t, f->at + i * 4);
}

static uint32_t number(const tiff *t, size_t directory, uint32_t tag, uint32_t fallback) {
    field f;
    return find(t, directory, tag, &f) ? value_of(t, &f, 0) : fallback;
}

bool tn_image_tiff(tn_string file, const tn_image_memory *memory, tn_image *out) {
    enum {
        WIDTH = 256,
        HEIGHT,
        BITS,
        COMPRESSION,
        PHOTOMETRIC = 262,
        OFFSETS = 273,
        SAMPLES = 277,
        ROWS,
        COUNTS,
        PLANAR = 284
    };
    tiff t = {(const uint8_t *)file.data, file.size, file.data[0] == 'M'};
    if (t.size < 8) return false;
    size_t directory = get32(&t, 4);
    if (directory > t.size - 2 || t.size < 2) return false;
    uint32_t width = number(&t, directory, WIDTH, 0), height = number(&t, directory, HEIGHT, 0);
    uint32_t samples = number(&t, directory, SAMPLES, 1), meaning = number(&t, directory, PHOTOMETRIC, 1);
    uint32_t rows = number(&t, directory, ROWS, height);
    field bits, offsets, counts;
    if (!find(&t, directory, OFFSETS, &offsets) || !find(&t, directory, COUNTS, &counts) ||
        !find(&t, directory, BITS, &bits))
        return false;
    for (uint32_t i = 0; i < bits.count; i++)
        if (value_of(&t, &bits, i) != 8) return false;
    bool grey = meaning < 2 && samples == 1, colour = meaning == 2 && samples >= 3 && samples <= 4;
    if (!(grey || colour) || number(&t, directory, COMPRESSION, 1) != 1 || number(&t, directory, PLANAR, 1) != 1)
        return false;
    size_t row = (size_t)width * samples;
    if (!rows || width > 1 << 16 || height > 1 << 16 || row * height > t.size) return false;
    if ((height + rows - 1) / rows > TN_MIN(offsets.count, counts.count)) return false;
    if (!tn_image_alloc(memory, width, height, grey ? 1 : 3, out)) return false;
    uint8_t *to = out->pixels;
    for (size_t y = 0; y < height; y++) {
        size_t strip = y / rows, at = value_of(&t, &offsets, strip), inside = (y % rows) * row;
        if (inside + row > value_of(&t, &counts, strip) || at > t.size || inside + row > t.size - at) return false;
        const uint8_t *from = t.data + at + inside;
        for (size_t x = 0; x < width; x++, from += samples)
            for (int c = 0; c < out->channels; c++) *to++ = meaning == 0 ? (uint8_t)(255 - from[c]) : from[c];
    }
    return true;
}
