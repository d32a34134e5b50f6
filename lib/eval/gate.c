/* Gates on an evaluation: what was measured is put as a manifest has it, and goes through the bounds of stores' gates. */
#include <stdio.h>
#include <tenon/evaluate.h>
#include "model/gate.h"

static tn_status manifest_of(tn_evaluation *e, tn_region *region, tn_manifest **out) {
    tn_manifest_writer w = {.region = region};
    tn_metrics *metrics = tn_evaluation_metrics(e);
    tn_string text;
    double value;
    const char *name;
    tn_manifest_node *root = tn_manifest_add(&w, NULL, NULL, TN_MANIFEST_MAP, NULL);
    tn_manifest_add(&w, root, "name", TN_MANIFEST_TEXT, "measured");
    tn_manifest_add(&w, root, "version", TN_MANIFEST_TEXT, "0.0.0");
    tn_manifest_node *list = tn_manifest_add(&w, root, "metrics", TN_MANIFEST_LIST, NULL);
    for (int i = 0; (name = tn_metric_name(i)); i++) {
        if (!tn_metrics_applies(metrics, name) || tn_metrics_value(metrics, name, &value) != TN_OK) continue;
        tn_manifest_node *m = tn_manifest_add(&w, list, NULL, TN_MANIFEST_MAP, NULL);
        tn_manifest_add(&w, m, "name", TN_MANIFEST_TEXT, name);
        tn_manifest_add_number(&w, m, "value", value);
        tn_manifest_add(&w, m, "data", TN_MANIFEST_TEXT, "measured");
    }
    if (w.failed) return TN_E_MEMORY;
    TN_TRY(tn_manifest_print(root, region, &text));
    return tn_manifest_parse(text.data, text.size, out);
}

static tn_status look(tn_gate *g, const tn_manifest_node *root, const tn_model *model) {
    const tn_manifest_node *of_signed = tn_manifest_child(root, "signed");
    if (of_signed)
        tn_gate_tell(g, "signed", of_signed->text, "an evaluation, which knows of no store: 'tenon store gate' does",
                     false);
    TN_TRY(tn_gate_self_test(g, root, model));
    tn_gate_metrics(g, root);
    return g->failed ? tn_fail(TN_E_CHECK, "the gate is not passed: %s", g->sentence) : TN_OK;
}

tn_status tn_evaluation_gate(tn_evaluation *evaluation, const tn_model *model, tn_evaluation *against, const char *gate,
                             size_t gate_size, tn_gate_report *report, void *context) {
    tn_manifest *own = NULL, *other = NULL;
    tn_manifest_node *root;
    tn_gate g = {.against = "the other model",
                 .whose = "the other model",
                 .why_not = "",
                 .first = !against,
                 .any_data = true,
                 .report = report,
                 .context = context};
    TN_TRY(tn_gate_open(&g));
    tn_region *region = tn_region_create(NULL);
    tn_status status = region ? tn_gate_read(gate, gate_size, region, &root) : TN_E_MEMORY;
    if (status == TN_OK) status = manifest_of(evaluation, region, &own);
    if (status == TN_OK && against) status = manifest_of(against, region, &other);
    g.manifest = own;
    g.serving = other;
    if (status == TN_OK) status = look(&g, root, model);
    tn_manifest_destroy(own);
    tn_manifest_destroy(other);
    tn_region_destroy(region);
    tn_gate_close(&g);
    return status;
}
