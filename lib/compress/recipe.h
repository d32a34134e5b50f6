/* Recipes inside the library: what the YAML says. See tenon/recipe.h. */
#ifndef TN_COMPRESS_RECIPE_H
#define TN_COMPRESS_RECIPE_H

#include <tenon/recipe.h>
#include <tenon/prune.h>
#include "base/base.h"
#include "compress/quantize.h"

typedef enum tn_recipe_kind {
    TN_STEP_QUANTIZE,
    TN_STEP_WEIGHTS,
    TN_STEP_HALF,
    TN_STEP_PRUNE,
    TN_STEP_CHANNELS,
    TN_STEP_HEADS,
    TN_STEP_LAYERS,
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
    tn_prune_heads_options heads;
    tn_prune_layers_options layers;
    tn_cluster_options share;
    tn_low_rank_options low_rank;
    int word, type; /* as read: what the options are made of */
    double count, block, rows, columns, samples;
    struct tn_recipe_step *other; /* to try in its place; NULL past the last */
} tn_recipe_step;

struct tn_recipe {
    tn_region *region;
    uint8_t digest[32]; /* of the text */
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

/* ---- what an interrupted run leaves: resume.c ----
 *
 * A folder of state.json, which has what was tried in the order of the walk, and beside it PATH.tenon and PATH.json, the graph
 * of a try and the report of a quantization, while something of them is still to be tried or they are the best. */

/* The ways that were taken, as "0.2.-": "-" where none was kept. */
#define TN_RECIPE_PATH 264

typedef struct tn_recipe_try {
    char path[TN_RECIPE_PATH];
    char report[TN_RECIPE_PATH]; /* of the try whose report holds behind this one; "": none */
    bool kept;
    bool done; /* so is all that begins with it */
    tn_qscore score;
    double bytes;
    double ns; /* a run; NaN: not measured */
    int int8;  /* layers of a quantization */
} tn_recipe_try;

typedef struct tn_recipe_state tn_recipe_state;

/* Goes on from what is in the folder, if that was kept of the same recipe, graph and samples, and else begins anew. */
tn_status tn_recipe_state_open(const char *folder, const tn_recipe *recipe, const tn_graph *graph,
                               const tn_samples *samples, tn_recipe_state **out);
/* NULL if it was not tried, or the best was not. */
const tn_recipe_try *tn_recipe_state_find(const tn_recipe_state *state, const char *path);
/* In the order of the walk; NULL past the last. */
const tn_recipe_try *tn_recipe_state_at(const tn_recipe_state *state, size_t index);
const tn_recipe_try *tn_recipe_state_best(const tn_recipe_state *state);
/* Graph (NULL if nothing was kept) and report (NULL: none) of a try. */
tn_status tn_recipe_state_load(const tn_recipe_state *state, const tn_recipe_try *of, tn_graph **out_graph,
                               tn_quantize_report **out_report);
/* A step was tried. graph: NULL if nobody will need it; told: what its quantization tells, NULL likewise. */
tn_status tn_recipe_state_add(tn_recipe_state *state, const tn_recipe_try *tried, const tn_graph *graph,
                              const tn_quantize_report *told);
/* All that begins with a try was tried. best: what is now; NULL: what was. */
tn_status tn_recipe_state_done(tn_recipe_state *state, const char *path, const tn_recipe_try *best);
/* keeps: the folder stays as it is, for another run; else it goes. */
void tn_recipe_state_close(tn_recipe_state *state, bool keeps); /* accepts NULL */

#endif
