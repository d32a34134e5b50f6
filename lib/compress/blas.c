/* Loading OpenBLAS. It stays loaded: its threads do. */
#if TN_WITH_OPENBLAS
#include "compress/blas.h"
#include "base/base.h"
#include "base/library.h"
#include <pthread.h>

static tn_blas functions;
static const char *missing; /* NULL: all are there */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
#define TN_X(name) #name,
    static const char *const names[] = {TN_BLAS_FUNCTIONS(TN_X)};
#undef TN_X
    missing = tn_library_load("libopenblas.so.0", names, TN_COUNT(names), &functions);
}

tn_status tn_blas_load(const tn_blas **out_blas) {
    pthread_once(&once, load);
    *out_blas = &functions;
    return missing
               ? tn_fail(TN_E_UNSUPPORTED, "OpenBLAS cannot be used: %s is not there; install libopenblas0", missing)
               : TN_OK;
}
#endif
