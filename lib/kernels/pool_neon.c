#include "kernels/vec_neon.h"
#define TN_LEVEL_OVERLAY tn_pool_neon
#include "kernels/pool_rows.h"
