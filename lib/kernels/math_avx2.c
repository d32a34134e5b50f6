#include "kernels/vec_avx2.h"
#define TN_LEVEL_OVERLAY tn_math_avx2
#include "kernels/math_rows.h"
