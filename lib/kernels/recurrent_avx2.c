#include "kernels/vec_avx2.h"
#define TN_LEVEL_OVERLAY tn_recurrent_avx2
#include "kernels/recurrent_rows.h"
