/* What the columns of a CSV file hold, in one pass and constant memory: mean and deviation by Welford's method (1962). */
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include "data/csv.h"
#include "data/dictionary.h"

enum { MOST_LEVELS = 1000, LEVEL_BYTES = 256, NUMBER_BYTES = 400 };

typedef struct column {
    tn_column_info info;
    tn_dictionary levels;
    double squares; /* sum of squared distances from the mean */
} column;

struct tn_survey {
    tn_region *region;
    int64_t rows;
    int count;
    column *columns;
};

/* ---- fields ---- */

bool tn_field_is_missing(tn_string field) {
    static const char *const words[] = {"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"};
    for (size_t i = 0; i < TN_COUNT(words); i++)
        if (tn_string_equal(field, tn_string_of(words[i]))) return true;
    return false;
}

static size_t digits(const char **p) {
    const char *start = *p;
    while (**p >= '0' && **p <= '9') ++*p;
    return (size_t)(*p - start);
}

/* [+-] digits [. digits] [e [+-] digits], with a digit before the exponent. */
static bool is_decimal(const char *p) {
    p += *p == '+' || *p == '-';
    size_t count = digits(&p);
    if (*p == '.') p++, count += digits(&p);
    if (!count) return false;
    if (*p != 'e' && *p != 'E') return !*p;
    p++;
    p += *p == '+' || *p == '-';
    return digits(&p) > 0 && !*p;
}

/* Up to 15 digits and a power of ten that is exact give the nearest double by one operation; strtod does the others. */
static bool quick(const char *p, double *out) {
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool minus = *p == '-';
    int count = 0, fraction = 0;
    int64_t value = 0;
    p += *p == '+' || *p == '-';
    for (bool point = false; *p; p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        if (*p < '0' || *p > '9' || ++count > 15) return false;
        value = 10 * value + (*p - '0');
        fraction += point;
    }
    *out = (double)value / powers[fraction];
    if (minus) *out = -*out;
    return true;
}

bool tn_field_number(tn_string field, char decimal, double *out) {
    char text[NUMBER_BYTES];
    while (field.size && (*field.data == ' ' || *field.data == '\t')) field.data++, field.size--;
    while (field.size && (field.data[field.size - 1] == ' ' || field.data[field.size - 1] == '\t')) field.size--;
    if (!field.size || field.size >= sizeof text) return false;
    for (size_t i = 0; i < field.size; i++) {
        if (decimal != '.' && field.data[i] == '.') return false;
        text[i] = field.data[i] == decimal ? '.' : field.data[i];
    }
    text[field.size] = 0;
    if (!is_decimal(text)) return false;
    if (quick(text, out)) return true;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    *out = c ? strtod_l(text, NULL, c) : strtod(text, NULL);
    if (c) freelocale(c);
    return isfinite(*out);
}

/* ---- the pass ---- */

static tn_status add(column *c, tn_string field, char decimal) {
    tn_column_info *info = &c->info;
    double x;
    if (tn_field_is_missing(field)) {
        info->missing++;
        return TN_OK;
    }
    if (info->levels >= 0) {
        int code = field.size <= LEVEL_BYTES ? tn_dictionary_add(&c->levels, field, MOST_LEVELS) : -2;
        if (code == -1) return TN_E_MEMORY;
        info->levels = code == -2 ? -1 : c->levels.count;
        if (code == -2) tn_dictionary_deinit(&c->levels);
    }
    info->values++;
    if (info->type == TN_COLUMN_TEXT) return TN_OK;
    if (!tn_field_number(field, decimal, &x)) {
        info->type = TN_COLUMN_TEXT;
        info->whole = false;
        info->least = info->greatest = info->mean = info->deviation = 0;
        return TN_OK;
    }
    double distance = x - info->mean;
    if (info->values == 1) info->least = info->greatest = x;
    info->least = fmin(info->least, x);
    info->greatest = fmax(info->greatest, x);
    info->whole = info->whole && x == floor(x);
    info->mean += distance / (double)info->values;
    c->squares += distance * (x - info->mean);
    info->deviation = sqrt(c->squares / (double)info->values);
    return TN_OK;
}

static tn_status read_all(tn_survey *s, tn_csv *csv) {
    const tn_string *fields;
    char decimal = tn_csv_decimal(csv);
    s->count = tn_csv_column_count(csv);
    s->columns = tn_region_array(s->region, (size_t)s->count, sizeof *s->columns);
    if (!s->columns) return TN_E_MEMORY;
    for (int i = 0; i < s->count; i++) {
        column *c = &s->columns[i];
        c->levels.region = s->region;
        c->info = (tn_column_info){.name = tn_region_strdup(s->region, tn_csv_column_name(csv, i)), .whole = true};
        if (!c->info.name) return TN_E_MEMORY;
    }
    for (;; s->rows++) {
        TN_TRY(tn_csv_next(csv, &fields));
        if (!fields) return TN_OK;
        for (int i = 0; i < s->count; i++) TN_TRY(add(&s->columns[i], fields[i], decimal));
    }
}

tn_status tn_survey_place(const tn_csv_place *place, tn_survey **out_survey) {
    tn_csv *csv;
    *out_survey = NULL;
    TN_TRY(tn_csv_open_place(place, &csv));
    tn_region *region = tn_region_create(NULL);
    tn_survey *s = region ? tn_region_alloc(region, sizeof *s) : NULL;
    tn_status status = s ? TN_OK : TN_E_MEMORY;
    if (s) s->region = region;
    if (status == TN_OK) status = read_all(s, csv);
    tn_csv_close(csv);
    for (int i = 0; s && s->columns && i < s->count; i++) tn_dictionary_deinit(&s->columns[i].levels);
    if (status == TN_OK)
        *out_survey = s;
    else
        tn_region_destroy(region);
    return status;
}

tn_status tn_survey_read(const char *path, const tn_csv_options *options, tn_survey **out_survey) {
    return tn_survey_place(&(tn_csv_place){.path = path, .name = path, .options = options}, out_survey);
}

tn_status tn_survey_read_memory(const void *data, size_t size, const char *name, const tn_csv_options *options,
                                tn_survey **out_survey) {
    return tn_survey_place(&(tn_csv_place){NULL, data, size, name, options}, out_survey);
}

void tn_survey_destroy(tn_survey *survey) {
    if (survey) tn_region_destroy(survey->region);
}

int64_t tn_survey_rows(const tn_survey *survey) {
    return survey->rows;
}

int tn_survey_column_count(const tn_survey *survey) {
    return survey->count;
}

tn_status tn_survey_column(const tn_survey *survey, int column_index, tn_column_info *out_info) {
    if (column_index < 0 || column_index >= survey->count)
        return tn_fail(TN_E_NOT_FOUND, "there is no column %d; there are %d", column_index, survey->count);
    tn_column_info info = survey->columns[column_index].info;
    size_t size = TN_MIN(out_info->struct_size, sizeof info);
    info.struct_size = out_info->struct_size;
    memcpy(out_info, &info, size);
    return TN_OK;
}
