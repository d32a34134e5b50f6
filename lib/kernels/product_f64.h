/* Matrix products of any size in float64: C[m,n] = A[m,k] * B[k,n], in blocks for the kernel of gemm_f64.inc. */
#ifndef TN_PRODUCT_F64_H
#define TN_PRODUCT_F64_H

#include "kernels/kernels.h"

/* An operand: element (row, column) at row * row_step + column * column_step. */
typedef struct tn_matrix_f64 {
    const double *data;
    size_t row_step, column_step;
} tn_matrix_f64;

/* Elements of the buffer that a product needs. */
size_t tn_product_f64_buffer(const tn_kernels *kernels);
/* Rows of C are c_row apart. Elements of an empty product are 0. */
void tn_product_f64(const tn_kernels *kernels, size_t m, size_t n, size_t k, const tn_matrix_f64 *a,
                    const tn_matrix_f64 *b, double *c, size_t c_row, double *buffer);

#endif
