/* Fuzzing ensembles: any text is refused with a sentence, or is an ensemble. Its members are files, which are not there. */
#include <stdlib.h>
#include <string.h>
#include <tenon/ensemble.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    tn_ensemble *ensemble;
    char *copy = malloc(size ? size : 1); /* of exactly its size */
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    tn_status status = tn_ensemble_parse(copy, size, "folder", &ensemble);
    if (status == TN_OK ? !*tn_ensemble_output(ensemble) : !*tn_last_error()) abort();
    tn_ensemble_destroy(ensemble);
    free(copy);
    return 0;
}
