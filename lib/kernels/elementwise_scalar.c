/* Elementwise kernels for any machine. See elementwise.h. */
#define TN_LEVEL scalar
#include "kernels/elementwise.h"
