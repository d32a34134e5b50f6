/* Loading libcurl. It stays loaded: what it started, such as OpenSSL, does not like to be unloaded. */
#include "registry/curl.h"
#include "base/base.h"
#include <dlfcn.h>
#include <pthread.h>

static tn_curl functions;
static const char *missing; /* NULL: all are there */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
    /* Debian has the same library with GnuTLS under another name. */
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library) library = dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        missing = "libcurl.so.4";
        return;
    }
    /* ISO C knows no conversion of void * to a function's; POSIX has this one. */
#define TN_X(name)                                                                                                     \
    if (!(*(void **)&functions.name = dlsym(library, "curl_" #name))) missing = "curl_" #name;
    TN_CURL_FUNCTIONS(TN_X)
#undef TN_X
    if (!missing && functions.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) missing = "its own start";
}

tn_status tn_curl_load(const tn_curl **out_curl) {
    pthread_once(&once, load);
    *out_curl = &functions;
    return missing
               ? tn_fail(TN_E_UNSUPPORTED, "libcurl cannot be used: %s fails or is not there; install libcurl", missing)
               : TN_OK;
}
