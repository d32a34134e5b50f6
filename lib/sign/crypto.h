/* OpenSSL's libcrypto, loaded when the first bundle is signed: nobody else waits for it, or needs it. */
#ifndef TN_SIGN_CRYPTO_H
#define TN_SIGN_CRYPTO_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include "base/base.h"

/* What bundles call of it, by its own names. */
#define TN_CRYPTO_FUNCTIONS(X)                                                                                         \
    X(BIO_ctrl)                                                                                                        \
    X(BIO_free)                                                                                                        \
    X(BIO_new)                                                                                                         \
    X(BIO_new_mem_buf)                                                                                                 \
    X(BIO_s_mem)                                                                                                       \
    X(EVP_Digest)                                                                                                      \
    X(EVP_DigestFinal_ex)                                                                                              \
    X(EVP_DigestInit_ex)                                                                                               \
    X(EVP_DigestSign)                                                                                                  \
    X(EVP_DigestSignInit)                                                                                              \
    X(EVP_DigestUpdate)                                                                                                \
    X(EVP_EncodeBlock)                                                                                                 \
    X(EVP_MD_CTX_free)                                                                                                 \
    X(EVP_MD_CTX_new)                                                                                                  \
    X(EVP_MD_CTX_reset)                                                                                                \
    X(EVP_PKEY_free)                                                                                                   \
    X(EVP_PKEY_get_group_name)                                                                                         \
    X(EVP_PKEY_is_a)                                                                                                   \
    X(EVP_sha256)                                                                                                      \
    X(OPENSSL_cleanse)                                                                                                 \
    X(PEM_read_bio_PrivateKey)                                                                                         \
    X(PEM_write_bio_PUBKEY)

typedef struct tn_crypto {
#define TN_X(name) __typeof__(&name) name;
    TN_CRYPTO_FUNCTIONS(TN_X)
#undef TN_X
} tn_crypto;

/* TN_E_UNSUPPORTED, with a sentence, if the machine has no libcrypto of the version that was built for. */
tn_status tn_crypto_load(const tn_crypto **out_crypto);

#endif
