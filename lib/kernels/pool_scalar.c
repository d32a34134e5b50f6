#include "kernels/vec_scalar.h"
#define TN_LEVEL_OVERLAY tn_pool_scalar
#include "kernels/pool_rows.h"
