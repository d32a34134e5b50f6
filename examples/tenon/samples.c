/* Calibration data of tenon compress: sets of inputs out of files.
 *
 * An item is a folder with input_0.pb... (one set), or an .npz or .npy, whose arrays are cut along their first axis into as
 * many sets as the model's batches fit in, or a .csv, whose rows go through the pipeline in the model's file and are cut
 * likewise. A folder of items is all of them, by name. One item is in memory at a time. */
#include "samples.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 32, MOST_ITEMS = 1000000 };

typedef struct sample_item {
    char *path;
    int64_t first, count; /* sets */
} sample_item;

struct samples {
    const tn_graph *graph;
    int inputs;
    sample_item *items;
    size_t count, capacity;
    int64_t sets;
    size_t open; /* item in memory; count: none */
    tn_tensor **whole, **part;
    int64_t batch;
};

static bool input_info(const samples *s, int i, tn_value_info *out) {
    return tn_graph_value_info(s->graph, tn_graph_input_value(s->graph, i), out) == TN_OK;
}

static void close_item(samples *s) {
    for (int i = 0; i < s->inputs; i++) {
        tn_tensor_destroy(s->part[i]);
        tn_tensor_destroy(s->whole[i]);
        s->part[i] = s->whole[i] = NULL;
    }
    s->open = s->count;
}

static bool is_table(const char *path) {
    return ends_with(path, ".csv") || ends_with(path, ".csv.gz");
}

/* Rows [N, width] as the model's input has them, if it takes as many numbers. */
static tn_status shape_rows(const tn_value_info *info, tn_tensor *rows, tn_tensor **out) {
    int64_t dims[TN_MAX_RANK] = {tn_tensor_dims(rows)[0]}, width = 1;
    for (int i = 1; i < info->rank; i++) width *= dims[i] = info->dims[i] > 0 ? info->dims[i] : tn_tensor_dims(rows)[1];
    if (info->rank < 1 || width != tn_tensor_dims(rows)[1]) return tn_tensor_clone(rows, NULL, out); /* refused later */
    return tn_tensor_view(rows, info->rank, dims, NULL, 0, out);
}

static bool load_table(const samples *s, const char *path, const tn_value_info *info, tn_tensor **out) {
    tn_pipeline *pipeline = NULL;
    tn_table *table = NULL;
    tn_tensor *rows = NULL, *target = NULL;
    tn_status status = tn_pipeline_of_graph(s->graph, &pipeline);
    if (status == TN_OK) status = tn_table_read(path, NULL, &table);
    if (status == TN_OK) status = tn_pipeline_apply(pipeline, table, NULL, 0, &rows, &target);
    if (status == TN_OK) status = shape_rows(info, rows, out);
    tn_tensor_destroy(rows);
    tn_tensor_destroy(target);
    tn_table_destroy(table);
    tn_pipeline_destroy(pipeline);
    return status == TN_OK || complain_status(path, status);
}

static bool load_input(samples *s, const char *path, int i) {
    tn_value_info info;
    char file[4600];
    if (!input_info(s, i, &info)) return false;
    if (is_table(path)) return load_table(s, path, &info, &s->whole[i]);
    if (ends_with(path, ".npz"))
        snprintf(file, sizeof file, "%.4000s:%.500s", path, info.name);
    else if (ends_with(path, ".npy"))
        snprintf(file, sizeof file, "%.4000s", path);
    else
        snprintf(file, sizeof file, "%.4000s/input_%d.pb", path, i);
    return tensor_load(file, info.dtype, &s->whole[i]);
}

/* How many sets the item in memory holds; 0 after it said why it holds none. */
static int64_t count_sets(samples *s, const char *path) {
    int64_t rows = -1;
    s->batch = 0;
    if (is_folder(path)) return 1;
    for (int i = 0; i < s->inputs; i++) {
        tn_value_info info;
        int rank = tn_tensor_rank(s->whole[i]);
        const int64_t *dims = tn_tensor_dims(s->whole[i]);
        if (!input_info(s, i, &info)) return 0;
        if (rank < 1 || (info.rank >= 0 && rank != info.rank)) {
            complain("%s: '%s' has %d dimensions; the model's input has %d", path, info.name, rank, info.rank);
            return 0;
        }
        if (rows >= 0 && dims[0] != rows) {
            complain("%s: '%s' has %lld rows, and the inputs before it %lld", path, info.name, (long long)dims[0],
                     (long long)rows);
            return 0;
        }
        rows = dims[0];
        int64_t batch = info.rank > 0 && info.dims[0] > 0 ? info.dims[0] : 0;
        if (batch && s->batch && batch != s->batch) return rows == batch;
        if (batch) s->batch = batch;
    }
    if (!s->batch) s->batch = rows < BATCH ? rows : BATCH;
    if (rows > 0 && rows >= s->batch) return rows / s->batch;
    complain("%s: %lld rows are no set of %lld", path, (long long)rows, (long long)s->batch);
    return 0;
}

static bool open_item(samples *s, size_t k) {
    if (s->open == k) return true;
    close_item(s);
    const char *path = s->items[k].path;
    if ((ends_with(path, ".npy") || is_table(path)) && s->inputs != 1) {
        complain("%s: the model has %d inputs; an .npz holds several", path, s->inputs);
        return false;
    }
    for (int i = 0; i < s->inputs; i++)
        if (!load_input(s, path, i)) return false;
    s->items[k].count = count_sets(s, path);
    s->open = k;
    return s->items[k].count > 0;
}

static bool add_item(samples *s, const char *path) {
    if (s->count == MOST_ITEMS) {
        complain("%s: more than %d items of calibration data", path, MOST_ITEMS);
        return false;
    }
    if (s->count == s->capacity) {
        size_t capacity = 2 * s->capacity + 64;
        sample_item *grown = tool_alloc(capacity, sizeof *grown);
        if (s->count) memcpy(grown, s->items, s->count * sizeof *grown);
        free(s->items);
        s->items = grown;
        s->capacity = capacity;
    }
    s->items[s->count] = (sample_item){.path = strdup(path)};
    return s->items[s->count++].path != NULL;
}

static bool has_input(const char *folder) {
    char path[4600];
    snprintf(path, sizeof path, "%.4096s/input_0.pb", folder);
    FILE *file = fopen(path, "rb");
    if (file) fclose(file);
    return file != NULL;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool add_path(samples *s, const char *path) {
    if (!is_folder(path) || has_input(path)) return add_item(s, path);
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, by_name);
    size_t before = s->count;
    bool good = count >= 0;
    for (int i = 0; i < count; i++) {
        char inside[4600];
        snprintf(inside, sizeof inside, "%.4096s/%.255s", path, entries[i]->d_name);
        bool item = ends_with(inside, ".npz") || ends_with(inside, ".npy") || is_table(inside) ||
                    (entries[i]->d_name[0] != '.' && is_folder(inside) && has_input(inside));
        if (good && item) good = add_item(s, inside);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    if (good && s->count > before) return true;
    if (s->count == before)
        complain("%s: no calibration data: a folder with input_0.pb... or with such folders, an .npz, .npy or .csv is "
                 "expected",
                 path);
    return false;
}

bool samples_open(const tn_graph *graph, const words *paths, samples **out) {
    samples *s = tool_alloc(1, sizeof *s);
    *out = s;
    s->graph = graph;
    s->inputs = tn_graph_input_count(graph);
    s->whole = tool_alloc((size_t)s->inputs, sizeof(tn_tensor *));
    s->part = tool_alloc((size_t)s->inputs, sizeof(tn_tensor *));
    for (size_t i = 0; i < paths->count; i++)
        if (!add_path(s, paths->items[i])) return false;
    s->open = s->count;
    for (size_t k = 0; k < s->count; k++) {
        if (!open_item(s, k)) return false;
        s->items[k].first = s->sets;
        s->sets += s->items[k].count;
    }
    return true;
}

int64_t samples_sets(const samples *s) {
    return s->sets;
}

static tn_status take_rows(samples *s, int64_t set) {
    for (int i = 0; i < s->inputs; i++) {
        tn_tensor *t = s->whole[i];
        int rank = tn_tensor_rank(t);
        int64_t dims[TN_MAX_RANK] = {0}, row = 1;
        memcpy(dims, tn_tensor_dims(t), (size_t)rank * sizeof *dims);
        for (int k = 1; k < rank; k++) row *= dims[k];
        dims[0] = s->batch;
        tn_tensor_destroy(s->part[i]);
        s->part[i] = NULL;
        tn_status status = tn_tensor_view(t, rank, dims, NULL, set * s->batch * row, &s->part[i]);
        if (status != TN_OK) return status;
    }
    return TN_OK;
}

tn_status samples_get(void *context, int64_t index, const tn_tensor **inputs) {
    samples *s = context;
    size_t low = 0, high = s->count;
    if (index < 0 || index >= s->sets) return TN_E_NOT_FOUND;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (s->items[middle].first <= index)
            low = middle;
        else
            high = middle;
    }
    if (!open_item(s, low)) return TN_E_IO;
    bool rows = s->batch > 0;
    tn_status status = rows ? take_rows(s, index - s->items[low].first) : TN_OK;
    for (int i = 0; i < s->inputs && status == TN_OK; i++) inputs[i] = rows ? s->part[i] : s->whole[i];
    return status;
}

void samples_close(samples *s) {
    if (!s) return;
    if (s->whole && s->part) close_item(s);
    for (size_t i = 0; i < s->count; i++) free(s->items[i].path);
    free(s->items);
    free(s->whole);
    free(s->part);
    free(s);
}
