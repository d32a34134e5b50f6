#include "kernels/vec_scalar.h"
#define TN_LEVEL_OVERLAY tn_math_scalar
#include "kernels/math_rows.h"
