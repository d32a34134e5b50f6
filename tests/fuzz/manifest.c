/* Fuzzing manifests: any text is refused with a sentence, or has a canonical form that is its own canonical form. */
#include <stdlib.h>
#include <string.h>
#include <tenon/manifest.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    tn_manifest *m, *again;
    const char *form, *second;
    char *copy = malloc(size ? size : 1); /* of exactly its size */
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    if (tn_manifest_parse(copy, size, &m) == TN_OK) {
        if (tn_manifest_write(m, &form) != TN_OK) abort();
        /* Quotes may take a text beyond the limits. */
        if (strlen(form) < 1 << 16) {
            if (tn_manifest_parse(form, strlen(form), &again) != TN_OK) abort();
            if (tn_manifest_write(again, &second) != TN_OK || strcmp(form, second) != 0) abort();
            tn_manifest_destroy(again);
        }
        tn_manifest_destroy(m);
    }
    free(copy);
    return 0;
}
