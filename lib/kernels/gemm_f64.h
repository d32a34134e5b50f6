/* Template of gemm_f64.inc. Its user defines, for a vector vd of VD_LANES doubles: vd_load, vd_store, vd_set, vd_add and
 * vd_multiply_add(a, b, sum); a tile of GEMM_ROWS rows and GEMM_VECS vectors; GEMM_OVERLAY, the function that enters the
 * kernels into a table. */
#include <string.h>
#include "kernels/kernels.h"

enum { COLUMNS = GEMM_VECS * VD_LANES };

static void gemm_f64_tile(size_t *rows, size_t *columns) {
    *rows = GEMM_ROWS;
    *columns = COLUMNS;
}

typedef struct call_f64 {
    size_t n, k, a_row, a_step, b_step, c_row;
    const double *b;
    bool first;
} call_f64;

/* m is a constant wherever this is inlined, so that the sums stay in registers. */
static inline __attribute__((always_inline)) void tile(int m, const call_f64 *t, const double *a, double *c) {
    vd sum[GEMM_ROWS][GEMM_VECS];
    const double *b = t->b;
    const size_t a_row = t->a_row, a_step = t->a_step, b_step = t->b_step;
#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
#pragma GCC unroll 4
        for (int v = 0; v < GEMM_VECS; v++) sum[i][v] = vd_set(0);
    for (size_t k = 0; k < t->k; k++) {
        vd row[GEMM_VECS];
#pragma GCC unroll 4
        for (int v = 0; v < GEMM_VECS; v++) row[v] = vd_load(b + v * VD_LANES);
#pragma GCC unroll 16
        for (int i = 0; i < m; i++) {
            vd factor = vd_set(a[(size_t)i * a_row]);
#pragma GCC unroll 4
            for (int v = 0; v < GEMM_VECS; v++) sum[i][v] = vd_multiply_add(factor, row[v], sum[i][v]);
        }
        a += a_step;
        b += b_step;
    }
    double part[GEMM_ROWS * COLUMNS], *to = t->n == COLUMNS ? c : part;
    const size_t stride = t->n == COLUMNS ? t->c_row : COLUMNS;
    for (int i = 0; to == part && !t->first && i < m; i++)
        memcpy(part + i * COLUMNS, c + (size_t)i * t->c_row, t->n * 8);
    if (!t->first) {
#pragma GCC unroll 16
        for (int i = 0; i < m; i++)
#pragma GCC unroll 4
            for (int v = 0; v < GEMM_VECS; v++)
                sum[i][v] = vd_add(vd_load(to + (size_t)i * stride + v * VD_LANES), sum[i][v]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
#pragma GCC unroll 4
        for (int v = 0; v < GEMM_VECS; v++) vd_store(to + (size_t)i * stride + v * VD_LANES, sum[i][v]);
    for (int i = 0; to == part && i < m; i++) memcpy(c + (size_t)i * t->c_row, part + i * COLUMNS, t->n * 8);
}

#define TILE(count)                                                                                                    \
    static void tile_##count(const call_f64 *t, const double *a, double *c) {                                          \
        tile(count, t, a, c);                                                                                          \
    }
TILE(1)
TILE(2)
TILE(4)
#if GEMM_ROWS > 4
static void tile_all(const call_f64 *t, const double *a, double *c) {
    tile(GEMM_ROWS, t, a, c);
}
#endif

static void gemm_f64(size_t m, size_t n, size_t k, const double *a, size_t a_row, size_t a_step, const double *b,
                     size_t b_step, double *c, size_t c_row, bool first) {
    static const struct {
        size_t rows;
        void (*run)(const call_f64 *t, const double *a, double *c);
    } tiles[] = {
#if GEMM_ROWS > 4
        {GEMM_ROWS, tile_all},
#endif
        {4, tile_4},
        {2, tile_2},
        {1, tile_1}
    };
    const call_f64 t = {n, k, a_row, a_step, b_step, c_row, b, first};
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++)
        for (; m >= tiles[i].rows; m -= tiles[i].rows, a += tiles[i].rows * a_row, c += tiles[i].rows * c_row)
            tiles[i].run(&t, a, c);
}

void GEMM_OVERLAY(tn_kernels *table);
void GEMM_OVERLAY(tn_kernels *table) {
    table->gemm_f64_tile = gemm_f64_tile;
    table->gemm_f64 = gemm_f64;
}
