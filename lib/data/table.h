/* Tables inside the library: how those who read files make one. */
#ifndef TN_DATA_TABLE_H
#define TN_DATA_TABLE_H

#include <tenon/data.h>
#include "base/base.h"

#define TN_MOST_COLUMNS 16384 /* of arrays */

/* tn_table_read, with memory of the allocator's (NULL: the default one's), which outlives the table. What is made of a table,
 * another one or tensors, has memory of the same allocator. */
tn_status tn_table_read_into(const char *path, const tn_csv_options *options, const tn_allocator *allocator,
                             tn_table **out_table);
const tn_allocator *tn_table_allocator(const tn_table *table);
/* Columns without names or values yet; rows and columns are not negative. */
tn_status tn_table_create(int64_t rows, int count, const tn_allocator *allocator, tn_table **out_table);
/* Names a column and makes room for its rows, which the caller writes. */
tn_status tn_table_column(tn_table *table, int column, const char *name, tn_column_type type);
double *tn_table_room(tn_table *table, int column); /* of a column of numbers */
/* A text of a column of texts; missing: NULL data. */
tn_status tn_table_put_text(tn_table *table, int column, int64_t row, tn_string text);
/* Where paths in it are looked for; NULL: where the process is. */
const char *tn_table_folder(const tn_table *table);
tn_status tn_table_set_folder(tn_table *table, const char *folder, size_t length);

bool tn_is_folder(const char *path);
/* A folder whose folders are classes: columns `file` and `class`. */
tn_status tn_table_of_folder(const char *path, const tn_allocator *allocator, tn_table **out_table);
bool tn_is_array_file(const char *path);
/* .npy or .npz. */
tn_status tn_table_of_arrays(const char *path, const tn_allocator *allocator, tn_table **out_table);

#endif
