#define TN_LEVEL_OVERLAY tn_optimizer_avx512
#include "kernels/optimizer_rows.h"
