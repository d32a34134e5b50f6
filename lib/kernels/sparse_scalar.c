#include "kernels/vec_scalar.h"
#define SPARSE_VECS 1
#define TN_LEVEL_OVERLAY tn_sparse_scalar
#include "kernels/sparse_rows.h"
