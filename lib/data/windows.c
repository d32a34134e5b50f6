/* Windows of series, and the keys of `series`. */
#include <math.h>
#include "data/samples.h"
#include "data/series.h"
#include "data/table.h"
#include "model/manifest.h"

/* ---- keys ---- */

static const char *const by_words[] = {"", "mean", "last", "interpolate", NULL};

static tn_status read_whole(const tn_manifest_node *map, const char *name, double low, double high, double fallback,
                            int64_t *out) {
    double x;
    TN_TRY(tn_pipeline_read_number(map, name, fallback, &x));
    if (!(x >= low && x <= high) || x != floor(x))
        return tn_fail(TN_E_FORMAT, "pipeline line %d, column %d: '%s' of series is a whole number from %g to %g",
                       map->line, map->column, name, low, high);
    *out = (int64_t)x;
    return TN_OK;
}

static tn_status read_steps(tn_region *region, const tn_manifest_node *map, tn_series *s) {
    const tn_manifest_node *lags = tn_manifest_child(map, "lags"), *child;
    int64_t length = 1;
    if (lags && tn_manifest_child(map, "length")) return tn_pipeline_wrong(lags, "a window has 'length' or 'lags'");
    if (lags && (lags->kind != TN_MANIFEST_LIST || lags->count < 1 || lags->count > TN_MOST_STEPS))
        return tn_pipeline_wrong(lags, "'lags' is a list of 1 to 4096 whole numbers");
    TN_TRY(read_whole(map, "length", 1, TN_MOST_STEPS, 1, &length));
    s->lags = lags != NULL;
    s->steps = lags ? lags->count : (int)length;
    int64_t *back = tn_region_array(region, (size_t)s->steps, sizeof *back);
    if (!back) return TN_E_MEMORY;
    child = lags ? lags->first : NULL;
    for (int i = 0; i < s->steps; i++) {
        double x = s->steps - 1 - i;
        if (lags && (!tn_pipeline_is_number(child, &x) || x < 0 || x > 1e6 || x != floor(x)))
            return tn_pipeline_wrong(child, "a lag is a whole number of rows from 0 to 1000000");
        back[i] = (int64_t)x;
        if (i && back[i] >= back[i - 1]) return tn_pipeline_wrong(child, "lags go down, as 24, 1, 0: the oldest first");
        if (lags) child = child->next;
    }
    s->back = back;
    return TN_OK;
}

tn_status tn_series_read(const tn_manifest_node *map, tn_pipeline *p) {
    static const char *const keys[] = {"time", "group", "every", "by", "length", "lags", "stride", "horizon", NULL};
    int by;
    tn_series *s = tn_region_alloc(p->region, sizeof *s);
    if (!s) return TN_E_MEMORY;
    TN_TRY(tn_pipeline_keys(map, keys, "time, group, every, by, length, lags, stride, horizon"));
    TN_TRY(tn_pipeline_text(map, "time", &s->time));
    TN_TRY(tn_pipeline_text(map, "group", &s->group));
    TN_TRY(tn_pipeline_read_number(map, "every", 0, &s->every));
    TN_TRY(tn_pipeline_word(map, "by", by_words, &by));
    s->by = by ? (tn_regular)(by - 1) : TN_REGULAR_MEAN;
    if (!(s->every >= 0 && s->every <= 1e12)) return tn_pipeline_wrong(map, "'every' is a time above 0");
    if (s->every > 0 && !s->time) return tn_pipeline_wrong(map, "'every' needs 'time', the column of times");
    if (by && !(s->every > 0)) return tn_pipeline_wrong(map, "'by' is of a grid, which needs 'every'");
    TN_TRY(read_steps(p->region, map, s));
    TN_TRY(read_whole(map, "stride", 1, 1e6, 1, &s->stride));
    TN_TRY(read_whole(map, "horizon", 0, 1e6, 0, &s->horizon));
    p->series = s;
    return TN_OK;
}

void tn_series_write(tn_manifest_writer *w, tn_manifest_node *root, const tn_series *s) {
    tn_manifest_node *map = tn_manifest_add(w, root, "series", TN_MANIFEST_MAP, NULL);
    if (s->time) tn_manifest_add(w, map, "time", TN_MANIFEST_TEXT, s->time);
    if (s->group) tn_manifest_add(w, map, "group", TN_MANIFEST_TEXT, s->group);
    if (s->every > 0) {
        tn_manifest_add_number(w, map, "every", s->every);
        tn_manifest_add(w, map, "by", TN_MANIFEST_TEXT, by_words[s->by + 1]);
    }
    if (s->lags) {
        tn_manifest_node *lags = tn_manifest_add(w, map, "lags", TN_MANIFEST_LIST, NULL);
        for (int i = 0; i < s->steps; i++) tn_manifest_add_number(w, lags, NULL, (double)s->back[i]);
    } else {
        tn_manifest_add_number(w, map, "length", s->steps);
    }
    tn_manifest_add_number(w, map, "stride", (double)s->stride);
    tn_manifest_add_number(w, map, "horizon", (double)s->horizon);
}

/* ---- windows ---- */

typedef struct windows {
    const tn_series *s;
    tn_sample_set *set;
    int64_t rows;     /* of the table */
    int64_t *begin;   /* the first row of its group */
    int64_t *targets; /* of each window, among the kept rows */
} windows;

static void find_groups(const windows *w, const tn_table *table) {
    int column = w->s->group ? tn_table_find(table, w->s->group) : -1;
    const double *numbers = tn_table_numbers(table, column);
    const int32_t *codes = tn_table_codes(table, column);
    for (int64_t r = 0; r < w->rows; r++) {
        bool same = r > 0 && (!numbers || numbers[r] == numbers[r - 1]) && (!codes || codes[r] == codes[r - 1]);
        w->begin[r] = same ? w->begin[r - 1] : r;
    }
}

/* All rows of the window were kept, and the target's too. */
static bool is_whole(const windows *w, int64_t end, bool target, int64_t *out_target) {
    const tn_series *s = w->s;
    const int64_t *places = w->set->places;
    if (end - w->begin[end] < s->back[0] || (end - w->begin[end] - s->back[0]) % s->stride != 0) return false;
    for (int i = 0; i < s->steps; i++)
        if (places[end - s->back[i]] < 0) return false;
    if (!target) return true;
    if (s->horizon >= w->rows - end || w->begin[end + s->horizon] != w->begin[end]) return false;
    *out_target = places[end + s->horizon];
    return *out_target >= 0;
}

static void find_windows(windows *w, const int64_t *kept, int64_t count) {
    tn_sample_set *set = w->set;
    for (int64_t r = 0; r < w->rows; r++) set->places[r] = -1;
    for (int64_t i = 0; i < count; i++) set->places[kept[i]] = i;
    set->count = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t at = i;
        if (!is_whole(w, kept[i], set->y != NULL, &at)) continue;
        set->ends[set->count] = kept[i];
        w->targets[set->count++] = at;
    }
}

static tn_status gather_y(const windows *w, tn_tensor **y) {
    const size_t size = tn_dtype_bytes((*y)->dtype, 1);
    tn_tensor *out;
    TN_TRY(tn_tensor_create((*y)->dtype, 1, &w->set->count, w->set->allocator, &out));
    for (int64_t i = 0; i < w->set->count; i++)
        memcpy((char *)out->data + (size_t)i * size, (const char *)(*y)->data + (size_t)w->targets[i] * size, size);
    tn_tensor_destroy(*y);
    *y = out;
    return TN_OK;
}

/* Also of the ends, and of how far back the rows of a window are. */
static size_t bytes_of_places(const tn_sample_set *set) {
    return (2 * (size_t)set->table_rows + (size_t)set->steps) * sizeof *set->places;
}

tn_status tn_series_windows(const tn_pipeline *p, const tn_table *table, const int64_t *kept, tn_sample_set *set) {
    const int64_t rows = tn_table_rows(table), count = set->count;
    const size_t bytes = 2 * (size_t)rows * sizeof(int64_t); /* rows of 8 bytes are there, so 16 fit */
    windows w = {.s = p->series, .set = set, .rows = rows, .begin = tn_alloc(set->allocator, bytes)};
    if (!w.begin) return TN_E_MEMORY;
    w.targets = w.begin + rows;
    set->steps = p->series->steps;
    set->table_rows = rows;
    set->places = tn_alloc(set->allocator, bytes_of_places(set));
    tn_status status = set->places ? TN_OK : TN_E_MEMORY;
    if (status == TN_OK) {
        set->ends = set->places + rows;
        set->back = set->ends + rows;
        memcpy(set->back, p->series->back, (size_t)set->steps * sizeof *set->back);
        set->width = set->x->dims[1] * set->steps;
        find_groups(&w, table);
        find_windows(&w, kept, count);
        if (set->y) status = gather_y(&w, &set->y);
    }
    tn_free(set->allocator, w.begin, bytes);
    return status;
}

/* ---- samples ---- */

void tn_sample_set_deinit(tn_sample_set *set) {
    tn_tensor_destroy(set->x);
    tn_tensor_destroy(set->y);
    tn_free(set->allocator, set->places, bytes_of_places(set));
    *set = (tn_sample_set){0};
}

/* Channels first: the numbers of a column in all rows of the window, then those of the next. */
void tn_sample_copy(const tn_sample_set *set, int64_t index, float *out) {
    const float *x = set->x->data;
    if (!set->steps) {
        memcpy(out, x + index * set->width, (size_t)set->width * sizeof *out);
        return;
    }
    const int64_t steps = set->steps, row = set->width / steps, *end = set->places + set->ends[index];
    for (int64_t k = 0; k < steps; k++) {
        const float *from = x + end[-set->back[k]] * row;
        for (int64_t c = 0; c < row; c++) out[c * steps + k] = from[c];
    }
}

const float *tn_sample_rows(const tn_sample_set *set, int64_t first, int64_t count, float *room) {
    if (!set->steps) return (const float *)set->x->data + first * set->width;
    for (int64_t i = 0; i < count; i++) tn_sample_copy(set, first + i, room + i * set->width);
    return room;
}

void tn_sample_span(const tn_sample_set *set, int64_t index, int64_t *out_first, int64_t *out_end) {
    const int64_t end = set->steps ? set->ends[index] : 0;
    *out_first = set->steps ? set->places[end - set->back[0]] : index;
    *out_end = (set->steps ? set->places[end - set->back[set->steps - 1]] : index) + 1;
}

tn_status tn_sample_tensor(const tn_sample_set *set, tn_tensor **out) {
    tn_tensor made;
    TN_TRY(tn_tensor_init(&made, TN_FLOAT32, 2, (int64_t[]){set->count, set->width}, set->allocator));
    for (int64_t i = 0; i < set->count; i++) tn_sample_copy(set, i, (float *)made.data + i * set->width);
    return tn_tensor_move(&made, out);
}
