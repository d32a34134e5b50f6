/* Calibration data: see samples.c. */
#ifndef TENON_SAMPLES_H
#define TENON_SAMPLES_H

#include "tool.h"

typedef struct samples samples;

/* The graph must outlive it. *out is to be closed in any case. */
bool samples_open(const tn_graph *graph, const words *paths, samples **out);
int64_t samples_sets(const samples *s);
tn_status samples_get(void *context, int64_t index, const tn_tensor **inputs); /* as tn_samples has it */
void samples_close(samples *s);                                                /* accepts NULL */

#endif
