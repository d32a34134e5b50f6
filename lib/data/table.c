/* A table in memory, column by column; texts are numbers into a list of levels. CSV files are read here. */
#include "data/table.h"
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
    const tn_allocator *allocator;
    int64_t rows;
    int count;
    column *columns;
    const char *folder;
};

tn_status tn_table_create(int64_t rows, int count, const tn_allocator *allocator, tn_table **out_table) {
    *out_table = NULL;
    tn_region *region = tn_region_create(allocator);
    tn_table *t = region ? tn_region_alloc(region, sizeof *t) : NULL;
    column *columns = t ? tn_region_array(region, (size_t)count, sizeof *columns) : NULL;
    if (!columns) {
        tn_region_destroy(region);
        return TN_E_MEMORY;
    }
    *t = (tn_table){.region = region, .allocator = allocator, .rows = rows, .count = count, .columns = columns};
    *out_table = t;
    return TN_OK;
}

tn_status tn_table_column(tn_table *t, int index, const char *name, tn_column_type type) {
    column *c = &t->columns[index];
    c->name = tn_region_strdup(t->region, name);
    c->type = type;
    c->levels.region = t->region;
    size_t bytes;
    const bool numbers = type == TN_COLUMN_NUMBER;
    if (!tn_mul_size((size_t)t->rows, numbers ? sizeof *c->numbers : sizeof *c->codes, &bytes))
        return tn_fail(TN_E_MEMORY, "out of memory");
    void *room = tn_region_take(t->region, bytes);
    if (numbers)
        c->numbers = room;
    else
        c->codes = room;
    return c->name && (c->numbers || c->codes) ? TN_OK : TN_E_MEMORY;
}

double *tn_table_room(tn_table *t, int index) {
    return t->columns[index].numbers;
}

tn_status tn_table_put_text(tn_table *t, int index, int64_t row, tn_string text) {
    column *c = &t->columns[index];
    c->codes[row] = text.data ? tn_dictionary_add(&c->levels, text, INT32_MAX) : -1;
    return !text.data || c->codes[row] >= 0 ? TN_OK : TN_E_MEMORY;
}

const tn_allocator *tn_table_allocator(const tn_table *t) {
    return t->allocator;
}

const char *tn_table_folder(const tn_table *t) {
    return t->folder;
}

tn_status tn_table_set_folder(tn_table *t, const char *folder, size_t length) {
    t->folder = tn_region_strndup(t->region, folder, length);
    return t->folder ? TN_OK : TN_E_MEMORY;
}

/* ---- CSV ---- */

static tn_status prepare(tn_table *t, const tn_survey *survey) {
    for (int i = 0; i < t->count; i++) {
        tn_column_info info = {.struct_size = sizeof info};
        TN_TRY(tn_survey_column(survey, i, &info));
        TN_TRY(tn_table_column(t, i, info.name, info.type));
    }
    return TN_OK;
}

static tn_status put(const tn_csv *csv, tn_table *t, int index, int64_t row, tn_string field) {
    bool missing = tn_field_is_missing(field);
    column *c = &t->columns[index];
    if (c->type == TN_COLUMN_TEXT) return tn_table_put_text(t, index, row, missing ? (tn_string){NULL, 0} : field);
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
        for (int i = 0; i < t->count; i++) TN_TRY(put(csv, t, i, row, fields[i]));
    }
}

static tn_status read_place(const tn_csv_place *place, const tn_allocator *allocator, tn_table **out_table) {
    tn_survey *survey;
    tn_csv *csv = NULL;
    tn_table *t = NULL;
    *out_table = NULL;
    TN_TRY(tn_survey_place(place, &survey));
    const char *slash = place->path ? strrchr(place->path, '/') : NULL;
    tn_status status = tn_table_create(tn_survey_rows(survey), tn_survey_column_count(survey), allocator, &t);
    if (status == TN_OK) status = prepare(t, survey);
    if (status == TN_OK && slash)
        status = tn_table_set_folder(t, place->path, TN_MAX((size_t)(slash - place->path), 1));
    if (status == TN_OK) status = tn_csv_open_place(place, &csv);
    if (status == TN_OK) status = fill(t, csv);
    tn_csv_close(csv);
    tn_survey_destroy(survey);
    if (status == TN_OK)
        *out_table = t;
    else
        tn_table_destroy(t);
    return status;
}

tn_status tn_table_read_into(const char *path, const tn_csv_options *options, const tn_allocator *allocator,
                             tn_table **out_table) {
    if (tn_is_folder(path)) return tn_table_of_folder(path, allocator, out_table);
    if (tn_is_array_file(path)) return tn_table_of_arrays(path, allocator, out_table);
    return read_place(&(tn_csv_place){.path = path, .name = path, .options = options}, allocator, out_table);
}

tn_status tn_table_read(const char *path, const tn_csv_options *options, tn_table **out_table) {
    return tn_table_read_into(path, options, NULL, out_table);
}

tn_status tn_table_read_memory(const void *data, size_t size, const char *name, const tn_csv_options *options,
                               tn_table **out_table) {
    return read_place(&(tn_csv_place){NULL, data, size, name, options}, NULL, out_table);
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
        if (table->columns[i].name && strcmp(table->columns[i].name, name) == 0) return i;
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
