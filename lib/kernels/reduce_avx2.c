#include "kernels/kernels.h"
#include "kernels/vec_avx2.h"
#define TN_LEVEL_OVERLAY tn_reduce_avx2
#include "kernels/reduce_rows.h"
#include "kernels/softmax_rows.h"
#include "kernels/norm_rows.h"
