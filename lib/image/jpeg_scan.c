/* JPEG's entropy-coded data (T.81, annexes F and G) to coefficients. A sequential scan is the same as a progressive one's
 * first pass over all coefficients at once. Data that end too early read as zeros, as the other decoders have it. */
#include "image/jpeg.h"

typedef struct scan {
    const uint8_t *at, *end;
    uint32_t held;
    int bits;
    int before[3]; /* DC of the block before, a component */
    int skip;      /* blocks that the end-of-band run still covers */
    bool bad;
} scan;

static int take_bit(scan *s) {
    if (s->bits == 0) {
        s->held = 0;
        s->bits = 8;
        if (s->end - s->at >= 2 && s->at[0] == 0xff) {
            if (s->at[1] == 0) { /* a stuffed byte; a marker stays where it is */
                s->held = 0xff;
                s->at += 2;
            }
        } else if (s->at < s->end) {
            s->held = *s->at++;
        }
    }
    return (int)(s->held >> --s->bits & 1);
}

static int take(scan *s, int n) {
    int value = 0;
    while (n-- > 0) value = value * 2 + take_bit(s);
    return value;
}

/* A number of n bits whose lower half stands for negative ones. */
static int take_signed(scan *s, int n) {
    int value = take(s, n);
    return n && value < 1 << (n - 1) ? value - (1 << n) + 1 : value;
}

static int symbol_of(scan *s, const tn_jpeg_code *code) {
    int value = 0, first = 0, index = 0;
    for (int length = 1; length <= 16; length++) {
        value = value * 2 + take_bit(s);
        int count = code->count[length];
        if (value - first < count) return code->symbol[index + value - first];
        index += count;
        first = (first + count) * 2;
    }
    s->bad = true;
    return 0;
}

static int clamp16(int v) {
    return TN_MAX(TN_MIN(v, INT16_MAX), INT16_MIN);
}

static void dc_block(scan *s, const tn_jpeg_pass *pass, int i, int16_t *block) {
    if (pass->high) {
        if (take_bit(s)) block[0] |= (int16_t)(1 << pass->low);
        return;
    }
    int size = symbol_of(s, pass->dc[i]);
    if (size > 15) s->bad = true;
    s->before[i] = clamp16(s->before[i] + take_signed(s, TN_MIN(size, 15)));
    block[0] = (int16_t)clamp16(s->before[i] * (1 << pass->low));
}

static void ac_first(scan *s, const tn_jpeg_pass *pass, int i, int16_t *block) {
    if (s->skip) {
        s->skip--;
        return;
    }
    for (int k = TN_MAX(pass->first, 1); k <= pass->last && !s->bad; k++) {
        int symbol = symbol_of(s, pass->ac[i]), run = symbol >> 4, size = symbol & 15;
        if (size) {
            k += run;
            int value = take_signed(s, size);
            if (k <= pass->last) block[k] = (int16_t)clamp16(value * (1 << pass->low));
        } else if (run == 15) {
            k += 15;
        } else {
            s->skip = (1 << run) + take(s, run) - 1;
            return;
        }
    }
}

/* One more bit of a coefficient that is not zero. */
static void refine(scan *s, int16_t *value, int bit) {
    if (take_bit(s) && !(*value & bit)) *value = (int16_t)clamp16(*value + (*value > 0 ? bit : -bit));
}

static void ac_refine(scan *s, const tn_jpeg_pass *pass, int i, int16_t *block) {
    int k = pass->first, bit = 1 << pass->low;
    while (!s->skip && k <= pass->last && !s->bad) {
        int symbol = symbol_of(s, pass->ac[i]), run = symbol >> 4, value = 0;
        if (symbol & 15) {
            value = take_bit(s) ? bit : -bit;
        } else if (run < 15) {
            s->skip = (1 << run) + take(s, run);
            break;
        }
        for (; k <= pass->last; k++) { /* over `run` zeros; the others on the way are refined */
            if (block[k])
                refine(s, &block[k], bit);
            else if (run-- == 0)
                break;
        }
        if (value && k <= pass->last) block[k] = (int16_t)value;
        k++;
    }
    if (!s->skip) return;
    for (; k <= pass->last; k++)
        if (block[k]) refine(s, &block[k], bit);
    s->skip--;
}

static void block_of(scan *s, const tn_jpeg *j, const tn_jpeg_pass *pass, int i, size_t x, size_t y) {
    const tn_jpeg_component *c = pass->parts[i];
    int16_t *block = c->blocks + (y * c->across + x) * 64;
    if (pass->first == 0) dc_block(s, pass, i, block);
    if (pass->last == 0) return;
    if (pass->high)
        ac_refine(s, pass, i, block);
    else
        ac_first(s, pass, i, block);
    if (!j->progressive) s->skip = 0;
}

/* Past a restart marker, if one stands here; what was held back starts anew. */
static void restart(scan *s) {
    s->bits = s->skip = 0;
    memset(s->before, 0, sizeof s->before);
    if (s->end - s->at >= 2 && s->at[0] == 0xff && s->at[1] >= 0xd0 && s->at[1] <= 0xd7) s->at += 2;
}

const uint8_t *tn_jpeg_scan(const tn_jpeg *j, const tn_jpeg_pass *pass, const uint8_t *at, const uint8_t *end) {
    scan s = {.at = at, .end = end};
    const tn_jpeg_component *only = pass->parts[0];
    /* Of a component alone only the blocks with pixels are there, one by one. */
    bool alone = pass->count == 1;
    size_t across = alone ? (only->width + 7) / 8 : only->across / only->h;
    size_t down = alone ? (only->height + 7) / 8 : only->down / only->v;
    for (size_t unit = 0; unit < across * down && !s.bad; unit++) {
        if (unit && j->restart && unit % j->restart == 0) restart(&s);
        size_t ux = unit % across, uy = unit / across;
        if (alone) {
            block_of(&s, j, pass, 0, ux, uy);
            continue;
        }
        for (int i = 0; i < pass->count; i++) {
            const tn_jpeg_component *c = pass->parts[i];
            for (size_t y = 0; y < c->v; y++)
                for (size_t x = 0; x < c->h; x++) block_of(&s, j, pass, i, ux * c->h + x, uy * c->v + y);
        }
    }
    return s.bad ? NULL : s.at;
}
