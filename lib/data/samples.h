/* What a pipeline makes of a table: a sample of each row, or of a window of rows. A row is in many windows, so these are
 * gathered when they are wanted. */
#ifndef TN_DATA_SAMPLES_H
#define TN_DATA_SAMPLES_H

#include "base/tensor.h"
#include "data/pipeline.h"

typedef struct tn_sample_set {
    tn_tensor *x;           /* rows, float32 [rows, numbers] */
    tn_tensor *y;           /* of each sample, or NULL */
    int64_t count, width;   /* samples; numbers of one */
    int64_t steps;          /* rows of a window; 0: a sample is a row of x */
    int64_t *back;          /* of windows: how many rows before its end each is, descending */
    int64_t *places, *ends; /* likewise: the row of x that each row of the table is; rows that windows end with */
    int64_t table_rows;
    const tn_allocator *allocator; /* of these */
} tn_sample_set;

/* As tn_pipeline_apply; y if `target`. Memory is of the table's allocator. */
tn_status tn_pipeline_samples(const tn_pipeline *pipeline, const tn_table *table, const uint8_t *part, int wanted,
                              bool target, tn_sample_set *out);
void tn_sample_set_deinit(tn_sample_set *set);
/* Windows instead of rows: of the rows of x, which are these of the table, ascending. */
tn_status tn_series_windows(const tn_pipeline *p, const tn_table *table, const int64_t *kept, tn_sample_set *set);

/* A sample's numbers. */
void tn_sample_copy(const tn_sample_set *set, int64_t index, float *out);
/* Some of them that follow each other: where they lie, or written into room. */
const float *tn_sample_rows(const tn_sample_set *set, int64_t first, int64_t count, float *room);
/* The first row of x that a sample has numbers of, and the one behind the last. */
void tn_sample_span(const tn_sample_set *set, int64_t index, int64_t *out_first, int64_t *out_end);
/* All samples, [count, width]. */
tn_status tn_sample_tensor(const tn_sample_set *set, tn_tensor **out);

#endif
