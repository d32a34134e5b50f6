/* Pipelines: from the columns of a table to the numbers that a model takes, fitted on the rows for training alone.
 *
 *     features:                        # the columns of x, in this order
 *       - column: power
 *         missing: mean                # drop, mean, median, last or interpolate; without it a missing value is refused
 *         outliers: clip                 # clip or missing; without it they stay
 *         fence: 1.5
 *         scale: standard              # standard, min-max or robust; without it numbers stay as they are
 *       - column: mode
 *         encode: one-hot              # one-hot or ordinal; texts need one of them
 *       - column: file                   # of paths, beside the table's file or absolute: [channels, height, width], 0 to 1
 *         image: {channels: 1, height: 28, width: 28}
 *       - column: file                   # [1, rate * seconds]
 *         sound: {rate: 16000, seconds: 1}
 *     target:                          # may be left out
 *       column: fault
 *       encode: ordinal                # classes as numbers; sequence: each word of a text is one; without it the target is a number and may be scaled
 *     split:                           # may be left out: then all rows are for training
 *       by: stratified                 # ratio, stratified, group or time
 *       test: 0.25                     # the part of the rows that is for testing; 0: none, but folds are drawn so
 *                                        # or folds: 5 and fold: 1, for cross-validation: the first of five parts
 *       column: day                    # of group: whose rows stay together; of time: what they are sorted by
 *       seed: 7                        # 0 without it
 *
 *     series:                          # may be left out: rows that follow each other
 *       time: moment                   # a column: the order of rows; without it the table's
 *       group: machine                 # a column: the rows of each value are one series
 *       every: 600                     # to a grid of such steps: seconds, or what the numbers in the column of times count
 *       by: mean                       # mean (without it), last or interpolate
 *       length: 24                     # rows of a window, or lags: [24, 1, 0], rows before its end, the oldest first
 *       stride: 1                      # rows between windows
 *       horizon: 1                     # rows from a window's end to the one whose target it is asked; 0 without it
 *
 * missing: drop leaves the row out. mean and median are of the training rows. last takes the value of the row before,
 * interpolate the straight line between the values on both sides; at the beginning of the table both take the first value
 * that there is, at the end the last. last is the one of these two that a machine can do while it measures.
 *
 * outliers: what lies more than `fence` (1.5 without it) distances of the quartiles outside of them (Tukey, 1977), of the
 * training rows, becomes the fence, or counts as missing. It comes before `missing`, and that before `scale`.
 *
 * scale: (x - centre) / spread with mean and deviation, least value and range, or median and distance of the quartiles, as
 * scikit-learn's StandardScaler, MinMaxScaler and RobustScaler; a spread of 0 counts as 1.
 *
 * encode: the categories are the values of the training rows, numbers by size and texts by bytes. one-hot gives a 0 or 1 for
 * each; a value that is none of them gives zeros. ordinal gives its number, and -1 to a value that is none. A missing value
 * is none of them (missing: drop may stand beside encode). sequence, of a target alone: texts of words with spaces between; the
 * categories are the words, numbered from 1 on, and y is int64 [rows, words of the longest], filled up with -1.
 *
 * image: the file, as tn_picture_load gives it. sound: the mean of all channels at that rate; what is longer is cut, what is
 * shorter ends in silence. With `window` (and `hop`, half of it without), [window / 2 + 1, frames] of tn_spectrum; with
 * `bands` too (and `least`, `greatest`), [bands, frames], its log-mel. Scales of these (standard, min-max) are one for each
 * channel, frequency or band; a missing path can only be dropped.
 *
 * series: times are numbers, or texts as ISO 8601 writes them, 2015-03-01T12:30:00+01:00 (without a zone UTC). A grid has a
 * row for each multiple of `every` from the first to the last of a group: the mean or the last of the values from there to the
 * next step, or what lies on the straight line between the values on both sides; where there is none it is missing. Times
 * become the numbers of the steps' beginnings. A sample is then a window: a row of x has, for each number that the features
 * make of a row, its values in the window, oldest first: [numbers, rows]. A window lies in one group, in one part of a split,
 * and has no row that was dropped. Series are split by time or group.
 *
 * splits: ratio draws rows, stratified draws from each class of the target its part, group draws whole groups until the part
 * is reached, time takes the last rows in the column's order, so that nothing from later teaches what was before. The
 * folds of one seed are parts that together are all rows, each of them in one: plans that differ in
 * `fold` alone measure models on every row. By time, fold K of N tests on part K + 1 of N + 1 as they follow each other, is
 * trained on all before it, and what comes later takes no part. The numbers are drawn by the seed; the same seed gives the
 * same rows.
 *
 *     tn_pipeline_parse(text, size, &p);
 *     tn_pipeline_prepare(p, table, &prepared);         // of series alone: what takes the table's place below
 *     tn_pipeline_split(p, table, part);                // part[row]: 0 for training, 1 for testing
 *     tn_pipeline_fit(p, table, part);                  // looks at rows of part 0 alone
 *     tn_pipeline_apply(p, table, part, 1, &x, &y);     // x: float32 [rows, width]; y: int64 or float32 [rows], or NULL
 *     tn_pipeline_write(p, &yaml);                      // with what was fitted: parse gives a fitted pipeline again
 *
 * A fitted pipeline has one key more in each entry: `fitted`, with fill, centre, spread, low, high and categories, or centres and
 * spreads.
 *
 * Thread-safety: a fitted pipeline may be applied by many threads; all else is for one at a time. */
#ifndef TENON_PIPELINE_H
#define TENON_PIPELINE_H

#include <tenon/data.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_pipeline tn_pipeline;

TN_API tn_status tn_pipeline_parse(const char *text, size_t size, tn_pipeline **out_pipeline);
TN_API void tn_pipeline_destroy(tn_pipeline *pipeline); /* accepts NULL */
/* The table in the order of a series, on its grid; NULL where there is nothing to do, else the caller's: tn_table_destroy. A
 * plan and tn_evaluate do this themselves. */
TN_API tn_status tn_pipeline_prepare(const tn_pipeline *pipeline, const tn_table *table, tn_table **out_table);
/* Puts 0 (training) or 1 (testing) for each row of the table; fails if one of both would be empty. */
TN_API tn_status tn_pipeline_split(const tn_pipeline *pipeline, const tn_table *table, uint8_t *out_part);
/* part NULL: all rows are for training. */
TN_API tn_status tn_pipeline_fit(tn_pipeline *pipeline, const tn_table *table, const uint8_t *part);
TN_API bool tn_pipeline_fitted(const tn_pipeline *pipeline);
/* Columns of x; 0 before it is fitted. */
TN_API int tn_pipeline_width(const tn_pipeline *pipeline);
/* The rows whose part is `wanted` (part NULL: all). out_y may be NULL; it is not written where there is no target. A table
 * without the target's column gives y NULL. */
TN_API tn_status tn_pipeline_apply(const tn_pipeline *pipeline, const tn_table *table, const uint8_t *part, int wanted,
                                   tn_tensor **out_x, tn_tensor **out_y);
/* Of a fitted pipeline whose one feature is a sound, or an image: what tn_pipeline_apply makes of such a file, float32
 * [1, width], of float32 [channels, frames] at `rate`, or of the bytes of a picture. `name` is for sentences. */
TN_API tn_status tn_pipeline_sound(const tn_pipeline *pipeline, const tn_tensor *sound, int rate, tn_tensor **out_x);
TN_API tn_status tn_pipeline_image(const tn_pipeline *pipeline, const void *file, size_t size, const char *name,
                                   tn_tensor **out_x);
/* YAML; it is the pipeline's, until the next call. */
TN_API tn_status tn_pipeline_write(tn_pipeline *pipeline, const char **out_text);

#ifdef __cplusplus
}
#endif
#endif
