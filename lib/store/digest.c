/* SHA-256 as text. */
#include "store/store.h"
#include "kernels/sha256.h"

struct tn_digester {
    tn_sha256 hash;
};

tn_status tn_digester_create(tn_digester **out_digester) {
    *out_digester = tn_alloc(NULL, sizeof **out_digester);
    if (!*out_digester) return TN_E_MEMORY;
    tn_sha256_init(&(*out_digester)->hash);
    return TN_OK;
}

void tn_digester_add(tn_digester *d, const void *data, size_t size) {
    tn_sha256_update(&d->hash, data, size);
}

static void write_digest(const uint8_t hash[TN_SHA256_BYTES], char digest[TN_STORE_DIGEST]) {
    memcpy(digest, "sha256:", 7);
    tn_sha256_text(hash, digest + 7);
}

void tn_digester_end(tn_digester *d, char digest[TN_STORE_DIGEST]) {
    uint8_t hash[TN_SHA256_BYTES];
    tn_sha256_final(&d->hash, hash);
    write_digest(hash, digest);
    tn_free(NULL, d, sizeof *d);
}

void tn_digest_of(const void *data, size_t size, char digest[TN_STORE_DIGEST]) {
    uint8_t hash[TN_SHA256_BYTES];
    tn_sha256_of(data, size, hash);
    write_digest(hash, digest);
}

bool tn_digest_is_valid(const char *text) {
    return strncmp(text, "sha256:", 7) == 0 && strspn(text + 7, "0123456789abcdef") == 64 && text[71] == 0;
}
