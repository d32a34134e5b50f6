/* The tile of the 8-bit product, for every instruction set: the including file says how wide it is and how one step
 * multiplies. It defines
 *   TN_QV        accumulators of 32 bits; TN_QV_LANES of them in one, TN_QV_COUNT of those in a panel
 *   TN_QB, TN_QA what a load of the panel gives, and a broadcast of one group of a
 *   TN_QROWS     rows at a time; TN_QGROUP, TN_QA_SIZE as in tn_qgemm_layout
 *   TN_QB_SIZE   bytes of an element of the panel; 1 if not defined
 *   q_zero(), q_load_b(p, us), q_load_a(p), q_dot(acc, a, b, us), q_store(p, acc)
 * p of q_load_b moves on by TN_QV_LANES * TN_QGROUP elements from one to the next. The loops over rows and vectors are
 * unrolled early, or compilers leave the accumulators in memory. */
#include <string.h>

#ifndef TN_QB_SIZE
#define TN_QB_SIZE 1
#endif
#define TN_QSTEP (TN_QV_LANES * TN_QGROUP * TN_QB_SIZE)
#define TN_QCOLUMNS (TN_QV_LANES * TN_QV_COUNT)

static inline __attribute__((always_inline)) void q_tile(size_t rows, bool us, size_t k, const uint8_t *a,
                                                         const uint8_t *b, int32_t *c, size_t ldc, size_t width) {
    TN_QV acc[TN_QROWS][TN_QV_COUNT];
    const size_t a_stride = k * TN_QA_SIZE;
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (size_t v = 0; v < TN_QV_COUNT; v++) acc[r][v] = q_zero();
    for (size_t g = 0; g < k / TN_QGROUP; g++) {
        TN_QB panel[TN_QV_COUNT];
#pragma GCC unroll 4
        for (size_t v = 0; v < TN_QV_COUNT; v++) panel[v] = q_load_b(b + v * TN_QSTEP, us);
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            TN_QA left = q_load_a(a + r * a_stride);
#pragma GCC unroll 4
            for (size_t v = 0; v < TN_QV_COUNT; v++) acc[r][v] = q_dot(acc[r][v], left, panel[v], us);
        }
        a += TN_QGROUP * TN_QA_SIZE;
        b += TN_QV_COUNT * TN_QSTEP;
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        int32_t edge[TN_QCOLUMNS], *to = width == TN_QCOLUMNS ? c + r * ldc : edge;
#pragma GCC unroll 4
        for (size_t v = 0; v < TN_QV_COUNT; v++) q_store(to + v * TN_QV_LANES, acc[r][v]);
        if (to == edge) memcpy(c + r * ldc, edge, width * sizeof *c);
    }
}

/* One row alone: four steps at a time go to sums of their own, or each would wait for the one before. */
static inline __attribute__((always_inline)) void q_row(bool us, size_t k, const uint8_t *a, const uint8_t *b,
                                                        int32_t *c, size_t width) {
    enum { PARTS = 4 };
    TN_QV acc[PARTS][TN_QV_COUNT];
    int32_t part[PARTS][TN_QCOLUMNS];
#pragma GCC unroll 4
    for (size_t p = 0; p < PARTS; p++)
#pragma GCC unroll 4
        for (size_t v = 0; v < TN_QV_COUNT; v++) acc[p][v] = q_zero();
    const size_t groups = k / TN_QGROUP;
    size_t g = 0;
    for (; g + PARTS <= groups; g += PARTS)
#pragma GCC unroll 4
        for (size_t p = 0; p < PARTS; p++, a += TN_QGROUP * TN_QA_SIZE, b += TN_QV_COUNT * TN_QSTEP) {
            TN_QA left = q_load_a(a);
#pragma GCC unroll 4
            for (size_t v = 0; v < TN_QV_COUNT; v++)
                acc[p][v] = q_dot(acc[p][v], left, q_load_b(b + v * TN_QSTEP, us), us);
        }
    for (; g < groups; g++, a += TN_QGROUP * TN_QA_SIZE, b += TN_QV_COUNT * TN_QSTEP)
#pragma GCC unroll 4
        for (size_t v = 0; v < TN_QV_COUNT; v++)
            acc[0][v] = q_dot(acc[0][v], q_load_a(a), q_load_b(b + v * TN_QSTEP, us), us);
#pragma GCC unroll 4
    for (size_t p = 0; p < PARTS; p++)
#pragma GCC unroll 4
        for (size_t v = 0; v < TN_QV_COUNT; v++) q_store(part[p] + v * TN_QV_LANES, acc[p][v]);
    for (size_t i = 0; i < TN_QCOLUMNS; i++)
        part[0][i] =
            (int32_t)((uint32_t)part[0][i] + (uint32_t)part[1][i] + (uint32_t)part[2][i] + (uint32_t)part[3][i]);
    memcpy(c, part[0], width * sizeof *c);
}

static inline __attribute__((always_inline)) void q_gemm(bool us, size_t m, size_t n, size_t k, const uint8_t *a,
                                                         const uint8_t *b, int32_t *c, size_t ldc) {
    for (size_t j = 0; j < n; j += TN_QCOLUMNS) {
        size_t width = n - j < TN_QCOLUMNS ? n - j : TN_QCOLUMNS;
        for (size_t i = 0; i < m; i += TN_QROWS) {
            const uint8_t *rows = a + i * k * TN_QA_SIZE, *panel = b + j * k * TN_QB_SIZE;
            int32_t *to = c + i * ldc + j;
            switch (m - i) {
            case 1: q_row(us, k, rows, panel, to, width); break;
            case 2: q_tile(2, us, k, rows, panel, to, ldc, width); break;
            case 3: q_tile(3, us, k, rows, panel, to, ldc, width); break;
#if TN_QROWS > 4
            case 4: q_tile(4, us, k, rows, panel, to, ldc, width); break;
            case 5: q_tile(5, us, k, rows, panel, to, ldc, width); break;
#endif
#if TN_QROWS > 6
            case 6: q_tile(6, us, k, rows, panel, to, ldc, width); break;
            case 7: q_tile(7, us, k, rows, panel, to, ldc, width); break;
#endif
            default: q_tile(TN_QROWS, us, k, rows, panel, to, ldc, width); break;
            }
        }
    }
}

#if TN_QB_SIZE == 1
static void qgemm_us(size_t m, size_t n, size_t k, const void *a, const void *b, const uint32_t *order, int32_t *c,
                     size_t ldc, const void *next, size_t next_bytes) {
    (void)order, (void)next, (void)next_bytes;
    q_gemm(true, m, n, k, a, b, c, ldc);
}
static void qgemm_su(size_t m, size_t n, size_t k, const void *a, const void *b, int32_t *c, size_t ldc) {
    q_gemm(false, m, n, k, a, b, c, ldc);
}
#endif
