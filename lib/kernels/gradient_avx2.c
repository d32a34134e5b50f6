#define TN_LEVEL_OVERLAY tn_gradient_avx2
#include "kernels/gradient_rows.h"
