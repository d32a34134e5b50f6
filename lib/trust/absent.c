/* A library without libsodium or jansson has no stores, and nothing to trust. */
#include "base/base.h"
#include <tenon/trust.h>

#define ABSENT(name, ...)                                                                                              \
    tn_status name(__VA_ARGS__) {                                                                                      \
        return tn_fail(TN_E_UNSUPPORTED,                                                                               \
                       "this library was built without stores; build it with libsodium and jansson");                  \
    }

#pragma GCC diagnostic ignored "-Wunused-parameter"
ABSENT(tn_trust_init, tn_store *store, const char *keys, const tn_trust_options *options)
ABSENT(tn_trust_accept, tn_store *store, const char *root_file, tn_trust_clock clock)
ABSENT(tn_trust_update, tn_store *store, const char *folder)
ABSENT(tn_trust_sign, tn_store *store, const char *keys)
ABSENT(tn_trust_rotate, tn_store *store, const char *role, const char *keys)
ABSENT(tn_store_promote, tn_store *store, const char *reference, const char *channel, const char *keys)
ABSENT(tn_store_channel, tn_store *store, const char *name, const char *channel, tn_store_channel_info *out_info)
ABSENT(tn_store_channel_at, tn_store *store, int index, tn_store_channel_info *out_info)
ABSENT(tn_trust_info, tn_store *store, tn_trust_state *out_state)
ABSENT(tn_trust_set_clock, tn_store *store, tn_trust_clock clock)
ABSENT(tn_trust_set_time, tn_store *store, const char *now)
