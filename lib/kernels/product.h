/* Matrix products of any size in float32: C[m,n] = epilogue(A[m,k] * B[k,n]), cut into tasks, blocks and panels for the
 * kernels of gemm.h.
 *
 * A plan is made once for a shape; it says how A is packed and into how many tasks the work falls. Each
 * task writes its own part of C, and how an element's terms are added depends on the shape alone, so results are equal
 * bit for bit at any number of threads. B
 * comes in panels of `columns` columns: packed beforehand (weights), or made for each task in a buffer of its own that
 * stays in the nearest caches.
 *
 *     tn_product_plan(&p, kernels, m, n, k, 1, 1);
 *     tn_product_pack_a(&p, a, k, 1, packed_a, panel)  for each panel in [0, p.row_panels)
 *     tn_product_task(&p, task, packed_a, &b, c, n, &epilogue, buffer)  for each task in [0, p.tasks) */
#ifndef TN_PRODUCT_H
#define TN_PRODUCT_H

#include "base/base.h"
#include "kernels/kernels.h"

typedef struct tn_product {
    const tn_kernels *kernels;
    size_t m, n, k;
    size_t rows, columns; /* of A's panels and of B's */
    size_t row_panels, column_panels;
    size_t k_block;
    size_t group;      /* columns that one call of the kernel takes */
    size_t panel_uses; /* how often a task uses a panel of B; may be raised by who uses panels in other ways */
    size_t n_units, unit_columns; /* where columns may be cut into tasks: at these */
    size_t m_tasks, n_tasks, tasks;
    bool rows_first; /* tasks are numbered down the rows first: B is the larger operand, and is gone through once */
    bool bf16;       /* operands are packed as bfloat16 (see gemm_bf16.h), A times alpha; k is one block */
    float alpha;
} tn_product;

/* How panels of B come about. make tells a kernel's call (b, b_stride, b_panel) where rows k to k + k_count of n columns
 * from `column` (a multiple of the tile's columns) on lie: in `buffer`, or anywhere. n is at most a panel's columns, or
 * a multiple of them up to the group's. */
typedef struct tn_panels tn_panels;
struct tn_panels {
    void (*make)(const tn_panels *panels, const tn_product *p, size_t column, size_t n, size_t k, size_t k_count,
                 float *buffer, tn_gemm_f32 *call);
    /* Packs one panel, all of k, for products of bfloat16. */
    void (*make_bf16)(const tn_panels *panels, const tn_product *p, size_t column, size_t n, uint16_t *dst);
    const float *b;
    size_t k_stride, column_stride; /* of a matrix. k_stride of packed panels: the k that they were packed for */
};
/* B packed by tn_product_pack_b of a plan whose k was as given, which may be more than that of the product. */
tn_panels tn_panels_packed(const float *packed, size_t k);
/* B[k,n] as it lies: element (k, j) at k * k_stride + j * column_stride, one of which is 1. */
tn_panels tn_panels_matrix(const float *b, size_t k_stride, size_t column_stride);

/* batch: how many such products are done side by side. k_unit: k is cut at multiples of it. */
void tn_product_plan(tn_product *p, const tn_kernels *kernels, size_t m, size_t n, size_t k, size_t k_unit,
                     size_t batch);
/* The same where the number of threads is known: as many tasks as they need. Packing and results do not depend on it. */
void tn_product_plan_threads(tn_product *p, const tn_kernels *kernels, int threads, size_t m, size_t n, size_t k,
                             size_t k_unit, size_t batch);
/* The same for a product that may be of bfloat16; it is where the kernels say so (p->bf16). Then A is packed even if it
 * has one row. threads: 0 if it is not known. */
void tn_product_plan_fast(tn_product *p, const tn_kernels *kernels, int threads, size_t m, size_t n, size_t k,
                          size_t k_unit, size_t batch);
/* Bytes of packed operands, and of the buffer that each thread needs; SIZE_MAX if that overflows. */
size_t tn_product_a_bytes(const tn_product *p);
size_t tn_product_b_bytes(const tn_product *p);
size_t tn_product_buffer_bytes(const tn_product *p);
/* Floats of packed A before that of row `row`, where a panel begins. */
size_t tn_product_a_offset(const tn_product *p, size_t row);
/* Floats of a buffer that serves all products of at most this k. */
size_t tn_product_most_buffer(size_t columns, size_t k);
/* Packs one panel of A (element (i, k) at i * row_stride + k * k_stride, one of which is 1) to its place in `packed`;
 * likewise of B. */
void tn_product_pack_a(const tn_product *p, const float *a, size_t row_stride, size_t k_stride, float *packed,
                       size_t panel);
/* All panels of A; where its columns lie in one piece, some of them at a time, which stay in the nearest cache meanwhile. */
void tn_product_pack_all_a(const tn_product *p, const float *a, size_t row_stride, size_t k_stride, float *packed);
void tn_product_pack_b(const tn_product *p, const float *b, size_t k_stride, size_t column_stride, float *packed,
                       size_t panel);
/* The part of C that a task makes. Tasks are about equal, so that equally many of them are equal shares. */
typedef struct tn_product_part {
    size_t row, rows, column, columns;
} tn_product_part;

static inline tn_product_part tn_product_place(const tn_product *p, size_t task) {
    const size_t i = p->rows_first ? task % p->m_tasks : task / p->n_tasks;
    const size_t j = p->rows_first ? task / p->m_tasks : task % p->n_tasks;
    tn_product_part part = {.row = p->row_panels * i / p->m_tasks * p->rows,
                            .column = p->n_units * j / p->n_tasks * p->unit_columns};
    part.rows = (i + 1 == p->m_tasks ? p->m : p->row_panels * (i + 1) / p->m_tasks * p->rows) - part.row;
    part.columns = (j + 1 == p->n_tasks ? p->n : p->n_units * (j + 1) / p->n_tasks * p->unit_columns) - part.column;
    return part;
}
void tn_product_task(const tn_product *p, size_t task, const float *packed_a, const tn_panels *b, float *c,
                     size_t c_stride, const tn_epilogue *epilogue, float *buffer);

#endif
