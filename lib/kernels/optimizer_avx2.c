#define TN_LEVEL_OVERLAY tn_optimizer_avx2
#include "kernels/optimizer_rows.h"
