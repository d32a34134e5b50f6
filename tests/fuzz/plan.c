/* Fuzzing plans: any text is refused with a sentence, or is a plan. Nothing is trained: a plan names files. */
#include <stdlib.h>
#include <string.h>
#include <tenon/plan.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    tn_plan *plan;
    char *copy = malloc(size ? size : 1); /* of exactly its size */
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    tn_status status = tn_plan_parse(copy, size, "folder", &plan);
    if (status == TN_OK ? !*tn_plan_output(plan) : !*tn_last_error()) abort();
    tn_plan_destroy(plan);
    free(copy);
    return 0;
}
