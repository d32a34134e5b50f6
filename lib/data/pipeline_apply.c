/* Applying: a fitted pipeline makes tensors of a table's rows. Nothing is learnt here. */
#include <limits.h>
#include <math.h>
#include "data/media.h"
#include "data/samples.h"
#include "data/series.h"
#include "data/spill.h"
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

/* A feature, or the target, on its way down the rows. */
typedef struct lane {
    const tn_feature *f;
    int column;
    int64_t seen, before, after; /* rows that were looked at; of gaps: the rows with a value on both sides */
} lane;

typedef struct job {
    const tn_pipeline *p;
    const tn_table *table;
    const uint8_t *part; /* NULL: all rows */
    int wanted;
    int64_t count; /* rows that are kept */
    int64_t *rows;
    int lane_count; /* features, and behind them the target if it is wanted */
    lane *lanes;
} job;

/* Numbers of x that are made at a time, of all columns, so that they are written once and in order. */
enum { TILE = 1 << 16, ASK_ROWS = 1024 };

/* Of rows for training, gaps are filled from rows for training alone; of others, from all, as where the model runs. */
static double value_at(const job *j, const tn_feature *f, const double *x, int64_t row) {
    return j->part && j->part[row] && j->part[row] != j->wanted ? NAN : tn_feature_value(f, x[row]);
}

/* From the values at both ends of a gap; rows come in ascending order. */
static double between(const job *j, lane *l, const double *x, int64_t row) {
    const tn_feature *f = l->f;
    const int64_t rows = tn_table_rows(j->table);
    for (; l->seen < row; l->seen++)
        if (!isnan(value_at(j, f, x, l->seen))) l->before = l->seen;
    l->after = TN_MAX(l->after, row);
    while (l->after < rows && isnan(value_at(j, f, x, l->after))) l->after++;
    if (l->before < 0) return l->after < rows ? value_at(j, f, x, l->after) : NAN;
    const double a = value_at(j, f, x, l->before);
    if (l->after == rows || f->missing == TN_MISSING_LAST) return a;
    return a + (value_at(j, f, x, l->after) - a) * ((double)(row - l->before) / (double)(l->after - l->before));
}

static double filled_at(const job *j, lane *l, const double *x, int64_t row) {
    const double value = value_at(j, l->f, x, row);
    if (!isnan(value)) return value;
    switch (l->f->missing) {
    case TN_MISSING_MEAN:
    case TN_MISSING_MEDIAN: return l->f->fill;
    case TN_MISSING_LAST:
    case TN_MISSING_INTERPOLATE: return between(j, l, x, row);
    default: return NAN;
    }
}

/* Whether the row has no value there, or one that counts as none. */
static bool is_missing(const job *j, const lane *l, int64_t row) {
    const double *numbers = tn_table_numbers(j->table, l->column);
    return numbers ? isnan(tn_feature_value(l->f, numbers[row])) : tn_table_codes(j->table, l->column)[row] < 0;
}

static void choose_rows(job *j) {
    for (int64_t r = 0; r < tn_table_rows(j->table); r++) {
        bool keep = !j->part || j->part[r] == j->wanted;
        for (int i = 0; keep && i < j->lane_count; i++)
            keep = j->lanes[i].f->missing != TN_MISSING_DROP || !is_missing(j, &j->lanes[i], r);
        if (keep) j->rows[j->count++] = r;
    }
}

/* Of the kept rows from one on to another. */
static tn_status numbers_into(const job *j, lane *l, int64_t first, int64_t end, float *out, int64_t stride) {
    const tn_feature *f = l->f;
    const double *numbers = tn_table_numbers(j->table, l->column);
    for (int64_t i = first; i < end; i++, out += stride) {
        double x = filled_at(j, l, numbers, j->rows[i]);
        if (isnan(x))
            return tn_fail(TN_E_INVALID,
                           "pipeline: column '%.80s' has no value in row %lld of the table; 'missing' says what to do",
                           f->column, (long long)j->rows[i] + 1);
        *out = (float)((x - f->centre) / f->spread);
    }
    return TN_OK;
}

static void categories_into(const job *j, const lane *l, int64_t first, int64_t end, float *out, int64_t stride) {
    const bool ordinal = l->f->encode == TN_ENCODE_ORDINAL;
    for (int64_t i = first; i < end; i++, out += stride) {
        int category = tn_feature_category(l->f, j->table, l->column, j->rows[i]);
        if (!ordinal) memset(out, 0, (size_t)l->f->category_count * sizeof *out);
        if (ordinal)
            *out = (float)category;
        else if (category >= 0)
            out[category] = 1;
    }
}

static tn_status files_into(const job *j, const lane *l, int64_t first, int64_t end, float *out, int64_t stride) {
    for (int64_t i = first; i < end; i++, out += stride)
        TN_TRY(tn_media_row(l->f, j->table, l->column, j->rows[i], out));
    return TN_OK;
}

/* Columns may lie in files: the system is asked for a piece of each before they are read in turn. */
static void ask_for(const job *j, int64_t first, int64_t end) {
    if (!tn_table_allocator(j->table) || first >= j->count) return;
    const int64_t row = j->rows[first], rows = j->rows[TN_MIN(end, j->count) - 1] + 1 - row;
    for (int i = 0; i < j->lane_count; i++) {
        const double *numbers = tn_table_numbers(j->table, j->lanes[i].column);
        const int32_t *codes = tn_table_codes(j->table, j->lanes[i].column);
        if (numbers) tn_spill_ask(numbers + row, (size_t)rows * sizeof *numbers);
        if (codes) tn_spill_ask(codes + row, (size_t)rows * sizeof *codes);
    }
}

static tn_status make_x(const job *j, tn_tensor **out_x) {
    const int64_t width = row_width(j->p), rows = TN_MAX(TILE / TN_MAX(width, 1), 16);
    tn_tensor x;
    TN_TRY(tn_tensor_init(&x, TN_FLOAT32, 2, (int64_t[]){j->count, width}, tn_table_allocator(j->table)));
    TN_TRY(tn_tensor_move(&x, out_x));
    int64_t asked = 0;
    for (int64_t r = 0; r < j->count; r += rows) {
        const int64_t end = TN_MIN(r + rows, j->count);
        for (; asked < end + rows && asked < j->count; asked += ASK_ROWS) ask_for(j, asked, asked + ASK_ROWS);
        float *out = (float *)(*out_x)->data + r * width;
        for (int i = 0; i < j->p->count; i++) {
            lane *l = &j->lanes[i];
            if (l->f->media)
                TN_TRY(files_into(j, l, r, end, out, width));
            else if (l->f->encode == TN_ENCODE_NONE)
                TN_TRY(numbers_into(j, l, r, end, out, width));
            else
                categories_into(j, l, r, end, out, width);
            out += tn_feature_width(l->f);
        }
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

static tn_status make_y(const job *j, lane *l, tn_tensor **out_y) {
    const tn_feature *f = l->f;
    bool classes = f->encode != TN_ENCODE_NONE;
    if (f->encode == TN_ENCODE_SEQUENCE) return make_sequences(j, f, l->column, out_y);
    TN_TRY(tn_tensor_create(classes ? TN_INT64 : TN_FLOAT32, 1, &j->count, tn_table_allocator(j->table), out_y));
    if (!classes) return numbers_into(j, l, 0, j->count, tn_tensor_data(*out_y), 1);
    int64_t *out = tn_tensor_data(*out_y);
    for (int64_t i = 0; i < j->count; i++) {
        out[i] = tn_feature_category(f, j->table, l->column, j->rows[i]);
        if (out[i] < 0)
            return tn_fail(TN_E_INVALID,
                           "pipeline: the target '%.80s' of row %lld of the table is missing, or a class that no row "
                           "for training has",
                           f->column, (long long)j->rows[i] + 1);
    }
    return TN_OK;
}

static tn_status find_columns(job *j) {
    for (int i = 0; i < j->lane_count; i++) {
        lane *l = &j->lanes[i];
        *l = (lane){.f = i < j->p->count ? &j->p->features[i] : &j->p->target, .before = -1};
        TN_TRY(tn_feature_column(l->f, j->table, &l->column));
    }
    return TN_OK;
}

static tn_status make(job *j, tn_sample_set *out) {
    TN_TRY(find_columns(j));
    choose_rows(j);
    TN_TRY(make_x(j, &out->x));
    out->count = j->count;
    out->width = out->x->dims[1];
    if (j->lane_count > j->p->count) TN_TRY(make_y(j, &j->lanes[j->p->count], &out->y));
    return j->p->series ? tn_series_windows(j->p, j->table, j->rows, out) : TN_OK;
}

tn_status tn_pipeline_samples(const tn_pipeline *pipeline, const tn_table *table, const uint8_t *part, int wanted,
                              bool target, tn_sample_set *out) {
    const tn_allocator *allocator = tn_table_allocator(table);
    size_t bytes;
    *out = (tn_sample_set){.allocator = allocator};
    if (!tn_pipeline_fitted(pipeline)) return tn_fail(TN_E_STATE, "pipeline: it is not fitted");
    if (!tn_mul_size((size_t)tn_table_rows(table), 8, &bytes)) return tn_fail(TN_E_MEMORY, "out of memory");
    target = target && pipeline->has_target && tn_table_find(table, pipeline->target.column) >= 0;
    job j = {.p = pipeline,
             .table = table,
             .part = part,
             .wanted = wanted,
             .rows = tn_alloc(allocator, bytes),
             .lane_count = pipeline->count + target};
    const size_t lanes = (size_t)j.lane_count * sizeof *j.lanes;
    j.lanes = tn_alloc(NULL, lanes);
    tn_status status = j.rows && j.lanes ? make(&j, out) : TN_E_MEMORY;
    tn_free(allocator, j.rows, bytes);
    tn_free(NULL, j.lanes, lanes);
    if (status != TN_OK) tn_sample_set_deinit(out);
    return status;
}

static void give(tn_tensor **from, tn_tensor **to) {
    *to = *from;
    *from = NULL;
}

tn_status tn_pipeline_apply(const tn_pipeline *pipeline, const tn_table *table, const uint8_t *part, int wanted,
                            tn_tensor **out_x, tn_tensor **out_y) {
    tn_sample_set set;
    tn_status status = TN_OK;
    *out_x = NULL;
    if (out_y) *out_y = NULL;
    TN_TRY(tn_pipeline_samples(pipeline, table, part, wanted, out_y != NULL, &set));
    if (set.steps)
        status = tn_sample_tensor(&set, out_x);
    else
        give(&set.x, out_x);
    if (status == TN_OK && out_y) give(&set.y, out_y);
    tn_sample_set_deinit(&set);
    return status;
}
