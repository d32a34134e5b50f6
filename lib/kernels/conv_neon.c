#include "kernels/vec_neon.h"
#define CONV_OVERLAY tn_conv_neon
#include "kernels/conv_rows.h"
