/* Packing for the 8-bit matrix products; see qgemm.h. Weights are packed once, activations at each run: there it costs
 * one pass over them, against as many as there are columns. */
#include "kernels/qgemm.h"
#include "base/base.h"

static const tn_qgemm_layout layouts[TN_CPU_LEVELS] = {
    [TN_CPU_SCALAR] = {8, 1, 2, 1, false, false, false},   [TN_CPU_AVX2] = {16, 4, 1, 4, false, true, true},
    [TN_CPU_AVXVNNI] = {16, 4, 1, 6, false, false, false}, [TN_CPU_AVX512] = {32, 2, 2, 8, false, false, false},
    [TN_CPU_VNNI] = {32, 4, 1, 8, false, false, false},    [TN_CPU_BF16] = {32, 4, 1, 8, false, false, false},
    [TN_CPU_AMX] = {32, 4, 1, 32, false, false, false},    [TN_CPU_NEON] = {16, 1, 2, 4, false, false, false},
    [TN_CPU_DOTPROD] = {16, 4, 1, 6, true, false, false},  [TN_CPU_I8MM] = {16, 4, 1, 8, true, false, false},
};

const tn_qgemm_layout *tn_qgemm_layout_of(const tn_kernels *kernels) {
    return &layouts[kernels->level];
}

size_t tn_qgemm_a_bytes(const tn_qgemm_layout *layout, size_t m, size_t k) {
    size_t bytes;
    if (k > SIZE_MAX / 8 || !tn_mul_size(m, tn_qgemm_k(layout, k) * (size_t)layout->a_size, &bytes)) return SIZE_MAX;
    return bytes;
}

/* Of a panel, in numbers: see tn_qgemm_order. */
static size_t order_length(const tn_qgemm_layout *layout, size_t k) {
    return 1 + tn_qgemm_k(layout, k) / (size_t)layout->group;
}

size_t tn_qgemm_b_bytes(const tn_qgemm_layout *layout, size_t k, size_t n) {
    size_t bytes, columns = (size_t)layout->columns;
    if (k > SIZE_MAX / 8 || n > SIZE_MAX / 8) return SIZE_MAX;
    const size_t panels = (n + columns - 1) / columns;
    if (!tn_mul_size(panels * columns, tn_qgemm_k(layout, k), &bytes)) return SIZE_MAX;
    if (!layout->saturates) return bytes;
    size_t orders;
    return tn_mul_size(panels, order_length(layout, k) * sizeof(uint32_t), &orders) &&
                   tn_add_size(bytes, orders, &bytes)
               ? bytes
               : SIZE_MAX;
}

/* Where the order of the panel that has a column lies, in bytes from the beginning. */
static size_t order_at(const tn_qgemm_layout *layout, size_t k, size_t n, size_t column) {
    const size_t columns = (size_t)layout->columns, panels = (n + columns - 1) / columns;
    return panels * columns * tn_qgemm_k(layout, k) + column / columns * order_length(layout, k) * sizeof(uint32_t);
}

const uint32_t *tn_qgemm_order(const tn_qgemm_layout *layout, const void *packed, size_t k, size_t n, size_t column) {
    if (!layout->saturates) return NULL;
    return (const uint32_t *)(const void *)((const uint8_t *)packed + order_at(layout, k, n, column));
}

enum { STEP = 64, TRIES = 16 }; /* bytes of a step of the layout that saturates */

/* Whether products of two steps (the second may be NULL) fit into 16 bits when they are added. */
static bool can_be_added(const uint8_t *one, const uint8_t *two) {
    static const uint8_t none[STEP];
    int16_t room = 0; /* negative if there was too little for any */
    if (!two) two = none;
    for (int i = 0; i < STEP; i += 2) {
        const int16_t a = (int8_t)one[i], b = (int8_t)one[i + 1], c = (int8_t)two[i], d = (int8_t)two[i + 1];
        const int16_t above = (int16_t)(TN_MAX(a, 0) + TN_MAX(b, 0) + TN_MAX(c, 0) + TN_MAX(d, 0));
        const int16_t below = (int16_t)(above - a - b - c - d);
        room = (int16_t)(room | (128 - above) | (128 - below));
    }
    return room >= 0;
}

typedef struct {
    uint8_t *steps; /* of a panel */
    uint32_t *at;   /* where each begins in k */
} ordering;

static const uint8_t *step(const ordering *o, size_t i) {
    return o->steps + i * STEP;
}

static void swap_steps(ordering *o, size_t i, size_t j) {
    uint8_t kept[STEP];
    memcpy(kept, step(o, i), STEP);
    memcpy(o->steps + i * STEP, step(o, j), STEP);
    memcpy(o->steps + j * STEP, kept, STEP);
    const uint32_t at = o->at[i];
    o->at[i] = o->at[j];
    o->at[j] = at;
}

/* Makes steps i and i + 1, which cannot be added, such that can, by a swap with one of the `good` ones. */
static bool mend(ordering *o, size_t i, size_t good) {
    for (size_t j = good, tries = 0; j > 0 && tries < TRIES; tries++) {
        j -= 2;
        for (size_t other = j; other < j + 2; other++)
            if (can_be_added(step(o, i), step(o, other)) && can_be_added(step(o, i + 1), step(o, j + j + 1 - other))) {
                swap_steps(o, i + 1, other);
                return true;
            }
    }
    return false;
}

/* See tn_qgemm_order. Neighbours are tried first: they can be added nine times out of ten in trained networks. */
static void put_in_order(uint8_t *panel, size_t steps, uint32_t *order) {
    ordering o = {panel, order + 1};
    size_t good = 0, end = steps / 2 * 2;
    for (size_t i = 0; i < steps; i++) o.at[i] = (uint32_t)i * 4;
    while (good < end)
        if (can_be_added(step(&o, good), step(&o, good + 1)))
            good += 2;
        else {
            end -= 2;
            swap_steps(&o, good, end);
            swap_steps(&o, good + 1, end + 1);
        }
    for (size_t i = end, all = steps / 2 * 2; i < all; i += 2) {
        if (!mend(&o, i, good)) continue;
        swap_steps(&o, good, i);
        swap_steps(&o, good + 1, i + 1);
        good += 2;
    }
    for (size_t i = good; i < steps; i++) o.at[i] |= !can_be_added(step(&o, i), NULL);
    order[0] = (uint32_t)(good / 2);
}

/* The loops over k, once with a step of one and once with any. */
#define EACH_K(statement)                                                                                              \
    do {                                                                                                               \
        if (k_stride == 1)                                                                                             \
            for (size_t i = 0; i < k; i++) {                                                                           \
                uint8_t v = a[i] ^ flip;                                                                               \
                statement;                                                                                             \
            }                                                                                                          \
        else                                                                                                           \
            for (size_t i = 0; i < k; i++) {                                                                           \
                uint8_t v = a[i * k_stride] ^ flip;                                                                    \
                statement;                                                                                             \
            }                                                                                                          \
    } while (0)

void tn_qgemm_pack_a(const tn_qgemm_layout *layout, void *dst, const uint8_t *a, size_t m_stride, size_t k_stride,
                     size_t m, size_t k, bool a_signed, uint8_t flip, int32_t *sums) {
    size_t padded = tn_qgemm_k(layout, k);
    for (size_t r = 0; r < m; r++, a += m_stride) {
        uint32_t sum = 0; /* modulo 2^32, as the products */
        if (sums && a_signed)
            EACH_K(sum += (uint32_t)(int8_t)v);
        else if (sums)
            EACH_K(sum += v);
        if (sums) sums[r] = (int32_t)sum;
        if (layout->a_size == 1) {
            uint8_t *d = (uint8_t *)dst + r * padded;
            EACH_K(d[i] = v);
            for (size_t i = k; i < padded; i++) d[i] = 0;
        } else {
            int16_t *d = (int16_t *)dst + r * padded;
            if (a_signed)
                EACH_K(d[i] = (int8_t)v);
            else
                EACH_K(d[i] = v);
            for (size_t i = k; i < padded; i++) d[i] = 0;
        }
    }
}
#undef EACH_K

static inline __attribute__((always_inline)) void interleave(int group, uint8_t *restrict dst,
                                                             const uint8_t *const *source, int live, size_t n,
                                                             size_t stride, uint8_t flip) {
    const uint8_t *s[4];
    uint8_t mask[4];
    for (int g = 0; g < group; g++) {
        s[g] = source[g < live ? g : 0];
        mask[g] = g < live ? 0xff : 0;
    }
    for (size_t i = 0; i < n; i++)
        for (int g = 0; g < group; g++) dst[i * (size_t)group + (size_t)g] = (s[g][i * stride] ^ flip) & mask[g];
}

/* A panel of `width` columns: one group of k after the other, so that the inner loops know their length. */
static inline __attribute__((always_inline)) void pack_panel(int group, uint8_t *restrict panel, const uint8_t *b,
                                                             size_t k_stride, size_t n_stride, size_t k, size_t columns,
                                                             size_t width, uint8_t flip) {
    size_t step = (size_t)group;
    for (size_t i = 0; i < k; i += step, panel += columns * step, b += k_stride * step) {
        const uint8_t *source[4] = {b};
        int live = (int)TN_MIN(step, k - i);
        for (int g = 1; g < live; g++) source[g] = b + (size_t)g * k_stride;
        if (n_stride == 1)
            interleave(group, panel, source, live, width, 1, flip);
        else
            interleave(group, panel, source, live, width, n_stride, flip);
    }
}

/* sums[c]: of column c's k values, modulo 2^32 as the products. */
static void sum_columns(int32_t *restrict sums, const uint8_t *restrict b, size_t k_stride, size_t n_stride, size_t k,
                        size_t width, bool b_signed, uint8_t flip) {
    uint8_t bias = b_signed ? 0x80 : 0; /* read unsigned, signed values are larger by that */
    flip ^= bias;
    for (size_t c = 0; c < width; c++) sums[c] = (int32_t)(0u - (uint32_t)k * bias);
    for (size_t c = 0; k_stride == 1 && c < width; c++) {
        uint32_t sum = 0;
        for (size_t i = 0; i < k; i++) sum += (uint8_t)(b[c * n_stride + i] ^ flip);
        sums[c] = (int32_t)((uint32_t)sums[c] + sum);
    }
    for (size_t i = 0; k_stride != 1 && i < k; i++, b += k_stride) {
        if (n_stride == 1)
            for (size_t c = 0; c < width; c++) sums[c] = (int32_t)((uint32_t)sums[c] + (uint8_t)(b[c] ^ flip));
        else
            for (size_t c = 0; c < width; c++)
                sums[c] = (int32_t)((uint32_t)sums[c] + (uint8_t)(b[c * n_stride] ^ flip));
    }
}

void tn_qgemm_pack_b(const tn_qgemm_layout *layout, void *dst, const uint8_t *b, size_t k_stride, size_t n_stride,
                     size_t k, size_t n, bool b_signed, uint8_t flip, int32_t *sums) {
    size_t columns = (size_t)layout->columns, padded = tn_qgemm_k(layout, k);
    for (size_t c0 = 0; c0 < n; c0 += columns) {
        uint8_t *panel = (uint8_t *)dst + c0 * padded;
        const uint8_t *from = b + c0 * n_stride;
        size_t width = TN_MIN(columns, n - c0);
        if (width < columns) memset(panel, 0, columns * padded);
        if (layout->group == 4)
            pack_panel(4, panel, from, k_stride, n_stride, k, columns, width, flip);
        else if (layout->group == 2)
            pack_panel(2, panel, from, k_stride, n_stride, k, columns, width, flip);
        else
            pack_panel(1, panel, from, k_stride, n_stride, k, columns, width, flip);
        if (layout->saturates && b_signed)
            put_in_order(panel, padded / (size_t)layout->group, (void *)((uint8_t *)dst + order_at(layout, k, n, c0)));
        if (sums) sum_columns(sums + c0, from, k_stride, n_stride, k, width, b_signed, flip);
    }
}

void tn_qgemm_interleave(const tn_qgemm_layout *layout, uint8_t *dst, const uint8_t *const *source, int live, size_t n,
                         size_t stride, uint8_t flip) {
    if (layout->group == 4)
        stride == 1 ? interleave(4, dst, source, live, n, 1, flip) : interleave(4, dst, source, live, n, stride, flip);
    else if (layout->group == 2)
        stride == 1 ? interleave(2, dst, source, live, n, 1, flip) : interleave(2, dst, source, live, n, stride, flip);
    else
        interleave(1, dst, source, live, n, stride, flip);
}
