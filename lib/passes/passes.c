/* The table of passes and their driver. */
#include "passes/passes.h"

const tn_pass tn_passes[] = {
    {NULL, NULL},
};

tn_status tn_graph_for_each_body(tn_graph *graph, tn_status (*visit)(tn_graph *body, int *changes), int *changes) {
    for (int n = 0; n < graph->node_count; n++)
        for (int a = 0; a < graph->nodes[n].attr_count; a++)
            if (graph->nodes[n].attrs[a].kind == TN_ATTR_GRAPH) {
                tn_graph *body = graph->nodes[n].attrs[a].g;
                TN_TRY(tn_graph_for_each_body(body, visit, changes));
                TN_TRY(visit(body, changes));
            }
    return TN_OK;
}

/* Whether `name` is in a list with commas between. */
static bool listed(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; at && *at;) {
        size_t n = strcspn(at, ",");
        if ((n == length && memcmp(at, name, n) == 0) || (n == 3 && memcmp(at, "all", 3) == 0)) return true;
        at += n + (at[n] == ',');
    }
    return false;
}

tn_status tn_passes_run(tn_graph *graph, const tn_model_options *options) {
    for (const tn_pass *pass = tn_passes; pass->name; pass++) {
        if (listed(options->skip_passes, pass->name)) continue;
        int before = graph->node_count, changes = 0;
        tn_status status = pass->run(graph, &changes);
        if (status == TN_OK) status = tn_graph_for_each_body(graph, pass->run, &changes);
        if (status != TN_OK) return tn_fail_context(status, "pass '%s'", pass->name);
        if (options->on_pass) options->on_pass(options->context, pass->name, before, graph->node_count, changes);
    }
    return TN_OK;
}
