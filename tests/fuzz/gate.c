/* Fuzzing gates: any text is taken or refused with a sentence. They are YAML, read as manifests are. */
#include <stdlib.h>
#include <string.h>
#include "model/manifest.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    tn_manifest_node *root;
    char *copy = malloc(size ? size : 1); /* of exactly its size */
    tn_region *region = tn_region_create(NULL);
    if (copy && size) memcpy(copy, data, size);
    if (copy && region && tn_manifest_read_yaml((tn_string){copy, size}, region, &root) == TN_OK &&
        tn_manifest_check_gate(root, region) == TN_OK) {
        /* What a gate looks at is there, and of its kind. */
        const tn_manifest_node *metrics = tn_manifest_child(root, "metrics");
        for (const tn_manifest_node *m = metrics ? metrics->first : NULL; m; m = m->next)
            if (!tn_manifest_child(m, "name") || !tn_manifest_child(m, "name")->text) abort();
        if (tn_manifest_child(root, "signed") && !tn_manifest_child(root, "signed")->text) abort();
        if (tn_manifest_child(root, "self_test") && !tn_manifest_child(root, "self_test")->text) abort();
    }
    tn_region_destroy(region);
    free(copy);
    return 0;
}
