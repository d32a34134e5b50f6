#include "kernels/vec_avx512.h"
#define TN_LEVEL_OVERLAY tn_recurrent_avx512
#include "kernels/recurrent_rows.h"
