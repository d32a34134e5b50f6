#define TN_LEVEL_OVERLAY tn_gradient_scalar
#include "kernels/gradient_rows.h"
