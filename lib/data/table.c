/* A CSV file in memory, column by column; texts are numbers into a list of levels. */
#include <math.h>
#include "data/csv.h"
#include "data/dictionary.h"

typedef struct column {
    const char *name;
    tn_column_type type;
    double *numbers;
    int32_t *codes;
    tn_dictionary levels;
} column;

struct tn_table {
    tn_region *region;
    int64_t rows;
    int count;
    column *columns;
};

static tn_status prepare(tn_table *t, const tn_survey *survey) {
    t->rows = tn_survey_rows(survey);
    t->count = tn_survey_column_count(survey);
    t->columns = tn_region_array(t->region, (size_t)t->count, sizeof *t->columns);
    if (!t->columns) return TN_E_MEMORY;
    for (int i = 0; i < t->count; i++) {
        column *c = &t->columns[i];
        tn_column_info info = {.struct_size = sizeof info};
        TN_TRY(tn_survey_column(survey, i, &info));
        c->name = tn_region_strdup(t->region, info.name);
        c->type = info.type;
        c->levels.region = t->region;
        if (c->type == TN_COLUMN_NUMBER)
            c->numbers = tn_region_array(t->region, (size_t)t->rows, sizeof *c->numbers);
        else
            c->codes = tn_region_array(t->region, (size_t)t->rows, sizeof *c->codes);
        if (!c->name || (!c->numbers && !c->codes)) return TN_E_MEMORY;
    }
    return TN_OK;
}

static tn_status put(const tn_csv *csv, column *c, int index, int64_t row, tn_string field) {
    bool missing = tn_field_is_missing(field);
    if (c->type == TN_COLUMN_TEXT) {
        c->codes[row] = missing ? -1 : tn_dictionary_add(&c->levels, field, INT32_MAX);
        return missing || c->codes[row] >= 0 ? TN_OK : TN_E_MEMORY;
    }
    c->numbers[row] = NAN;
    if (missing || tn_field_number(field, tn_csv_decimal(csv), &c->numbers[row])) return TN_OK;
    tn_fail(TN_E_STATE, "'%.*s' is no number; the file changed while it was read", (int)TN_MIN(field.size, (size_t)80),
            field.data);
    return tn_csv_context(csv, index, TN_E_STATE);
}

static tn_status fill(tn_table *t, tn_csv *csv) {
    const tn_string *fields;
    for (int64_t row = 0;; row++) {
        TN_TRY(tn_csv_next(csv, &fields));
        if (!fields && row == t->rows) return TN_OK;
        if (!fields || row == t->rows || tn_csv_column_count(csv) != t->count)
            return tn_fail(TN_E_STATE, "the CSV file changed while it was read");
        for (int i = 0; i < t->count; i++) TN_TRY(put(csv, &t->columns[i], i, row, fields[i]));
    }
}

static tn_status read_place(const tn_csv_place *place, tn_table **out_table) {
    tn_survey *survey;
    tn_csv *csv = NULL;
    *out_table = NULL;
    TN_TRY(tn_survey_place(place, &survey));
    tn_region *region = tn_region_create(NULL);
    tn_table *t = region ? tn_region_alloc(region, sizeof *t) : NULL;
    tn_status status = t ? TN_OK : TN_E_MEMORY;
    if (t) t->region = region;
    if (status == TN_OK) status = prepare(t, survey);
    if (status == TN_OK) status = tn_csv_open_place(place, &csv);
    if (status == TN_OK) status = fill(t, csv);
    tn_csv_close(csv);
    tn_survey_destroy(survey);
    if (status == TN_OK)
        *out_table = t;
    else if (t)
        tn_table_destroy(t);
    else
        tn_region_destroy(region);
    return status;
}

tn_status tn_table_read(const char *path, const tn_csv_options *options, tn_table **out_table) {
    return read_place(&(tn_csv_place){.path = path, .name = path, .options = options}, out_table);
}

tn_status tn_table_read_memory(const void *data, size_t size, const char *name, const tn_csv_options *options,
                               tn_table **out_table) {
    return read_place(&(tn_csv_place){NULL, data, size, name, options}, out_table);
}

void tn_table_destroy(tn_table *table) {
    if (!table) return;
    for (int i = 0; table->columns && i < table->count; i++) tn_dictionary_deinit(&table->columns[i].levels);
    tn_region_destroy(table->region);
}

int64_t tn_table_rows(const tn_table *table) {
    return table->rows;
}

int tn_table_column_count(const tn_table *table) {
    return table->count;
}

static const column *column_at(const tn_table *table, int index) {
    static const column none = {0};
    return index >= 0 && index < table->count ? &table->columns[index] : &none;
}

const char *tn_table_column_name(const tn_table *table, int column_index) {
    return column_at(table, column_index)->name;
}

int tn_table_find(const tn_table *table, const char *name) {
    for (int i = 0; i < table->count; i++)
        if (strcmp(table->columns[i].name, name) == 0) return i;
    return -1;
}

tn_column_type tn_table_column_type(const tn_table *table, int column_index) {
    return column_at(table, column_index)->type;
}

const double *tn_table_numbers(const tn_table *table, int column_index) {
    return column_at(table, column_index)->numbers;
}

const int32_t *tn_table_codes(const tn_table *table, int column_index) {
    return column_at(table, column_index)->codes;
}

int tn_table_level_count(const tn_table *table, int column_index) {
    return column_at(table, column_index)->levels.count;
}

tn_string tn_table_level(const tn_table *table, int column_index, int level) {
    const column *c = column_at(table, column_index);
    return level >= 0 && level < c->levels.count ? c->levels.texts[level] : (tn_string){NULL, 0};
}
