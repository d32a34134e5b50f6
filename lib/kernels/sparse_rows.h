/* The kernel of sparse products, once for all instruction sets; see sparse.h. A group's sums over SPARSE_VECS vectors of the
 * strip stay in registers while its columns are gone through. Single rows have sums enough for SINGLE_MOST vectors, of two
 * strips where one has fewer: a weight and its place are then read once for so many multiplications.
 *
 * Include after vec_<level>.h, with SPARSE_VECS and TN_LEVEL_OVERLAY defined. */
#include "kernels/kernels.h"

#define SPARSE_PART (SPARSE_VECS * VF_WIDTH)
#if VF_WIDTH == 1
#define SINGLE_MOST 2
#else
#define SINGLE_MOST 8
#endif
#if SINGLE_MOST * VF_WIDTH <= 64 /* TN_SPARSE_STRIP */
#define SINGLE_VECS SINGLE_MOST
#else
#define SINGLE_VECS (64 / VF_WIDTH)
#endif
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#if VF_WIDTH == 1
#define MULTIPLY_ADD(a, b, c) vf_add(vf_mul(a, b), c)
#else
#define MULTIPLY_ADD(a, b, c) vf_fma(a, b, c)
#endif

ALWAYS_INLINE void sparse_group(const tn_sparse_f32 *call, size_t g, size_t at, int group, int vecs, int strips) {
    vf sum[TN_SPARSE_GROUP][2 * SINGLE_VECS];
    const uint8_t *column = call->column + call->start[g], *end = call->column + call->start[g + 1];
    const float *value = call->value + call->start[g] * (size_t)group, *x = call->x + at;
    float *y = call->y + g * (size_t)group * TN_SPARSE_STRIP + at;
    const size_t x_next = call->x_next, y_next = call->y_next;
#pragma GCC unroll 4
    for (int r = 0; r < group; r++)
#pragma GCC unroll 16
        for (int v = 0; v < strips * vecs; v++)
            sum[r][v] = call->add ? vf_load(y + (size_t)(v / vecs) * y_next + r * TN_SPARSE_STRIP + v % vecs * VF_WIDTH)
                                  : vf_set(0);
    for (; column < end; column++, value += group) {
        const float *from = x + (size_t)*column * TN_SPARSE_STRIP;
        vf in[2 * SINGLE_VECS];
#pragma GCC unroll 16
        for (int v = 0; v < strips * vecs; v++)
            in[v] = vf_load(from + (size_t)(v / vecs) * x_next + v % vecs * VF_WIDTH);
#pragma GCC unroll 4
        for (int r = 0; r < group; r++) {
            vf w = vf_set(value[r]);
#pragma GCC unroll 16
            for (int v = 0; v < strips * vecs; v++) sum[r][v] = MULTIPLY_ADD(w, in[v], sum[r][v]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < group; r++)
#pragma GCC unroll 16
        for (int v = 0; v < strips * vecs; v++)
            vf_store(y + (size_t)(v / vecs) * y_next + r * TN_SPARSE_STRIP + v % vecs * VF_WIDTH, sum[r][v]);
}

static void sparse_strip(const tn_sparse_f32 *call) {
    for (size_t g = 0; g < call->groups; g++)
        if (call->group == 1)
            for (size_t at = 0; at < TN_SPARSE_STRIP; at += SINGLE_VECS * VF_WIDTH)
                sparse_group(call, g, at, 1, SINGLE_VECS, 1);
        else
            for (size_t at = 0; at < TN_SPARSE_STRIP; at += SPARSE_PART)
                sparse_group(call, g, at, TN_SPARSE_GROUP, SPARSE_VECS, 1);
}

static void sparse_f32(const tn_sparse_f32 *call) {
    tn_sparse_f32 one = *call;
#if 2 * SINGLE_VECS <= SINGLE_MOST
    if (call->group == 1 && call->strips == 2) {
        for (size_t g = 0; g < call->groups; g++)
            for (size_t at = 0; at < TN_SPARSE_STRIP; at += SINGLE_VECS * VF_WIDTH)
                sparse_group(call, g, at, 1, SINGLE_VECS, 2);
        return;
    }
#endif
    for (size_t s = 0; s < call->strips; s++, one.x += call->x_next, one.y += call->y_next) sparse_strip(&one);
}

void TN_LEVEL_OVERLAY(tn_kernels *table) {
    table->sparse_f32 = sparse_f32;
}
