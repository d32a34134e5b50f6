/* What an ensemble says of itself: the manifest of one that is made of several, which must agree on what they were trained
 * for. */
#include <stdio.h>
#include <tenon/model_file.h>
#include "ensemble/ensemble.h"

static const char *const kinds[] = {"average", "vote", "stack", "cascade"};

/* Of the members together: what the first that says it says. */
typedef struct common {
    tn_region *region;
    const char *pipeline_of, *classes_of; /* that member; NULL: nobody has said it yet */
    tn_string pipeline_text, classes_text;
    tn_manifest_node *pipeline, *classes;
    const char *task;
} common;

static tn_status agree(common *c, const tn_member *m, tn_manifest_node *node, const char *what, const char **of,
                       tn_string *text, tn_manifest_node **out) {
    tn_string own;
    if (!node) return TN_OK;
    TN_TRY(tn_manifest_print(node, c->region, &own));
    if (!*of) {
        *of = m->name;
        *text = own;
        *out = node;
        return TN_OK;
    }
    if (tn_string_equal(own, *text)) return TN_OK;
    return tn_fail(TN_E_INVALID, "member '%s' has other %s than '%s'; %s", m->name, what, *of,
                   text == &c->pipeline_text
                       ? "they were fitted on other rows, and would take the same numbers for others"
                       : "their answers mean different things");
}

static tn_status read_member(common *c, const tn_member *m) {
    const char *text = tn_graph_manifest(m->shared->graph);
    tn_manifest_node *root;
    char path[64];
    if (!text) return TN_OK;
    TN_TRY(tn_manifest_read_yaml((tn_string){text, strlen(text)}, c->region, &root));
    TN_TRY(tn_manifest_check(root, c->region, true)); /* tells numbers from texts */
    TN_TRY(agree(c, m, tn_manifest_find(root, TN_PIPELINE_PATH), "numbers in its pipeline", &c->pipeline_of,
                 &c->pipeline_text, &c->pipeline));
    snprintf(path, sizeof path, "outputs/%d/classes", m->answer);
    TN_TRY(agree(c, m, tn_manifest_find(root, path), "classes", &c->classes_of, &c->classes_text, &c->classes));
    const tn_manifest_node *task = tn_manifest_find(root, "extra/task");
    if (task && task->text && !c->task) c->task = task->text;
    return TN_OK;
}

static void add_text(tn_manifest_writer *w, tn_manifest_node *map, const char *key, const char *text) {
    if (text && *text) tn_manifest_add(w, map, key, TN_MANIFEST_TEXT, text);
}

static void add_member(tn_manifest_writer *w, const tn_ensemble *e, int index, tn_manifest_node *list) {
    const tn_member *m = &e->members[index];
    tn_manifest_node *map = tn_manifest_add(w, list, NULL, TN_MANIFEST_MAP, NULL);
    add_text(w, map, "name", m->name);
    add_text(w, map, "digest", tn_graph_digest(m->shared->graph));
    if (e->kind == TN_ENSEMBLE_AVERAGE || e->kind == TN_ENSEMBLE_VOTE)
        tn_manifest_add_number(w, map, "weight", tn_member_part(e, index));
    if (e->kind == TN_ENSEMBLE_CASCADE && index + 1 < e->count)
        tn_manifest_add_number(w, map, "threshold", tn_member_threshold(m));
}

static tn_status write(const tn_ensemble *e, const common *c, const char *output, int64_t width, tn_string *out) {
    tn_manifest_writer w = {.region = c->region};
    tn_manifest_node *root = tn_manifest_add(&w, NULL, NULL, TN_MANIFEST_MAP, NULL);
    for (int i = 0; i < TN_ABOUTS; i++) {
        const char *fallback = i == TN_ABOUT_NAME ? "ensemble" : i == TN_ABOUT_VERSION ? "0.1.0" : NULL;
        add_text(&w, root, tn_about_keys[i], e->about[i] ? e->about[i] : fallback);
    }
    if (c->classes && c->classes->count == width) {
        tn_manifest_node *list = tn_manifest_add(&w, root, "outputs", TN_MANIFEST_LIST, NULL),
                         *map = tn_manifest_add(&w, list, NULL, TN_MANIFEST_MAP, NULL);
        add_text(&w, map, "name", output);
        if (!w.failed) tn_manifest_append(map, "classes", c->classes);
    }
    tn_manifest_node *provenance = tn_manifest_add(&w, root, "provenance", TN_MANIFEST_MAP, NULL);
    const char *source = tn_region_printf(c->region, "ensemble of %d models", e->count);
    w.failed |= !source;
    add_text(&w, provenance, "source", source);
    add_text(&w, tn_manifest_add(&w, provenance, "tools", TN_MANIFEST_MAP, NULL), "tenon", tn_version());
    tn_manifest_node *extra = tn_manifest_add(&w, root, "extra", TN_MANIFEST_MAP, NULL);
    add_text(&w, extra, "task", c->task);
    tn_manifest_node *own = tn_manifest_add(&w, extra, "ensemble", TN_MANIFEST_MAP, NULL);
    add_text(&w, own, "method", kinds[e->kind]);
    tn_manifest_node *members = tn_manifest_add(&w, own, "members", TN_MANIFEST_LIST, NULL);
    for (int i = 0; i < e->count; i++) add_member(&w, e, i, members);
    if (!w.failed && c->pipeline) tn_manifest_append(extra, "pipeline", c->pipeline);
    if (w.failed) return TN_E_MEMORY;
    TN_TRY(tn_manifest_check(root, c->region, false));
    return tn_manifest_print(root, c->region, out);
}

tn_status tn_ensemble_describe(tn_ensemble *e, tn_graph *graph) {
    common c = {.region = TN_WITH_YAML ? tn_region_create(NULL) : NULL};
    const tn_graph_value *output = &graph->values[graph->outputs[0]];
    tn_status status = TN_OK;
    tn_string text;
    if (!TN_WITH_YAML) return TN_OK; /* what the members say cannot be read */
    if (!c.region) return TN_E_MEMORY;
    for (int i = 0; i < e->count && status == TN_OK; i++) {
        status = read_member(&c, &e->members[i]);
        if (status != TN_OK) tn_fail_context(status, "the manifest of member '%s'", e->members[i].name);
    }
    if (status == TN_OK) status = write(e, &c, output->name, output->type.rank == 2 ? output->type.dims[1] : 1, &text);
    if (status == TN_OK) {
        graph->manifest = tn_region_strndup(graph->region, text.data, text.size);
        if (!graph->manifest) status = TN_E_MEMORY;
    }
    tn_region_destroy(c.region);
    return status;
}
