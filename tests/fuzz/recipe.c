/* Fuzzing recipes: any text is refused with a sentence, or has steps and paths that are texts. What an interrupted one leaves is
 * read too: a report out of its JSON, which then is the same JSON again. */
#include <stdlib.h>
#include <string.h>
#include <tenon/recipe.h>
#include "compress/quantize.h"
#include "model/manifest.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static size_t length_of(const char *text) {
    return text ? strlen(text) : 0;
}

static tn_quantize_report *read_report(const char *text, size_t size) {
    tn_region *region = tn_region_create(NULL);
    tn_manifest_node *tree;
    tn_quantize_report *report = NULL;
    if (!region) return NULL;
    tn_status status = tn_manifest_read_yaml((tn_string){text, size}, region, &tree);
    if (status == TN_OK) status = tn_report_read(tree, &report);
    if ((status == TN_OK) != (report != NULL)) abort();
    tn_region_destroy(region);
    return report;
}

static void try_report(const char *text, size_t size) {
    tn_quantize_report *first = read_report(text, size);
    if (!first) return;
    const char *json = tn_quantize_report_json(first);
    tn_quantize_report *second = read_report(json, strlen(json));
    if (!second || strcmp(json, tn_quantize_report_json(second)) != 0) abort();
    if (!tn_quantize_report_html(second)) abort();
    tn_quantize_report_destroy(second);
    tn_quantize_report_destroy(first);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    static const char *const keys[] = {"model", "output", "labels", "report", "steps", ""};
    tn_recipe *r;
    char *copy = malloc(size ? size : 1); /* of exactly its size */
    size_t length = 0;
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    tn_status status = tn_recipe_parse(copy, size, &r);
    try_report(copy, size);
    free(copy);
    if (status != TN_OK) {
        if (r || !*tn_last_error()) abort();
        return 0;
    }
    if (tn_recipe_steps(r) < 1) abort();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) length += length_of(tn_recipe_path(r, keys[i]));
    for (int i = 0; tn_recipe_data(r, i); i++) length += length_of(tn_recipe_data(r, i));
    if (length > size) abort();
    tn_recipe_destroy(r);
    return 0;
}
