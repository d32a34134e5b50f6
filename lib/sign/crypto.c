/* Loading libcrypto; it stays loaded. */
#if TN_WITH_OPENSSL
#include "sign/crypto.h"
#include <dlfcn.h>
#include <pthread.h>

static tn_crypto functions;
static const char *missing; /* NULL: all are there */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
    void *library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        missing = "libcrypto.so.3";
        return;
    }
    /* ISO C knows no conversion of void * to a function's; POSIX has this one. */
#define TN_X(name)                                                                                                     \
    if (!(*(void **)&functions.name = dlsym(library, #name))) missing = #name;
    TN_CRYPTO_FUNCTIONS(TN_X)
#undef TN_X
}

tn_status tn_crypto_load(const tn_crypto **out_crypto) {
    pthread_once(&once, load);
    *out_crypto = &functions;
    return missing ? tn_fail(TN_E_UNSUPPORTED, "OpenSSL cannot be used: %s is not there; install libssl3", missing)
                   : TN_OK;
}
#endif
