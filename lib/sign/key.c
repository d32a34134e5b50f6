/* Keys: a pair is made, a secret one is written for nobody's eyes but its owner's and opened, with its password if it has
 * one. The password becomes 104 bytes by scrypt (RFC 7914), with which the end of the secret key's file is XORed. */
#include "sign/sign.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define LEAST_MEMORY ((size_t)1 << 20)
#define MOST_MEMORY ((size_t)1 << 30) /* minisign's own, crypto_pwhash_scryptsalsa208sha256_MEMLIMIT_SENSITIVE */
#define MOST_OPERATIONS ((uint64_t)1 << 27)

static tn_status start(void) {
    return sodium_init() < 0 ? tn_fail(TN_E_INTERNAL, "libsodium does not start") : TN_OK;
}

static void checksum(const tn_secret_key_file *key, uint8_t sum[32]) {
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, 32);
    crypto_generichash_update(&state, (const uint8_t *)"Ed", 2);
    crypto_generichash_update(&state, key->body.id, sizeof key->body.id);
    crypto_generichash_update(&state, key->body.key, sizeof key->body.key);
    crypto_generichash_final(&state, sum, 32);
}

/* Encrypts, and decrypts. */
static tn_status xor_body(tn_secret_key_file *key, const char *password) {
    uint8_t stream[sizeof key->body], *body = (uint8_t *)&key->body;
    if (key->memory > MOST_MEMORY || key->operations > MOST_OPERATIONS)
        return tn_fail(TN_E_LIMIT,
                       "its password is to be tried with %llu bytes and %llu operations; at most %zu and %llu "
                       "are expected",
                       (unsigned long long)key->memory, (unsigned long long)key->operations, MOST_MEMORY,
                       (unsigned long long)MOST_OPERATIONS);
    if (crypto_pwhash_scryptsalsa208sha256(stream, sizeof stream, password, strlen(password), key->salt,
                                           key->operations, (size_t)key->memory) != 0)
        return tn_fail(TN_E_MEMORY, "no memory to try the password, which takes %llu bytes",
                       (unsigned long long)key->memory);
    for (size_t i = 0; i < sizeof stream; i++) body[i] ^= stream[i];
    sodium_memzero(stream, sizeof stream);
    return TN_OK;
}

static tn_status open_body(tn_secret_key_file *key, const char *password) {
    uint8_t sum[32], public_key[32];
    if (key->encrypted) {
        if (!password) return tn_fail(TN_E_STATE, "it is encrypted; give its password (tenon sign: --password FILE)");
        TN_TRY(xor_body(key, password));
        checksum(key, sum);
        if (sodium_memcmp(sum, key->body.checksum, sizeof sum) != 0)
            return tn_fail(TN_E_FORMAT, "the password is wrong, or the file damaged");
    }
    /* The second half of an Ed25519 secret key is the public one, made of the first. */
    uint8_t secret[64];
    crypto_sign_seed_keypair(public_key, secret, key->body.key);
    bool same = sodium_memcmp(secret, key->body.key, sizeof secret) == 0;
    sodium_memzero(secret, sizeof secret);
    return same ? TN_OK : tn_fail(TN_E_FORMAT, "its two halves do not belong together; the file is damaged");
}

tn_status tn_sign_secret_load(const char *path, const char *password, tn_sign_secret *out) {
    char *text = tn_alloc(NULL, TN_SIGN_FILE_BYTES);
    tn_secret_key_file key;
    size_t size = 0;
    if (!text) return TN_E_MEMORY;
    tn_status status = start();
    if (status == TN_OK) status = tn_sign_read_file(path, true, text, &size);
    if (status == TN_OK) status = tn_secret_key_parse(path, text, size, &key);
    if (status == TN_OK) {
        status = open_body(&key, password);
        if (status != TN_OK) tn_fail_context(status, "the key '%s'", path);
        memcpy(out->id, key.body.id, sizeof out->id);
        memcpy(out->key, key.body.key, sizeof out->key);
        if (status != TN_OK) sodium_memzero(out, sizeof *out);
    }
    sodium_memzero(&key, sizeof key);
    sodium_memzero(text, TN_SIGN_FILE_BYTES);
    tn_free(NULL, text, TN_SIGN_FILE_BYTES);
    return status;
}

tn_status tn_sign_public_load(const char *path, tn_public_key *out) {
    char *text;
    size_t size;
    TN_TRY(start());
    if (tn_public_key_line(path, out)) return TN_OK;
    text = tn_alloc(NULL, TN_SIGN_FILE_BYTES);
    if (!text) return TN_E_MEMORY;
    tn_status status = tn_sign_read_file(path, false, text, &size);
    if (status == TN_OK) status = tn_public_key_parse(path, text, size, out);
    tn_free(NULL, text, TN_SIGN_FILE_BYTES);
    return status;
}

static tn_status write_new(const char *path, mode_t mode, const char *text) {
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (file < 0)
        return errno == EEXIST ? tn_fail(TN_E_STATE, "'%s' is there already; no key is written over another", path)
                               : tn_fail(TN_E_IO, "cannot write '%s': %s", path, strerror(errno));
    ssize_t n = write(file, text, strlen(text));
    tn_status status = TN_OK;
    if (n < 0 || (size_t)n != strlen(text) || fsync(file) != 0) {
        status = tn_fail(TN_E_IO, "cannot write '%s': %s", path, n < 0 ? strerror(errno) : "the disk is full");
        unlink(path);
    }
    close(file);
    return status;
}

static tn_status make(tn_secret_key_file *key, tn_public_key *pair, const tn_sign_key_options *o) {
    size_t memory = o->memory ? o->memory : MOST_MEMORY;
    if (memory < LEAST_MEMORY || memory > MOST_MEMORY)
        return tn_fail(TN_E_INVALID, "a password is tried with 1 MiB to 1 GiB, not %zu bytes", memory);
    *key = (tn_secret_key_file){.encrypted = o->password};
    crypto_sign_keypair(pair->key, key->body.key);
    randombytes_buf(pair->id, sizeof pair->id);
    memcpy(key->body.id, pair->id, sizeof pair->id);
    if (!key->encrypted) return TN_OK;
    randombytes_buf(key->salt, sizeof key->salt);
    key->memory = memory;
    key->operations = memory / 32; /* libsodium's own proportion */
    checksum(key, key->body.checksum);
    return xor_body(key, o->password);
}

tn_status tn_sign_make_key(const char *secret_file, const char *public_file, const tn_sign_key_options *options) {
    tn_sign_key_options o = {0};
    tn_secret_key_file key;
    tn_public_key pair;
    if (options) memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    TN_TRY(start());
    tn_status status = make(&key, &pair, &o);
    char *secret = status == TN_OK ? tn_secret_key_text(&key) : NULL;
    char *public_key = secret ? tn_public_key_text(&pair) : NULL;
    if (status == TN_OK && !public_key) status = TN_E_MEMORY;
    if (status == TN_OK) status = write_new(secret_file, 0600, secret);
    if (status == TN_OK) {
        status = write_new(public_file, 0666, public_key);
        if (status != TN_OK) unlink(secret_file);
    }
    if (secret) sodium_memzero(secret, TN_SIGN_FILE_BYTES);
    sodium_memzero(&key, sizeof key);
    tn_free(NULL, secret, TN_SIGN_FILE_BYTES);
    tn_free(NULL, public_key, TN_SIGN_FILE_BYTES);
    return status;
}
