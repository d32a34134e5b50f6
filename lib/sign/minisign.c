/* The lines of minisign's files (jedisct1.github.io/minisign, "Signature format" and "Public key format"; the secret key's
 * as minisign 0.11 writes it). Bytes from outside: each length is fixed, base64 is strict, and what is not a line of the
 * form is refused. */
#include "sign/sign.h"
#include <stdio.h>

#define UNTRUSTED "untrusted comment: "
#define TRUSTED "trusted comment: "
#define BASE64 sodium_base64_VARIANT_ORIGINAL

enum { PUBLIC_BYTES = 42, SECRET_BYTES = 158, SIGNATURE_BYTES = 74, BODY_BYTES = 104 };

typedef struct line {
    const char *text;
    size_t length;
} line;

/* The next line of a text, without its end; both ends of lines that minisign takes. */
static line next_line(const char **at, const char *end) {
    const char *newline = memchr(*at, '\n', (size_t)(end - *at));
    line l = {*at, (size_t)((newline ? newline : end) - *at)};
    *at = newline ? newline + 1 : end;
    if (l.length && l.text[l.length - 1] == '\r') l.length--;
    return l;
}

static bool begins_with(line l, const char *start) {
    return l.length >= strlen(start) && memcmp(l.text, start, strlen(start)) == 0;
}

static bool decode(line l, uint8_t *to, size_t size) {
    size_t length;
    return l.length == sodium_base64_ENCODED_LEN(size, BASE64) - 1 &&
           sodium_base642bin(to, size, l.text, l.length, NULL, &length, NULL, BASE64) == 0 && length == size;
}

bool tn_comment_is_fit(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (((unsigned char)text[i] < 32 && text[i] != '\t') || text[i] == 127) return false;
    return length < TN_SIGN_COMMENT;
}

static uint64_t load_u64(const uint8_t *from) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value |= (uint64_t)from[i] << 8 * i;
    return value;
}
void tn_key_id_text(const uint8_t id[8], char text[17]) {
    snprintf(text, 17, "%llX", (unsigned long long)load_u64(id));
}
static void store_u64(uint8_t *to, uint64_t value) {
    for (int i = 0; i < 8; i++) to[i] = (uint8_t)(value >> 8 * i);
}

/* The two lines that all three kinds begin with. */
static tn_status two_lines(const char *what, const char *kind, const char **at, const char *end, uint8_t *to,
                           size_t size) {
    if (!begins_with(next_line(at, end), UNTRUSTED))
        return tn_fail(TN_E_FORMAT, "'%s' is no %s of minisign: its first line does not begin with '" UNTRUSTED "'",
                       what, kind);
    if (!decode(next_line(at, end), to, size))
        return tn_fail(TN_E_FORMAT, "'%s' is no %s of minisign: its second line is not %zu bytes as base64", what, kind,
                       size);
    return TN_OK;
}

static bool take_public(const uint8_t bytes[PUBLIC_BYTES], tn_public_key *out) {
    memcpy(out->id, bytes + 2, sizeof out->id);
    memcpy(out->key, bytes + 10, sizeof out->key);
    return memcmp(bytes, "Ed", 2) == 0;
}

bool tn_public_key_line(const char *text, tn_public_key *out) {
    uint8_t bytes[PUBLIC_BYTES];
    return decode((line){text, strlen(text)}, bytes, sizeof bytes) && take_public(bytes, out);
}

tn_status tn_public_key_parse(const char *what, const char *text, size_t size, tn_public_key *out) {
    uint8_t bytes[PUBLIC_BYTES];
    TN_TRY(two_lines(what, "public key", &text, text + size, bytes, sizeof bytes));
    if (take_public(bytes, out)) return TN_OK;
    return tn_fail(TN_E_UNSUPPORTED, "'%s' is a public key of another algorithm than Ed25519", what);
}

tn_status tn_secret_key_parse(const char *what, const char *text, size_t size, tn_secret_key_file *out) {
    uint8_t bytes[SECRET_BYTES];
    tn_status status = two_lines(what, "secret key", &text, text + size, bytes, sizeof bytes);
    static const uint8_t none[2];
    if (status == TN_OK) {
        out->encrypted = memcmp(bytes + 2, "Sc", 2) == 0;
        if (memcmp(bytes, "Ed", 2) != 0 || memcmp(bytes + 4, "B2", 2) != 0 ||
            (!out->encrypted && memcmp(bytes + 2, none, 2) != 0))
            status = tn_fail(TN_E_UNSUPPORTED, "'%s' is a secret key of another kind than Ed25519, scrypt and BLAKE2b",
                             what);
        memcpy(out->salt, bytes + 6, sizeof out->salt);
        out->operations = load_u64(bytes + 38);
        out->memory = load_u64(bytes + 46);
        memcpy(&out->body, bytes + 54, BODY_BYTES);
    }
    sodium_memzero(bytes, sizeof bytes);
    return status;
}

tn_status tn_signature_parse(const char *what, const char *text, size_t size, tn_signature_file *out) {
    const char *at = text, *end = text + size;
    uint8_t bytes[SIGNATURE_BYTES];
    TN_TRY(two_lines(what, "signature", &at, end, bytes, sizeof bytes));
    out->prehashed = memcmp(bytes, "ED", 2) == 0;
    if (!out->prehashed && memcmp(bytes, "Ed", 2) != 0)
        return tn_fail(TN_E_UNSUPPORTED, "'%s' is a signature of another algorithm than Ed25519", what);
    memcpy(out->id, bytes + 2, sizeof out->id);
    memcpy(out->signature, bytes + 10, sizeof out->signature);
    line comment = next_line(&at, end);
    if (!begins_with(comment, TRUSTED))
        return tn_fail(TN_E_FORMAT,
                       "'%s' is no signature of minisign: its third line does not begin with '" TRUSTED "'", what);
    comment.text += strlen(TRUSTED);
    comment.length -= strlen(TRUSTED);
    if (!tn_comment_is_fit(comment.text, comment.length))
        return tn_fail(TN_E_FORMAT, "'%s': its trusted comment is longer than %d bytes, or has control characters",
                       what, TN_SIGN_COMMENT - 1);
    memcpy(out->comment, comment.text, comment.length);
    out->comment[comment.length] = 0;
    if (!decode(next_line(&at, end), out->global, sizeof out->global))
        return tn_fail(TN_E_FORMAT, "'%s' is no signature of minisign: its fourth line is not 64 bytes as base64",
                       what);
    return TN_OK;
}

/* A comment and a line of base64. */
static char *write_lines(const char *comment, const uint8_t *bytes, size_t size) {
    char *text = tn_alloc_zero(NULL, TN_SIGN_FILE_BYTES);
    if (!text) return NULL;
    size_t n = (size_t)snprintf(text, TN_SIGN_FILE_BYTES, UNTRUSTED "%s\n", comment);
    sodium_bin2base64(text + n, TN_SIGN_FILE_BYTES - n - 1, bytes, size, BASE64);
    strcat(text, "\n");
    return text;
}

char *tn_public_key_text(const tn_public_key *key) {
    uint8_t bytes[PUBLIC_BYTES] = "Ed";
    char comment[64] = "minisign public key ";
    memcpy(bytes + 2, key->id, sizeof key->id);
    memcpy(bytes + 10, key->key, sizeof key->key);
    tn_key_id_text(key->id, comment + strlen(comment));
    return write_lines(comment, bytes, sizeof bytes);
}

char *tn_secret_key_text(const tn_secret_key_file *key) {
    uint8_t bytes[SECRET_BYTES] = "Ed";
    memcpy(bytes + 4, "B2", 2);
    if (key->encrypted) {
        memcpy(bytes + 2, "Sc", 2);
        memcpy(bytes + 6, key->salt, sizeof key->salt);
        store_u64(bytes + 38, key->operations);
        store_u64(bytes + 46, key->memory);
    }
    memcpy(bytes + 54, &key->body, BODY_BYTES);
    char *text = write_lines(key->encrypted ? "minisign encrypted secret key" : "minisign secret key, not encrypted",
                             bytes, sizeof bytes);
    sodium_memzero(bytes, sizeof bytes);
    return text;
}

char *tn_signature_text(const tn_signature_file *s) {
    uint8_t bytes[SIGNATURE_BYTES];
    memcpy(bytes, s->prehashed ? "ED" : "Ed", 2);
    memcpy(bytes + 2, s->id, sizeof s->id);
    memcpy(bytes + 10, s->signature, sizeof s->signature);
    char *text = write_lines("signature by tenon, to be verified with minisign", bytes, sizeof bytes);
    if (!text) return NULL;
    size_t n = strlen(text);
    n += (size_t)snprintf(text + n, TN_SIGN_FILE_BYTES - n, TRUSTED "%s\n", s->comment);
    sodium_bin2base64(text + n, TN_SIGN_FILE_BYTES - n - 1, s->global, sizeof s->global, BASE64);
    strcat(text, "\n");
    return text;
}
