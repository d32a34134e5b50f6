#define TN_LEVEL_OVERLAY tn_optimizer_neon
#include "kernels/optimizer_rows.h"
