/* What servers say in header fields and in small JSON: read strictly, for anybody may have written it. */
#include "registry/registry.h"
#include <stdio.h>

/* ---- WWW-Authenticate: RFC 9110, 11.6.1, with the parameters of RFC 6750 and of the token protocol of registries ---- */

#define TOKEN_LETTERS "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static void skip_space(const char **at) {
    *at += strspn(*at, " \t");
}

static bool take_token(const char **at, char *out, size_t size) {
    size_t n = strspn(*at, TOKEN_LETTERS);
    if (n == 0 || n >= size) return false;
    for (size_t i = 0; i < n; i++) { /* names are the same in either case */
        char c = (*at)[i];
        out[i] = (char)(c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c);
    }
    out[n] = 0;
    *at += n;
    return true;
}

/* A quoted string, or a token as it is. Too long a one, or one with bytes that are not printable, is none. */
static bool take_value(const char **at, char *out, size_t size) {
    size_t used = 0;
    bool quoted = **at == '"';
    *at += quoted;
    for (;; ++*at) {
        char c = **at;
        if (quoted ? c == '"' : !c || !strchr(TOKEN_LETTERS, c)) break;
        if (quoted && c == '\\') c = *++*at;
        if (c < 0x20 || c > 0x7e || used + 1 >= size) return false;
        out[used++] = c;
    }
    *at += quoted;
    out[used] = 0;
    return quoted || used > 0;
}

/* One parameter, kept if it is of a bearer. A name twice is refused: who reads which? */
static bool take_parameter(const char **at, const char *name, bool bearer, tn_challenge *out) {
    char other[1024];
    const struct {
        const char *name;
        char *text;
        size_t size;
    } kept[] = {{"realm", out->realm, sizeof out->realm},
                {"service", out->service, sizeof out->service},
                {"scope", out->scope, sizeof out->scope}};
    for (size_t i = 0; bearer && i < TN_COUNT(kept); i++)
        if (strcmp(name, kept[i].name) == 0) return !kept[i].text[0] && take_value(at, kept[i].text, kept[i].size);
    return take_value(at, other, sizeof other);
}

/* NAME = VALUE, or a scheme's NAME. */
bool tn_challenge_parse(const char *text, tn_challenge *out) {
    const char *at = text;
    char name[64];
    bool bearer = false, scheme = false;
    *out = (tn_challenge){0};
    for (;;) {
        at += strspn(at, " \t,");
        if (!*at) break;
        if (!take_token(&at, name, sizeof name)) return false;
        const char *behind = at;
        skip_space(&at);
        if (scheme && *at == '=') {
            at++;
            skip_space(&at);
            if (!take_parameter(&at, name, bearer, out)) return false;
        } else {
            if (*behind && *behind != ' ' && *behind != ',') return false;
            at = behind;
            scheme = true;
            bearer = strcmp(name, "bearer") == 0;
            if (bearer && out->bearer) return false;
            out->bearer |= bearer;
            out->basic |= strcmp(name, "basic") == 0;
            if (*at == ' ') continue;
        }
        skip_space(&at);
        if (*at && *at != ',') return false;
    }
    if (out->bearer && !out->realm[0]) return false;
    return out->bearer || out->basic;
}

/* ---- numbers ---- */

static bool take_number(const char **at, uint64_t *out) {
    uint64_t value = 0;
    int digits = 0;
    for (; **at >= '0' && **at <= '9'; ++*at, digits++)
        if (digits >= 18)
            return false;
        else
            value = value * 10 + (uint64_t)(**at - '0');
    *out = value;
    return digits > 0;
}

static bool take_text(const char **at, const char *text) {
    if (strncmp(*at, text, strlen(text)) != 0) return false;
    *at += strlen(text);
    return true;
}

bool tn_content_range_parse(const char *text, uint64_t out[3]) {
    return take_text(&text, "bytes ") && take_number(&text, &out[0]) && take_text(&text, "-") &&
           take_number(&text, &out[1]) && take_text(&text, "/") && take_number(&text, &out[2]) && !*text &&
           out[0] <= out[1] && out[1] < out[2];
}

/* Of nothing, and of one byte, registries say the same, 0-0: that is taken for nothing. */
bool tn_upload_range_parse(const char *text, uint64_t *out_size) {
    uint64_t first, last;
    take_text(&text, "bytes=");
    if (!take_number(&text, &first) || !take_text(&text, "-") || !take_number(&text, &last) || *text || first)
        return false;
    *out_size = last ? last + 1 : 0;
    return true;
}

/* ---- JSON ---- */

/* A token goes into a header field of ours: no other bytes than b64token's (RFC 6750, 2.1). */
tn_status tn_token_read(const char *text, size_t size, char **out_token) {
    static const char *const names[] = {"token", "access_token"};
    json_t *json;
    *out_token = NULL;
    TN_TRY(tn_json_parse("the token server's answer", text, size, &json));
    tn_status status = tn_fail(TN_E_FORMAT, "the token server's answer has no token");
    for (size_t i = 0; i < TN_COUNT(names) && status != TN_OK; i++) {
        const char *token = json_string_value(json_object_get(json, names[i]));
        if (!token || !*token) continue;
        size_t length = json_string_length(json_object_get(json, names[i]));
        if (strspn(token, "-._~+/=0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != length) {
            status = tn_fail(TN_E_FORMAT, "the token server's token has bytes that no token has");
            break;
        }
        *out_token = tn_alloc(NULL, length + 1);
        status = *out_token ? TN_OK : TN_E_MEMORY;
        if (*out_token) memcpy(*out_token, token, length + 1);
        if (!*out_token) break;
    }
    json_decref(json);
    return status;
}

void tn_error_read(const char *text, size_t size, char out[256]) {
    out[0] = 0;
    json_t *json = json_loadb(text, size, 0, NULL);
    const json_t *first = json_array_get(json_object_get(json, "errors"), 0);
    const char *code = json_string_value(json_object_get(first, "code"));
    const char *message = json_string_value(json_object_get(first, "message"));
    if (code || message)
        snprintf(out, 256, "%s%s%s", code ? code : "", code && message ? ": " : "", message ? message : "");
    for (char *c = out; *c; c++)
        if (*c < 0x20 || *c > 0x7e) *c = '?';
    json_decref(json);
}
