#include "kernels/vec_avx512.h"
#define TN_LEVEL_OVERLAY tn_math_avx512
#include "kernels/math_rows.h"
