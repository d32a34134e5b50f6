/* PNG (the second edition of its specification): all colour types, 1 to 16 bits a sample, interlaced or not. Alpha is
 * dropped; of 16 bits the higher 8 count. */
#include "base/deflate.h"
#include "image/image.h"

typedef struct png {
    size_t width, height;
    unsigned depth, type, samples;
    const uint8_t *palette;
    size_t colours;
    bool interlaced;
} png;

/* A picture comes in passes, each every dx-th pixel of every dy-th row: one of all, or Adam7's. */
typedef struct pass {
    size_t x, y, dx, dy;
} pass;
static const pass whole[] = {{0, 0, 1, 1}, {0}}, adam7[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                                            {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}, {0}};

static size_t columns(const png *p, const pass *s) {
    return p->width > s->x ? (p->width - s->x + s->dx - 1) / s->dx : 0;
}
static size_t lines(const png *p, const pass *s) {
    return p->height > s->y && columns(p, s) ? (p->height - s->y + s->dy - 1) / s->dy : 0;
}
static size_t row_bytes(const png *p, size_t width) {
    return (width * p->samples * p->depth + 7) / 8;
}

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

/* Pixels of a row to every `apart`-th of the picture's. */
static bool write_row(const png *p, const uint8_t *row, size_t width, int channels, size_t apart, uint8_t *to) {
    const bool colour = p->type == 2 || p->type == 6;
    for (size_t x = 0; x < width; x++, to += (size_t)channels * apart) {
        unsigned value = sample(row, x * p->samples, p->depth);
        if (p->type == 3) {
            if (value >= p->colours) return false;
            memcpy(to, p->palette + value * 3, 3);
        } else if (colour) {
            for (unsigned c = 0; c < 3; c++) to[c] = (uint8_t)sample(row, x * p->samples + c, p->depth);
        } else {
            *to = (uint8_t)(p->depth < 8 ? value * 255 / ((1u << p->depth) - 1) : value);
        }
    }
    return true;
}

/* Rows of a pass, each behind the number of its filter; zeros stand for what is above the first. */
static uint8_t *read_pass(const png *p, const pass *s, uint8_t *rows, const uint8_t *zeros, tn_image *out) {
    const size_t width = columns(p, s), height = lines(p, s), row = row_bytes(p, width);
    const size_t step = TN_MAX(p->samples * p->depth / 8, 1u);
    const uint8_t *before = zeros;
    for (size_t y = 0; y < height; y++, rows += row + 1) {
        uint8_t *to = out->pixels + ((s->y + y * s->dy) * p->width + s->x) * (size_t)out->channels;
        if (!unfilter(rows[0], rows + 1, before, row, step)) return NULL;
        if (!write_row(p, rows + 1, width, out->channels, s->dx, to)) return NULL;
        before = rows + 1;
    }
    return rows;
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
            if (length < 13 || body[10] || body[11] || body[12] > 1) return false;
            static const uint8_t samples[7] = {1, 0, 3, 1, 2, 0, 4};
            p->width = tn_get32_big(body);
            p->height = tn_get32_big(body + 4);
            p->depth = body[8];
            p->type = body[9];
            p->samples = p->type < 7 ? samples[p->type] : 0;
            p->interlaced = body[12];
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
    const pass *const passes = p.interlaced ? adam7 : whole;
    const size_t row = row_bytes(&p, p.width);
    size_t raw = 0;
    for (const pass *s = passes; s->dx; s++) raw += lines(&p, s) * (row_bytes(&p, columns(&p, s)) + 1);
    if (raw / 1040 > size) return false; /* deflate cannot shrink more than that */
    uint8_t *packed = memory->alloc(memory->context, size), *rows = memory->alloc(memory->context, raw + row);
    if (!packed || !rows || !read_chunks(file, &p, packed, &size)) return false;
    if (!tn_inflate(packed, size, rows, raw)) return false;
    if (!tn_image_alloc(memory, p.width, p.height, p.type == 0 || p.type == 4 ? 1 : 3, out)) return false;
    memset(rows + raw, 0, row);
    uint8_t *at = rows;
    for (const pass *s = passes; s->dx && at; s++) at = read_pass(&p, s, at, rows + raw, out);
    return at != NULL;
}
