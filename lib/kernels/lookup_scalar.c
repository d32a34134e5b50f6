#define LOOKUP_LANES 1
#define LOOKUP_BITS 8 /* next to which plain products take long */
#define TN_LEVEL_OVERLAY tn_lookup_scalar
#include "kernels/lookup_rows.h"
