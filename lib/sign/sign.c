/* Signing and verifying a file. The order of verification is minisign's: the key's id, the file's signature, then the
 * trusted comment's; nothing of the comment is given out before that. */
#include "sign/sign.h"
#include <stdio.h>
#include <time.h>
#include "base/output.h"

static tn_status signature_path(const char *file, const char *given, char path[4096]) {
    int n = given ? snprintf(path, 4096, "%s", given) : snprintf(path, 4096, "%s.minisig", file);
    return n < 4096 ? TN_OK : tn_fail(TN_E_LIMIT, "the path of the signature is longer than 4095 bytes");
}

/* What the second signature is of. */
static size_t global_message(const tn_signature_file *s, uint8_t message[64 + TN_SIGN_COMMENT]) {
    size_t length = strlen(s->comment);
    memcpy(message, s->signature, 64);
    memcpy(message + 64, s->comment, length);
    return 64 + length;
}

static tn_status set_comment(tn_signature_file *s, const char *file, const char *given) {
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
    if (given && !tn_comment_is_fit(given, strlen(given)))
        return tn_fail(TN_E_INVALID, "a trusted comment is one line of less than %d bytes", TN_SIGN_COMMENT);
    if (given)
        snprintf(s->comment, sizeof s->comment, "%s", given);
    else
        snprintf(s->comment, sizeof s->comment, "timestamp:%lld\tfile:%s\thashed", (long long)time(NULL),
                 tn_comment_is_fit(name, strlen(name)) ? name : "");
    return TN_OK;
}

static tn_status sign(const char *file, const tn_sign_secret *key, tn_signature_file *s) {
    uint8_t hash[64], message[64 + TN_SIGN_COMMENT];
    TN_TRY(tn_message_hash(file, hash));
    s->prehashed = true;
    memcpy(s->id, key->id, sizeof s->id);
    crypto_sign_detached(s->signature, NULL, hash, sizeof hash, key->key);
    crypto_sign_detached(s->global, NULL, message, global_message(s, message), key->key);
    return TN_OK;
}

tn_status tn_sign_file(const char *file, const char *secret_file, const tn_sign_options *options) {
    tn_sign_options o = {0};
    tn_sign_secret key;
    tn_signature_file s = {0};
    tn_output output;
    char path[4096];
    if (options) memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    TN_TRY(signature_path(file, o.signature, path));
    TN_TRY(set_comment(&s, file, o.comment));
    TN_TRY(tn_sign_secret_load(secret_file, o.password, &key));
    tn_status status = sign(file, &key, &s);
    sodium_memzero(&key, sizeof key);
    TN_TRY(status);
    char *text = tn_signature_text(&s);
    if (!text) return TN_E_MEMORY;
    status = tn_output_open(&output, path);
    if (status == TN_OK) {
        tn_output_write(&output, text, strlen(text));
        status = tn_output_commit(&output);
    }
    tn_free(NULL, text, TN_SIGN_FILE_BYTES);
    return status;
}

static tn_status load_signature(const char *path, tn_signature_file *out) {
    char *text = tn_alloc(NULL, TN_SIGN_FILE_BYTES);
    size_t size;
    if (!text) return TN_E_MEMORY;
    tn_status status = tn_sign_read_file(path, false, text, &size);
    if (status == TN_OK) status = tn_signature_parse(path, text, size, out);
    tn_free(NULL, text, TN_SIGN_FILE_BYTES);
    return status;
}

static tn_status verify(const char *file, const tn_public_key *key, const tn_signature_file *s) {
    uint8_t hash[64], message[64 + TN_SIGN_COMMENT];
    char wanted[17], found[17];
    tn_key_id_text(key->id, wanted);
    tn_key_id_text(s->id, found);
    if (memcmp(key->id, s->id, sizeof s->id) != 0)
        return tn_fail(TN_E_CHECK, "'%s' is signed with the key %s, not with %s", file, found, wanted);
    tn_status status;
    if (s->prehashed) {
        TN_TRY(tn_message_hash(file, hash));
        status = crypto_sign_verify_detached(s->signature, hash, sizeof hash, key->key) == 0 ? TN_OK : TN_E_CHECK;
    } else {
        status = tn_message_verify(file, s->signature, key->key);
    }
    if (status == TN_E_CHECK)
        return tn_fail(TN_E_CHECK, "'%s' is not what the key %s signed: the file or its signature was changed", file,
                       wanted);
    TN_TRY(status);
    if (crypto_sign_verify_detached(s->global, message, global_message(s, message), key->key) != 0)
        return tn_fail(TN_E_CHECK, "'%s' is what the key %s signed, but the signature's trusted comment was changed",
                       file, wanted);
    return TN_OK;
}

tn_status tn_sign_verify(const char *file, const char *public_key, const char *signature, tn_signature *out) {
    tn_public_key key;
    tn_signature_file s;
    char path[4096];
    TN_TRY(signature_path(file, signature, path));
    TN_TRY(tn_sign_public_load(public_key, &key));
    TN_TRY(load_signature(path, &s));
    TN_TRY(verify(file, &key, &s));
    if (!out) return TN_OK;
    tn_signature answer = {.struct_size = out->struct_size, .prehashed = s.prehashed};
    tn_key_id_text(s.id, answer.key_id);
    memcpy(answer.comment, s.comment, sizeof answer.comment);
    memcpy(out, &answer, TN_MIN(out->struct_size, sizeof answer));
    return TN_OK;
}
