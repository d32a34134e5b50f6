#include "kernels/vec_neon.h"
#define TN_LEVEL_OVERLAY tn_math_neon
#include "kernels/math_rows.h"
