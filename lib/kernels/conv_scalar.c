#include "kernels/vec_scalar.h"
#define CONV_OVERLAY tn_conv_scalar
#include "kernels/conv_rows.h"
