/* tenon tune: what the command and its report share. */
#ifndef TENON_TOOL_TUNE_H
#define TENON_TOOL_TUNE_H

#include "tool.h"

/* The trials to choose from: the best, or the front. Ends with -1. Free it. */
int64_t *tune_front(tn_study *study);
int tune_parameters(tn_study *study);
int tune_objectives(tn_study *study);
/* What a parameter is in a trial, as text; "" if it takes no part. */
void tune_value(tn_study *study, int64_t number, int parameter, char *text, size_t size);
bool tune_report(tn_tuning *tuning, const char *path);

#endif
