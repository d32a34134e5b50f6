/* Arrays of NumPy as a table: the first dimension is the rows, and all others are laid out as columns, in C order. Numbers are
 * read some at a time; what an archive has lies in the table's kind of memory meanwhile. */
#include <math.h>
#include <stdio.h>
#include "base/element.h"
#include "base/tensor.h"
#include "data/npy.h"
#include "data/table.h"

/* Elements that are read at a time; a row of the most columns fits. */
enum { PIECE = 1 << 15 };

typedef struct array {
    const char *name;
    tn_npy npy;
    tn_string bytes; /* of an archive */
    bool own;
    tn_tensor *texts; /* NULL: they are numbers */
    int64_t rows, width;
} array;

typedef struct arrays {
    tn_npz *npz; /* NULL: one array, called value */
    const tn_allocator *allocator;
    array *data;
    int count;
    void *raw; /* PIECE elements */
    double *numbers;
} arrays;

static bool ends(const char *text, const char *end) {
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

bool tn_is_array_file(const char *path) {
    return ends(path, ".npy") || ends(path, ".npz");
}

static tn_status check(const arrays *a, int64_t *out_rows, int64_t *out_columns) {
    *out_rows = *out_columns = 0;
    for (int i = 0; i < a->count; i++) {
        array *one = &a->data[i];
        const tn_npy *n = &one->npy;
        if (n->dtype == TN_COMPLEX64 || n->dtype == TN_COMPLEX128)
            return tn_fail(TN_E_TYPE, "array '%.80s' is of complex numbers", one->name);
        int64_t count = 1; /* which fits: so much is there */
        for (int k = 0; k < n->rank; k++) count *= n->dims[k];
        if (n->rank < 1 || !count) return tn_fail(TN_E_SHAPE, "array '%.80s' has no rows", one->name);
        one->rows = n->dims[0];
        one->width = count / one->rows;
        if (i && one->rows != *out_rows)
            return tn_fail(TN_E_SHAPE, "array '%.80s' has %lld rows, and '%.80s' has %lld", one->name,
                           (long long)one->rows, a->data[0].name, (long long)*out_rows);
        *out_rows = one->rows;
        if (one->width > TN_MOST_COLUMNS || (*out_columns += one->width) > TN_MOST_COLUMNS)
            return tn_fail(TN_E_LIMIT, "array '%.80s' of %lld numbers a row: %d columns are the most", one->name,
                           (long long)one->width, TN_MOST_COLUMNS);
    }
    return a->count ? TN_OK : tn_fail(TN_E_INVALID, "there is no array in it");
}

static tn_status name_columns(const array *one, tn_table *table, int first) {
    for (int64_t k = 0; k < one->width; k++) {
        char name[300];
        if (one->npy.rank == 1)
            snprintf(name, sizeof name, "%.255s", one->name);
        else
            snprintf(name, sizeof name, "%.255s_%lld", one->name, (long long)k);
        if (tn_table_find(table, name) >= 0) return tn_fail(TN_E_FORMAT, "two columns would be called '%.80s'", name);
        TN_TRY(tn_table_column(table, first + (int)k, name, one->texts ? TN_COLUMN_TEXT : TN_COLUMN_NUMBER));
    }
    return TN_OK;
}

static tn_status fill_texts(const array *one, tn_table *table, int first) {
    const tn_string *texts = one->texts->data;
    for (int64_t k = 0; k < one->width; k++)
        for (int64_t r = 0; r < one->rows; r++) {
            const tn_string text = texts[r * one->width + k];
            TN_TRY(tn_table_put_text(table, first + (int)k, r, text.size ? text : (tn_string){NULL, 0}));
        }
    return TN_OK;
}

/* The next elements, into a->numbers. */
static tn_status read_numbers(const arrays *a, array *one, int64_t count) {
    const tn_dtype dtype = one->npy.dtype;
    TN_TRY(tn_npy_read(&one->npy, count, a->raw));
    tn_read_doubles(dtype, a->raw, 0, (size_t)count, a->numbers);
    for (int64_t i = 0; dtype == TN_UINT64 && i < count; i++) a->numbers[i] = (double)((const uint64_t *)a->raw)[i];
    return TN_OK;
}

static tn_status put_numbers(const arrays *a, tn_table *table, int column, int64_t row, int64_t rows, int64_t from,
                             int64_t stride) {
    double *out = tn_table_room(table, column) + row;
    for (int64_t r = 0; r < rows; r++) {
        out[r] = a->numbers[from + r * stride];
        if (isinf(out[r]))
            return tn_fail(TN_E_INVALID, "array column '%.80s' is infinite in row %lld",
                           tn_table_column_name(table, column), (long long)(row + r) + 1);
    }
    return TN_OK;
}

/* The column that is the next one of an array whose first dim moves fastest, and of the others the second, and so on. */
static int64_t column_at(const tn_npy *n, int64_t next) {
    int64_t column = 0;
    for (int i = 1; i < n->rank; i++) {
        column = column * n->dims[i] + next % n->dims[i];
        next /= n->dims[i];
    }
    return column;
}

static tn_status fill_numbers(const arrays *a, array *one, tn_table *table, int first) {
    const int64_t together = one->npy.fortran ? 1 : one->width, most = PIECE / together;
    for (int64_t k = 0; k < one->width; k += together)
        for (int64_t r = 0, rows; r < one->rows; r += rows) {
            rows = TN_MIN(most, one->rows - r);
            TN_TRY(read_numbers(a, one, rows * together));
            for (int64_t c = 0; c < together; c++) {
                const int64_t column = one->npy.fortran ? column_at(&one->npy, k) : c;
                TN_TRY(put_numbers(a, table, first + (int)column, r, rows, c, together));
            }
        }
    return TN_OK;
}

static tn_status fill(const arrays *a, tn_table *table) {
    int first = 0;
    for (int i = 0; i < a->count; i++) {
        array *one = &a->data[i];
        TN_TRY(name_columns(one, table, first));
        TN_TRY(one->texts ? fill_texts(one, table, first) : fill_numbers(a, one, table, first));
        first += (int)one->width;
    }
    return TN_OK;
}

static tn_status open_one(const arrays *a, const char *path, int i) {
    array *one = &a->data[i];
    one->name = a->npz ? tn_npz_name(a->npz, i) : "value";
    if (!a->npz) {
        TN_TRY(tn_npy_open(path, &one->npy));
        return one->npy.dtype == TN_STRING ? tn_npy_load(path, TN_UNDEFINED, &one->texts) : TN_OK;
    }
    TN_TRY(tn_npz_bytes(a->npz, i, &one->bytes, &one->own));
    TN_TRY(tn_npy_open_memory(one->bytes.data, one->bytes.size, one->name, &one->npy));
    if (one->npy.dtype != TN_STRING) return TN_OK;
    return tn_npy_parse(one->bytes.data, one->bytes.size, one->name, TN_UNDEFINED, &one->texts);
}

static tn_status load(arrays *a, const char *path) {
    if (ends(path, ".npz")) TN_TRY(tn_npz_open_in(path, a->allocator, &a->npz));
    a->count = a->npz ? tn_npz_count(a->npz) : 1;
    a->data = tn_alloc_zero(NULL, (size_t)a->count * sizeof *a->data);
    a->raw = tn_alloc(NULL, PIECE * sizeof(uint64_t));
    a->numbers = tn_alloc(NULL, PIECE * sizeof(double));
    for (int i = 0; a->data && i < a->count; i++) a->data[i].npy.file = -1;
    if (!a->data || !a->raw || !a->numbers) return TN_E_MEMORY;
    for (int i = 0; i < a->count; i++) TN_TRY(open_one(a, path, i));
    return TN_OK;
}

static void unload(arrays *a) {
    for (int i = 0; a->data && i < a->count; i++) {
        array *one = &a->data[i];
        tn_npy_close(&one->npy);
        tn_tensor_destroy(one->texts);
        if (one->own) tn_free(a->allocator, (void *)one->bytes.data, one->bytes.size);
    }
    tn_free(NULL, a->data, (size_t)a->count * sizeof *a->data);
    tn_free(NULL, a->raw, PIECE * sizeof(uint64_t));
    tn_free(NULL, a->numbers, PIECE * sizeof(double));
    tn_npz_close(a->npz);
}

tn_status tn_table_of_arrays(const char *path, const tn_allocator *allocator, tn_table **out_table) {
    arrays a = {.allocator = allocator};
    tn_table *t = NULL;
    int64_t rows, columns;
    *out_table = NULL;
    tn_status status = load(&a, path);
    if (status == TN_OK) status = check(&a, &rows, &columns);
    if (status == TN_OK) status = tn_table_create(rows, (int)columns, allocator, &t);
    if (status == TN_OK) status = fill(&a, t);
    unload(&a);
    if (status == TN_OK) {
        *out_table = t;
        return status;
    }
    tn_table_destroy(t);
    return strncmp(tn_last_error(), path, strlen(path)) == 0 ? status : tn_fail_context(status, "%s", path);
}
