/* Ensembles from YAML. See tenon/ensemble.h. */
#include <stddef.h>
#include <stdio.h>
#include "ensemble/ensemble.h"
#include "data/keys.h"

static const char *const kind_words[] = {"average", "vote", "stack", "cascade", NULL};
static const char *const row_words[] = {"all", "training", "testing", NULL};

/* What the YAML has, before it becomes an ensemble. */
typedef struct text {
    const char *about[TN_ABOUTS], *output;
    int kind;
    const tn_manifest_node *members, *fit;
} text;

#define AT(field) offsetof(text, field)
static const tn_key root_keys[] = {
    {"name", TN_KEY_TEXT, AT(about[TN_ABOUT_NAME]), 0, 0, NULL},
    {"version", TN_KEY_TEXT, AT(about[TN_ABOUT_VERSION]), 0, 0, NULL},
    {"title", TN_KEY_TEXT, AT(about[TN_ABOUT_TITLE]), 0, 0, NULL},
    {"description", TN_KEY_TEXT, AT(about[TN_ABOUT_DESCRIPTION]), 0, 0, NULL},
    {"licence", TN_KEY_TEXT, AT(about[TN_ABOUT_LICENCE]), 0, 0, NULL},
    {"method", TN_KEY_WORD, AT(kind), 0, 0, kind_words},
    {"members", TN_KEY_NODE, AT(members), 0, 0, NULL},
    {"fit", TN_KEY_NODE, AT(fit), 0, 0, NULL},
    {"output", TN_KEY_TEXT, AT(output), 0, 0, NULL},
    {0},
};

typedef struct member_text {
    const char *file, *name, *output;
    bool logits;
    double weight, threshold;
} member_text;

static const tn_key member_keys[] = {
    {"file", TN_KEY_TEXT, offsetof(member_text, file), 0, 0, NULL},
    {"name", TN_KEY_TEXT, offsetof(member_text, name), 0, 0, NULL},
    {"output", TN_KEY_TEXT, offsetof(member_text, output), 0, 0, NULL},
    {"logits", TN_KEY_SWITCH, offsetof(member_text, logits), 0, 0, NULL},
    {"weight", TN_KEY_NUMBER, offsetof(member_text, weight), 0, 1e9, NULL},
    {"threshold", TN_KEY_NUMBER, offsetof(member_text, threshold), 1e-6, 2, NULL},
    {0},
};
static const tn_key fit_keys[] = {
    {"data", TN_KEY_TEXT, offsetof(tn_ensemble, data), 0, 0, NULL},
    {"separator", TN_KEY_TEXT, offsetof(tn_ensemble, separator), 0, 0, NULL},
    {"decimal", TN_KEY_TEXT, offsetof(tn_ensemble, decimal), 0, 0, NULL},
    {"rows", TN_KEY_WORD, offsetof(tn_ensemble, rows), 0, 0, row_words},
    {"decay", TN_KEY_NUMBER, offsetof(tn_ensemble, fit.decay), 1e-9, 1e9, NULL},
    {"max_drop", TN_KEY_NUMBER, offsetof(tn_ensemble, fit.max_drop), 0, 1, NULL},
    {"steps", TN_KEY_WHOLE, offsetof(tn_ensemble, steps), 1, 1e6, NULL},
    {"folds", TN_KEY_WHOLE, offsetof(tn_ensemble, folds), 2, 1000, NULL},
    {0},
};

static tn_status read_members(tn_ensemble *e, const tn_manifest_node *list) {
    if (list->kind != TN_MANIFEST_LIST || !list->count)
        return tn_key_fail(list, "'members' is a list of maps: - file: a.tenon");
    for (const tn_manifest_node *node = list->first; node; node = node->next) {
        member_text t = {.weight = 1};
        tn_member *made;
        TN_TRY(tn_keys_read(node, member_keys, &t));
        if (!t.file) return tn_key_fail(node, "the key 'file' is missing");
        const tn_ensemble_member m = {.struct_size = sizeof m,
                                      .name = t.name,
                                      .output = t.output,
                                      .logits = t.logits,
                                      .weight = t.weight > 0 ? t.weight : -1,
                                      .threshold = t.threshold};
        TN_TRY(tn_keys_place(&t.file, e->folder, e->region));
        tn_status status = tn_member_put(e, &m, t.file, &made);
        if (status != TN_OK) return tn_fail_context(status, "line %d, column %d", node->line, node->column);
    }
    return TN_OK;
}

static tn_status read_fit(tn_ensemble *e, const tn_manifest_node *node) {
    if (!node) return TN_OK;
    TN_TRY(tn_keys_read(node, fit_keys, e));
    if (!e->data) return tn_key_fail(node, "the key 'data' is missing: a CSV file");
    if (e->separator && strlen(e->separator) != 1) return tn_key_fail(node, "'separator' is one character");
    if (e->decimal && strlen(e->decimal) != 1) return tn_key_fail(node, "'decimal' is one character");
    e->fit.steps = (int)e->steps;
    e->fit.folds = (int)e->folds;
    if (e->folds && e->rows) return tn_key_fail(node, "with 'folds' it is fitted on all rows; 'rows' has no place");
    return tn_keys_place(&e->data, e->folder, e->region);
}

/* name and version are wanted now, not when all is fitted. */
static tn_status check_about(const tn_ensemble *e) {
    tn_manifest *manifest;
    const char *yaml = tn_region_printf(e->region, "name: \"%s\"\nversion: \"%s\"\n", e->about[TN_ABOUT_NAME],
                                        e->about[TN_ABOUT_VERSION] ? e->about[TN_ABOUT_VERSION] : "0.1.0");
    if (!yaml) return TN_E_MEMORY;
    tn_status status = tn_manifest_parse(yaml, strlen(yaml), &manifest);
    if (status != TN_OK) return tn_fail_context(status, "name or version, as the manifest will have them");
    tn_manifest_destroy(manifest);
    return TN_OK;
}

static tn_status read_root(tn_ensemble *e, const tn_manifest_node *root) {
    text t = {.kind = -1};
    TN_TRY(tn_keys_read(root, root_keys, &t));
    if (!t.about[TN_ABOUT_NAME]) return tn_key_fail(root, "the key 'name' is missing");
    if (t.kind < 0) return tn_key_fail(root, "the key 'method' is missing: average, vote, stack or cascade");
    if (!t.members) return tn_key_fail(root, "the key 'members' is missing");
    e->kind = (tn_ensemble_kind)t.kind;
    memcpy(e->about, t.about, sizeof e->about);
    TN_TRY(check_about(e));
    TN_TRY(read_members(e, t.members));
    TN_TRY(read_fit(e, t.fit));
    if (e->kind == TN_ENSEMBLE_STACK && !e->data)
        return tn_key_fail(root, "a stack needs 'fit': rows that its members were not trained on, or folds");
    e->output = t.output ? t.output : tn_region_printf(e->region, "%s.tenon", e->about[TN_ABOUT_NAME]);
    return e->output ? tn_keys_place(&e->output, e->folder, e->region) : TN_E_MEMORY;
}

tn_status tn_ensemble_parse(const char *yaml, size_t size, const char *folder, tn_ensemble **out_ensemble) {
    tn_manifest_node *root;
    tn_ensemble *e;
    *out_ensemble = NULL;
    TN_TRY(tn_ensemble_create(TN_ENSEMBLE_AVERAGE, &e));
    tn_status status = TN_OK;
    if (folder && !(e->folder = tn_region_strdup(e->region, folder))) status = TN_E_MEMORY;
    if (status == TN_OK) status = tn_keys_parse((tn_string){yaml, size}, "an ensemble", e->region, &root);
    if (status == TN_OK) status = read_root(e, root);
    if (status == TN_OK)
        *out_ensemble = e;
    else
        tn_ensemble_destroy(e);
    return status;
}

tn_status tn_ensemble_load(const char *path, tn_ensemble **out_ensemble) {
    const char *folder;
    tn_string yaml;
    *out_ensemble = NULL;
    tn_region *region = tn_region_create(NULL);
    if (!region) return TN_E_MEMORY;
    tn_status status = tn_keys_load(path, region, &yaml, &folder);
    if (status == TN_OK) {
        status = tn_ensemble_parse(yaml.data, yaml.size, folder, out_ensemble);
        if (status != TN_OK) tn_fail_context(status, "%s", path);
    }
    tn_region_destroy(region);
    return status;
}

const char *tn_ensemble_output(const tn_ensemble *e) {
    return e->output;
}

tn_status tn_ensemble_set_output(tn_ensemble *e, const char *path) {
    e->output = tn_region_strdup(e->region, path);
    return e->output ? TN_OK : TN_E_MEMORY;
}

tn_status tn_ensemble_set_data(tn_ensemble *e, const char *path, const tn_csv_options *csv, tn_rows rows,
                               const tn_ensemble_fit_options *options) {
    if (options) memcpy(&e->fit, options, TN_MIN(options->struct_size, sizeof e->fit));
    if (e->fit.folds && (e->fit.folds < 2 || e->fit.folds > 1000 || rows != TN_ROWS_ALL))
        return tn_fail(TN_E_INVALID, "folds are 2 to 1000, of all rows");
    e->data = tn_region_strdup(e->region, path);
    e->separator = csv && csv->separator ? tn_region_strndup(e->region, &csv->separator, 1) : NULL;
    e->decimal = csv && csv->decimal ? tn_region_strndup(e->region, &csv->decimal, 1) : NULL;
    e->no_header = csv && csv->no_header;
    e->rows = (int)rows;
    return e->data ? TN_OK : TN_E_MEMORY;
}
