/* Recipes from YAML. Keys are rows of tables; what is not in them is refused with its line and column. */
#include "compress/recipe.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include "data/csv.h"
#include "kernels/sha256.h"
#include "model/manifest.h"

enum { MOST_STEPS = 64, MOST_WAYS = 256, MOST_BYTES = 1 << 20 };

typedef enum field_kind { TEXT, NUMBER, COUNT, FLAG, WORD } field_kind;

/* Where a key's value goes. */
typedef struct field {
    const char *key;
    field_kind kind;
    size_t offset;
    const char *const *words; /* of WORD: the number of the word is kept */
    double low, high;         /* of NUMBER and COUNT */
} field;

static const char *const methods[] = {"min-max", "moving-average", "percentile", "entropy", "mse", "best", NULL};
static const char *const kinds[] = {"uint8", "int8", NULL};
static const char *const rounding[] = {"nearest", "hqq", "gptq", NULL};
static const char *const patterns[] = {"anywhere", "n-of-m", "blocks", NULL};
static const char *const criteria[] = {"magnitude", "wanda", "sparsegpt", NULL};
static const char *const halves[] = {"float16", "bfloat16", NULL};

#define AT(name) offsetof(tn_recipe_step, name)
static const field quantize_fields[] = {{"calibration", WORD, AT(word), methods, 0, 0},
                                        {"percentile", NUMBER, AT(quantize.percentile), NULL, 50, 100},
                                        {"activations", WORD, AT(type), kinds, 0, 0},
                                        {"symmetric", FLAG, AT(quantize.symmetric), NULL, 0, 0},
                                        {"per_tensor", FLAG, AT(quantize.per_tensor), NULL, 0, 0},
                                        {"reduce_range", FLAG, AT(quantize.reduce_range), NULL, 0, 0},
                                        {"dynamic", FLAG, AT(quantize.dynamic), NULL, 0, 0},
                                        {"bias_correction", FLAG, AT(quantize.bias_correction), NULL, 0, 0},
                                        {"equalize", FLAG, AT(quantize.equalize), NULL, 0, 0},
                                        {"adaptive_rounding", FLAG, AT(quantize.adaptive_rounding), NULL, 0, 0},
                                        {"smooth", FLAG, AT(quantize.smooth), NULL, 0, 0},
                                        {"never_slower", FLAG, AT(quantize.never_slower), NULL, 0, 0},
                                        {"weight_bits", COUNT, AT(rows), NULL, 2, 8},
                                        {"exclude", TEXT, AT(quantize.exclude), NULL, 0, 0},
                                        {"samples", COUNT, AT(count), NULL, 1, 1e9},
                                        {0}};
static const field weights_fields[] = {{"bits", COUNT, AT(count), NULL, 2, 8},
                                       {"block", COUNT, AT(block), NULL, 16, 256},
                                       {"method", WORD, AT(word), rounding, 0, 0},
                                       {"symmetric", FLAG, AT(weights.symmetric), NULL, 0, 0},
                                       {"embeddings", FLAG, AT(weights.embeddings), NULL, 0, 0},
                                       {"embedding_bits", COUNT, AT(rows), NULL, 4, 8},
                                       {"awq", FLAG, AT(weights.awq), NULL, 0, 0},
                                       {"samples", COUNT, AT(samples), NULL, 1, 100000},
                                       {"keep", TEXT, AT(weights.keep), NULL, 0, 0},
                                       {0}};
static const field half_fields[] = {
    {"type", WORD, AT(type), halves, 0, 0}, {"keep", TEXT, AT(half.keep), NULL, 0, 0}, {0}};
static const field prune_fields[] = {{"sparsity", NUMBER, AT(prune.sparsity), NULL, 0, 0.999999},
                                     {"pattern", WORD, AT(word), patterns, 0, 0},
                                     {"criterion", WORD, AT(type), criteria, 0, 0},
                                     {"global", FLAG, AT(prune.global), NULL, 0, 0},
                                     {"kept", COUNT, AT(count), NULL, 1, 63},
                                     {"of", COUNT, AT(block), NULL, 2, 64},
                                     {"block_rows", COUNT, AT(rows), NULL, 1, 65536},
                                     {"block_columns", COUNT, AT(columns), NULL, 1, 65536},
                                     {"keep", TEXT, AT(prune.keep), NULL, 0, 0},
                                     {"samples", COUNT, AT(samples), NULL, 1, 100000},
                                     {0}};
static const field channel_fields[] = {{"sparsity", NUMBER, AT(channels.sparsity), NULL, 0, 0.999999},
                                       {"multiple", COUNT, AT(count), NULL, 1, 65536},
                                       {"global", FLAG, AT(channels.global), NULL, 0, 0},
                                       {"keep", TEXT, AT(channels.keep), NULL, 0, 0},
                                       {0}};
static const field head_fields[] = {{"sparsity", NUMBER, AT(heads.sparsity), NULL, 0, 0.999999},
                                    {"global", FLAG, AT(heads.global), NULL, 0, 0},
                                    {"keep", TEXT, AT(heads.keep), NULL, 0, 0},
                                    {"samples", COUNT, AT(samples), NULL, 1, 100000},
                                    {0}};
static const field layer_fields[] = {{"count", COUNT, AT(count), NULL, 1, 65536},
                                     {"max_error", NUMBER, AT(layers.max_error), NULL, 1e-9, 1e9},
                                     {"keep", TEXT, AT(layers.keep), NULL, 0, 0},
                                     {"samples", COUNT, AT(samples), NULL, 1, 100000},
                                     {0}};
static const field share_fields[] = {{"bits", COUNT, AT(count), NULL, 2, 8},
                                     {"linear", FLAG, AT(share.linear), NULL, 0, 0},
                                     {"group", COUNT, AT(rows), NULL, 1, 1e9},
                                     {"keep", TEXT, AT(share.keep), NULL, 0, 0},
                                     {0}};
static const field rank_fields[] = {{"energy", NUMBER, AT(low_rank.energy), NULL, 1e-9, 1},
                                    {"rank", COUNT, AT(count), NULL, 1, 65536},
                                    {"keep", TEXT, AT(low_rank.keep), NULL, 0, 0},
                                    {0}};

#define IN(name) offsetof(tn_recipe, name)
static const field path_fields[] = {{"model", TEXT, IN(model), NULL, 0, 0},
                                    {"output", TEXT, IN(output), NULL, 0, 0},
                                    {"labels", TEXT, IN(labels), NULL, 0, 0},
                                    {"report", TEXT, IN(report), NULL, 0, 0},
                                    {0}};
static const field bound_fields[] = {
    {"max_drop", NUMBER, IN(max_drop), NULL, 0, 1e30},   {"min_sqnr", NUMBER, IN(min_sqnr), NULL, 0, 1000},
    {"max_bytes", NUMBER, IN(max_bytes), NULL, 1, 1e18}, {"max_ms", NUMBER, IN(max_ms), NULL, 1e-9, 1e12},
    {"max_ram", NUMBER, IN(max_ram), NULL, 1, 1e18},     {0}};

static const struct {
    const char *name;
    const field *fields;
} steps[] = {[TN_STEP_QUANTIZE] = {"quantize", quantize_fields},
             [TN_STEP_WEIGHTS] = {"weights", weights_fields},
             [TN_STEP_HALF] = {"half", half_fields},
             [TN_STEP_PRUNE] = {"prune", prune_fields},
             [TN_STEP_CHANNELS] = {"channels", channel_fields},
             [TN_STEP_HEADS] = {"heads", head_fields},
             [TN_STEP_LAYERS] = {"layers", layer_fields},
             [TN_STEP_SHARE] = {"share", share_fields},
             [TN_STEP_LOW_RANK] = {"low_rank", rank_fields}};

const char *tn_recipe_step_name(tn_recipe_kind kind) {
    return steps[kind].name;
}

static tn_status wrong(const tn_manifest_node *at, const char *what) {
    return tn_fail(TN_E_FORMAT, "recipe line %d, column %d: %s", at->line, at->column, what);
}

static tn_status read_word(const tn_manifest_node *node, const field *f, int *out) {
    char known[120] = "";
    for (int i = 0; f->words[i]; i++) {
        if (node->text && strcmp(f->words[i], node->text) == 0) {
            *out = i;
            return TN_OK;
        }
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "", f->words[i]);
    }
    return tn_fail(TN_E_FORMAT, "recipe line %d, column %d: '%s' is one of %s", node->line, node->column, f->key,
                   known);
}

static tn_status read_number(const tn_manifest_node *node, const field *f, double *out) {
    bool good = node->text && !node->quoted && tn_field_number((tn_string){node->text, strlen(node->text)}, '.', out);
    if (good && *out >= f->low && *out <= f->high && (f->kind == NUMBER || *out == floor(*out))) return TN_OK;
    return tn_fail(TN_E_FORMAT, "recipe line %d, column %d: '%s' is a %snumber from %g to %g", node->line, node->column,
                   f->key, f->kind == COUNT ? "whole " : "", f->low, f->high);
}

static tn_status read_field(const tn_manifest_node *node, const field *f, void *into) {
    void *at = (char *)into + f->offset;
    switch (f->kind) {
    case NUMBER:
    case COUNT: return read_number(node, f, at);
    case WORD: return read_word(node, f, at);
    case FLAG:
        if (node->text && (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0)) {
            *(bool *)at = node->text[0] == 't';
            return TN_OK;
        }
        return wrong(node, "true or false was expected");
    default:
        if (!node->text || !*node->text) return wrong(node, "a text was expected");
        *(const char **)at = node->text;
        return TN_OK;
    }
}

static const field *find_field(const field *fields, const char *key) {
    while (fields->key && strcmp(fields->key, key) != 0) fields++;
    return fields->key ? fields : NULL;
}

static tn_status read_map(const tn_manifest_node *map, const field *fields, void *into) {
    if (map->kind != TN_MANIFEST_MAP) return wrong(map, "a map was expected");
    for (const tn_manifest_node *child = map->first; child; child = child->next) {
        const field *f = find_field(fields, child->key);
        if (!f)
            return tn_fail(TN_E_FORMAT, "recipe line %d, column %d: there is no key '%.80s' here", child->line,
                           child->column, child->key);
        TN_TRY(read_field(child, f, into));
    }
    return TN_OK;
}

static tn_status read_step(const tn_manifest_node *entry, tn_recipe_step *out) {
    const tn_manifest_node *body = entry->kind == TN_MANIFEST_MAP && entry->count == 1 ? entry->first : NULL;
    for (size_t i = 0; body && i < TN_COUNT(steps); i++) {
        if (strcmp(steps[i].name, body->key) != 0) continue;
        *out = (tn_recipe_step){.kind = (tn_recipe_kind)i};
        bool empty = body->text && !*body->text; /* "- quantize:" */
        TN_TRY(empty ? TN_OK : read_map(body, steps[i].fields, out));
        out->quantize.calibration = (tn_calibration)out->word;
        out->quantize.activations = out->type ? TN_INT8 : TN_UINT8;
        out->quantize.most_samples = (int64_t)out->count;
        out->quantize.weight_bits = (int)out->rows;
        out->weights.bits = (int)out->count;
        out->weights.block = (int)out->block;
        out->weights.method = (tn_weight_method)out->word;
        out->weights.embedding_bits = (int)out->rows;
        out->prune.pattern = (tn_prune_pattern)out->word;
        out->prune.criterion = (tn_prune_criterion)out->type;
        out->prune.kept = (int)out->count;
        out->prune.of = (int)out->block;
        out->prune.block_rows = (int)out->rows;
        out->prune.block_columns = (int)out->columns;
        out->channels.multiple = (int)out->count;
        out->layers.count = (int)out->count;
        out->share.bits = (int)out->count;
        out->share.group = (int)out->rows;
        out->low_rank.rank = (int)out->count;
        out->half.dtype = out->type ? TN_BFLOAT16 : TN_FLOAT16;
        return TN_OK;
    }
    return wrong(
        entry,
        "a step is a map of one key: quantize, weights, half, prune, channels, heads, layers, share or low_rank");
}

/* A step, or a list of those that are tried in its place. */
static tn_status read_ways(const tn_manifest_node *entry, tn_region *region, tn_recipe_step *out, double *ways) {
    if (entry->kind != TN_MANIFEST_LIST) return read_step(entry, out);
    if (!entry->count) return wrong(entry, "a list of steps to choose from was expected");
    *ways *= (double)entry->count;
    if (*ways > MOST_WAYS) return wrong(entry, "the lists to choose from have more than 256 combinations");
    for (const tn_manifest_node *child = entry->first; child; child = child->next) {
        TN_TRY(read_step(child, out));
        if (!child->next) break;
        out->other = tn_region_array(region, 1, sizeof *out);
        if (!out->other) return TN_E_MEMORY;
        out = out->other;
    }
    return TN_OK;
}

static tn_status read_data(const tn_manifest_node *list, tn_recipe *r) {
    if (list->text && *list->text) {
        r->data = tn_region_array(r->region, 1, sizeof *r->data);
        if (!r->data) return TN_E_MEMORY;
        r->data[r->data_count++] = list->text;
        return TN_OK;
    }
    if (list->kind != TN_MANIFEST_LIST || !list->count) return wrong(list, "'data' is a path or a list of them");
    r->data = tn_region_array(r->region, (size_t)list->count, sizeof *r->data);
    if (!r->data) return TN_E_MEMORY;
    for (const tn_manifest_node *child = list->first; child; child = child->next) {
        if (!child->text || !*child->text) return wrong(child, "a path was expected");
        r->data[r->data_count++] = child->text;
    }
    return TN_OK;
}

static tn_status read_steps(const tn_manifest_node *list, tn_recipe *r) {
    if (list->kind != TN_MANIFEST_LIST || !list->count || list->count > MOST_STEPS)
        return wrong(list, "'steps' is a list of 1 to 64 steps");
    r->steps = tn_region_array(r->region, (size_t)list->count, sizeof *r->steps);
    if (!r->steps) return TN_E_MEMORY;
    double ways = 1;
    for (const tn_manifest_node *child = list->first; child; child = child->next)
        TN_TRY(read_ways(child, r->region, &r->steps[r->step_count++], &ways));
    return TN_OK;
}

static tn_status read_root(const tn_manifest_node *root, tn_recipe *r) {
    if (root->kind != TN_MANIFEST_MAP) return wrong(root, "a map was expected");
    for (const tn_manifest_node *child = root->first; child; child = child->next) {
        const field *f = find_field(path_fields, child->key);
        if (f)
            TN_TRY(read_field(child, f, r));
        else if (strcmp(child->key, "data") == 0)
            TN_TRY(read_data(child, r));
        else if (strcmp(child->key, "bounds") == 0)
            TN_TRY(read_map(child, bound_fields, r));
        else if (strcmp(child->key, "steps") == 0)
            TN_TRY(read_steps(child, r));
        else
            return tn_fail(TN_E_FORMAT,
                           "recipe line %d, column %d: there is no key '%.80s'; there are model, output, data, labels, "
                           "report, bounds, steps",
                           child->line, child->column, child->key);
    }
    return r->step_count ? TN_OK : wrong(root, "the key 'steps' is missing");
}

tn_status tn_recipe_parse(const char *text, size_t size, tn_recipe **out_recipe) {
    tn_manifest_node *root = NULL;
    *out_recipe = NULL;
    if (size > MOST_BYTES) return tn_fail(TN_E_LIMIT, "recipe: more than 1 MiB");
    tn_region *region = tn_region_create(NULL);
    tn_recipe *r = region ? tn_region_alloc(region, sizeof *r) : NULL;
    tn_status status = r ? TN_OK : TN_E_MEMORY;
    if (r) r->region = region;
    if (r) tn_sha256_of(text, size, r->digest);
    if (status == TN_OK) {
        status = tn_manifest_read_yaml((tn_string){text, size}, region, &root);
        if (status != TN_OK) tn_fail_context(status, "recipe");
    }
    if (status == TN_OK) status = read_root(root, r);
    if (status == TN_OK)
        *out_recipe = r;
    else
        tn_region_destroy(region);
    return status;
}

tn_status tn_recipe_of_steps(const tn_manifest_node *list, tn_recipe **out_recipe) {
    *out_recipe = NULL;
    tn_region *region = tn_region_create(NULL);
    tn_recipe *r = region ? tn_region_alloc(region, sizeof *r) : NULL;
    tn_status status = r ? TN_OK : TN_E_MEMORY;
    if (r) r->region = region;
    if (status == TN_OK) status = read_steps(list, r);
    if (status == TN_OK)
        *out_recipe = r;
    else
        tn_region_destroy(region);
    return status;
}

void tn_recipe_destroy(tn_recipe *recipe) {
    if (recipe) tn_region_destroy(recipe->region);
}

const char *tn_recipe_path(const tn_recipe *recipe, const char *key) {
    const field *f = find_field(path_fields, key);
    return f ? *(const char *const *)((const char *)recipe + f->offset) : NULL;
}

const char *tn_recipe_data(const tn_recipe *recipe, int index) {
    return index >= 0 && index < recipe->data_count ? recipe->data[index] : NULL;
}

int tn_recipe_steps(const tn_recipe *recipe) {
    return recipe->step_count;
}
