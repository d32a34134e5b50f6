/* Loading libcurl. It stays loaded: what it started, such as OpenSSL, does not like to be unloaded. */
#include "registry/curl.h"
#include "base/base.h"
#include "base/library.h"
#include <pthread.h>

static tn_curl functions;
static const char *missing; /* NULL: all are there */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
#define TN_X(name) "curl_" #name,
    static const char *const names[] = {TN_CURL_FUNCTIONS(TN_X)};
#undef TN_X
    static const char usual[] = "libcurl.so.4", gnutls[] = "libcurl-gnutls.so.4";
    missing = tn_library_load(usual, names, TN_COUNT(names), &functions);
    if (missing == usual) { /* Debian has the same library with GnuTLS under another name. */
        const char *other = tn_library_load(gnutls, names, TN_COUNT(names), &functions);
        missing = other == gnutls ? usual : other;
    }
    if (!missing && functions.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) missing = "its own start";
}

tn_status tn_curl_load(const tn_curl **out_curl) {
    pthread_once(&once, load);
    *out_curl = &functions;
    return missing
               ? tn_fail(TN_E_UNSUPPORTED, "libcurl cannot be used: %s fails or is not there; install libcurl", missing)
               : TN_OK;
}
