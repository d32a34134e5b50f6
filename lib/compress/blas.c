/* Loading OpenBLAS. It stays loaded: its threads do. */
#if TN_WITH_OPENBLAS
#include "compress/blas.h"
#include "base/base.h"
#include <dlfcn.h>
#include <pthread.h>

static tn_blas functions;
static const char *missing; /* NULL: all are there */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        missing = "libopenblas.so.0";
        return;
    }
    /* ISO C knows no conversion of void * to a function's; POSIX has this one. */
#define TN_X(name)                                                                                                     \
    if (!(*(void **)&functions.name = dlsym(library, #name))) missing = #name;
    TN_BLAS_FUNCTIONS(TN_X)
#undef TN_X
}

tn_status tn_blas_load(const tn_blas **out_blas) {
    pthread_once(&once, load);
    *out_blas = &functions;
    return missing
               ? tn_fail(TN_E_UNSUPPORTED, "OpenBLAS cannot be used: %s is not there; install libopenblas0", missing)
               : TN_OK;
}
#endif
