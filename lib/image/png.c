/* PNG (the second edition of its specification): all colour types, 1 to 16 bits a sample, not interlaced. Alpha is
 * dropped; of 16 bits the higher 8 count. */
#include "base/deflate.h"
#include "image/image.h"

typedef struct png {
    size_t width, height;
    unsigned depth, type, samples;
    const uint8_t *palette;
    size_t colours;
} png;

static uint8_t paeth(int a, int b, int c) {
    int p = a + b - c, pa = p > a ? p - a : a - p, pb = p > b ? p - b : b - p, pc = p > c ? p - c : c - p;
    return (uint8_t)(pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
}

/* Undoes a row's filter; `before` is the row above, or zeros. step: bytes a whole pixel takes, at least 1. */
static bool unfilter(unsigned filter, uint8_t *row, const uint8_t *before, size_t size, size_t step) {
    for (size_t i = 0; i < size; i++) {
        int left = i >= step ? row[i - step] : 0, above = before[i], corner = i >= step ? before[i - step] : 0;
        switch (filter) {
        case 0: return true;
        case 1: row[i] = (uint8_t)(row[i] + left); break;
        case 2: row[i] = (uint8_t)(row[i] + above); break;
        case 3: row[i] = (uint8_t)(row[i] + (left + above) / 2); break;
        case 4: row[i] = (uint8_t)(row[i] + paeth(left, above, corner)); break;
        default: return false;
        }
    }
    return filter <= 4;
}

/* Sample i of a row, of less than 8 bits as it is. */
static unsigned sample(const uint8_t *row, size_t i, unsigned depth) {
    if (depth == 16) return row[i * 2];
    if (depth == 8) return row[i];
    size_t bit = i * depth;
    return row[bit / 8] >> (8 - depth - bit % 8) & ((1u << depth) - 1);
}

static bool write_row(const png *p, const uint8_t *row, uint8_t *to) {
    bool colour = p->type == 2 || p->type == 6;
    for (size_t x = 0; x < p->width; x++) {
        unsigned value = sample(row, x * p->samples, p->depth);
        if (p->type == 3) {
            if (value >= p->colours) return false;
            memcpy(to, p->palette + value * 3, 3);
            to += 3;
        } else if (colour) {
            for (unsigned c = 0; c < 3; c++) *to++ = (uint8_t)sample(row, x * p->samples + c, p->depth);
        } else {
            *to++ = (uint8_t)(p->depth < 8 ? value * 255 / ((1u << p->depth) - 1) : value);
        }
    }
    return true;
}

/* Walks the chunks: header and palette, and the size of all IDAT chunks, which are copied to `data` unless it is NULL. */
static bool read_chunks(tn_string file, png *p, uint8_t *data, size_t *size) {
    const uint8_t *at = (const uint8_t *)file.data + 8, *end = (const uint8_t *)file.data + file.size;
    *size = 0;
    while (end - at >= 12) {
        size_t length = tn_get32_big(at);
        if (length > (size_t)(end - at) - 12) return false;
        const uint8_t *body = at + 8;
        if (memcmp(at + 4, "IHDR", 4) == 0) {
            if (length < 13 || body[10] || body[11] || body[12]) return false;
            static const uint8_t samples[7] = {1, 0, 3, 1, 2, 0, 4};
            p->width = tn_get32_big(body);
            p->height = tn_get32_big(body + 4);
            p->depth = body[8];
            p->type = body[9];
            p->samples = p->type < 7 ? samples[p->type] : 0;
        } else if (memcmp(at + 4, "PLTE", 4) == 0) {
            p->palette = body;
            p->colours = length / 3;
        } else if (memcmp(at + 4, "IDAT", 4) == 0) {
            if (data) memcpy(data + *size, body, length);
            *size += length;
        } else if (memcmp(at + 4, "IEND", 4) == 0) {
            break;
        }
        at += length + 12;
    }
    return p->samples && *size;
}

bool tn_image_png(tn_string file, const tn_image_memory *memory, tn_image *out) {
    png p = {0};
    size_t size;
    if (!read_chunks(file, &p, NULL, &size) || p.width > 1 << 16 || p.height > 1 << 16) return false;
    bool power = p.depth == 1 || p.depth == 2 || p.depth == 4 || p.depth == 8 || p.depth == 16;
    bool small = p.type == 0 || (p.type == 3 && p.depth <= 8);
    if (!power || (p.depth < 8 && !small) || (p.type == 3 && (p.depth > 8 || !p.palette))) return false;
    size_t row = (p.width * p.samples * p.depth + 7) / 8, step = TN_MAX(p.samples * p.depth / 8, 1u);
    size_t raw = (row + 1) * p.height;
    if (raw / 1040 > size) return false; /* deflate cannot shrink more than that */
    uint8_t *packed = memory->alloc(memory->context, size), *rows = memory->alloc(memory->context, raw + row);
    if (!packed || !rows || !read_chunks(file, &p, packed, &size)) return false;
    if (!tn_inflate(packed, size, rows, raw)) return false;
    if (!tn_image_alloc(memory, p.width, p.height, p.type == 0 || p.type == 4 ? 1 : 3, out)) return false;
    memset(rows + raw, 0, row); /* what stands above the first row */
    const uint8_t *before = rows + raw;
    for (size_t y = 0; y < p.height; y++) {
        uint8_t *at = rows + y * (row + 1);
        if (!unfilter(at[0], at + 1, before, row, step)) return false;
        if (!write_row(&p, at + 1, out->pixels + y * p.width * (size_t)out->channels)) return false;
        before = at + 1;
    }
    return true;
}
