/* A library without libcurl, or without stores, talks to no registry, and says so. */
#include "base/base.h"
#include <tenon/registry.h>

#define ABSENT(name, ...)                                                                                              \
    tn_status name(__VA_ARGS__) {                                                                                      \
        return tn_fail(TN_E_UNSUPPORTED,                                                                               \
                       "this library was built without registries; build it with libcurl, libsodium and jansson");     \
    }

#pragma GCC diagnostic ignored "-Wunused-parameter"
ABSENT(tn_store_push, tn_store *store, const char *reference, const char *address, const tn_registry_options *options,
       tn_registry_result *out_result)
ABSENT(tn_store_pull, tn_store *store, const char *address, const tn_registry_options *options,
       tn_store_version *out_version, tn_registry_result *out_result)
ABSENT(tn_trust_fetch, tn_store *store, const char *url, const tn_registry_options *options)
ABSENT(tn_store_follow, tn_store *store, const char *channel, const char *trust, const char *repository,
       const tn_registry_options *options, tn_store_version *out_version)
