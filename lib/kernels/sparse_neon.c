#include "kernels/vec_neon.h"
#define SPARSE_VECS 4
#define TN_LEVEL_OVERLAY tn_sparse_neon
#include "kernels/sparse_rows.h"
