/* Differences between two versions of a store: what changed in structure, parameters and metrics.
 *
 *     tn_store_diff(s, "press:1.0.0", "press:1.1.0", on_row, context, &count);
 *
 * Rows come in this order, and within each by name:
 *
 *     input, output   of that name: its type and shape
 *     operator        of the main graph: how many nodes there are of it
 *     parameter       a constant of the main graph that has a name: its type and shape; of numbers that are not the same,
 *                     how far they are off, as the Euclidean norm of the difference relative to that of the old ones
 *     metric          of the manifests (tenon/manifest.h), "recall of strokes-test"; a library without libyaml has none
 *
 * Graphs are looked at as they are in the files, before any pass. A library built without stores answers
 * TN_E_UNSUPPORTED. */
#ifndef TENON_DIFF_H
#define TENON_DIFF_H

#include <tenon/store.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_diff_row {
    const char *what, *name;
    const char *before, *after; /* NULL: it is not there */
} tn_diff_row;

/* Calls report for each difference; the texts live as long as the call. *out_count (may be NULL) counts them. */
TN_API tn_status tn_store_diff(tn_store *store, const char *before, const char *after,
                               void (*report)(void *context, const tn_diff_row *row), void *context, int *out_count);

#ifdef __cplusplus
}
#endif
#endif
