/* A file's signature as the OpenSSF Model Signing specification has it (v1.0, with PyPI's model-signing as the other
 * program): a Sigstore bundle 0.3 around a DSSE envelope around an in-toto statement around the SHA-256 of the file.
 *
 * DSSE signs not the statement itself but "DSSEv1 <length> <type> <length> <statement>" (secure-systems-lab/dsse,
 * protocol.md), here with ECDSA P-256 and SHA-256. The bundle names the public key by the SHA-256 of its PEM text; it does
 * not hold it, so that nobody trusts a key that comes along with what it signs. */
#include <tenon/sign.h>
#include "base/base.h"

#if TN_WITH_OPENSSL
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "base/output.h"
#include "base/unicode.h"
#include "sign/crypto.h"
#include "sign/file.h"

#define PAYLOAD_TYPE "application/vnd.in-toto+json"

enum { HEX = 65, NAME = 6 * 256, STATEMENT = 4096, SIGNATURE = 128 };

/* OpenSSL, and what a bundle takes of it. */
typedef struct work {
    const tn_crypto *c;
    EVP_PKEY *key;
    EVP_MD_CTX *hash;
    BIO *bio;
} work;

static void work_end(work *w) {
    w->c->EVP_PKEY_free(w->key);
    w->c->EVP_MD_CTX_free(w->hash);
    w->c->BIO_free(w->bio);
}

static void to_hex(const uint8_t hash[32], char hex[HEX]) {
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", hash[i]);
}

static tn_status sha256(const work *w, const void *data, size_t size, char hex[HEX]) {
    uint8_t hash[32];
    if (w->c->EVP_Digest(data, size, hash, NULL, w->c->EVP_sha256(), NULL) != 1)
        return tn_fail(TN_E_INTERNAL, "no SHA-256");
    to_hex(hash, hex);
    return TN_OK;
}

/* Both the file's digest and the digest of that, which is the root of a model of one file. */
static tn_status hash_file(work *w, const char *path, char hex[HEX], char root[HEX]) {
    uint8_t piece[16384], hash[32];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return tn_fail(errno == ENOENT ? TN_E_NOT_FOUND : TN_E_IO, "cannot open '%s': %s", path, strerror(errno));
    w->hash = w->c->EVP_MD_CTX_new();
    tn_status status = w->hash && w->c->EVP_DigestInit_ex(w->hash, w->c->EVP_sha256(), NULL) == 1 ? TN_OK : TN_E_MEMORY;
    for (ssize_t n = 1; status == TN_OK && n != 0;) {
        n = read(file, piece, sizeof piece);
        if (n > 0 && w->c->EVP_DigestUpdate(w->hash, piece, (size_t)n) != 1)
            status = tn_fail(TN_E_INTERNAL, "no SHA-256");
        if (n < 0 && errno != EINTR) status = tn_fail(TN_E_IO, "cannot read '%s': %s", path, strerror(errno));
    }
    close(file);
    TN_TRY(status);
    if (w->c->EVP_DigestFinal_ex(w->hash, hash, NULL) != 1) return tn_fail(TN_E_INTERNAL, "no SHA-256");
    to_hex(hash, hex);
    return sha256(w, hash, sizeof hash, root);
}

/* Without a password OpenSSL would ask on the terminal. */
static int give_password(char *buffer, int size, int writing, void *password) {
    (void)writing;
    size_t length = password ? strlen(password) : 0;
    if (length > (size_t)size) return -1;
    if (length) memcpy(buffer, password, length);
    return (int)length;
}

static tn_status load_key(work *w, const char *path, const char *password) {
    char text[TN_SIGN_FILE_BYTES], curve[32] = "";
    size_t size;
    TN_TRY(tn_sign_read_file(path, true, text, &size));
    w->bio = w->c->BIO_new_mem_buf(text, (int)size);
    if (w->bio) w->key = w->c->PEM_read_bio_PrivateKey(w->bio, NULL, give_password, (void *)(uintptr_t)password);
    w->c->OPENSSL_cleanse(text, sizeof text);
    w->c->BIO_free(w->bio);
    w->bio = NULL;
    if (!w->key)
        return tn_fail(TN_E_FORMAT, "'%s' is no private key in PEM%s", path,
                       password ? ", or the password is wrong" : ", or it is encrypted; give its password");
    if (!w->c->EVP_PKEY_is_a(w->key, "EC") || w->c->EVP_PKEY_get_group_name(w->key, curve, sizeof curve, NULL) != 1 ||
        strcmp(curve, "prime256v1") != 0)
        return tn_fail(TN_E_UNSUPPORTED,
                       "'%s' is no key on the curve P-256; `openssl ecparam -name prime256v1 -genkey "
                       "-noout` makes one",
                       path);
    return TN_OK;
}

/* The SHA-256 of the public key's PEM text. */
static tn_status key_hint(work *w, char hint[HEX]) {
    char *text;
    w->bio = w->c->BIO_new(w->c->BIO_s_mem());
    if (!w->bio || w->c->PEM_write_bio_PUBKEY(w->bio, w->key) != 1) return tn_fail(TN_E_INTERNAL, "no public key");
    long size = w->c->BIO_ctrl(w->bio, BIO_CTRL_INFO, 0, &text); /* BIO_get_mem_data */
    return sha256(w, text, (size_t)size, hint);
}

/* A file's name as a string of JSON; what is no UTF-8 becomes a question mark. */
static void escape(const char *path, char text[NAME]) {
    const char *slash = strrchr(path, '/'), *at = slash ? slash + 1 : path, *end = at + strlen(at);
    size_t used = 0;
    while (at < end && used + 7 < NAME) {
        uint32_t code;
        size_t n = tn_utf8_decode(at, (size_t)(end - at), &code);
        if (code > TN_UNICODE_LAST)
            text[used++] = '?';
        else if (code < 32 || code == '"' || code == '\\')
            used += (size_t)snprintf(text + used, NAME - used, "\\u%04x", code);
        else
            memcpy(text + used, at, n), used += n;
        at += n;
    }
    text[used] = 0;
}

/* What is signed: the statement with DSSE's head before it. *out_at is where the statement begins. */
static size_t make_statement(const char *path, const char *digest, const char *root, char message[STATEMENT + 64],
                             size_t *out_at) {
    char name[NAME], statement[STATEMENT];
    escape(path, name);
    int size =
        snprintf(statement, sizeof statement,
                 "{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[{\"name\":\"%s\",\"digest\":{"
                 "\"sha256\":\"%s\"}}],\"predicateType\":\"https://model_signing/signature/v1.0\",\"predicate\":{"
                 "\"serialization\":{\"method\":\"files\",\"hash_type\":\"sha256\",\"allow_symlinks\":false},"
                 "\"resources\":[{\"name\":\".\",\"algorithm\":\"sha256\",\"digest\":\"%s\"}]}}",
                 name, root, digest);
    *out_at = (size_t)snprintf(message, 64, "DSSEv1 %zu " PAYLOAD_TYPE " %d ", strlen(PAYLOAD_TYPE), size);
    memcpy(message + *out_at, statement, (size_t)size);
    return *out_at + (size_t)size;
}

static tn_status sign(work *w, const char *message, size_t size, uint8_t signature[SIGNATURE], size_t *out_size) {
    *out_size = SIGNATURE;
    w->c->EVP_MD_CTX_reset(w->hash);
    if (w->c->EVP_DigestSignInit(w->hash, NULL, w->c->EVP_sha256(), NULL, w->key) != 1 ||
        w->c->EVP_DigestSign(w->hash, signature, out_size, (const uint8_t *)message, size) != 1)
        return tn_fail(TN_E_INTERNAL, "OpenSSL does not sign with this key");
    return TN_OK;
}

static tn_status write_bundle(const work *w, const char *path, const char *hint, const char *statement,
                              size_t statement_size, const uint8_t *signature, size_t signature_size) {
    uint8_t payload[STATEMENT * 4 / 3 + 8], sig[SIGNATURE * 4 / 3 + 8];
    tn_output o;
    w->c->EVP_EncodeBlock(payload, (const uint8_t *)statement, (int)statement_size);
    w->c->EVP_EncodeBlock(sig, signature, (int)signature_size);
    const char *const parts[] = {
        "{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\",\"verificationMaterial\":{\"publicKey\":{"
        "\"hint\":\"",
        hint,
        "\"},\"tlogEntries\":[]},\"dsseEnvelope\":{\"payload\":\"",
        (char *)payload,
        "\",\"payloadType\":\"" PAYLOAD_TYPE "\",\"signatures\":[{\"sig\":\"",
        (char *)sig,
        "\",\"keyid\":\"\"}]}}\n"};
    TN_TRY(tn_output_open(&o, path));
    for (size_t i = 0; i < TN_COUNT(parts); i++) tn_output_write(&o, parts[i], strlen(parts[i]));
    return tn_output_commit(&o);
}

tn_status tn_sign_bundle(const char *file, const char *secret_file, const tn_sign_options *options) {
    tn_sign_options o = {0};
    work w = {0};
    char path[4096], digest[HEX], root[HEX], hint[HEX], message[STATEMENT + 64];
    uint8_t signature[SIGNATURE];
    size_t at = 0, size = 0, signature_size;
    if (options) memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    if (o.comment) return tn_fail(TN_E_INVALID, "bundles have no comment");
    if (snprintf(path, sizeof path, "%s%s", o.signature ? o.signature : file, o.signature ? "" : ".sigstore.json") >=
        (int)sizeof path)
        return tn_fail(TN_E_LIMIT, "the path of the signature is longer than 4095 bytes");
    TN_TRY(tn_crypto_load(&w.c));
    tn_status status = load_key(&w, secret_file, o.password);
    if (status == TN_OK) status = key_hint(&w, hint);
    if (status == TN_OK) status = hash_file(&w, file, digest, root);
    if (status == TN_OK) {
        size = make_statement(file, digest, root, message, &at);
        status = sign(&w, message, size, signature, &signature_size);
    }
    if (status == TN_OK) status = write_bundle(&w, path, hint, message + at, size - at, signature, signature_size);
    work_end(&w);
    return status;
}
#else
tn_status tn_sign_bundle(const char *file, const char *secret_file, const tn_sign_options *options) {
    (void)file, (void)secret_file, (void)options;
    return tn_fail(TN_E_UNSUPPORTED, "this library was built without ECDSA; build it with OpenSSL");
}
#endif
