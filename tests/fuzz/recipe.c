/* Fuzzing recipes: any text is refused with a sentence, or has steps and paths that are texts. */
#include <stdlib.h>
#include <string.h>
#include <tenon/recipe.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static size_t length_of(const char *text) {
    return text ? strlen(text) : 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    static const char *const keys[] = {"model", "output", "labels", "report", "steps", ""};
    tn_recipe *r;
    char *copy = malloc(size ? size : 1); /* of exactly its size */
    size_t length = 0;
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    tn_status status = tn_recipe_parse(copy, size, &r);
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
