#include "kernels/vec_avx2.h"
#define TN_LEVEL_OVERLAY tn_pool_avx2
#include "kernels/pool_rows.h"
