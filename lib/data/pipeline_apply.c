/* Applying: a fitted pipeline makes tensors of a table's rows. Nothing is learnt here. */
#include <limits.h>
#include <math.h>
#include "data/media.h"
#include "data/series.h"
#include "data/table.h"

int tn_feature_width(const tn_feature *f) {
    if (f->media) return (int)f->media->size;
    return f->encode == TN_ENCODE_ONE_HOT ? f->category_count : 1;
}

bool tn_pipeline_fitted(const tn_pipeline *pipeline) {
    bool fitted = !pipeline->has_target || pipeline->target.fitted;
    for (int i = 0; i < pipeline->count; i++) fitted = fitted && pipeline->features[i].fitted;
    return fitted;
}

/* Of a row: at most 4096 features of 4096 categories; of files, what tn_pipeline_parse lets pass. 0: not fitted. */
static int row_width(const tn_pipeline *pipeline) {
    int width = 0;
    for (int i = 0; i < pipeline->count; i++) {
        if (!pipeline->features[i].fitted) return 0;
        width += tn_feature_width(&pipeline->features[i]);
    }
    return width;
}

int tn_pipeline_steps(const tn_pipeline *pipeline) {
    return pipeline->series ? pipeline->series->steps : 1;
}

int tn_pipeline_width(const tn_pipeline *pipeline) {
    int width;
    return __builtin_mul_overflow(row_width(pipeline), tn_pipeline_steps(pipeline), &width) ? INT_MAX : width;
}

typedef struct job {
    const tn_pipeline *p;
    const tn_table *table;
    const uint8_t *part; /* NULL: all rows */
    int wanted;
    int64_t count; /* rows that are kept */
    int64_t *rows;
    double *filled; /* scratch: a column */
} job;

/* Whether the row has no value there, or one that counts as none. */
static bool is_missing(const tn_feature *f, const tn_table *t, int column, int64_t row) {
    const double *numbers = tn_table_numbers(t, column);
    return numbers ? isnan(tn_feature_value(f, numbers[row])) : tn_table_codes(t, column)[row] < 0;
}

/* The values at both ends of a gap: rows `before` and `after` have one; -1 and `rows` are outside. */
static double between(const double *x, int64_t rows, int64_t before, int64_t row, int64_t after, bool last) {
    if (before < 0) return after < rows ? x[after] : NAN;
    if (after >= rows || last) return x[before];
    return x[before] + (x[after] - x[before]) * ((double)(row - before) / (double)(after - before));
}

/* Writes the column's values with the gaps filled. Of rows for training, gaps are filled from rows for training alone; of
 * others, from all, as where the model runs. */
static void fill_gaps(const job *j, const tn_feature *f, const double *x, double *out) {
    int64_t rows = tn_table_rows(j->table), before = -1, after = 0;
    for (int64_t r = 0; r < rows; r++)
        out[r] = j->part && j->part[r] && j->part[r] != j->wanted ? NAN : tn_feature_value(f, x[r]);
    for (int64_t r = 0; r < rows; r++) {
        if (!isnan(out[r])) {
            before = r;
            continue;
        }
        if (f->missing == TN_MISSING_MEAN || f->missing == TN_MISSING_MEDIAN) out[r] = f->fill;
        if (f->missing != TN_MISSING_LAST && f->missing != TN_MISSING_INTERPOLATE) continue;
        if (after <= r) after = r;
        while (after < rows && isnan(out[after])) after++;
        out[r] = between(out, rows, before, r, after, f->missing == TN_MISSING_LAST);
    }
}

static bool drops(const job *j, const tn_feature *f, int64_t row) {
    int column = tn_table_find(j->table, f->column);
    return f->missing == TN_MISSING_DROP && column >= 0 && is_missing(f, j->table, column, row);
}

static void choose_rows(job *j, bool target) {
    for (int64_t r = 0; r < tn_table_rows(j->table); r++) {
        if (j->part && j->part[r] != j->wanted) continue;
        bool keep = !(target && drops(j, &j->p->target, r));
        for (int i = 0; keep && i < j->p->count; i++) keep = !drops(j, &j->p->features[i], r);
        if (keep) j->rows[j->count++] = r;
    }
}

static tn_status numbers_into(const job *j, const tn_feature *f, int column, float *out, int64_t stride) {
    fill_gaps(j, f, tn_table_numbers(j->table, column), j->filled);
    for (int64_t i = 0; i < j->count; i++) {
        double x = j->filled[j->rows[i]];
        if (isnan(x))
            return tn_fail(TN_E_INVALID,
                           "pipeline: column '%.80s' has no value in row %lld of the table; 'missing' says what to do",
                           f->column, (long long)j->rows[i] + 1);
        out[i * stride] = (float)((x - f->centre) / f->spread);
    }
    return TN_OK;
}

static void categories_into(const job *j, const tn_feature *f, int column, float *out, int64_t stride) {
    for (int64_t i = 0; i < j->count; i++) {
        int category = tn_feature_category(f, j->table, column, j->rows[i]);
        if (f->encode == TN_ENCODE_ORDINAL)
            out[i * stride] = (float)category;
        else if (category >= 0)
            out[i * stride + category] = 1;
    }
}

static tn_status files_into(const job *j, const tn_feature *f, int column, float *out, int64_t stride) {
    for (int64_t i = 0; i < j->count; i++) TN_TRY(tn_media_row(f, j->table, column, j->rows[i], out + i * stride));
    return TN_OK;
}

static tn_status make_x(const job *j, tn_tensor **out_x) {
    int width = row_width(j->p);
    TN_TRY(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){j->count, width}, tn_table_allocator(j->table), out_x));
    float *out = tn_tensor_data(*out_x);
    for (int i = 0; i < j->p->count; i++) {
        const tn_feature *f = &j->p->features[i];
        int column;
        TN_TRY(tn_feature_column(f, j->table, &column));
        if (f->media)
            TN_TRY(files_into(j, f, column, out, width));
        else if (f->encode == TN_ENCODE_NONE)
            TN_TRY(numbers_into(j, f, column, out, width));
        else
            categories_into(j, f, column, out, width);
        out += tn_feature_width(f);
    }
    return TN_OK;
}

static tn_string text_of(const job *j, int column, int64_t i) {
    int32_t code = tn_table_codes(j->table, column)[j->rows[i]];
    return code < 0 ? (tn_string){NULL, 0} : tn_table_level(j->table, column, code);
}

/* Words' numbers, from 1 on, a row filled up with -1. */
static tn_status make_sequences(const job *j, const tn_feature *f, int column, tn_tensor **out_y) {
    int64_t most = 1;
    for (int64_t i = 0; i < j->count; i++) {
        int64_t count = 0;
        for (tn_string rest = text_of(j, column, i); tn_next_word(&rest).size; count++) continue;
        most = TN_MAX(most, count);
    }
    TN_TRY(tn_tensor_create(TN_INT64, 2, (int64_t[]){j->count, most}, tn_table_allocator(j->table), out_y));
    for (int64_t i = 0; i < j->count; i++) {
        int64_t *to = (int64_t *)tn_tensor_data(*out_y) + i * most, count = 0;
        tn_string rest = text_of(j, column, i), word;
        while ((word = tn_next_word(&rest)).size) {
            const int category = tn_feature_word(f, word);
            if (category < 0)
                return tn_fail(
                    TN_E_INVALID,
                    "pipeline: the target '%.80s' of row %lld of the table has the word '%.*s', which no row "
                    "for training has",
                    f->column, (long long)j->rows[i] + 1, (int)TN_MIN(word.size, 40u), word.data);
            to[count++] = category + 1;
        }
        while (count < most) to[count++] = -1;
    }
    return TN_OK;
}

static tn_status make_y(const job *j, tn_tensor **out_y) {
    const tn_feature *f = &j->p->target;
    int column;
    bool classes = f->encode != TN_ENCODE_NONE;
    TN_TRY(tn_feature_column(f, j->table, &column));
    if (f->encode == TN_ENCODE_SEQUENCE) return make_sequences(j, f, column, out_y);
    TN_TRY(tn_tensor_create(classes ? TN_INT64 : TN_FLOAT32, 1, &j->count, tn_table_allocator(j->table), out_y));
    if (!classes) return numbers_into(j, f, column, tn_tensor_data(*out_y), 1);
    int64_t *out = tn_tensor_data(*out_y);
    for (int64_t i = 0; i < j->count; i++) {
        out[i] = tn_feature_category(f, j->table, column, j->rows[i]);
        if (out[i] < 0)
            return tn_fail(TN_E_INVALID,
                           "pipeline: the target '%.80s' of row %lld of the table is missing, or a class that no row "
                           "for training has",
                           f->column, (long long)j->rows[i] + 1);
    }
    return TN_OK;
}

tn_status tn_pipeline_apply(const tn_pipeline *pipeline, const tn_table *table, const uint8_t *part, int wanted,
                            tn_tensor **out_x, tn_tensor **out_y) {
    const tn_allocator *allocator = tn_table_allocator(table);
    tn_tensor *x = NULL, *y = NULL;
    size_t bytes;
    *out_x = NULL;
    if (out_y) *out_y = NULL;
    if (!tn_pipeline_fitted(pipeline)) return tn_fail(TN_E_STATE, "pipeline: it is not fitted");
    if (!tn_mul_size((size_t)tn_table_rows(table), 8, &bytes)) return tn_fail(TN_E_MEMORY, "out of memory");
    bool target = out_y && pipeline->has_target && tn_table_find(table, pipeline->target.column) >= 0;
    job j = {.p = pipeline,
             .table = table,
             .part = part,
             .wanted = wanted,
             .rows = tn_alloc(allocator, bytes),
             .filled = tn_alloc(allocator, bytes)};
    tn_status status = j.rows && j.filled ? TN_OK : TN_E_MEMORY;
    if (status == TN_OK) choose_rows(&j, target);
    if (status == TN_OK) status = make_x(&j, &x);
    if (status == TN_OK && target) status = make_y(&j, &y);
    if (status == TN_OK && pipeline->series) status = tn_series_windows(pipeline, table, j.rows, j.count, &x, &y);
    tn_free(allocator, j.rows, bytes);
    tn_free(allocator, j.filled, bytes);
    if (status != TN_OK) {
        tn_tensor_destroy(x);
        tn_tensor_destroy(y);
        return status;
    }
    *out_x = x;
    if (out_y) *out_y = y;
    return TN_OK;
}
