#define TN_LEVEL_OVERLAY tn_gradient_neon
#include "kernels/gradient_rows.h"
