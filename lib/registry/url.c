/* URLs, by libcurl's own parser: what it connects to is what was looked at. */
#include "registry/http.h"
#include <stdio.h>

void tn_url_free(char *url) {
    if (url) tn_free(NULL, url, strlen(url) + 1);
}

void tn_url_show(const char *url, char out[256]) {
    snprintf(out, 256, "%.*s", (int)strcspn(url, "?#"), url);
    for (char *c = out; *c; c++)
        if (*c < 0x20 || *c > 0x7e) *c = '?';
}

/* A part of a URL; false if it has none, or too long a one. */
static bool part(const tn_http *h, CURLU *u, CURLUPart which, unsigned flags, char *out, size_t size) {
    char *text = NULL;
    if (h->curl->url_get(u, which, &text, flags) != CURLUE_OK) return false;
    bool fits = strlen(text) < size;
    if (fits) memcpy(out, text, strlen(text) + 1);
    h->curl->free(text);
    return fits;
}

static bool read_origin(const tn_http *h, CURLU *u, tn_origin *out) {
    *out = (tn_origin){0};
    if (!part(h, u, CURLUPART_SCHEME, 0, out->scheme, sizeof out->scheme) ||
        !part(h, u, CURLUPART_HOST, 0, out->host, sizeof out->host) ||
        !part(h, u, CURLUPART_PORT, CURLU_DEFAULT_PORT, out->port, sizeof out->port))
        return false;
    for (char *c = out->host; *c; c++)
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c + 'a' - 'A');
    return true;
}

tn_status tn_url_origin(const tn_http *h, const char *url, tn_origin *out) {
    char shown[256];
    CURLU *u = h->curl->url();
    bool good = u && h->curl->url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK && read_origin(h, u, out);
    h->curl->url_cleanup(u);
    tn_url_show(url, shown);
    return good ? TN_OK : tn_fail(TN_E_INVALID, "'%s' is no URL", shown);
}

bool tn_origin_equal(const tn_origin *a, const tn_origin *b) {
    return strcmp(a->scheme, b->scheme) == 0 && strcmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0;
}

/* HTTPS does not lead to HTTP, and HTTP leads nowhere that the host of this library did not allow. */
static tn_status check(const tn_http *h, const char *base, const char *text, CURLU *u) {
    char shown[256];
    tn_origin origin, from;
    tn_url_show(text, shown);
    bool whole = read_origin(h, u, &origin), tls = strcmp(origin.scheme, "https") == 0;
    if (!tls && strcmp(origin.scheme, "http") != 0)
        return tn_fail(TN_E_INVALID, "'%s' is neither https nor http", shown);
    if (!whole) return tn_fail(TN_E_INVALID, "'%s' is no URL of a server", shown);
    if (tls) return TN_OK;
    if (base && tn_url_origin(h, base, &from) == TN_OK && strcmp(from.scheme, "https") == 0)
        return tn_fail(TN_E_INVALID, "the server leads from https to '%s', which is not followed", shown);
    if (h->options.plain_http || tn_host_is_here(origin.host)) return TN_OK;
    return tn_fail(TN_E_INVALID, "'%s' is plain HTTP; options.plain_http (--plain-http) allows that", shown);
}

static tn_status write_url(const tn_http *h, CURLU *u, char **out_url) {
    char shown[256], *whole = NULL;
    if (h->curl->url_get(u, CURLUPART_URL, &whole, 0) != CURLUE_OK) return tn_fail(TN_E_MEMORY, "no memory for a URL");
    size_t length = strlen(whole);
    tn_url_show(whole, shown);
    tn_status status = TN_OK;
    if (length >= TN_URL_BYTES)
        status = tn_fail(TN_E_LIMIT, "a URL of %zu bytes: '%s...'", length, shown);
    else if (!(*out_url = tn_alloc(NULL, length + 1)))
        status = TN_E_MEMORY;
    else
        memcpy(*out_url, whole, length + 1);
    h->curl->free(whole);
    return status;
}

tn_status tn_url_resolve(const tn_http *h, const char *base, const char *text, char **out_url) {
    char shown[256];
    *out_url = NULL;
    tn_url_show(text, shown);
    CURLU *u = h->curl->url();
    if (!u) return tn_fail(TN_E_MEMORY, "no memory for a URL");
    CURLUcode code = base ? h->curl->url_set(u, CURLUPART_URL, base, 0) : CURLUE_OK;
    if (code == CURLUE_OK)
        code = h->curl->url_set(u, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME | CURLU_DISALLOW_USER);
    if (code == CURLUE_OK) code = h->curl->url_set(u, CURLUPART_FRAGMENT, NULL, 0);
    tn_status status = code == CURLUE_OK                 ? check(h, base, text, u)
                       : code == CURLUE_USER_NOT_ALLOWED ? tn_fail(TN_E_INVALID, "credentials do not belong in a URL")
                                                         : tn_fail(TN_E_INVALID, "'%s' is no URL", shown);
    if (status == TN_OK) status = write_url(h, u, out_url);
    h->curl->url_cleanup(u);
    return status;
}

tn_status tn_url_add(const tn_http *h, char **url, const char *name, const char *value) {
    char pair[2048], *longer = NULL;
    if (snprintf(pair, sizeof pair, "%s=%s", name, value) >= (int)sizeof pair)
        return tn_fail(TN_E_LIMIT, "a parameter '%s' of more than %zu bytes", name, sizeof pair);
    CURLU *u = h->curl->url();
    tn_status status =
        u && h->curl->url_set(u, CURLUPART_URL, *url, 0) == CURLUE_OK &&
                h->curl->url_set(u, CURLUPART_QUERY, pair, CURLU_APPENDQUERY | CURLU_URLENCODE) == CURLUE_OK
            ? write_url(h, u, &longer)
            : tn_fail(TN_E_MEMORY, "no memory for a URL");
    h->curl->url_cleanup(u);
    if (status != TN_OK) return status;
    tn_url_free(*url);
    *url = longer;
    return TN_OK;
}
