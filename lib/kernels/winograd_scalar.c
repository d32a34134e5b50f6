#include "kernels/vec_scalar.h"
#define WINOGRAD_OVERLAY tn_winograd_scalar
#include "kernels/winograd_rows.h"
