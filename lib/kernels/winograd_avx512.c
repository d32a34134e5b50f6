#include "kernels/vec_avx512.h"
#define WINOGRAD_OVERLAY tn_winograd_avx512
#include "kernels/winograd_rows.h"
