/* Models of elements: see elements.h, and tenon/delta.h for what of it is the format. */
#include "delta/elements.h"
#include "model/file.h"

enum { CONTEXTS = 256, MOST_NODES = 128, NEW_PLANES = 8 };

/* Width in bytes; bits of the tree that codes how long a difference is; fraction bits of a float, or 0. */
static const struct kind {
    uint8_t width, depth, fraction, exponent;
} kinds[TN_ELEMENTS] = {
    [TN_ELEMENT_BYTE] = {1, 4, 0, 0},     [TN_ELEMENT_INT8] = {1, 4, 0, 0},     [TN_ELEMENT_INT16] = {2, 5, 0, 0},
    [TN_ELEMENT_INT32] = {4, 6, 0, 0},    [TN_ELEMENT_INT64] = {8, 7, 0, 0},    [TN_ELEMENT_FLOAT16] = {2, 5, 10, 5},
    [TN_ELEMENT_BFLOAT16] = {2, 5, 7, 8}, [TN_ELEMENT_FLOAT32] = {4, 6, 23, 8}, [TN_ELEMENT_FLOAT64] = {8, 7, 52, 11},
};

/* What is learnt of the differences of one kind of element. */
typedef struct changes {
    tn_slot *length[3]; /* CONTEXTS trees each */
    tn_mixer mixers[MOST_NODES];
    tn_slot sign[16];
    tn_slot top[65][8]; /* the three bits below the first, by the length */
    int lengths[3];     /* of the last three differences */
    int exponent;       /* of the last element */
    int average;        /* of what is expected of a length, in sixteenths */
    int last_sign;      /* 0: none yet, 1: up, 2: down */
    bool begun;         /* in this block; before, nothing of the above is there */
} changes;

struct tn_models {
    tn_logistic logistic;
    changes changes[TN_ELEMENTS];
    /* Bytes from nothing: by their plane alone; by the same plane of the element before; by the byte before. */
    tn_slot planes[NEW_PLANES][256], same[4][256][256], before[256][256];
    tn_mixer bytes[NEW_PLANES];
    uint8_t last[8]; /* bytes of a NEW, the newest first */
    bool begun;      /* as above */
    /* Steps. */
    tn_slot kind[TN_STEP_KINDS + 1][4], element[16][16], moved[2], back, sizes[TN_STEP_KINDS * TN_ELEMENTS + 1][64],
        low[64][8];
    tn_step_kind last_kind;
    tn_element last_element;
    uint64_t base_at; /* where the base goes on if nothing came in or fell out */
    uint64_t held_at; /* behind what was taken of it last */
    size_t slots;
    tn_slot tables[]; /* of all changes.length */
};

int tn_element_width(tn_element element) {
    return kinds[element].width;
}

static size_t slots_of(tn_element element) {
    return (size_t)3 * CONTEXTS << kinds[element].depth;
}

tn_models *tn_models_create(void) {
    size_t slots = 0;
    for (int e = 0; e < TN_ELEMENTS; e++) slots += slots_of((tn_element)e);
    tn_models *m = tn_alloc(NULL, sizeof *m + slots * sizeof(tn_slot));
    if (!m) return NULL;
    m->slots = slots;
    tn_slot *at = m->tables;
    for (int e = 0; e < TN_ELEMENTS; e++)
        for (int i = 0; i < 3; i++, at += slots_of((tn_element)e) / 3) m->changes[e].length[i] = at;
    tn_logistic_make(&m->logistic);
    return m;
}

void tn_models_destroy(tn_models *m) {
    if (m) tn_free(NULL, m, sizeof *m + m->slots * sizeof(tn_slot));
}

static void renew(tn_slot *slots, size_t count) {
    const size_t first = TN_MIN(count, (size_t)1024);
    for (size_t i = 0; i < first; i++) slots[i] = TN_SLOT_NEW;
    for (size_t done = first; done < count; done += TN_MIN(first, count - done))
        memcpy(slots + done, slots, TN_MIN(first, count - done) * sizeof *slots);
}
#define RENEW(array) renew((tn_slot *)(array), sizeof(array) / sizeof(tn_slot))

static void renew_mixers(tn_mixer *mixers, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (int k = 0; k < 3; k++) mixers[i].weight[k] = TN_MIXER_NEW;
}

/* What few blocks need is renewed where they do: it is some megabytes, and a block may be short. */
static void begin_changes(tn_models *m, tn_element element) {
    changes *k = &m->changes[element];
    if (k->begun) return;
    renew(k->length[0], slots_of(element));
    RENEW(k->sign);
    RENEW(k->top);
    renew_mixers(k->mixers, MOST_NODES);
    memset(k->lengths, 0, sizeof k->lengths);
    k->exponent = k->average = k->last_sign = 0;
    k->begun = true;
}

static void begin_bytes(tn_models *m) {
    if (m->begun) return;
    RENEW(m->planes);
    RENEW(m->same);
    RENEW(m->before);
    renew_mixers(m->bytes, NEW_PLANES);
    memset(m->last, 0, sizeof m->last);
    m->begun = true;
}

void tn_models_reset(tn_models *m, uint64_t base_at) {
    for (int e = 0; e < TN_ELEMENTS; e++) m->changes[e].begun = false;
    m->begun = false;
    RENEW(m->kind);
    RENEW(m->element);
    RENEW(m->moved);
    RENEW(m->sizes);
    RENEW(m->low);
    renew(&m->back, 1);
    m->last_kind = TN_STEP_KINDS;
    m->last_element = TN_ELEMENT_BYTE;
    m->base_at = m->held_at = base_at;
}

/* ---- differences ---- */

/* Elements as whole numbers in the order of what they stand for: of floats, the negative ones turned round. */
static uint64_t mask_of(const struct kind *k) {
    return UINT64_MAX >> (64 - 8 * k->width);
}
static uint64_t ordered(const struct kind *k, uint64_t v) {
    uint64_t sign = UINT64_C(1) << (8 * k->width - 1);
    if (!k->fraction) return v;
    return v & sign ? v ^ mask_of(k) : v | sign;
}
static uint64_t unordered(const struct kind *k, uint64_t v) {
    uint64_t sign = UINT64_C(1) << (8 * k->width - 1);
    if (!k->fraction) return v;
    return v & sign ? v ^ sign : v ^ mask_of(k);
}

static int bits_of(uint64_t v) {
    return v ? 64 - __builtin_clzll(v) : 0;
}

/* The difference as a magnitude and a direction. */
static uint64_t magnitude_of(const struct kind *k, uint64_t from, uint64_t to, bool *out_down) {
    uint64_t up = (to - from) & mask_of(k), down = (from - to) & mask_of(k);
    *out_down = down < up;
    return *out_down ? down : up;
}

int tn_element_distance(tn_element element, const uint8_t *base, const uint8_t *result) {
    const struct kind *k = &kinds[element];
    bool down;
    return bits_of(
        magnitude_of(k, ordered(k, tn_get_little(base, k->width)), ordered(k, tn_get_little(result, k->width)), &down));
}

/* What the lengths of differences hang on. In floats it is how great the change is, and the element's exponent: of a weight
 * twice as great the same change is one bit shorter. In whole numbers, the neighbours' changes and the element. */
static void contexts_of(const changes *s, const struct kind *k, uint64_t base, int exponent, int out[3]) {
    const int *l = s->lengths;
    if (k->fraction) {
        out[0] = TN_MAX(TN_MIN((s->average - 16 * exponent) / 8, 255), 0);
        out[1] = exponent;
        out[2] = (l[0] ? TN_MAX(TN_MIN(l[0] + s->exponent - exponent, 127), 1) : 0) + (l[1] ? 128 : 0);
    } else if (k->width == 1) {
        out[0] = (int)base;
        out[1] = TN_MIN(l[0], 3) * 64 + TN_MIN(l[1], 3) * 16 + TN_MIN(l[2], 3) * 4 + s->last_sign;
        out[2] = TN_MIN(s->average / 4, 63) * 4 + (base == 0 ? 0 : base >> 7 ? 1 : base < 32 ? 2 : 3);
    } else {
        out[0] = l[0];
        out[1] = TN_MIN(l[0], 15) * 16 + TN_MIN(l[1], 15);
        out[2] = bits_of(base);
    }
}

/* The exponent in 8 bits. */
static int exponent_of(const struct kind *k, uint64_t v) {
    int e = (int)(v >> k->fraction & ((1u << k->exponent) - 1));
    return k->exponent > 8 ? e >> (k->exponent - 8) : e;
}

static void remember(changes *s, const struct kind *k, int length, bool down, int exponent) {
    int now = 16 * (length + (k->fraction ? exponent : 0));
    if (!k->fraction)
        s->average += (now - s->average) / 16;
    else if (length)
        s->average = s->average ? s->average + (now - s->average) / 8 : now;
    s->lengths[2] = s->lengths[1];
    s->lengths[1] = s->lengths[0];
    s->lengths[0] = length;
    s->exponent = exponent;
    s->last_sign = length == 0 ? 0 : down ? 2 : 1;
}

/* The bits below the first: up to three are learnt, the others are not worth it. */
static uint64_t below(tn_models *m, tn_coder *c, tn_slot top[8], int count, uint64_t value) {
    uint64_t node = 1;
    int learnt = TN_MIN(count, 3), rest = count - learnt;
    for (int i = learnt - 1; i >= 0; i--)
        node = node << 1 | (uint64_t)tn_coder_learn(c, &m->logistic, &top[node], (int)(value >> (rest + i) & 1));
    uint64_t high = node ^ UINT64_C(1) << learnt; /* without the 1 at the root */
    return (rest ? high << rest : high) | tn_coder_raw(c, rest, value & (rest ? UINT64_MAX >> (64 - rest) : 0));
}

static uint64_t code_change(tn_models *m, tn_coder *c, changes *s, const struct kind *k, uint64_t base, uint64_t to) {
    uint64_t from = ordered(k, base);
    int exponent = k->fraction ? exponent_of(k, base) : 0, context[3];
    bool down = false;
    uint64_t magnitude = c->decodes ? 0 : magnitude_of(k, from, ordered(k, to), &down);
    int length = bits_of(magnitude);
    tn_slot *trees[3], *slots[3];
    contexts_of(s, k, base, exponent, context);
    for (int i = 0; i < 3; i++) trees[i] = s->length[i] + ((size_t)context[i] << k->depth);
    unsigned node = 1;
    for (int i = k->depth - 1; i >= 0; i--) {
        for (int t = 0; t < 3; t++) slots[t] = &trees[t][node];
        node = node << 1 | (unsigned)tn_coder_mix(c, &m->logistic, &s->mixers[node], slots, length >> i & 1);
    }
    length = TN_MIN((int)(node ^ 1u << k->depth), 8 * k->width);
    if (length) {
        int context_of_sign = s->last_sign * 4 + (length <= 2 ? 2 : 0) + (int)(base >> (8 * k->width - 1));
        down = tn_coder_learn(c, &m->logistic, &s->sign[context_of_sign], down);
        magnitude = UINT64_C(1) << (length - 1) | below(m, c, s->top[length], length - 1, magnitude);
    }
    remember(s, k, length, down, exponent);
    return unordered(k, (down ? from - magnitude : from + magnitude) & mask_of(k));
}

void tn_models_change(tn_models *m, tn_coder *c, tn_element element, const uint8_t *base, uint8_t *out, size_t count) {
    const struct kind *k = &kinds[element];
    begin_changes(m, element);
    for (size_t i = 0; i < count; i++, base += k->width, out += k->width) {
        uint64_t v = tn_get_little(base, k->width), to = c->decodes ? 0 : tn_get_little(out, k->width);
        to = code_change(m, c, &m->changes[element], k, v, to);
        if (c->decodes) tn_put_little(out, k->width, to);
    }
}

/* ---- bytes from nothing ---- */

static uint8_t code_byte(tn_models *m, tn_coder *c, int plane, int width, uint8_t byte) {
    tn_slot *trees[3] = {m->planes[plane], m->same[plane & 3][m->last[width - 1]], m->before[m->last[0]]}, *slots[3];
    unsigned node = 1;
    for (int i = 7; i >= 0; i--) {
        for (int t = 0; t < 3; t++) slots[t] = &trees[t][node];
        node = node << 1 | (unsigned)tn_coder_mix(c, &m->logistic, &m->bytes[plane], slots, byte >> i & 1);
    }
    memmove(m->last + 1, m->last, sizeof m->last - 1);
    return m->last[0] = (uint8_t)node;
}

void tn_models_new(tn_models *m, tn_coder *c, tn_element element, uint8_t *out, size_t count) {
    int width = kinds[element].width;
    begin_bytes(m);
    for (size_t i = 0; i < count; i++)
        for (int plane = 0; plane < width; plane++, out++) {
            uint8_t byte = code_byte(m, c, plane, width, c->decodes ? 0 : *out);
            if (c->decodes) *out = byte;
        }
}

/* ---- steps ---- */

static unsigned code_tree(tn_models *m, tn_coder *c, tn_slot *tree, int depth, unsigned value) {
    unsigned node = 1;
    for (int i = depth - 1; i >= 0; i--)
        node = node << 1 | (unsigned)tn_coder_learn(c, &m->logistic, &tree[node], (int)(value >> i & 1));
    return node ^ 1u << depth;
}

/* A number from 1 on: how many bits it has, then those below the first. */
static uint64_t code_number(tn_models *m, tn_coder *c, tn_slot sizes[64], uint64_t value) {
    int size = (int)code_tree(m, c, sizes, 6, value ? (unsigned)bits_of(value) - 1 : 0);
    return UINT64_C(1) << size | below(m, c, m->low[size], size, value);
}

static void code_place(tn_models *m, tn_coder *c, tn_step *step) {
    uint64_t expected = m->base_at, held = m->held_at;
    if (tn_coder_learn(c, &m->logistic, &m->moved[0], step->base != expected)) {
        if (tn_coder_learn(c, &m->logistic, &m->moved[1], step->base != held)) {
            bool back = tn_coder_learn(c, &m->logistic, &m->back, step->base < expected);
            uint64_t distance = back ? expected - step->base : step->base - expected;
            distance = code_number(m, c, m->sizes[TN_STEP_KINDS * TN_ELEMENTS], distance);
            step->base = back ? expected - distance : expected + distance;
        } else {
            step->base = held;
        }
    } else {
        step->base = expected;
    }
}

bool tn_models_step(tn_models *m, tn_coder *c, tn_step *step) {
    step->kind = (tn_step_kind)code_tree(m, c, m->kind[m->last_kind], 2, step->kind);
    if (step->kind >= TN_STEP_KINDS) return false;
    if (step->kind == TN_STEP_COPY)
        step->element = TN_ELEMENT_BYTE;
    else
        step->element = (tn_element)code_tree(m, c, m->element[m->last_element], 4, step->element);
    if (step->element >= TN_ELEMENTS) return false;
    if (step->kind == TN_STEP_NEW)
        step->base = m->base_at;
    else
        code_place(m, c, step);
    uint64_t width = kinds[step->element].width;
    uint64_t count = code_number(m, c, m->sizes[step->kind * TN_ELEMENTS + step->element], step->length / width);
    if (count > UINT64_MAX / width) return false;
    step->length = count * width;
    m->last_kind = step->kind;
    if (step->kind != TN_STEP_COPY) m->last_element = step->element;
    m->held_at = step->kind == TN_STEP_NEW ? m->held_at : step->base + step->length;
    m->base_at = step->base + step->length;
    return true;
}
