/* Which rows are for training, and which for testing: by ratio, class, group or time. */
#include <math.h>
#include <stdlib.h>
#include "base/random.h"
#include "data/series.h"

/* A row, the key that it is sorted or grouped by, and the order in which it was drawn. */
typedef struct entry {
    int64_t row;
    double key;
    uint64_t draw;
} entry;

static int by_key_and_draw(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->key != y->key) return (x->key > y->key) - (x->key < y->key);
    return (x->draw > y->draw) - (x->draw < y->draw);
}

static int by_draw(const void *a, const void *b) {
    const entry *x = a, *y = b;
    return (x->draw > y->draw) - (x->draw < y->draw);
}

static int by_text(const void *a, const void *b) {
    return tn_compare_texts(**(const tn_string *const *)a, **(const tn_string *const *)b);
}

/* Texts sort by bytes, which for times as ISO 8601 writes them is their order. */
static tn_status keys_of_texts(const tn_table *table, int column, int64_t rows, entry *entries) {
    size_t levels = (size_t)tn_table_level_count(table, column);
    tn_string *texts = tn_alloc(NULL, levels * sizeof *texts);
    const tn_string **sorted = tn_alloc(NULL, levels * sizeof *sorted);
    double *ranks = tn_alloc(NULL, levels * sizeof *ranks);
    bool good = texts && sorted && ranks;
    for (size_t i = 0; good && i < levels; i++) texts[i] = tn_table_level(table, column, (int)i), sorted[i] = &texts[i];
    if (good) qsort(sorted, levels, sizeof *sorted, by_text);
    for (size_t i = 0; good && i < levels; i++) ranks[sorted[i] - texts] = (double)i;
    for (int64_t r = 0; good && r < rows; r++) {
        int32_t code = tn_table_codes(table, column)[r];
        entries[r].key = code < 0 ? NAN : ranks[code];
    }
    tn_free(NULL, texts, levels * sizeof *texts);
    tn_free(NULL, sorted, levels * sizeof *sorted);
    tn_free(NULL, ranks, levels * sizeof *ranks);
    return good ? TN_OK : TN_E_MEMORY;
}

static tn_status set_keys(const tn_pipeline *p, tn_split by, const tn_table *table, int64_t rows, entry *entries) {
    const char *name = by == TN_SPLIT_STRATIFIED ? p->target.column : p->split_column;
    if (by == TN_SPLIT_RATIO) return TN_OK;
    if (!name && p->series) name = p->series->time;
    if (!name) { /* a series in the table's order */
        for (int64_t r = 0; r < rows; r++) entries[r].key = (double)r;
        return TN_OK;
    }
    int column = tn_table_find(table, name);
    if (column < 0) return tn_fail(TN_E_NOT_FOUND, "pipeline: the table has no column '%.80s' to split by", name);
    const double *numbers = tn_table_numbers(table, column);
    if (!numbers) TN_TRY(keys_of_texts(table, column, rows, entries));
    for (int64_t r = 0; r < rows; r++) {
        if (numbers) entries[r].key = numbers[r];
        if (isnan(entries[r].key))
            return tn_fail(TN_E_INVALID, "pipeline: column '%.80s' has no value in row %lld of the table to split by",
                           name, (long long)r + 1);
    }
    return TN_OK;
}

/* Of each run of equal keys, the first part of its rows, as drawn. */
static void take_of_each(double share, const entry *entries, int64_t rows, uint8_t *part, uint8_t mark) {
    for (int64_t i = 0, end; i < rows; i = end) {
        for (end = i; end < rows && entries[end].key == entries[i].key;) end++;
        int64_t wanted = (int64_t)floor(share * (double)(end - i) + 0.5);
        for (int64_t k = i; k < i + wanted; k++) part[entries[k].row] = mark;
    }
}

/* Whole runs, in the order of the draw of their first rows. One that takes the part further from what is wanted than it is
 * stays for training. */
static tn_status take_groups(double share, const entry *entries, int64_t rows, uint8_t *part, uint8_t mark) {
    size_t bytes = (size_t)rows * sizeof(entry), groups = 0;
    double wanted = share * (double)rows, taken = 0;
    entry *first = tn_alloc(NULL, bytes); /* of each run; its row is the place in entries */
    if (!first) return TN_E_MEMORY;
    for (int64_t i = 0; i < rows; i++)
        if (i == 0 || entries[i].key != entries[i - 1].key) first[groups++] = (entry){i, 0, entries[i].draw};
    qsort(first, groups, sizeof *first, by_draw);
    for (size_t g = 0; g < groups; g++) {
        int64_t i = first[g].row, end = i;
        while (end < rows && entries[end].key == entries[i].key) end++;
        double size = (double)(end - i);
        if (fabs(taken + size - wanted) > fabs(taken - wanted)) continue;
        taken += size;
        for (; i < end; i++) part[entries[i].row] = mark;
    }
    tn_free(NULL, first, bytes);
    return TN_OK;
}

/* Each folds-th row as they are sorted: so the rows of each class are spread over all folds. */
static void take_fold(int folds, int fold, const entry *entries, int64_t rows, uint8_t *part, uint8_t mark) {
    for (int64_t i = fold - 1; i < rows; i += folds) part[entries[i].row] = mark;
}

/* Whole runs, the largest first, each into the fold that has the fewest rows. */
static tn_status take_group_fold(int folds, int fold, const entry *entries, int64_t rows, uint8_t *part, uint8_t mark) {
    size_t bytes = (size_t)rows * sizeof(entry), groups = 0;
    int64_t sizes[TN_MOST_FOLDS] = {0};
    entry *first =
        tn_alloc(NULL, bytes); /* of each run; its row is the place in entries, its key less than 0: its size */
    if (!first) return TN_E_MEMORY;
    for (int64_t i = 0, end; i < rows; i = end) {
        for (end = i; end < rows && entries[end].key == entries[i].key;) end++;
        first[groups++] = (entry){i, (double)(i - end), entries[i].draw};
    }
    qsort(first, groups, sizeof *first, by_key_and_draw);
    for (size_t g = 0; g < groups; g++) {
        int least = 0;
        int64_t size = -(int64_t)first[g].key;
        for (int k = 1; k < folds; k++)
            if (sizes[k] < sizes[least]) least = k;
        sizes[least] += size;
        for (int64_t i = first[g].row; least == fold - 1 && i < first[g].row + size; i++) part[entries[i].row] = mark;
    }
    tn_free(NULL, first, bytes);
    return TN_OK;
}

/* Rows of one time stay together, on the side of what is before. */
static int64_t cut_at(const entry *entries, int64_t rows, double share) {
    int64_t cut = (int64_t)floor(share * (double)rows + 0.5);
    while (cut > 0 && cut < rows && entries[cut].key == entries[cut - 1].key) cut++;
    return cut;
}

static void take_last(double share, const entry *entries, int64_t rows, uint8_t *part, uint8_t mark) {
    for (int64_t i = cut_at(entries, rows, 1 - share); i < rows; i++) part[entries[i].row] = mark;
}

/* One of so many parts and one more, as they follow each other; what comes later is no part's. */
static void take_time_fold(int folds, int fold, const entry *entries, int64_t rows, uint8_t *part, uint8_t mark) {
    const int64_t first = cut_at(entries, rows, (double)fold / (folds + 1)),
                  last = cut_at(entries, rows, (double)(fold + 1) / (folds + 1));
    for (int64_t i = first; i < rows; i++) part[entries[i].row] = i < last ? mark : TN_PART_NONE;
}

/* folds 0: a share. */
static tn_status draw(const tn_pipeline *p, const tn_table *table, tn_split by, double share, int folds, uint64_t seed,
                      uint8_t *part, uint8_t mark) {
    int64_t all = tn_table_rows(table), rows = 0, marked = 0, left = 0;
    uint64_t state = seed;
    size_t bytes;
    if (!tn_mul_size((size_t)all, sizeof(entry), &bytes)) return tn_fail(TN_E_MEMORY, "out of memory");
    entry *entries = tn_alloc(NULL, bytes);
    tn_status status = entries ? TN_OK : TN_E_MEMORY;
    for (int64_t r = 0; entries && r < all; r++) entries[r] = (entry){r, 0, tn_random_next(&state)};
    if (status == TN_OK) status = set_keys(p, by, table, all, entries);
    for (int64_t r = 0; status == TN_OK && r < all; r++)
        if (part[r] == 0) entries[rows++] = entries[r];
    if (status == TN_OK) {
        qsort(entries, (size_t)rows, sizeof *entries, by_key_and_draw);
        if (folds && by == TN_SPLIT_GROUP)
            status = take_group_fold(folds, p->fold, entries, rows, part, mark);
        else if (folds && by == TN_SPLIT_TIME)
            take_time_fold(folds, p->fold, entries, rows, part, mark);
        else if (folds)
            take_fold(folds, p->fold, entries, rows, part, mark);
        else if (by == TN_SPLIT_GROUP)
            status = take_groups(share, entries, rows, part, mark);
        else if (by == TN_SPLIT_TIME)
            take_last(share, entries, rows, part, mark);
        else
            take_of_each(share, entries, rows, part, mark);
    }
    tn_free(NULL, entries, bytes);
    for (int64_t r = 0; r < all; r++) marked += part[r] == mark, left += part[r] == 0;
    if (status == TN_OK && (marked == 0 || left == 0))
        return tn_fail(TN_E_INVALID, "pipeline: a split of %lld rows leaves none for %s", (long long)rows,
                       marked      ? "training"
                       : mark == 1 ? "testing"
                                   : "validation");
    return status;
}

tn_status tn_pipeline_draw(const tn_pipeline *p, const tn_table *table, tn_split by, double share, uint64_t seed,
                           uint8_t *part, uint8_t mark) {
    return draw(p, table, by, share, 0, seed, part, mark);
}

tn_status tn_pipeline_split(const tn_pipeline *p, const tn_table *table, uint8_t *out_part) {
    int64_t rows = tn_table_rows(table);
    if (rows) memset(out_part, 0, (size_t)rows);
    return !tn_pipeline_tests(p) ? TN_OK : draw(p, table, p->split, p->test, p->folds, p->seed, out_part, 1);
}
