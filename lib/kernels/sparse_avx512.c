#include "kernels/vec_avx512.h"
#define SPARSE_VECS 4
#define TN_LEVEL_OVERLAY tn_sparse_avx512
#include "kernels/sparse_rows.h"
