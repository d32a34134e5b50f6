/* Series inside the library: what `series` of a pipeline says. */
#ifndef TN_DATA_SERIES_H
#define TN_DATA_SERIES_H

#include "data/pipeline.h"

struct tn_manifest_writer;

#define TN_MOST_STEPS 4096

typedef enum tn_regular { TN_REGULAR_MEAN, TN_REGULAR_LAST, TN_REGULAR_INTERPOLATE } tn_regular;

typedef struct tn_series {
    const char *time, *group; /* columns; NULL: none */
    double every;             /* 0: rows stay as they are */
    tn_regular by;
    int steps;           /* rows of a window */
    bool lags;           /* they were given one by one */
    const int64_t *back; /* how many rows before the window's end each of them is, descending */
    int64_t stride, horizon;
} tn_series;

tn_status tn_series_read(const struct tn_manifest_node *map, tn_pipeline *p);
void tn_series_write(struct tn_manifest_writer *w, struct tn_manifest_node *root, const tn_series *s);
/* Seconds since 1970 of a time as ISO 8601 writes it: 2015-03-01, 2015-03-01T12:30[:05.5][Z or +01:00]; a space may stand for
 * the T. What has no zone counts as UTC. */
bool tn_time_of(tn_string text, double *out);

#endif
