/* Tables of 256 bytes applied to 8-bit tensors. */
#ifndef TN_OPS_QTABLE_H
#define TN_OPS_QTABLE_H

#include "graph/op.h"

/* y[i] = table[x[i]], on all threads; y may be x. */
void tn_look_up(const tn_run *call, const uint8_t *table, const void *x, void *y, size_t n);

#endif
