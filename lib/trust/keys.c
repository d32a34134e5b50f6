/* Key files: a line of JSON each, for nobody's eyes but their owner's. */
#include "trust/trust.h"
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_BYTES 4096
#define MOST_KEYS 256

void tn_signers_free(tn_signers *k) {
    if (k->all) {
        sodium_memzero(k->all, MOST_KEYS * sizeof *k->all);
        tn_free(NULL, k->all, MOST_KEYS * sizeof *k->all);
    }
    *k = (tn_signers){0};
}

static tn_status set_key(tn_signer *key, const unsigned char seed[32]) {
    unsigned char public_key[32];
    if (crypto_sign_seed_keypair(public_key, key->secret, seed) != 0) return tn_fail(TN_E_INTERNAL, "no key is made");
    sodium_bin2hex(key->public_key, sizeof key->public_key, public_key, sizeof public_key);
    json_t *json =
        json_pack("{s:s,s:s,s:{s:s}}", "keytype", "ed25519", "scheme", "ed25519", "keyval", "public", key->public_key);
    if (!json) return tn_fail(TN_E_MEMORY, "no memory for a key");
    tn_status status = tn_key_id(json, key->id);
    json_decref(json);
    return status;
}

static tn_status take_key(const char *text, size_t size, tn_signer *key) {
    json_t *json;
    const char *hex;
    unsigned char seed[32];
    TN_TRY(tn_json_parse("it", text, size, &json));
    tn_status status = tn_json_text(json, "it", "secret", &hex);
    if (status == TN_OK && (strlen(hex) != 64 || sodium_hex2bin(seed, 32, hex, 64, NULL, NULL, NULL) != 0))
        status = tn_fail(TN_E_FORMAT, "its secret is not 64 hexadecimal digits");
    if (status == TN_OK) status = set_key(key, seed);
    sodium_memzero(seed, sizeof seed);
    if (hex) sodium_memzero((char *)(uintptr_t)hex, strlen(hex));
    json_decref(json);
    return status;
}

static tn_status load_key(const tn_store *folder, const char *name, void *context) {
    tn_signers *k = context;
    struct stat info;
    char *text;
    size_t length = strlen(name), size;
    if (length < 5 || strcmp(name + length - 4, ".key") != 0) return TN_OK;
    if (k->count == MOST_KEYS) return tn_fail(TN_E_LIMIT, "there are more than %d keys", MOST_KEYS);
    if (fstatat(folder->folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && (info.st_mode & 077))
        return tn_fail(TN_E_STATE, "the key '%s/%s' may be read by others than its owner; chmod 600 it", folder->path,
                       name);
    TN_TRY(tn_store_read(folder, name, KEY_BYTES, &text, &size));
    tn_status status = take_key(text, size, &k->all[k->count]);
    sodium_memzero(text, size);
    tn_store_free_text(text, size);
    k->count += status == TN_OK;
    return status == TN_OK ? TN_OK : tn_fail_context(status, "the key '%s/%s'", folder->path, name);
}

/* The next of the folders; false after the last. */
static bool next_folder(const char **at, char folder[4096]) {
    while (**at == ':') ++*at;
    size_t n = strcspn(*at, ":");
    snprintf(folder, 4096, "%.*s", (int)TN_MIN(n, (size_t)4095), *at);
    *at += n;
    return n > 0;
}

static tn_status start(tn_signers *k) {
    *k = (tn_signers){0};
    if (sodium_init() < 0) return tn_fail(TN_E_INTERNAL, "libsodium does not start");
    k->all = tn_alloc_zero(NULL, MOST_KEYS * sizeof *k->all);
    return k->all ? TN_OK : TN_E_MEMORY;
}

tn_status tn_signers_load(const char *folders, tn_signers *out) {
    char path[4096];
    TN_TRY(start(out));
    tn_status status = TN_OK;
    while (status == TN_OK && next_folder(&folders, path)) {
        tn_store *folder;
        status = tn_store_open_folder(path, &folder);
        if (status != TN_OK) break;
        status = tn_store_each_file(folder, ".", load_key, out);
        tn_store_close(folder);
    }
    if (status != TN_OK) tn_signers_free(out);
    return status;
}

static tn_status write_key(const tn_store *folder, tn_role role, const tn_signer *key, const unsigned char seed[32]) {
    char name[64], text[512], hex[65];
    snprintf(name, sizeof name, "%s-%.12s.key", tn_role_names[role], key->id);
    sodium_bin2hex(hex, sizeof hex, seed, 32);
    int n =
        snprintf(text, sizeof text,
                 "{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"role\":\"%s\",\"keyid\":\"%s\",\"public\":\"%s\","
                 "\"secret\":\"%s\"}\n",
                 tn_role_names[role], key->id, key->public_key, hex);
    int file = openat(folder->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    tn_status status = TN_OK;
    if (file < 0 || write(file, text, (size_t)n) != n || fsync(file) != 0)
        status = tn_store_io_error(folder, "write", name);
    if (file >= 0) close(file);
    sodium_memzero(text, sizeof text);
    sodium_memzero(hex, sizeof hex);
    return status == TN_OK ? tn_store_flush_folder(folder, ".") : status;
}

tn_status tn_signers_make(tn_signers *k, const char *folders, tn_role role, const tn_signer **out_key) {
    char path[4096];
    unsigned char seed[32];
    tn_store *folder;
    if (!k->all) TN_TRY(start(k));
    if (k->count == MOST_KEYS) return tn_fail(TN_E_LIMIT, "there are more than %d keys", MOST_KEYS);
    if (!next_folder(&folders, path)) return tn_fail(TN_E_INVALID, "keys want a folder");
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return tn_fail(TN_E_IO, "cannot make the folder '%s': %s", path, strerror(errno));
    TN_TRY(tn_store_open_folder(path, &folder));
    tn_signer *key = &k->all[k->count];
    randombytes_buf(seed, sizeof seed);
    tn_status status = set_key(key, seed);
    if (status == TN_OK) status = write_key(folder, role, key, seed);
    sodium_memzero(seed, sizeof seed);
    tn_store_close(folder);
    k->count += status == TN_OK;
    *out_key = key;
    return status;
}
