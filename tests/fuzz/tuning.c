/* Fuzzing studies: any text is refused with a sentence, or is a study. Nothing is trained: a plan names files. */
#include <stdlib.h>
#include <string.h>
#include <tenon/tune.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    tn_tuning *tuning;
    char *copy = malloc(size ? size : 1); /* of exactly its size */
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    tn_status status = tn_tuning_parse(copy, size, "no such folder", &tuning);
    if (status == TN_OK ? !tn_tuning_study(tuning) : !*tn_last_error()) abort();
    tn_tuning_destroy(tuning);
    free(copy);
    return 0;
}
