/* SHA-256 by libsodium, as text. */
#include "store/store.h"
#include <sodium.h>

struct tn_digester {
    crypto_hash_sha256_state state;
};

tn_status tn_digester_create(tn_digester **out_digester) {
    if (sodium_init() < 0) return tn_fail(TN_E_INTERNAL, "libsodium does not start");
    *out_digester = tn_alloc(NULL, sizeof **out_digester);
    if (!*out_digester) return TN_E_MEMORY;
    crypto_hash_sha256_init(&(*out_digester)->state);
    return TN_OK;
}

void tn_digester_add(tn_digester *d, const void *data, size_t size) {
    crypto_hash_sha256_update(&d->state, data, size);
}

static void write_digest(const unsigned char hash[crypto_hash_sha256_BYTES], char digest[TN_STORE_DIGEST]) {
    char hex[2 * crypto_hash_sha256_BYTES + 1];
    sodium_bin2hex(hex, sizeof hex, hash, crypto_hash_sha256_BYTES);
    snprintf(digest, TN_STORE_DIGEST, "sha256:%s", hex);
}

void tn_digester_end(tn_digester *d, char digest[TN_STORE_DIGEST]) {
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(&d->state, hash);
    write_digest(hash, digest);
    tn_free(NULL, d, sizeof *d);
}

void tn_digest_of(const void *data, size_t size, char digest[TN_STORE_DIGEST]) {
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, data, size);
    write_digest(hash, digest);
}

bool tn_digest_is_valid(const char *text) {
    return strncmp(text, "sha256:", 7) == 0 && strspn(text + 7, "0123456789abcdef") == 64 && text[71] == 0;
}
