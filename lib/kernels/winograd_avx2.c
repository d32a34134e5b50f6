#include "kernels/vec_avx2.h"
#define WINOGRAD_OVERLAY tn_winograd_avx2
#include "kernels/winograd_rows.h"
