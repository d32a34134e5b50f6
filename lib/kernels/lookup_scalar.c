#define LOOKUP_LANES 1
#define TN_LEVEL_OVERLAY tn_lookup_scalar
#include "kernels/lookup_rows.h"
