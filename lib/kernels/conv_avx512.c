#include "kernels/vec_avx512.h"
#define CONV_OVERLAY tn_conv_avx512
#include "kernels/conv_rows.h"
