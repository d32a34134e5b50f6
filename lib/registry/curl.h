/* libcurl, loaded when it is first needed: it brings twenty libraries along, which a program that only runs models should
 * not wait for at its start. */
#ifndef TN_REGISTRY_CURL_H
#define TN_REGISTRY_CURL_H

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <tenon/status.h>

#define TN_CURL_FUNCTIONS(X)                                                                                           \
    X(global_init)                                                                                                     \
    X(easy_init)                                                                                                       \
    X(easy_cleanup)                                                                                                    \
    X(easy_reset)                                                                                                      \
    X(easy_setopt)                                                                                                     \
    X(easy_perform)                                                                                                    \
    X(easy_getinfo)                                                                                                    \
    X(easy_strerror)                                                                                                   \
    X(slist_append)                                                                                                    \
    X(slist_free_all)                                                                                                  \
    X(url)                                                                                                             \
    X(url_cleanup)                                                                                                     \
    X(url_set)                                                                                                         \
    X(url_get)                                                                                                         \
    X(free)

typedef struct tn_curl {
#define TN_X(name) __typeof__(curl_##name) *name;
    TN_CURL_FUNCTIONS(TN_X)
#undef TN_X
} tn_curl;

/* TN_E_UNSUPPORTED where it is not installed. */
tn_status tn_curl_load(const tn_curl **out_curl);

#endif
