#include "kernels/vec_scalar.h"
#define TN_LEVEL_OVERLAY tn_recurrent_scalar
#include "kernels/recurrent_rows.h"
