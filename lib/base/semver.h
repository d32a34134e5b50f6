/* Semantic versions (semver.org, 2.0.0). */
#ifndef TN_BASE_SEMVER_H
#define TN_BASE_SEMVER_H

#include "base/base.h"

/* "1.2.0-rc.1+build": three numbers below 10^9, identifiers behind them. */
bool tn_semver_valid(const char *text);
/* -1, 0 or 1, as versions precede each other; what stands behind a '+' does not count. Both must be valid. */
int tn_semver_compare(const char *a, const char *b);
/* Reads "1", "1.2" or "1.2.3", as many parts as there are; returns the length, 0 if malformed. */
size_t tn_semver_read_core(const char *text, int64_t part[3], int *out_count);

#endif
