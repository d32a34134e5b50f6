/* Data of plans: tables, the columns that stars stand for, the split, a fitted pipeline, and what it makes of each part. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>
#include "data/digest.h"
#include "data/media.h"
#include "data/table.h"
#include "data/keys.h"
#include "plan/plan.h"

/* Of what the table came from, and of the files that it names: each path with a zero behind it, and its bytes. */
static tn_status digest_of(const char *path, const tn_pipeline *p, const tn_table *table, char *text) {
    tn_sha256 hash;
    tn_sha256_init(&hash);
    if (!tn_is_folder(path)) TN_TRY(tn_data_hash(path, &hash));
    for (int i = 0; i < p->count; i++) {
        int column = p->features[i].media ? tn_table_find(table, p->features[i].column) : -1;
        const int32_t *codes = tn_table_codes(table, column);
        for (int64_t r = 0; codes && r < tn_table_rows(table); r++) {
            char file[TN_MEDIA_PATH];
            if (codes[r] < 0) continue;
            TN_TRY(tn_media_path(&p->features[i], table, column, r, file));
            tn_string name = tn_table_level(table, column, codes[r]);
            tn_sha256_update(&hash, name.data, name.size);
            tn_sha256_update(&hash, "", 1);
            TN_TRY(tn_data_hash(file, &hash));
        }
    }
    tn_data_digest_text(&hash, text);
    return TN_OK;
}

/* ---- stars ---- */

static const char *text_of(const tn_manifest_node *map, const char *key) {
    const tn_manifest_node *node = map && map->kind == TN_MANIFEST_MAP ? tn_manifest_child(map, key) : NULL;
    return node ? node->text : NULL;
}

static bool is_star(const char *column) {
    return column && *column && column[strlen(column) - 1] == '*';
}

/* A column that a star does not take: target, split, series, or named by itself. */
static bool is_named(const tn_manifest_node *pipeline, const tn_manifest_node *features, const char *column) {
    const char *target = text_of(tn_manifest_child(pipeline, "target"), "column"),
               *split = text_of(tn_manifest_child(pipeline, "split"), "column");
    const tn_manifest_node *series = tn_manifest_child(pipeline, "series");
    const char *time = text_of(series, "time"), *group = text_of(series, "group");
    if ((target && strcmp(target, column) == 0) || (split && strcmp(split, column) == 0)) return true;
    if ((time && strcmp(time, column) == 0) || (group && strcmp(group, column) == 0)) return true;
    for (const tn_manifest_node *f = features->first; f; f = f->next) {
        const char *name = text_of(f, "column");
        if (name && strcmp(name, column) == 0) return true;
    }
    return false;
}

/* Maps are shared below the first level: nothing there is changed. */
static tn_manifest_node *with_column(tn_region *region, const tn_manifest_node *map, const char *column) {
    tn_manifest_node *copy = tn_manifest_new(region, TN_MANIFEST_MAP, NULL);
    if (!copy) return NULL;
    copy->line = map->line;
    copy->column = map->column;
    for (const tn_manifest_node *child = map->first; child; child = child->next) {
        tn_manifest_node *own = tn_region_alloc(region, sizeof *own);
        if (!own) return NULL;
        *own = *child;
        if (strcmp(child->key, "column") == 0 && !(own->text = tn_region_strdup(region, column))) return NULL;
        tn_manifest_append(copy, child->key, own);
    }
    return copy;
}

static tn_status expand_one(tn_region *region, const tn_manifest_node *pipeline, const tn_manifest_node *features,
                            const tn_manifest_node *map, const tn_table *table, tn_manifest_node *out) {
    const char *pattern = text_of(map, "column");
    bool star = is_star(pattern);
    int found = 0;
    for (int c = 0; c < (star ? tn_table_column_count(table) : 1); c++) {
        const char *column = star ? tn_table_column_name(table, c) : pattern;
        if (star && (strncmp(column, pattern, strlen(pattern) - 1) != 0 || is_named(pipeline, features, column)))
            continue;
        tn_manifest_node *copy;
        if (map->kind == TN_MANIFEST_MAP && pattern) {
            copy = with_column(region, map, column);
        } else { /* the pipeline will say what is wrong with it */
            copy = tn_region_alloc(region, sizeof *copy);
            if (copy) *copy = *map;
        }
        if (!copy) return TN_E_MEMORY;
        tn_manifest_append(out, NULL, copy);
        found++;
    }
    return found ? TN_OK : tn_key_fail(map, "no column of the table is '%.80s'", pattern);
}

/* The plan's pipeline with columns for stars. */
static tn_status expand(tn_region *region, const tn_manifest_node *pipeline, const tn_table *table,
                        tn_manifest_node **out) {
    *out = tn_manifest_new(region, TN_MANIFEST_MAP, NULL);
    if (!*out) return TN_E_MEMORY;
    (*out)->line = pipeline->line;
    (*out)->column = pipeline->column;
    for (const tn_manifest_node *child = pipeline->first; child; child = child->next) {
        tn_manifest_node *copy = tn_region_alloc(region, sizeof *copy);
        if (!copy) return TN_E_MEMORY;
        *copy = *child;
        tn_manifest_append(*out, child->key, copy);
        if (strcmp(child->key, "features") != 0 || child->kind != TN_MANIFEST_LIST) continue;
        copy->first = copy->last = NULL;
        copy->count = 0;
        for (const tn_manifest_node *f = child->first; f; f = f->next)
            TN_TRY(expand_one(region, pipeline, child, f, table, copy));
    }
    return TN_OK;
}

/* ---- parts ---- */

/* Columns that say nothing, of which there may be many: digits have borders. */
static void note_constant(const tn_plan_data *data, const tn_plan_options *o) {
    char text[400] = "";
    int constant = 0;
    const tn_tensor *rows = data->samples[TN_PART_TRAIN].x;
    const float *x = rows->data;
    const tn_pipeline *p = data->pipeline;
    for (int f = 0, at = 0; f < p->count; f++) {
        int width = tn_feature_width(&p->features[f]);
        bool varies = false;
        for (int64_t r = 1; r < rows->dims[0] && !varies; r++)
            varies = memcmp(x + at, x + r * rows->dims[1] + at, (size_t)width * sizeof *x) != 0;
        at += width;
        if (varies) continue;
        size_t used = strlen(text);
        if (constant++ < 5)
            snprintf(text + used, sizeof text - used, "%s%.60s", used ? ", " : "", p->features[f].column);
    }
    char sentence[600];
    snprintf(sentence, sizeof sentence,
             "%d of %d columns are constant in the rows for training, and teach nothing: %s%s", constant, p->count,
             text, constant > 5 ? "..." : "");
    if (constant && o->note) o->note(o->context, sentence);
}

static tn_status make_part(const tn_plan *plan, tn_plan_data *data, const tn_table *table, const uint8_t *part,
                           int which) {
    int wanted = part ? which : 0;
    tn_sample_set *samples = &data->samples[which];
    TN_TRY(tn_pipeline_samples(data->pipeline, table, part, wanted, true, samples));
    data->rows[which] = samples->count;
    if (!data->rows[which])
        return tn_fail(TN_E_INVALID, "no rows are left for %s",
                       which == TN_PART_TRAIN  ? "training"
                       : which == TN_PART_TEST ? "testing"
                                               : "validation");
    if (data->pipeline->has_target && !samples->y)
        return tn_fail(TN_E_NOT_FOUND, "'%s' has no column '%.80s', the target", plan->test,
                       data->pipeline->target.column);
    return TN_OK;
}

/* The validation rows are drawn as the pipeline's split draws, of classes stratified; a split by nothing is a draw. */
static tn_status draw_validation(const tn_plan *plan, const tn_pipeline *p, const tn_table *table, uint8_t *part) {
    tn_split by = p->split == TN_SPLIT_GROUP || p->split == TN_SPLIT_TIME  ? p->split
                  : p->series                                              ? TN_SPLIT_TIME
                  : p->has_target && p->target.encode == TN_ENCODE_ORDINAL ? TN_SPLIT_STRATIFIED
                                                                           : TN_SPLIT_RATIO;
    return tn_pipeline_draw(p, table, by, plan->validation, (uint64_t)plan->seed + 1, part, TN_PART_VALIDATION);
}

static tn_status make_parts(const tn_plan *plan, tn_plan_data *data, const tn_table *table, const tn_table *test,
                            const uint8_t *part) {
    TN_TRY(make_part(plan, data, table, part, TN_PART_TRAIN));
    if (plan->validation > 0) TN_TRY(make_part(plan, data, table, part, TN_PART_VALIDATION));
    if (test) return make_part(plan, data, test, NULL, TN_PART_TEST);
    return tn_pipeline_tests(data->pipeline) ? make_part(plan, data, table, part, TN_PART_TEST) : TN_OK;
}

static tn_status fit(const tn_plan *plan, tn_plan_data *data, const tn_table *table, const tn_table *test,
                     uint8_t *part) {
    tn_pipeline *p = data->pipeline;
    if (tn_pipeline_tests(p) && test)
        return tn_key_fail(plan->pipeline_node, "there is a file for testing: the pipeline needs no 'split'");
    TN_TRY(tn_pipeline_split(p, table, part));
    if (plan->validation > 0) TN_TRY(draw_validation(plan, p, table, part));
    TN_TRY(tn_pipeline_fit(p, table, part));
    const bool classes = p->has_target && p->target.encode == TN_ENCODE_ORDINAL,
               sequences = p->has_target && p->target.encode == TN_ENCODE_SEQUENCE;
    if (classes && p->target.category_count < 2)
        return tn_fail(TN_E_INVALID,
                       "the target '%.80s' has one class only among the rows for training; there is "
                       "nothing to tell apart",
                       p->target.column);
    data->width = tn_pipeline_width(p);
    data->task = sequences       ? TN_TASK_SEQUENCES
                 : classes       ? TN_TASK_CLASSIFICATION
                 : p->has_target ? TN_TASK_REGRESSION
                                 : TN_TASK_RECONSTRUCTION;
    data->outputs = sequences       ? p->target.category_count + 1 /* the blank */
                    : classes       ? p->target.category_count
                    : p->has_target ? 1
                                    : data->width;
    tn_spill_in_order(&data->spill, NULL, false);
    TN_TRY(make_parts(plan, data, table, test, part));
    tn_spill_in_order(&data->spill, NULL, true);
    return TN_OK;
}

static tn_status read_table(const tn_plan *plan, const char *path, const tn_allocator *allocator, tn_table **out) {
    const tn_csv_options options = {.struct_size = sizeof options,
                                    .separator = plan->separator ? *plan->separator : 0,
                                    .decimal = plan->decimal ? *plan->decimal : 0,
                                    .no_header = !plan->header};
    TN_TRY(tn_table_read_into(path, &options, allocator, out));
    return tn_table_rows(*out) ? TN_OK : tn_fail(TN_E_INVALID, "'%s' has no rows", path);
}

/* What is read from files has a shape of its own, and so have windows: a channel for each number of a row. */
static void take_shape(tn_plan *plan, const tn_pipeline *p) {
    const tn_media *m = p->count == 1 ? p->features[0].media : NULL;
    int steps = tn_pipeline_steps(p);
    if (plan->rank || (!m && steps == 1)) return;
    plan->rank = m ? m->rank : 2;
    plan->shape[0] = tn_pipeline_width(p) / steps;
    plan->shape[1] = steps;
    if (m) memcpy(plan->shape, m->dims, sizeof m->dims);
}

/* Brings a table to what the pipeline's series wants. */
static tn_status prepare(const tn_pipeline *p, tn_table **table) {
    tn_table *prepared;
    TN_TRY(tn_pipeline_prepare(p, *table, &prepared));
    if (!prepared) return TN_OK;
    tn_table_destroy(*table);
    *table = prepared;
    return TN_OK;
}

static tn_status read_both(tn_plan *plan, tn_plan_data *out, tn_table **table, tn_table **test) {
    tn_manifest_node *pipeline;
    TN_TRY(read_table(plan, plan->train, &out->spill.allocator, table));
    if (plan->test) TN_TRY(read_table(plan, plan->test, &out->spill.allocator, test));
    TN_TRY(expand(plan->region, plan->pipeline_node, *table, &pipeline));
    TN_TRY(tn_pipeline_from_tree(pipeline, &out->pipeline));
    if (plan->folds) TN_TRY(tn_pipeline_set_fold(out->pipeline, plan->folds, plan->fold));
    TN_TRY(digest_of(plan->train, out->pipeline, *table, out->digests[0]));
    if (*test) TN_TRY(digest_of(plan->test, out->pipeline, *test, out->digests[1]));
    tn_spill_in_order(&out->spill, NULL, true);
    TN_TRY(prepare(out->pipeline, table));
    if (*test) TN_TRY(prepare(out->pipeline, test));
    tn_spill_in_order(&out->spill, NULL, true);
    return TN_OK;
}

tn_status tn_plan_data_read(tn_plan *plan, const tn_plan_options *options, tn_plan_data *out) {
    tn_table *table = NULL, *test = NULL;
    uint8_t *part = NULL;
    size_t rows = 0;
    *out = (tn_plan_data){0};
    tn_spill_init(&out->spill, plan->output, (size_t)plan->memory << 20);
    tn_status status = read_both(plan, out, &table, &test);
    if (status == TN_OK) {
        rows = (size_t)tn_table_rows(table);
        part = tn_alloc_zero(NULL, rows);
        status = part ? fit(plan, out, table, test, part) : TN_E_MEMORY;
    }
    if (status == TN_OK) take_shape(plan, out->pipeline);
    plan->sequences = out->task == TN_TASK_SEQUENCES;
    if (status == TN_OK) note_constant(out, options);
    tn_free(NULL, part, rows);
    tn_table_destroy(table);
    tn_table_destroy(test);
    if (status == TN_E_MEMORY && out->spill.error)
        return tn_fail(TN_E_IO, "the data take more than %zu MB, and what is beyond has no room beside '%s': %s",
                       out->spill.limit >> 20, plan->output, strerror(out->spill.error));
    return status;
}

void tn_plan_data_free(tn_plan_data *data) {
    for (int i = 0; i < TN_PARTS; i++) tn_sample_set_deinit(&data->samples[i]);
    tn_tensor_destroy(data->taught);
    tn_pipeline_destroy(data->pipeline);
}
