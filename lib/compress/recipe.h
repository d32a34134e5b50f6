/* Recipes inside the library: what the YAML says. See tenon/recipe.h. */
#ifndef TN_COMPRESS_RECIPE_H
#define TN_COMPRESS_RECIPE_H

#include <tenon/recipe.h>
#include <tenon/prune.h>
#include "base/base.h"

typedef enum tn_recipe_kind {
    TN_STEP_QUANTIZE,
    TN_STEP_WEIGHTS,
    TN_STEP_HALF,
    TN_STEP_PRUNE,
    TN_STEP_CHANNELS,
    TN_STEP_SHARE,
    TN_STEP_LOW_RANK
} tn_recipe_kind;

typedef struct tn_recipe_step {
    tn_recipe_kind kind;
    tn_quantize_options quantize; /* those of its kind hold */
    tn_weight_only_options weights;
    tn_half_options half;
    tn_prune_options prune;
    tn_prune_channels_options channels;
    tn_cluster_options share;
    tn_low_rank_options low_rank;
    int word, type; /* as read: what the options are made of */
    double count, block, rows, columns, samples;
    struct tn_recipe_step *other; /* to try in its place; NULL past the last */
} tn_recipe_step;

struct tn_recipe {
    tn_region *region;
    const char *model, *output, *labels, *report;
    const char **data;
    int data_count;
    double max_drop, min_sqnr, max_bytes, max_ms, max_ram; /* 0: none */
    tn_recipe_step *steps;
    int step_count;
};

const char *tn_recipe_step_name(tn_recipe_kind kind);
/* Steps alone, from a list in a tree that must outlive the recipe. */
struct tn_manifest_node;
tn_status tn_recipe_of_steps(const struct tn_manifest_node *list, tn_recipe **out_recipe);

#endif
