#include "kernels/vec_avx2.h"
#define SPARSE_VECS 2
#define TN_LEVEL_OVERLAY tn_sparse_avx2
#include "kernels/sparse_rows.h"
