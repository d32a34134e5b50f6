/* Time series: rows in the order of time, group by group, on a grid of equal steps if the pipeline says so; and windows of
 * them. A window never crosses from one group to another, nor from rows for training to others, for which it would teach what
 * it is asked. */
#include "data/series.h"
#include <math.h>
#include <stdlib.h>
#include "base/tensor.h"
#include "data/table.h"

#define MOST_ROWS (1 << 27)

/* A row of the table, and what it is ordered by. */
typedef struct entry {
    double group, time;
    int64_t row;
} entry;

typedef struct job {
    const tn_series *s;
    const tn_table *from;
    tn_table *to;
    entry *order;
    int64_t rows, made; /* of both tables */
    int time, group;    /* columns; -1: none */
    double *counts;     /* scratch: a number for each row that is made */
} job;

/* ---- times ---- */

static bool digits(const char **p, const char *end, int count, int low, int high, int *out) {
    int value = 0;
    if (end - *p < count) return false;
    for (int i = 0; i < count; i++, ++*p) {
        if (**p < '0' || **p > '9') return false;
        value = 10 * value + (**p - '0');
    }
    *out = value;
    return value >= low && value <= high;
}

static bool sign(const char **p, const char *end, const char *wanted) {
    if (*p == end || !strchr(wanted, **p) || !**p) return false;
    ++*p;
    return true;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar (Richards, 2013). */
static int64_t days_of(int year, int month, int day) {
    int64_t y = year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

bool tn_time_of(tn_string text, double *out) {
    const char *p = text.data, *end = text.data + text.size;
    int year, month, day, hour = 0, minute = 0, second = 0, zone_hour = 0, zone_minute = 0;
    double fraction = 0, zone = 0;
    if (!text.size) return false;
    if (!digits(&p, end, 4, 0, 9999, &year) || !sign(&p, end, "-") || !digits(&p, end, 2, 1, 12, &month) ||
        !sign(&p, end, "-") || !digits(&p, end, 2, 1, 31, &day))
        return false;
    if (p < end) {
        if (!sign(&p, end, "T ") || !digits(&p, end, 2, 0, 24, &hour) || !sign(&p, end, ":") ||
            !digits(&p, end, 2, 0, 59, &minute))
            return false;
        if (sign(&p, end, ":") && !digits(&p, end, 2, 0, 60, &second)) return false;
        if (sign(&p, end, ".,"))
            for (double unit = 0.1; p < end && *p >= '0' && *p <= '9'; p++, unit /= 10) fraction += unit * (*p - '0');
        if (!sign(&p, end, "Zz") && p < end) {
            bool west = *p == '-';
            if (!sign(&p, end, "+-") || !digits(&p, end, 2, 0, 23, &zone_hour)) return false;
            sign(&p, end, ":");
            if (p < end && !digits(&p, end, 2, 0, 59, &zone_minute)) return false;
            zone = (west ? -1 : 1) * (3600.0 * zone_hour + 60.0 * zone_minute);
        }
    }
    *out = 86400.0 * (double)days_of(year, month, day) + 3600.0 * hour + 60.0 * minute + second + fraction - zone;
    return p == end;
}

/* ---- order ---- */

static int by_group_and_time(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->group != y->group) return (x->group > y->group) - (x->group < y->group);
    if (x->time != y->time) return (x->time > y->time) - (x->time < y->time);
    return (x->row > y->row) - (x->row < y->row);
}

static tn_status find(const tn_table *table, const char *name, int *out_column) {
    *out_column = name ? tn_table_find(table, name) : -1;
    if (!name || *out_column >= 0) return TN_OK;
    return tn_fail(TN_E_NOT_FOUND, "pipeline: the table has no column '%.80s', which 'series' names", name);
}

static tn_status time_at(const job *j, int64_t row, double *out) {
    const double *numbers = tn_table_numbers(j->from, j->time);
    const int32_t *codes = tn_table_codes(j->from, j->time);
    *out = numbers ? numbers[row] : NAN;
    bool good = codes ? codes[row] >= 0 && tn_time_of(tn_table_level(j->from, j->time, codes[row]), out) : !isnan(*out);
    if (good) return TN_OK;
    return tn_fail(
        TN_E_INVALID,
        "pipeline: column '%.80s' has no time in row %lld of the table; a number or a time as ISO 8601 writes it, "
        "2015-03-01T12:30:00, was expected",
        j->s->time, (long long)row + 1);
}

static tn_status set_order(job *j) {
    const double *numbers = tn_table_numbers(j->from, j->group);
    const int32_t *codes = tn_table_codes(j->from, j->group);
    for (int64_t r = 0; r < j->rows; r++) {
        entry *e = &j->order[r];
        *e = (entry){.row = r};
        if (j->time >= 0) TN_TRY(time_at(j, r, &e->time));
        if (j->group < 0) continue;
        e->group = numbers ? numbers[r] : codes && codes[r] >= 0 ? codes[r] : NAN;
        if (isnan(e->group))
            return tn_fail(TN_E_INVALID, "pipeline: column '%.80s' has no group in row %lld of the table", j->s->group,
                           (long long)r + 1);
    }
    qsort(j->order, (size_t)j->rows, sizeof *j->order, by_group_and_time);
    return TN_OK;
}

/* ---- the grid ---- */

static double bin_of_time(const job *j, int64_t i) {
    return floor(j->order[i].time / j->s->every);
}

/* Where they were counted. */
static int64_t bin_of(const job *j, int64_t i) {
    return (int64_t)bin_of_time(j, i);
}

/* The end of the group that begins at `first`. */
static int64_t group_end(const job *j, int64_t first) {
    int64_t end = first;
    while (end < j->rows && j->order[end].group == j->order[first].group) end++;
    return end;
}

static tn_status count_bins(job *j) {
    double total = 0;
    for (int64_t a = 0, b; a < j->rows; a = b) {
        b = group_end(j, a);
        double first = bin_of_time(j, a), last = bin_of_time(j, b - 1);
        if (!(fabs(first) < 0x1p52 && fabs(last) < 0x1p52)) /* beyond which steps cannot be counted */
            return tn_fail(TN_E_LIMIT, "pipeline: times are too large for a grid of %g", j->s->every);
        total += last - first + 1;
    }
    if (!(total <= MOST_ROWS))
        return tn_fail(TN_E_LIMIT, "pipeline: a grid of %g steps would have %g rows; 2^27 are the most", j->s->every,
                       total);
    j->made = (int64_t)total;
    return TN_OK;
}

/* Between the values on both sides, at each time of the grid. Outside of them there is none. */
static void interpolate(const job *j, const double *x, int64_t a, int64_t b, double *out) {
    int64_t last = bin_of(j, b - 1), before = -1, after = a;
    for (int64_t bin = bin_of(j, a); bin <= last; bin++, out++) {
        double at = (double)bin * j->s->every;
        for (; after < b && (isnan(x[j->order[after].row]) || j->order[after].time < at); after++)
            if (!isnan(x[j->order[after].row])) before = after;
        *out = NAN;
        if (after == b) continue;
        const entry *q = &j->order[after], *p = before < 0 ? NULL : &j->order[before];
        if (q->time == at)
            *out = x[q->row];
        else if (p)
            *out = x[p->row] + (x[q->row] - x[p->row]) * ((at - p->time) / (q->time - p->time));
    }
}

static void to_grid(const job *j, const double *x, double *out) {
    double *counts = j->counts;
    for (int64_t i = 0; i < j->made; i++) out[i] = NAN, counts[i] = 0;
    for (int64_t a = 0, b; a < j->rows; a = b) {
        int64_t first = bin_of(j, a);
        b = group_end(j, a);
        int64_t count = bin_of(j, b - 1) - first + 1;
        if (j->s->by == TN_REGULAR_INTERPOLATE) interpolate(j, x, a, b, out);
        for (int64_t i = a; i < b && j->s->by != TN_REGULAR_INTERPOLATE; i++) {
            double value = x[j->order[i].row];
            int64_t bin = bin_of(j, i) - first;
            if (isnan(value)) continue;
            double sum = j->s->by == TN_REGULAR_MEAN && counts[bin] > 0 ? out[bin] : 0;
            out[bin] = sum + value;
            counts[bin]++;
        }
        for (int64_t i = 0; i < count && j->s->by == TN_REGULAR_MEAN; i++)
            if (counts[i] > 0) out[i] /= counts[i];
        out += count;
        counts += count;
    }
}

/* Of texts the last in each step; of interpolated ones the last that is not later than its beginning. */
static tn_status texts_to_grid(const job *j, int column) {
    const int32_t *codes = tn_table_codes(j->from, column);
    int64_t out = 0;
    for (int64_t a = 0, b; a < j->rows; a = b) {
        int64_t i = a;
        b = group_end(j, a);
        int64_t last = bin_of(j, b - 1);
        int32_t code = -1;
        for (int64_t bin = bin_of(j, a); bin <= last; bin++, out++) {
            bool inside = j->s->by != TN_REGULAR_INTERPOLATE;
            if (inside && column != j->group) code = -1;
            for (; i < b && (inside ? bin_of(j, i) <= bin : j->order[i].time <= (double)bin * j->s->every); i++)
                if (codes[j->order[i].row] >= 0) code = codes[j->order[i].row];
            if (column == j->group) code = codes[j->order[a].row];
            TN_TRY(tn_table_put_text(j->to, column, out,
                                     code < 0 ? (tn_string){NULL, 0} : tn_table_level(j->from, column, code)));
        }
    }
    return TN_OK;
}

/* The time of each step, or the group of each row. */
static void put_keys(const job *j, int column, bool time) {
    double *out = tn_table_room(j->to, column);
    for (int64_t a = 0, b; a < j->rows; a = b) {
        b = group_end(j, a);
        int64_t last = bin_of(j, b - 1);
        for (int64_t bin = bin_of(j, a); bin <= last; bin++)
            *out++ = time ? (double)bin * j->s->every : j->order[a].group;
    }
}

/* ---- both tables ---- */

static tn_status copy_column(const job *j, int column) {
    const double *x = tn_table_numbers(j->from, column);
    const int32_t *codes = tn_table_codes(j->from, column);
    bool grid = j->s->every > 0, key = grid && (column == j->time || (column == j->group && x));
    tn_column_type type = x || key ? TN_COLUMN_NUMBER : TN_COLUMN_TEXT;
    TN_TRY(tn_table_column(j->to, column, tn_table_column_name(j->from, column), type));
    double *out = tn_table_room(j->to, column);
    if (key) {
        put_keys(j, column, column == j->time);
        return TN_OK;
    }
    if (grid && !x) return texts_to_grid(j, column);
    if (grid) {
        to_grid(j, x, out);
        return TN_OK;
    }
    for (int64_t i = 0; i < j->rows; i++) {
        int64_t row = j->order[i].row;
        if (x)
            out[i] = x[row];
        else
            TN_TRY(tn_table_put_text(
                j->to, column, i, codes[row] < 0 ? (tn_string){NULL, 0} : tn_table_level(j->from, column, codes[row])));
    }
    return TN_OK;
}

static tn_status prepare(job *j) {
    TN_TRY(find(j->from, j->s->time, &j->time));
    TN_TRY(find(j->from, j->s->group, &j->group));
    TN_TRY(set_order(j));
    j->made = j->rows;
    if (j->s->every > 0) TN_TRY(count_bins(j));
    j->counts = tn_alloc(NULL, (size_t)j->made * sizeof *j->counts);
    if (!j->counts) return TN_E_MEMORY;
    TN_TRY(tn_table_create(j->made, tn_table_column_count(j->from), tn_table_allocator(j->from), &j->to));
    const char *folder = tn_table_folder(j->from);
    if (folder) TN_TRY(tn_table_set_folder(j->to, folder, strlen(folder)));
    for (int c = 0; c < tn_table_column_count(j->from); c++) TN_TRY(copy_column(j, c));
    return TN_OK;
}

tn_status tn_pipeline_prepare(const tn_pipeline *pipeline, const tn_table *table, tn_table **out_table) {
    job j = {.s = pipeline->series, .from = table, .rows = tn_table_rows(table)};
    size_t bytes;
    *out_table = NULL;
    if (!j.s || (!j.s->time && !j.s->group)) return TN_OK;
    if (!tn_mul_size((size_t)j.rows, sizeof *j.order, &bytes)) return tn_fail(TN_E_MEMORY, "out of memory");
    j.order = tn_alloc(NULL, bytes);
    tn_status status = j.order ? prepare(&j) : TN_E_MEMORY;
    tn_free(NULL, j.order, bytes);
    if (j.counts) tn_free(NULL, j.counts, (size_t)j.made * sizeof *j.counts);
    if (status == TN_OK)
        *out_table = j.to;
    else
        tn_table_destroy(j.to);
    return status;
}
