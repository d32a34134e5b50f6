/* A library without libsodium signs nothing and verifies nothing, and says so. */
#include "base/base.h"
#include <tenon/sign.h>

#define ABSENT(name, ...)                                                                                              \
    tn_status name(__VA_ARGS__) {                                                                                      \
        return tn_fail(TN_E_UNSUPPORTED, "this library was built without signatures; build it with libsodium");        \
    }

#pragma GCC diagnostic ignored "-Wunused-parameter"
ABSENT(tn_sign_make_key, const char *secret_file, const char *public_file, const tn_sign_key_options *options)
ABSENT(tn_sign_file, const char *file, const char *secret_file, const tn_sign_options *options)
ABSENT(tn_sign_verify, const char *file, const char *public_key, const char *signature, tn_signature *out_signature)
