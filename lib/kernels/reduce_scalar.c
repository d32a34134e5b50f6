#include "kernels/kernels.h"
#include "kernels/vec_scalar.h"
#define TN_LEVEL_OVERLAY tn_reduce_scalar
#include "kernels/reduce_rows.h"
#include "kernels/softmax_rows.h"
#include "kernels/norm_rows.h"
