/* Loading libcrypto; it stays loaded. */
#if TN_WITH_OPENSSL
#include "sign/crypto.h"
#include "base/library.h"
#include <pthread.h>

static tn_crypto functions;
static const char *missing; /* NULL: all are there */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
#define TN_X(name) #name,
    static const char *const names[] = {TN_CRYPTO_FUNCTIONS(TN_X)};
#undef TN_X
    missing = tn_library_load("libcrypto.so.3", names, TN_COUNT(names), &functions);
}

tn_status tn_crypto_load(const tn_crypto **out_crypto) {
    pthread_once(&once, load);
    *out_crypto = &functions;
    return missing ? tn_fail(TN_E_UNSUPPORTED, "OpenSSL cannot be used: %s is not there; install libssl3", missing)
                   : TN_OK;
}
#endif
