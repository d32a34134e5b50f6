/* See product_f64.h. A panel of B, so many columns as a tile has and K_BLOCK rows, is copied to the buffer, where it stays
 * in the nearest cache while the rows of A pass it; so are M_BLOCK rows of A, tile by tile, for the next cache. Few rows, or
 * few columns, are not worth the copies. */
#include <string.h>
#include "kernels/product_f64.h"

enum { K_BLOCK = 256, M_BLOCK = 96 };

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t tn_product_f64_buffer(const tn_kernels *kernels) {
    size_t rows, columns;
    kernels->gemm_f64_tile(&rows, &columns);
    return K_BLOCK * (columns + M_BLOCK);
}

static void copy_columns(const tn_matrix_f64 *b, size_t row, size_t column, size_t k, size_t n, size_t columns,
                         double *to) {
    const double *from = b->data + row * b->row_step + column * b->column_step;
    for (size_t i = 0; i < k; i++, from += b->row_step, to += columns)
        for (size_t j = 0; j < columns; j++) to[j] = j < n ? from[j * b->column_step] : 0;
}

/* Tiles of `rows` rows, each [k][rows of it]. */
static void copy_rows(const tn_matrix_f64 *a, size_t row, size_t column, size_t m, size_t k, size_t rows, double *to) {
    for (size_t first = 0; first < m; first += rows) {
        size_t count = least(m - first, rows);
        const double *from = a->data + (row + first) * a->row_step + column * a->column_step;
        for (size_t l = 0; l < k; l++, from += a->column_step)
            for (size_t i = 0; i < count; i++) *to++ = from[i * a->row_step];
    }
}

/* Rows [row, row + m) of C, terms [at, at + k) of their sums. */
static void block(const tn_kernels *kernels, size_t row, size_t m, size_t n, size_t at, size_t k,
                  const tn_matrix_f64 *a, const tn_matrix_f64 *b, double *c, size_t c_row, double *buffer) {
    size_t rows, columns;
    kernels->gemm_f64_tile(&rows, &columns);
    const bool copied = m > rows && n > 2 * columns;
    double *left = buffer + K_BLOCK * columns;
    if (copied) copy_rows(a, row, at, m, k, rows, left);
    for (size_t j = 0; j < n; j += columns) {
        size_t count = least(n - j, columns), step = columns;
        const double *panel = buffer;
        if (m <= rows && b->column_step == 1 && count == columns) {
            panel = b->data + at * b->row_step + j;
            step = b->row_step;
        } else {
            copy_columns(b, at, j, k, count, columns, buffer);
        }
        for (size_t i = 0; i < m; i += rows) {
            size_t height = least(m - i, rows);
            const double *from = copied ? left + i * k : a->data + (row + i) * a->row_step + at * a->column_step;
            kernels->gemm_f64(height, count, k, from, copied ? 1 : a->row_step, copied ? height : a->column_step, panel,
                              step, c + i * c_row + j, c_row, at == 0);
        }
    }
}

void tn_product_f64(const tn_kernels *kernels, size_t m, size_t n, size_t k, const tn_matrix_f64 *a,
                    const tn_matrix_f64 *b, double *c, size_t c_row, double *buffer) {
    for (size_t row = 0; row < m; row += M_BLOCK) {
        size_t height = least(m - row, M_BLOCK);
        double *to = c + row * c_row;
        for (size_t i = 0; k == 0 && i < height; i++) memset(to + i * c_row, 0, n * sizeof *to);
        for (size_t at = 0; at < k; at += K_BLOCK)
            block(kernels, row, height, n, at, least(k - at, K_BLOCK), a, b, to, c_row, buffer);
    }
}
