#include "kernels/vec_avx512.h"
#define TN_LEVEL_OVERLAY tn_pool_avx512
#include "kernels/pool_rows.h"
