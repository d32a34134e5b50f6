#include "kernels/vec_avx2.h"
#define CONV_OVERLAY tn_conv_avx2
#include "kernels/conv_rows.h"
