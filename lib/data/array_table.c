/* Arrays of NumPy as a table: the first dimension is the rows, and all others are laid out as columns, in C order. */
#include <math.h>
#include <stdio.h>
#include <tenon/media.h>
#include "base/element.h"
#include "data/table.h"

typedef struct arrays {
    tn_npz *npz;      /* NULL: one array, called value */
    tn_tensor **data; /* an array each */
    int count;
} arrays;

static bool ends(const char *text, const char *end) {
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

bool tn_is_array_file(const char *path) {
    return ends(path, ".npy") || ends(path, ".npz");
}

static const char *name_of(const arrays *a, int i) {
    return a->npz ? tn_npz_name(a->npz, i) : "value";
}

static int64_t width_of(const tn_tensor *t) {
    int64_t width = 1; /* what has rows fits, since its count does */
    for (int i = 1; i < tn_tensor_rank(t); i++) width *= tn_tensor_dims(t)[i];
    return width;
}

static tn_status check(const arrays *a, int64_t *out_rows, int64_t *out_columns) {
    *out_rows = *out_columns = 0;
    for (int i = 0; i < a->count; i++) {
        const tn_tensor *t = a->data[i];
        tn_dtype dtype = tn_tensor_dtype(t);
        if (dtype == TN_COMPLEX64 || dtype == TN_COMPLEX128)
            return tn_fail(TN_E_TYPE, "array '%.80s' is of complex numbers", name_of(a, i));
        if (tn_tensor_rank(t) < 1 || !tn_tensor_count(t))
            return tn_fail(TN_E_SHAPE, "array '%.80s' has no rows", name_of(a, i));
        int64_t rows = tn_tensor_dims(t)[0], width = width_of(t);
        if (i && rows != *out_rows)
            return tn_fail(TN_E_SHAPE, "array '%.80s' has %lld rows, and '%.80s' has %lld", name_of(a, i),
                           (long long)rows, name_of(a, 0), (long long)*out_rows);
        *out_rows = rows;
        if (width > TN_MOST_COLUMNS || (*out_columns += width) > TN_MOST_COLUMNS)
            return tn_fail(TN_E_LIMIT, "array '%.80s' of %lld numbers a row: %d columns are the most", name_of(a, i),
                           (long long)width, TN_MOST_COLUMNS);
    }
    return a->count ? TN_OK : tn_fail(TN_E_INVALID, "there is no array in it");
}

static tn_status fill_column(tn_table *table, int column, const tn_tensor *t, int64_t first, int64_t width,
                             const char *name) {
    tn_dtype dtype = tn_tensor_dtype(t);
    const void *data = tn_tensor_const_data(t);
    bool texts = dtype == TN_STRING;
    TN_TRY(tn_table_column(table, column, name, texts ? TN_COLUMN_TEXT : TN_COLUMN_NUMBER));
    double *numbers = tn_table_room(table, column);
    for (int64_t r = 0; r < tn_table_rows(table); r++) {
        int64_t at = r * width + first;
        if (texts) {
            tn_string text = ((const tn_string *)data)[at];
            TN_TRY(tn_table_put_text(table, column, r, text.size ? text : (tn_string){NULL, 0}));
            continue;
        }
        numbers[r] = tn_get_double(dtype, data, at);
        if (dtype == TN_UINT64) numbers[r] = (double)((const uint64_t *)data)[at];
        if (isinf(numbers[r]))
            return tn_fail(TN_E_INVALID, "array column '%.80s' is infinite in row %lld", name, (long long)r + 1);
    }
    return TN_OK;
}

static tn_status fill(const arrays *a, tn_table *table) {
    int column = 0;
    for (int i = 0; i < a->count; i++) {
        int64_t width = width_of(a->data[i]);
        for (int64_t k = 0; k < width; k++, column++) {
            char name[300];
            if (tn_tensor_rank(a->data[i]) == 1)
                snprintf(name, sizeof name, "%.255s", name_of(a, i));
            else
                snprintf(name, sizeof name, "%.255s_%lld", name_of(a, i), (long long)k);
            if (tn_table_find(table, name) >= 0)
                return tn_fail(TN_E_FORMAT, "two columns would be called '%.80s'", name);
            TN_TRY(fill_column(table, column, a->data[i], k, width, name));
        }
    }
    return TN_OK;
}

static tn_status load(arrays *a, const char *path) {
    if (ends(path, ".npz")) TN_TRY(tn_npz_open(path, &a->npz));
    int count = a->npz ? tn_npz_count(a->npz) : 1;
    a->data = tn_alloc_zero(NULL, (size_t)count * sizeof *a->data);
    if (!a->data) return TN_E_MEMORY;
    a->count = count;
    if (!a->npz) return tn_npy_load(path, TN_UNDEFINED, &a->data[0]);
    for (int i = 0; i < count; i++) TN_TRY(tn_npz_array(a->npz, i, TN_UNDEFINED, &a->data[i]));
    return TN_OK;
}

tn_status tn_table_of_arrays(const char *path, const tn_allocator *allocator, tn_table **out_table) {
    arrays a = {0};
    tn_table *t = NULL;
    int64_t rows, columns;
    *out_table = NULL;
    tn_status status = load(&a, path);
    if (status == TN_OK) status = check(&a, &rows, &columns);
    if (status == TN_OK) status = tn_table_create(rows, (int)columns, allocator, &t);
    if (status == TN_OK) status = fill(&a, t);
    for (int i = 0; i < a.count; i++) tn_tensor_destroy(a.data[i]);
    tn_free(NULL, a.data, (size_t)a.count * sizeof *a.data);
    tn_npz_close(a.npz);
    if (status == TN_OK) {
        *out_table = t;
        return status;
    }
    tn_table_destroy(t);
    return strncmp(tn_last_error(), path, strlen(path)) == 0 ? status : tn_fail_context(status, "%s", path);
}
