/* Writing YAML: trees that are built node by node. See manifest.h. */
#include "base/element.h"
#include "model/manifest.h"
#include "ops/cast_text.h"

tn_manifest_node *tn_manifest_add(tn_manifest_writer *w, tn_manifest_node *parent, const char *key,
                                  tn_manifest_kind kind, const char *text) {
    tn_manifest_node *node = w->failed ? NULL : tn_manifest_new(w->region, kind, text);
    if (node && parent) tn_manifest_append(parent, key, node);
    w->failed = !node;
    return node;
}

void tn_manifest_add_number(tn_manifest_writer *w, tn_manifest_node *parent, const char *key, double x) {
    char text[TN_NUMBER_TEXT];
    tn_double_to_text(x, text);
    tn_manifest_add(w, parent, key, TN_MANIFEST_NUMBER, text);
}
