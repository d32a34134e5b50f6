/* Products whose right side is a constant matrix of few values: kept as codes and a codebook, and looked up panel by panel. */
#ifndef TN_OPS_MATMUL_CODES_H
#define TN_OPS_MATMUL_CODES_H

#include "ops/matmul.h"

typedef struct tn_matmul_codes tn_matmul_codes;

/* *out_codes stays NULL if the matrix has more than 256 values (16 where the machine has no faster way to look up
 * more), or is so small that it is faster in float32. Value 1 of the
 * call is known, and `b` its view; the product's plan is made. */
tn_status tn_matmul_codes_prepare(tn_prepare *call, const tn_operand *b, const tn_product *product,
                                  tn_matmul_codes **out_codes);
/* B of the product, which gives the very bits of one that is packed in float32. */
typedef struct tn_code_panels {
    tn_panels panels;
    const tn_matmul_codes *codes;
} tn_code_panels;
tn_code_panels tn_matmul_codes_panels(const tn_matmul_codes *codes);

#endif
