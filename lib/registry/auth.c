/* Credentials: Basic (RFC 7617), or a token of the server that the challenge names (distribution's docs/spec/auth/token.md).
 * They stay in memory that is wiped. */
#include "registry/http.h"
#include <sodium.h>
#include <stdio.h>

enum { TOKEN_BYTES = 65536 };

static void free_secret(char *text) {
    if (!text) return;
    sodium_memzero(text, strlen(text));
    tn_free(NULL, text, strlen(text) + 1);
}

void tn_http_forget(tn_http *h) {
    free_secret(h->authorization);
    h->authorization = NULL;
}

static tn_status make_line(const char *scheme, const char *value, char **out_line) {
    size_t size = strlen("Authorization: ") + strlen(scheme) + strlen(value) + 2;
    *out_line = tn_alloc(NULL, size);
    if (!*out_line) return TN_E_MEMORY;
    snprintf(*out_line, size, "Authorization: %s %s", scheme, value);
    return TN_OK;
}

static tn_status make_basic(const tn_http *h, char **out_line) {
    char text[1024];
    sodium_bin2base64(text, sizeof text, (const unsigned char *)h->user, strlen(h->user),
                      sodium_base64_VARIANT_ORIGINAL);
    tn_status status = make_line("Basic", text, out_line);
    sodium_memzero(text, sizeof text);
    return status;
}

static tn_status fetch_token(tn_http *h, const char *url, tn_exchange *outer, char **out_token) {
    char shown[256], said[256], *basic = NULL;
    tn_exchange e = {.method = "GET", .accept = "application/json", .limit = TOKEN_BYTES};
    if (h->user) TN_TRY(make_basic(h, &basic));
    tn_status status = tn_http_exchange(h, url, basic, &e);
    free_secret(basic);
    if (status == TN_OK && e.code != 200) {
        tn_url_show(url, shown);
        tn_error_read(e.data ? e.data : "", e.size, said);
        e.transient = e.code == 429 || e.code >= 500;
        status = tn_fail(TN_E_IO, "the token server %s answers %d%s%s", shown, e.code, said[0] ? ": " : "", said);
    }
    if (status == TN_OK) status = tn_token_read(e.data ? e.data : "", e.size, out_token);
    outer->transient = status != TN_OK && e.transient;
    outer->code = e.code; /* and its Retry-After, for the wait */
    outer->retry_after = e.retry_after;
    if (e.data) sodium_memzero(e.data, e.size);
    tn_exchange_clear(&e);
    return status;
}

static tn_status authorize_bearer(tn_http *h, const tn_challenge *c, tn_exchange *e) {
    char *url, *token = NULL;
    TN_TRY(tn_url_resolve(h, h->base, c->realm, &url));
    const char *scope = c->scope[0] ? c->scope : h->scope;
    tn_status status = c->service[0] ? tn_url_add(h, &url, "service", c->service) : TN_OK;
    if (status == TN_OK && scope[0]) status = tn_url_add(h, &url, "scope", scope);
    if (status == TN_OK) status = fetch_token(h, url, e, &token);
    if (status == TN_OK) status = make_line("Bearer", token, &h->authorization);
    free_secret(token);
    tn_url_free(url);
    return status;
}

tn_status tn_http_authorize(tn_http *h, tn_exchange *e) {
    tn_challenge c;
    if (!tn_challenge_parse(e->challenge, &c))
        return tn_fail(TN_E_IO, "%s asks for credentials in a way that is not understood; expected Basic or Bearer",
                       h->base);
    tn_http_forget(h);
    if (c.bearer) return authorize_bearer(h, &c, e);
    if (!h->user) return tn_fail(TN_E_IO, "%s wants a name and password", h->base);
    return make_basic(h, &h->authorization);
}
