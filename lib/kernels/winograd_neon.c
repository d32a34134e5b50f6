#include "kernels/vec_neon.h"
#define WINOGRAD_OVERLAY tn_winograd_neon
#include "kernels/winograd_rows.h"
