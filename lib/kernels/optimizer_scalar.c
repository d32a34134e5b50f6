#define TN_LEVEL_OVERLAY tn_optimizer_scalar
#include "kernels/optimizer_rows.h"
