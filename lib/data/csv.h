/* CSV inside the library: where a file comes from, and what fields mean. */
#ifndef TN_DATA_CSV_H
#define TN_DATA_CSV_H

#include <tenon/data.h>
#include "base/base.h"

/* A file or memory, to be opened more than once. */
typedef struct tn_csv_place {
    const char *path; /* NULL: memory */
    const void *memory;
    size_t size;
    const char *name;
    const tn_csv_options *options;
} tn_csv_place;

tn_status tn_csv_open_place(const tn_csv_place *place, tn_csv **out_csv);
tn_status tn_survey_place(const tn_csv_place *place, tn_survey **out_survey);

bool tn_field_is_missing(tn_string field);
/* A decimal number with that sign between whole and fraction, spaces around it allowed. */
bool tn_field_number(tn_string field, char decimal, double *out);
char tn_csv_decimal(const tn_csv *csv);
/* "file line 7, column 'power': " is put before the thread's sentence. */
tn_status tn_csv_context(const tn_csv *csv, int column, tn_status status);

#endif
