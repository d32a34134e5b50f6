/* Data: from files of raw measurements to tables: CSV, arrays of NumPy, folders of samples.
 *
 * CSV (RFC 4180) is read record by record, in memory that does not grow with the file; a gzip file is read as what is in it.
 *
 *     tn_csv *csv;
 *     const tn_string *fields;
 *     tn_csv_open("plant.csv.gz", NULL, &csv);
 *     while (tn_csv_next(csv, &fields) == TN_OK && fields)
 *         printf("%.*s\n", (int)fields[0].size, fields[0].data);
 *     tn_csv_close(csv);
 *
 * or whole, with a type for each column:
 *
 *     tn_table *table;
 *     tn_table_read("plant.csv.gz", NULL, &table);
 *     const double *power = tn_table_numbers(table, tn_table_find(table, "power"));
 *     tn_table_destroy(table);
 *
 * Fields may stand in quotes, with "" for a quote, and hold separators and line ends there. Lines end with LF or CR LF;
 * empty lines are skipped. Text is UTF-8, with or without a byte order mark. The first record names the columns: a column
 * without a name is called column_1 by its place, no two may be called the same. Every record has as many fields as the
 * first. What is otherwise is refused with a sentence that names file, line and column (both from 1 on; columns in bytes).
 *
 * A field is missing if it is empty or one of NA, N/A, NaN, nan, null, NULL, None. A column whose other fields are all
 * decimal numbers, spaces around them allowed, is one of numbers; all others are text. A column without any value is one of
 * numbers.
 *
 * Limits: a record of 1 MiB, 65536 columns, 2^31 - 1 different texts a column.
 *
 * Thread-safety: a tn_csv belongs to one thread at a time; a table may be read by many. */
#ifndef TENON_DATA_H
#define TENON_DATA_H

#include <tenon/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- CSV ---- */

typedef struct tn_csv tn_csv;

typedef struct tn_csv_options {
    size_t struct_size; /* sizeof(tn_csv_options) */
    char separator;     /* 0: ',' */
    char decimal;       /* between a number's whole and its fraction; 0: '.' */
    bool no_header;     /* the first record is data; columns are called column_1 and so on */
} tn_csv_options;

/* options may be NULL. Memory is the host's and must outlive the reader; `name` is what sentences call it. */
TN_API tn_status tn_csv_open(const char *path, const tn_csv_options *options, tn_csv **out_csv);
TN_API tn_status tn_csv_open_memory(const void *data, size_t size, const char *name, const tn_csv_options *options,
                                    tn_csv **out_csv);
TN_API void tn_csv_close(tn_csv *csv); /* accepts NULL */
TN_API int tn_csv_column_count(const tn_csv *csv);
TN_API const char *tn_csv_column_name(const tn_csv *csv, int column); /* NULL: there is none */
/* The next record: one string a column, until the next call; NULL at the end. After a failure it fails again. */
TN_API tn_status tn_csv_next(tn_csv *csv, const tn_string **out_fields);
/* The line on which the last record begins. */
TN_API int64_t tn_csv_line(const tn_csv *csv);

typedef enum tn_column_type {
    TN_COLUMN_NUMBER = 0,
    TN_COLUMN_TEXT = 1,
} tn_column_type;

/* What a column holds. Of numbers alone: whole, least to deviation (0 without values). */
typedef struct tn_column_info {
    size_t struct_size; /* sizeof(tn_column_info), set by the caller */
    const char *name;
    tn_column_type type;
    int64_t values, missing;
    int levels;                              /* different texts; -1: more than 1000, or one of over 256 bytes */
    bool whole;                              /* no number has a fraction */
    double least, greatest, mean, deviation; /* deviation: of the population */
} tn_column_info;

/* Reads the file once, in constant memory, and says what its columns hold. */
typedef struct tn_survey tn_survey;
TN_API tn_status tn_survey_read(const char *path, const tn_csv_options *options, tn_survey **out_survey);
TN_API tn_status tn_survey_read_memory(const void *data, size_t size, const char *name, const tn_csv_options *options,
                                       tn_survey **out_survey);
TN_API void tn_survey_destroy(tn_survey *survey); /* accepts NULL */
TN_API int64_t tn_survey_rows(const tn_survey *survey);
TN_API int tn_survey_column_count(const tn_survey *survey);
TN_API tn_status tn_survey_column(const tn_survey *survey, int column, tn_column_info *out_info);

/* ---- tables ---- */

typedef struct tn_table tn_table;

/* A CSV file is read twice: for the types, then for the values.
 *
 * A folder becomes a table of two columns of texts, in the order of the names: `file`, a path in the folder, and `class`, the
 * folder in it that has the file; of files that stand beside those folders it is missing. What begins with a point is left out.
 *
 * A path that ends in .npy or .npz (tenon/media.h): the first dimension is the rows. An array [N] of an .npz is a column of
 * its name, [N, ...] are columns NAME_0, NAME_1 and so on, in C order; that of an .npy is called value. All arrays of a file
 * have the same rows; at most 16384 columns. */
TN_API tn_status tn_table_read(const char *path, const tn_csv_options *options, tn_table **out_table);
TN_API tn_status tn_table_read_memory(const void *data, size_t size, const char *name, const tn_csv_options *options,
                                      tn_table **out_table);
TN_API void tn_table_destroy(tn_table *table); /* accepts NULL */
TN_API int64_t tn_table_rows(const tn_table *table);
TN_API int tn_table_column_count(const tn_table *table);
TN_API const char *tn_table_column_name(const tn_table *table, int column); /* NULL: there is none */
TN_API int tn_table_find(const tn_table *table, const char *name);          /* -1: there is none */
TN_API tn_column_type tn_table_column_type(const tn_table *table, int column);
/* Of a column of numbers: a value a row, NaN where it is missing; NULL for other columns. */
TN_API const double *tn_table_numbers(const tn_table *table, int column);
/* Of a column of texts: the number of its level a row, -1 where it is missing; NULL for other columns. Levels are numbered
 * as they first appear. */
TN_API const int32_t *tn_table_codes(const tn_table *table, int column);
TN_API int tn_table_level_count(const tn_table *table, int column);
TN_API tn_string tn_table_level(const tn_table *table, int column, int level);

#ifdef __cplusplus
}
#endif
#endif
