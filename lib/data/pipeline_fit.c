/* Fitting: what is learnt of the training rows, and of no other. Statistics are scikit-learn's. */
#include <math.h>
#include <stdlib.h>
#include "base/quantile.h"
#include "data/csv.h"
#include "data/media.h"

/* ---- sorting ---- */

int tn_compare_texts(tn_string x, tn_string y) {
    size_t n = TN_MIN(x.size, y.size);
    int order = n ? memcmp(x.data, y.data, n) : 0;
    return order ? order : (x.size > y.size) - (x.size < y.size);
}

static int by_bytes(const void *a, const void *b) {
    return tn_compare_texts(*(const tn_string *)a, *(const tn_string *)b);
}

/* ---- numbers ---- */

static void fit_scale(tn_feature *f, double *x, size_t count) {
    double sum = 0, squares = 0;
    qsort(x, count, sizeof *x, tn_by_size);
    f->centre = 0;
    f->spread = 1;
    switch (f->scale) {
    case TN_SCALE_NONE: return;
    case TN_SCALE_STANDARD:
        for (size_t i = 0; i < count; i++) sum += x[i];
        f->centre = sum / (double)count;
        for (size_t i = 0; i < count; i++) squares += (x[i] - f->centre) * (x[i] - f->centre);
        f->spread = x[0] < x[count - 1] ? sqrt(squares / (double)count) : 0;
        break;
    case TN_SCALE_MIN_MAX:
        f->centre = x[0];
        f->spread = x[count - 1] - x[0];
        break;
    case TN_SCALE_ROBUST:
        f->centre = tn_quantile(x, count, 0.5);
        f->spread = tn_quantile(x, count, 0.75) - tn_quantile(x, count, 0.25);
        break;
    }
    if (!(f->spread > 0)) f->spread = 1;
}

double tn_feature_value(const tn_feature *f, double x) {
    if (f->outliers == TN_OUTLIERS_KEEP || !(x < f->low || x > f->high)) return x;
    return f->outliers == TN_OUTLIERS_MISSING ? NAN : x < f->low ? f->low : f->high;
}

/* Tukey's (1977) fences. Where the quartiles are one value, all others would lie outside: then none does. */
static void fit_fences(tn_feature *f, double *x, size_t count) {
    qsort(x, count, sizeof *x, tn_by_size);
    double low = tn_quantile(x, count, 0.25), high = tn_quantile(x, count, 0.75), reach = f->fence * (high - low);
    bool none = !(low < high);
    f->low = none ? x[0] : low - reach;
    f->high = none ? x[count - 1] : high + reach;
}

/* Outliers are taken out first, then missing values are filled, then the scale is fitted: a fill by mean or median takes part
 * there; other ways do not. */
static tn_status fit_numbers(tn_feature *f, const double *numbers, int64_t rows, const uint8_t *part, double *x) {
    size_t count = 0, missing = 0, kept = 0;
    double sum = 0;
    for (int64_t r = 0; r < rows; r++) {
        if (part && part[r]) continue;
        if (isnan(numbers[r]))
            missing++;
        else
            x[count++] = numbers[r];
    }
    if (count == 0) return tn_fail(TN_E_INVALID, "there is no value among the rows for training");
    if (f->outliers) fit_fences(f, x, count);
    for (size_t i = 0; i < count; i++) {
        double value = tn_feature_value(f, x[i]);
        if (isnan(value))
            missing++;
        else
            sum += x[kept++] = value;
    }
    count = kept;
    if (count == 0)
        return tn_fail(TN_E_INVALID, "all values for training count as outliers; a higher 'fence' keeps some");
    f->fill = sum / (double)count;
    if (f->missing == TN_MISSING_MEDIAN) {
        qsort(x, count, sizeof *x, tn_by_size);
        f->fill = tn_quantile(x, count, 0.5);
    }
    bool fills = f->missing == TN_MISSING_MEAN || f->missing == TN_MISSING_MEDIAN;
    for (; fills && missing; missing--) x[count++] = f->fill;
    fit_scale(f, x, count);
    if (isfinite(f->fill) && isfinite(f->centre) && isfinite(f->spread) && isfinite(f->low) && isfinite(f->high))
        return TN_OK;
    return tn_fail(TN_E_INVALID, "its values are too large to be added up");
}

/* ---- categories ---- */

static tn_status fit_values(tn_region *region, tn_feature *f, double *x, size_t count) {
    size_t used = 0;
    qsort(x, count, sizeof *x, tn_by_size);
    for (size_t i = 0; i < count; i++)
        if (!used || x[i] != x[used - 1]) x[used++] = x[i];
    double *values = tn_region_array(region, used, sizeof *values);
    if (!values) return TN_E_MEMORY;
    memcpy(values, x, used * sizeof *x);
    f->values = values;
    f->category_count = (int)used;
    return TN_OK;
}

static tn_status fit_labels(tn_region *region, tn_feature *f, const tn_table *table, int column, const uint8_t *part) {
    int levels = tn_table_level_count(table, column), used = 0;
    const int32_t *codes = tn_table_codes(table, column);
    tn_string *labels = tn_region_array(region, (size_t)levels, sizeof *labels);
    bool *seen = tn_region_array(region, (size_t)levels, sizeof *seen);
    if (!labels || !seen) return TN_E_MEMORY;
    for (int64_t r = 0; r < tn_table_rows(table); r++)
        if (!(part && part[r]) && codes[r] >= 0) seen[codes[r]] = true;
    for (int i = 0; i < levels; i++) {
        if (!seen[i]) continue;
        tn_string level = tn_table_level(table, column, i);
        if (level.size > 1024) return tn_fail(TN_E_LIMIT, "a category of more than 1 KiB");
        labels[used] = (tn_string){tn_region_strndup(region, level.data, level.size), level.size};
        if (!labels[used++].data) return TN_E_MEMORY;
    }
    qsort(labels, (size_t)used, sizeof *labels, by_bytes);
    f->labels = labels;
    f->category_count = used;
    return TN_OK;
}

tn_string tn_next_word(tn_string *rest) {
    while (rest->size && *rest->data == ' ') rest->data++, rest->size--;
    tn_string word = {rest->data, 0};
    while (word.size < rest->size && word.data[word.size] != ' ') word.size++;
    rest->data += word.size, rest->size -= word.size;
    return word;
}

/* The words of all texts, each once. */
static tn_status fit_words(tn_region *region, tn_feature *f, const tn_table *table, int column, const uint8_t *part) {
    TN_TRY(fit_labels(region, f, table, column, part));
    size_t count = 0, used = 0;
    for (int pass = 0; pass < 2; pass++) {
        tn_string *words = pass ? tn_region_array(region, count + 1, sizeof *words) : NULL;
        if (pass && !words) return TN_E_MEMORY;
        size_t at = 0;
        for (int i = 0; i < f->category_count; i++) {
            tn_string rest = f->labels[i], word;
            for (; (word = tn_next_word(&rest)).size; at++)
                if (pass) words[at] = word;
        }
        count = at;
        if (!pass) continue;
        qsort(words, count, sizeof *words, by_bytes);
        for (size_t i = 0; i < count; i++) {
            if (used && !tn_compare_texts(words[used - 1], words[i])) continue;
            /* Of its own: a label ends in a zero, and this one amid a text. */
            const char *copy = tn_region_strndup(region, words[i].data, words[i].size);
            if (!copy) return TN_E_MEMORY;
            words[used++] = (tn_string){copy, words[i].size};
        }
        f->labels = words;
    }
    f->category_count = (int)TN_MIN(used, (size_t)TN_MOST_CATEGORIES + 1);
    return TN_OK;
}

static tn_status fit_categories(tn_region *region, tn_feature *f, const tn_table *table, int column,
                                const uint8_t *part, double *x) {
    size_t count = 0;
    const double *numbers = tn_table_numbers(table, column);
    f->texts = !numbers;
    if (f->encode == TN_ENCODE_SEQUENCE) {
        TN_TRY(fit_words(region, f, table, column, part));
    } else if (f->texts) {
        TN_TRY(fit_labels(region, f, table, column, part));
    } else {
        for (int64_t r = 0; r < tn_table_rows(table); r++)
            if (!(part && part[r]) && !isnan(numbers[r])) x[count++] = numbers[r];
        if (count) TN_TRY(fit_values(region, f, x, count));
    }
    if (!f->category_count) return tn_fail(TN_E_INVALID, "there is no value among the rows for training");
    if (f->category_count > TN_MOST_CATEGORIES)
        return tn_fail(TN_E_LIMIT, "%d categories are too many; %d are the most", f->category_count,
                       TN_MOST_CATEGORIES);
    return TN_OK;
}

/* Names the first field that is no number: where a column of numbers was meant, that is what is wrong with it. */
static tn_status refuse_text(const tn_feature *f, const tn_table *table, int column) {
    const int32_t *codes = tn_table_codes(table, column);
    for (int64_t r = 0; r < tn_table_rows(table); r++) {
        double x;
        if (codes[r] < 0) continue;
        tn_string text = tn_table_level(table, column, codes[r]);
        if (tn_field_number(text, '.', &x) || tn_field_number(text, ',', &x)) continue;
        size_t size = TN_MIN(text.size, 40);
        while (size < text.size && size && ((unsigned char)text.data[size] & 0xC0) == 0x80) size--;
        return tn_fail(TN_E_TYPE,
                       "pipeline: column '%.80s' is text: '%.*s' in row %lld of the table is no number; 'encode' makes "
                       "numbers of texts",
                       f->column, (int)size, text.data, (long long)r + 1);
    }
    return tn_fail(TN_E_TYPE,
                   "pipeline: column '%.80s' is text, of numbers with another sign between whole and fraction",
                   f->column);
}

tn_status tn_feature_column(const tn_feature *f, const tn_table *table, int *out_column) {
    *out_column = tn_table_find(table, f->column);
    if (*out_column < 0) return tn_fail(TN_E_NOT_FOUND, "pipeline: the table has no column '%.80s'", f->column);
    bool texts = tn_table_column_type(table, *out_column) == TN_COLUMN_TEXT;
    if (f->media && !texts)
        return tn_fail(TN_E_TYPE, "pipeline: column '%.80s' is of numbers; paths of files were expected", f->column);
    if (f->media) return TN_OK;
    if (!texts && f->encode == TN_ENCODE_SEQUENCE)
        return tn_fail(TN_E_TYPE,
                       "pipeline: column '%.80s' is of numbers; a sequence is a text, words with spaces between",
                       f->column);
    if (texts && f->encode == TN_ENCODE_NONE) return refuse_text(f, table, *out_column);
    if (f->fitted && f->encode != TN_ENCODE_NONE && f->texts != texts)
        return tn_fail(TN_E_TYPE, "pipeline: column '%.80s' is %s, and was %s when the pipeline was fitted", f->column,
                       texts ? "text" : "numbers", f->texts ? "text" : "numbers");
    return TN_OK;
}

static tn_status fit(tn_pipeline *p, tn_feature *f, const tn_table *table, const uint8_t *part, double *scratch) {
    int column;
    f->fitted = false;
    TN_TRY(tn_feature_column(f, table, &column));
    tn_status status = f->media ? tn_media_fit(p->region, f, table, column, part)
                       : f->encode == TN_ENCODE_NONE
                           ? fit_numbers(f, tn_table_numbers(table, column), tn_table_rows(table), part, scratch)
                           : fit_categories(p->region, f, table, column, part, scratch);
    f->fitted = status == TN_OK;
    return status == TN_OK ? status : tn_fail_context(status, "pipeline: column '%.80s'", f->column);
}

tn_status tn_pipeline_fit(tn_pipeline *pipeline, const tn_table *table, const uint8_t *part) {
    size_t bytes;
    if (!tn_mul_size((size_t)tn_table_rows(table), sizeof(double), &bytes))
        return tn_fail(TN_E_MEMORY, "out of memory");
    double *scratch = tn_alloc(NULL, bytes);
    tn_status status = scratch ? TN_OK : TN_E_MEMORY;
    for (int i = 0; status == TN_OK && i < pipeline->count; i++)
        status = fit(pipeline, &pipeline->features[i], table, part, scratch);
    if (status == TN_OK && pipeline->has_target) status = fit(pipeline, &pipeline->target, table, part, scratch);
    tn_free(NULL, scratch, bytes);
    return status;
}

static int find_category(const tn_feature *f, tn_string text, double x) {
    int low = 0, high = f->category_count - 1;
    while (low <= high) {
        int middle = low + (high - low) / 2;
        int order =
            f->texts ? tn_compare_texts(text, f->labels[middle]) : (x > f->values[middle]) - (x < f->values[middle]);
        if (order == 0) return middle;
        if (order < 0)
            high = middle - 1;
        else
            low = middle + 1;
    }
    return -1;
}

int tn_feature_category(const tn_feature *f, const tn_table *table, int column, int64_t row) {
    int32_t code = f->texts ? tn_table_codes(table, column)[row] : 0;
    double x = f->texts ? 0 : tn_table_numbers(table, column)[row];
    if (code < 0 || isnan(x)) return -1;
    return find_category(f, f->texts ? tn_table_level(table, column, code) : (tn_string){NULL, 0}, x);
}

int tn_feature_word(const tn_feature *f, tn_string word) {
    return find_category(f, word, 0);
}
