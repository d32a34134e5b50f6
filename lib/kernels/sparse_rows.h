/* The kernel of sparse products, once for all instruction sets; see sparse.h. A group's sums over SPARSE_VECS vectors of the
 * strip stay in registers while its columns are gone through.
 *
 * Include after vec_<level>.h, with SPARSE_VECS and TN_LEVEL_OVERLAY defined. */
#include "kernels/kernels.h"

#define SPARSE_PART (SPARSE_VECS * VF_WIDTH)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#if VF_WIDTH == 1
#define MULTIPLY_ADD(a, b, c) vf_add(vf_mul(a, b), c)
#else
#define MULTIPLY_ADD(a, b, c) vf_fma(a, b, c)
#endif

ALWAYS_INLINE void sparse_group(const uint32_t *column, const uint32_t *end, const float *value, const float *x,
                                float *y, int group, int vecs) {
    vf sum[TN_SPARSE_GROUP][2 * SPARSE_VECS];
#pragma GCC unroll 4
    for (int r = 0; r < group; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vecs; v++) sum[r][v] = vf_set(0);
    for (; column < end; column++, value += group) {
        const float *from = x + (size_t)*column * TN_SPARSE_STRIP;
        vf in[2 * SPARSE_VECS];
#pragma GCC unroll 8
        for (int v = 0; v < vecs; v++) in[v] = vf_load(from + v * VF_WIDTH);
#pragma GCC unroll 4
        for (int r = 0; r < group; r++) {
            vf w = vf_set(value[r]);
#pragma GCC unroll 8
            for (int v = 0; v < vecs; v++) sum[r][v] = MULTIPLY_ADD(w, in[v], sum[r][v]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < group; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vecs; v++) vf_store(y + r * TN_SPARSE_STRIP + v * VF_WIDTH, sum[r][v]);
}

/* Single rows have sums enough for twice as many vectors, where the strip has them. */
#define SINGLE_VECS (2 * SPARSE_PART <= TN_SPARSE_STRIP ? 2 * SPARSE_VECS : SPARSE_VECS)

static void sparse_f32(const tn_sparse_f32 *call) {
    for (size_t g = 0; g < call->groups; g++) {
        const uint32_t *column = call->column + call->start[g], *end = call->column + call->start[g + 1];
        const float *value = call->value + call->start[g] * call->group;
        float *y = call->y + g * call->group * TN_SPARSE_STRIP;
        if (call->group == 1)
            for (size_t at = 0; at < TN_SPARSE_STRIP; at += SINGLE_VECS * VF_WIDTH)
                sparse_group(column, end, value, call->x + at, y + at, 1, SINGLE_VECS);
        else
            for (size_t at = 0; at < TN_SPARSE_STRIP; at += SPARSE_PART)
                sparse_group(column, end, value, call->x + at, y + at, TN_SPARSE_GROUP, SPARSE_VECS);
    }
}

void TN_LEVEL_OVERLAY(tn_kernels *table) {
    table->sparse_f32 = sparse_f32;
}
