/* Pipelines as YAML, both ways. Words and keys are tables; what is not in them is refused with its line and column. */
#include <math.h>
#include <stdio.h>
#include "data/csv.h"
#include "data/media.h"
#include "data/series.h"
#include "model/manifest.h"

#define MOST_FEATURES 4096

static const char *const missing_words[] = {"", "drop", "mean", "last", "interpolate", "median", NULL};
static const char *const outlier_words[] = {"", "clip", "missing", NULL};
static const char *const scale_words[] = {"", "standard", "min-max", "robust", NULL};
static const char *const encode_words[] = {"", "one-hot", "ordinal", "sequence", NULL};
static const char *const split_words[] = {"", "ratio", "stratified", "group", "time", NULL};

/* ---- reading ---- */

tn_status tn_pipeline_wrong(const tn_manifest_node *at, const char *what) {
    return tn_fail(TN_E_FORMAT, "pipeline line %d, column %d: %s", at->line, at->column, what);
}

/* Every key must be among the words. */
tn_status tn_pipeline_keys(const tn_manifest_node *map, const char *const *keys, const char *all) {
    if (map->kind != TN_MANIFEST_MAP)
        return tn_fail(TN_E_FORMAT, "pipeline line %d, column %d: a map of %s was expected", map->line, map->column,
                       all);
    for (const tn_manifest_node *child = map->first; child; child = child->next) {
        int i = 0;
        while (keys[i] && strcmp(keys[i], child->key) != 0) i++;
        if (!keys[i])
            return tn_fail(TN_E_FORMAT, "pipeline line %d, column %d: there is no key '%.80s' here; there are %s",
                           child->line, child->column, child->key, all);
    }
    return TN_OK;
}

tn_status tn_pipeline_text(const tn_manifest_node *map, const char *key, const char **out) {
    const tn_manifest_node *node = tn_manifest_child(map, key);
    *out = NULL;
    if (!node) return TN_OK;
    if (!node->text || !*node->text) return tn_pipeline_wrong(node, "a text was expected");
    *out = node->text;
    return TN_OK;
}

/* One of the words; the first stands for a key that is not there. */
tn_status tn_pipeline_word(const tn_manifest_node *map, const char *key, const char *const *words, int *out) {
    const tn_manifest_node *node = tn_manifest_child(map, key);
    char known[80] = "";
    *out = 0;
    if (!node) return TN_OK;
    for (int i = 1; words[i]; i++) {
        if (node->text && strcmp(words[i], node->text) == 0) *out = i;
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i > 1 ? ", " : "", words[i]);
    }
    if (*out) return TN_OK;
    return tn_fail(TN_E_FORMAT, "pipeline line %d, column %d: '%s' is one of %s", node->line, node->column, key, known);
}

bool tn_pipeline_is_number(const tn_manifest_node *node, double *out) {
    return node->text && !node->quoted && tn_field_number((tn_string){node->text, strlen(node->text)}, '.', out);
}

tn_status tn_pipeline_read_number(const tn_manifest_node *map, const char *key, double fallback, double *out) {
    const tn_manifest_node *node = tn_manifest_child(map, key);
    *out = fallback;
    return !node || tn_pipeline_is_number(node, out) ? TN_OK : tn_pipeline_wrong(node, "a number was expected");
}

static tn_status read_categories(tn_region *region, const tn_manifest_node *list, tn_feature *f) {
    double x;
    if (list->kind != TN_MANIFEST_LIST || !list->count || list->count > TN_MOST_CATEGORIES)
        return tn_pipeline_wrong(list, "a list of 1 to 4096 categories was expected");
    f->texts = !tn_pipeline_is_number(list->first, &x);
    double *values = tn_region_array(region, (size_t)list->count, sizeof *values);
    tn_string *labels = tn_region_array(region, (size_t)list->count, sizeof *labels);
    if (!values || !labels) return TN_E_MEMORY;
    for (const tn_manifest_node *child = list->first; child; child = child->next) {
        int i = f->category_count++;
        if (!child->text || tn_pipeline_is_number(child, &values[i]) == f->texts)
            return tn_pipeline_wrong(child, "categories are all texts or all numbers");
        labels[i] = (tn_string){child->text, strlen(child->text)};
        bool ordered =
            i == 0 || (f->texts ? tn_compare_texts(labels[i - 1], labels[i]) < 0 : values[i - 1] < values[i]);
        if (!ordered) return tn_pipeline_wrong(child, "categories stand in ascending order, each once");
    }
    f->values = values;
    f->labels = labels;
    return TN_OK;
}

static tn_status read_fitted(tn_region *region, const tn_manifest_node *map, tn_feature *f) {
    static const char *const numbers[] = {"fill", "centre", "spread", "low", "high", NULL};
    static const char *const categories[] = {"categories", NULL};
    static const char *const lists[] = {"centres", "spreads", NULL};
    if (f->media) {
        TN_TRY(tn_pipeline_keys(map, lists, "centres, spreads"));
        return tn_media_read_fitted(region, map, f);
    }
    bool encoded = f->encode != TN_ENCODE_NONE;
    TN_TRY(tn_pipeline_keys(map, encoded ? categories : numbers,
                            encoded ? "categories" : "fill, centre, spread, low, high"));
    f->fitted = true;
    f->spread = 1;
    if (encoded) {
        const tn_manifest_node *list = tn_manifest_child(map, "categories");
        return list ? read_categories(region, list, f) : tn_pipeline_wrong(map, "the key 'categories' is missing");
    }
    TN_TRY(tn_pipeline_read_number(map, "fill", 0, &f->fill));
    TN_TRY(tn_pipeline_read_number(map, "centre", 0, &f->centre));
    TN_TRY(tn_pipeline_read_number(map, "spread", 1, &f->spread));
    TN_TRY(tn_pipeline_read_number(map, "low", 0, &f->low));
    TN_TRY(tn_pipeline_read_number(map, "high", 0, &f->high));
    if (f->low > f->high) return tn_pipeline_wrong(map, "'low' is above 'high'");
    return f->spread > 0 ? TN_OK : tn_pipeline_wrong(map, "'spread' must be above 0");
}

static tn_status read_feature(tn_region *region, const tn_manifest_node *map, tn_feature *f) {
    static const char *const keys[] = {"column", "missing", "scale", "encode", "outliers",
                                       "fence",  "image",   "sound", "fitted", NULL};
    int missing, scale, encode, outliers;
    TN_TRY(tn_pipeline_keys(map, keys, "column, missing, scale, encode, outliers, fence, image, sound, fitted"));
    TN_TRY(tn_pipeline_text(map, "column", &f->column));
    if (!f->column) return tn_pipeline_wrong(map, "the key 'column' is missing");
    TN_TRY(tn_pipeline_word(map, "missing", missing_words, &missing));
    TN_TRY(tn_pipeline_word(map, "scale", scale_words, &scale));
    TN_TRY(tn_pipeline_word(map, "encode", encode_words, &encode));
    TN_TRY(tn_pipeline_word(map, "outliers", outlier_words, &outliers));
    TN_TRY(tn_pipeline_read_number(map, "fence", 1.5, &f->fence));
    f->outliers = (tn_outliers)outliers;
    f->missing = (tn_missing)missing;
    f->scale = (tn_scale)scale;
    f->encode = (tn_encode)encode;
    if (encode && scale) return tn_pipeline_wrong(map, "codes are not scaled: 'encode' and 'scale' do not go together");
    if (encode && missing > TN_MISSING_DROP) return tn_pipeline_wrong(map, "beside 'encode', missing can only be drop");
    if (!(f->fence >= 0 && f->fence <= 1e6)) return tn_pipeline_wrong(map, "'fence' is a number from 0 to 1000000");
    if (!outliers && tn_manifest_child(map, "fence")) return tn_pipeline_wrong(map, "'fence' is of 'outliers'");
    if (encode && outliers)
        return tn_pipeline_wrong(map, "codes have no outliers: 'encode' and 'outliers' do not go together");
    TN_TRY(tn_media_read(region, map, f));
    const tn_manifest_node *fitted = tn_manifest_child(map, "fitted");
    return fitted ? read_fitted(region, fitted, f) : TN_OK;
}

static tn_status read_split(const tn_manifest_node *map, tn_pipeline *p) {
    static const char *const keys[] = {"by", "test", "folds", "fold", "column", "seed", NULL};
    int by;
    double seed, folds, fold;
    TN_TRY(tn_pipeline_keys(map, keys, "by, test, folds, fold, column, seed"));
    TN_TRY(tn_pipeline_word(map, "by", split_words, &by));
    p->split = by ? (tn_split)by : TN_SPLIT_RATIO;
    TN_TRY(tn_pipeline_read_number(map, "test", 0.25, &p->test));
    if (!(p->test >= 0 && p->test < 1)) return tn_pipeline_wrong(map, "'test' is a part from 0 to below 1");
    TN_TRY(tn_pipeline_read_number(map, "folds", 0, &folds));
    TN_TRY(tn_pipeline_read_number(map, "fold", 0, &fold));
    bool cross = tn_manifest_child(map, "folds") || tn_manifest_child(map, "fold");
    if (cross && !(folds >= 2 && folds <= TN_MOST_FOLDS && folds == floor(folds) && fold >= 1 && fold <= folds &&
                   fold == floor(fold)))
        return tn_pipeline_wrong(map, "'folds' is a whole number from 2 to 1000, and 'fold' one from 1 to that");
    if (cross && tn_manifest_child(map, "test")) return tn_pipeline_wrong(map, "a split has 'test' or 'folds'");
    p->folds = cross ? (int)folds : 0;
    p->fold = cross ? (int)fold : 0;
    TN_TRY(tn_pipeline_read_number(map, "seed", 0, &seed));
    if (seed < 0 || seed > 0x1p53 || seed != floor(seed))
        return tn_pipeline_wrong(map, "'seed' is a whole number below 2^53");
    p->seed = (uint64_t)seed;
    TN_TRY(tn_pipeline_text(map, "column", &p->split_column));
    bool needs = p->split == TN_SPLIT_GROUP || p->split == TN_SPLIT_TIME;
    if (needs != (p->split_column != NULL))
        return tn_pipeline_wrong(map,
                                 needs ? "a split by group or time needs 'column'" : "this split takes no 'column'");
    if (p->split == TN_SPLIT_STRATIFIED && p->target.encode != TN_ENCODE_ORDINAL)
        return tn_pipeline_wrong(map, "a stratified split needs a target of classes (encode: ordinal)");
    return TN_OK;
}

static tn_status read_root(const tn_manifest_node *root, tn_pipeline *p) {
    static const char *const keys[] = {"features", "target", "split", "series", NULL};
    TN_TRY(tn_pipeline_keys(root, keys, "features, target, split, series"));
    const tn_manifest_node *features = tn_manifest_child(root, "features"), *target = tn_manifest_child(root, "target"),
                           *split = tn_manifest_child(root, "split"), *series = tn_manifest_child(root, "series");
    if (!features || features->kind != TN_MANIFEST_LIST || !features->count || features->count > MOST_FEATURES)
        return tn_pipeline_wrong(features ? features : root, "'features' must be a list of 1 to 4096 columns");
    p->features = tn_region_array(p->region, (size_t)features->count, sizeof *p->features);
    if (!p->features) return TN_E_MEMORY;
    int64_t files = 0;
    for (const tn_manifest_node *child = features->first; child; child = child->next) {
        tn_feature *f = &p->features[p->count++];
        TN_TRY(read_feature(p->region, child, f));
        if (f->encode == TN_ENCODE_SEQUENCE) return tn_pipeline_wrong(child, "sequences are for the target");
        if (f->media && (files += f->media->size) > TN_MOST_MEDIA)
            return tn_pipeline_wrong(child, "more than 2^24 numbers of a row's files");
    }
    p->has_target = target != NULL;
    if (target) TN_TRY(read_feature(p->region, target, &p->target));
    if (target && p->target.media) return tn_pipeline_wrong(target, "a target is no file");
    if (target && p->target.encode == TN_ENCODE_ONE_HOT)
        return tn_pipeline_wrong(target, "a target's classes are numbers: ordinal");
    if (split) TN_TRY(read_split(split, p));
    if (series) TN_TRY(tn_series_read(series, p));
    if (!series) return TN_OK;
    if (p->has_target && p->target.encode == TN_ENCODE_SEQUENCE)
        return tn_pipeline_wrong(target, "windows of a series have no target of sequences");
    if (p->split == TN_SPLIT_RATIO || p->split == TN_SPLIT_STRATIFIED)
        return tn_pipeline_wrong(split, "windows share rows: a series is split by time or group, not row by row");
    if (files) return tn_pipeline_wrong(series, "there are no series of files");
    return TN_OK;
}

static tn_status create(tn_pipeline **out) {
    tn_region *region = tn_region_create(NULL);
    *out = region ? tn_region_alloc(region, sizeof **out) : NULL;
    if (*out) (*out)->region = region;
    if (!*out) tn_region_destroy(region);
    return *out ? TN_OK : TN_E_MEMORY;
}

static tn_status keep(tn_status status, tn_pipeline *p, tn_pipeline **out_pipeline) {
    if (status == TN_OK)
        *out_pipeline = p;
    else
        tn_pipeline_destroy(p);
    return status;
}

tn_status tn_pipeline_from_tree(const tn_manifest_node *root, tn_pipeline **out_pipeline) {
    tn_pipeline *p;
    *out_pipeline = NULL;
    TN_TRY(create(&p));
    return keep(read_root(root, p), p, out_pipeline);
}

tn_status tn_pipeline_parse(const char *text, size_t size, tn_pipeline **out_pipeline) {
    tn_manifest_node *root;
    tn_pipeline *p;
    *out_pipeline = NULL;
    if (size > 1 << 20) return tn_fail(TN_E_LIMIT, "pipeline: more than 1 MiB");
    TN_TRY(create(&p));
    tn_status status = tn_manifest_read_yaml((tn_string){text, size}, p->region, &root);
    status = status == TN_OK ? read_root(root, p) : tn_fail_context(status, "pipeline");
    return keep(status, p, out_pipeline);
}

void tn_pipeline_destroy(tn_pipeline *pipeline) {
    if (!pipeline) return;
    tn_region_destroy(pipeline->text_region);
    tn_region_destroy(pipeline->region);
}

/* ---- writing ---- */

static void add_word(tn_manifest_writer *w, tn_manifest_node *parent, const char *key, const char *const *words,
                     int word) {
    if (word) tn_manifest_add(w, parent, key, TN_MANIFEST_TEXT, words[word]);
}

static void add_feature(tn_manifest_writer *w, tn_manifest_node *map, const tn_feature *f) {
    tn_manifest_add(w, map, "column", TN_MANIFEST_TEXT, f->column);
    add_word(w, map, "missing", missing_words, (int)f->missing);
    add_word(w, map, "scale", scale_words, (int)f->scale);
    add_word(w, map, "encode", encode_words, (int)f->encode);
    add_word(w, map, "outliers", outlier_words, (int)f->outliers);
    if (f->outliers) tn_manifest_add_number(w, map, "fence", f->fence);
    if (f->media) tn_media_write(w, map, f);
    if (!f->fitted) return;
    tn_manifest_node *fitted = tn_manifest_add(w, map, "fitted", TN_MANIFEST_MAP, NULL);
    if (f->media) {
        tn_media_write_fitted(w, fitted, f->media);
        return;
    }
    if (f->encode == TN_ENCODE_NONE) {
        tn_manifest_add_number(w, fitted, "fill", f->fill);
        tn_manifest_add_number(w, fitted, "centre", f->centre);
        tn_manifest_add_number(w, fitted, "spread", f->spread);
        if (f->outliers) tn_manifest_add_number(w, fitted, "low", f->low);
        if (f->outliers) tn_manifest_add_number(w, fitted, "high", f->high);
        return;
    }
    tn_manifest_node *list = tn_manifest_add(w, fitted, "categories", TN_MANIFEST_LIST, NULL);
    for (int i = 0; i < f->category_count; i++)
        if (f->texts)
            tn_manifest_add(w, list, NULL, TN_MANIFEST_TEXT, f->labels[i].data);
        else
            tn_manifest_add_number(w, list, NULL, f->values[i]);
}

tn_status tn_pipeline_write(tn_pipeline *p, const char **out_text) {
    tn_string text;
    tn_region_destroy(p->text_region);
    p->text_region = tn_region_create(NULL);
    if (!p->text_region) return TN_E_MEMORY;
    tn_manifest_writer w = {p->text_region, false};
    tn_manifest_node *root = tn_manifest_add(&w, NULL, NULL, TN_MANIFEST_MAP, NULL);
    tn_manifest_node *list = tn_manifest_add(&w, root, "features", TN_MANIFEST_LIST, NULL);
    for (int i = 0; i < p->count; i++)
        add_feature(&w, tn_manifest_add(&w, list, NULL, TN_MANIFEST_MAP, NULL), &p->features[i]);
    if (p->has_target) add_feature(&w, tn_manifest_add(&w, root, "target", TN_MANIFEST_MAP, NULL), &p->target);
    if (p->split != TN_SPLIT_NONE) {
        tn_manifest_node *split = tn_manifest_add(&w, root, "split", TN_MANIFEST_MAP, NULL);
        add_word(&w, split, "by", split_words, (int)p->split);
        if (!p->folds) tn_manifest_add_number(&w, split, "test", p->test);
        if (p->folds) tn_manifest_add_number(&w, split, "folds", p->folds);
        if (p->folds) tn_manifest_add_number(&w, split, "fold", p->fold);
        if (p->split_column) tn_manifest_add(&w, split, "column", TN_MANIFEST_TEXT, p->split_column);
        tn_manifest_add_number(&w, split, "seed", (double)p->seed);
    }
    if (p->series) tn_series_write(&w, root, p->series);
    if (w.failed) return TN_E_MEMORY;
    TN_TRY(tn_manifest_print(root, p->text_region, &text));
    *out_text = text.data;
    return TN_OK;
}

tn_status tn_pipeline_set_fold(tn_pipeline *p, int folds, int fold) {
    if (folds < 2 || folds > TN_MOST_FOLDS || fold < 1 || fold > folds)
        return tn_fail(TN_E_INVALID, "fold %d of %d; there are 2 to %d folds, and they are counted from 1 on", fold,
                       folds, TN_MOST_FOLDS);
    if (p->split == TN_SPLIT_NONE) {
        if (p->series)
            return tn_fail(TN_E_INVALID, "folds of a series need a 'split' of the pipeline, by time or group");
        p->split = p->has_target && p->target.encode == TN_ENCODE_ORDINAL ? TN_SPLIT_STRATIFIED : TN_SPLIT_RATIO;
    }
    p->folds = folds;
    p->fold = fold;
    return TN_OK;
}
