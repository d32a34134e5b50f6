#include "kernels/vec_neon.h"
#define TN_LEVEL_OVERLAY tn_recurrent_neon
#include "kernels/recurrent_rows.h"
