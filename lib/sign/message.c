/* What is signed: a file, read once in pieces, so that its size costs time and no memory.
 *
 * Signatures of the form of old are Ed25519's of the file's bytes themselves, which libsodium verifies only in one piece
 * of memory. The verification (RFC 8032, section 5.1.7) is put together here of libsodium's parts: with R and S the halves
 * of the signature and A the key, h = SHA-512(R, A, message), and R must be S*B - h*A. As in libsodium, S must be reduced,
 * R and A no points of small order, and R is compared as bytes; A must also be a point of the main subgroup, which every
 * key that was made of a secret is. */
#include "sign/sign.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define PIECE (64u << 10)

typedef void add_piece(void *state, const uint8_t *data, size_t size);

static tn_status each_piece(const char *path, add_piece *add, void *state) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return tn_fail(errno == ENOENT ? TN_E_NOT_FOUND : TN_E_IO, "cannot open '%s': %s", path, strerror(errno));
    uint8_t *piece = tn_alloc(NULL, PIECE);
    tn_status status = piece ? TN_OK : TN_E_MEMORY;
    for (ssize_t n = 1; status == TN_OK && n != 0;) {
        n = read(file, piece, PIECE);
        if (n > 0) add(state, piece, (size_t)n);
        if (n < 0 && errno != EINTR) status = tn_fail(TN_E_IO, "cannot read '%s': %s", path, strerror(errno));
    }
    tn_free(NULL, piece, PIECE);
    close(file);
    return status;
}

static void add_blake2b(void *state, const uint8_t *data, size_t size) {
    crypto_generichash_update(state, data, size);
}
static void add_sha512(void *state, const uint8_t *data, size_t size) {
    crypto_hash_sha512_update(state, data, size);
}

tn_status tn_message_hash(const char *file, uint8_t hash[64]) {
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, 64);
    TN_TRY(each_piece(file, add_blake2b, &state));
    crypto_generichash_final(&state, hash, 64);
    return TN_OK;
}

static bool is_reduced(const uint8_t s[32]) {
    uint8_t wide[64] = {0}, reduced[32];
    memcpy(wide, s, 32);
    crypto_core_ed25519_scalar_reduce(reduced, wide);
    return memcmp(s, reduced, 32) == 0;
}

tn_status tn_message_verify(const char *file, const uint8_t signature[64], const uint8_t key[32]) {
    crypto_hash_sha512_state state;
    uint8_t wide[64], h[32], sb[32], ha[32], r[32];
    crypto_hash_sha512_init(&state);
    crypto_hash_sha512_update(&state, signature, 32);
    crypto_hash_sha512_update(&state, key, 32);
    TN_TRY(each_piece(file, add_sha512, &state));
    crypto_hash_sha512_final(&state, wide);
    crypto_core_ed25519_scalar_reduce(h, wide);
    /* A product fails if its point is not of the main subgroup, or the result is the neutral element. */
    bool good = is_reduced(signature + 32) && crypto_core_ed25519_is_valid_point(signature) &&
                crypto_scalarmult_ed25519_base_noclamp(sb, signature + 32) == 0 &&
                crypto_scalarmult_ed25519_noclamp(ha, h, key) == 0 && crypto_core_ed25519_sub(r, sb, ha) == 0;
    return good && sodium_memcmp(r, signature, 32) == 0 ? TN_OK : TN_E_CHECK;
}
