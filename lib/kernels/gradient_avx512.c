#define TN_LEVEL_OVERLAY tn_gradient_avx512
#include "kernels/gradient_rows.h"
