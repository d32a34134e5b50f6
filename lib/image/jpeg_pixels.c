/* JPEG's coefficients to pixels: the exact integer transform of Loeffler, Ligtenberg and Moschytz with 13 bits of
 * constants, linear ("fancy") upsampling of chrominance by two, and BT.601's colours in 16 bits, each with the rounding
 * that the other decoders agree on, so that the pixels are the same. */
#include "image/jpeg.h"

const uint8_t tn_jpeg_zigzag[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
                                    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
                                    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
                                    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

static uint8_t clamp8(int64_t v) {
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Eight values, `step` apart, in place; the results are divided by 2^shift. */
static void transform_8(int64_t *v, size_t step, int shift) {
    int64_t z1 = (v[2 * step] + v[6 * step]) * 4433;
    int64_t even2 = z1 - v[6 * step] * 15137, even3 = z1 + v[2 * step] * 6270;
    int64_t even0 = (v[0] + v[4 * step]) * 8192, even1 = (v[0] - v[4 * step]) * 8192;
    int64_t e[4] = {even0 + even3, even1 + even2, even1 - even2, even0 - even3};
    int64_t a = v[7 * step], b = v[5 * step], c = v[3 * step], d = v[step];
    int64_t z5 = (a + c + b + d) * 9633, z3 = z5 - (a + c) * 16069, z4 = z5 - (b + d) * 3196;
    z1 = (a + d) * -7373;
    int64_t z2 = (b + c) * -20995;
    int64_t o[4] = {d * 12299 + z1 + z4, c * 25172 + z2 + z3, b * 16819 + z2 + z4, a * 2446 + z1 + z3};
    int64_t half = (int64_t)1 << (shift - 1);
    for (size_t i = 0; i < 4; i++) {
        v[i * step] = (e[i] + o[i] + half) >> shift;
        v[(7 - i) * step] = (e[i] - o[i] + half) >> shift;
    }
}

static void component_samples(const tn_jpeg *j, tn_jpeg_component *c) {
    const uint16_t *quant = j->quant[c->quant];
    size_t row = c->across * 8;
    for (size_t block = 0; block < c->across * c->down; block++) {
        int64_t v[64];
        for (int k = 0; k < 64; k++) v[tn_jpeg_zigzag[k]] = (int64_t)c->blocks[block * 64 + (size_t)k] * quant[k];
        for (size_t x = 0; x < 8; x++) transform_8(v + x, 8, 11);
        for (size_t y = 0; y < 8; y++) transform_8(v + 8 * y, 1, 18);
        uint8_t *to = c->samples + block / c->across * 8 * row + block % c->across * 8;
        for (size_t i = 0; i < 64; i++) to[i / 8 * row + i % 8] = clamp8(v[i] + 128);
    }
}

/* Row y of the image's from a component's rows: sums[] are 4 times a sample if rows were mixed, else 1 times. Where a
 * component has half the rows, a row is 3/4 of the nearer and 1/4 of the farther one. */
static void mix_rows(const tn_jpeg_component *c, const uint8_t *near, const uint8_t *far, int *sums) {
    for (size_t x = 0; x < c->width; x++) sums[x] = far ? 3 * near[x] + far[x] : near[x];
}

/* Twice as many columns, likewise; `mixed` if sums are 4 times a sample. */
static void double_columns(const int *sums, size_t n, bool mixed, size_t width, uint8_t *out) {
    int down = mixed ? 8 : 1, up = mixed ? 7 : 2, shift = mixed ? 4 : 2;
    for (size_t x = 0; x < n; x++) {
        int left = x ? sums[x - 1] : sums[x], right = x + 1 < n ? sums[x + 1] : sums[x];
        out[2 * x] = (uint8_t)((3 * sums[x] + left + down) >> shift);
        if (2 * x + 1 < width) out[2 * x + 1] = (uint8_t)((3 * sums[x] + right + up) >> shift);
    }
}

/* The component's samples for row y of the image, at its full width. */
static void upsample_row(const tn_jpeg *j, const tn_jpeg_component *c, size_t y, int *sums, uint8_t *out) {
    size_t row = c->across * 8;
    bool twice_h = c->h * 2 == j->most_h && c->width > 2, twice_v = c->v * 2 == j->most_v;
    size_t own = y * c->v / (size_t)j->most_v;
    const uint8_t *near = c->samples + own * row, *far = NULL;
    if (twice_h && twice_v) {
        size_t other = y % 2 ? TN_MIN(own + 1, c->height - 1) : own ? own - 1 : 0;
        far = c->samples + other * row;
    }
    if (twice_h) {
        mix_rows(c, near, far, sums);
        double_columns(sums, c->width, far != NULL, j->width, out);
        return;
    }
    for (size_t x = 0; x < j->width; x++) out[x] = near[x * c->h / (size_t)j->most_h];
}

static void to_rgb(const uint8_t *y, const uint8_t *cb, const uint8_t *cr, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i++, out += 3) {
        int b = cb[i] - 128, r = cr[i] - 128;
        out[0] = clamp8(y[i] + ((91881 * r + 32768) >> 16));
        out[1] = clamp8(y[i] + ((-22554 * b - 46802 * r + 32768) >> 16));
        out[2] = clamp8(y[i] + ((116130 * b + 32768) >> 16));
    }
}

bool tn_jpeg_pixels(tn_jpeg *j, const tn_image_memory *memory, tn_image *out) {
    uint8_t *rows = memory->alloc(memory->context, j->width * 3);
    int *sums = memory->alloc(memory->context, (j->width + 1) * sizeof *sums);
    if (!rows || !sums || !tn_image_alloc(memory, j->width, j->height, j->count, out)) return false;
    for (int i = 0; i < j->count; i++) {
        tn_jpeg_component *c = &j->parts[i];
        c->samples = memory->alloc(memory->context, c->across * c->down * 64);
        if (!c->samples) return false;
        component_samples(j, c);
    }
    for (size_t y = 0; y < j->height; y++) {
        uint8_t *to = out->pixels + y * j->width * (size_t)j->count;
        for (int i = 0; i < j->count; i++)
            upsample_row(j, &j->parts[i], y, sums, j->count == 1 ? to : rows + (size_t)i * j->width);
        if (j->count == 1) continue;
        if (!j->rgb)
            to_rgb(rows, rows + j->width, rows + 2 * j->width, j->width, to);
        else
            for (size_t x = 0; x < j->width; x++)
                for (size_t i = 0; i < 3; i++) *to++ = rows[i * j->width + x];
    }
    return true;
}
