/* Clients: options completed, and the scheme of a server found. */
#include "registry/http.h"
#include <sodium.h>
#include <stdio.h>

static tn_status complete(tn_registry_options *o) {
    if (o->bytes_per_second && o->bytes_per_second < 1024)
        return tn_fail(TN_E_INVALID, "a limit of %llu bytes a second; at least 1024 are needed",
                       (unsigned long long)o->bytes_per_second);
    if (!o->most_bytes) o->most_bytes = 16ull << 30;
    if (!o->piece_bytes) o->piece_bytes = 16u << 20;
    if (o->attempts <= 0) o->attempts = 6;
    if (o->wait_ms <= 0) o->wait_ms = 500;
    if (o->connect_seconds <= 0) o->connect_seconds = 10;
    if (o->stall_seconds <= 0) o->stall_seconds = 30;
    const char *colon = o->user ? strchr(o->user, ':') : NULL;
    if (!o->user) return TN_OK;
    if (!colon || colon == o->user) return tn_fail(TN_E_INVALID, "credentials are NAME:PASSWORD");
    if (strlen(o->user) > 512) return tn_fail(TN_E_LIMIT, "name and password have more than 512 bytes");
    for (const char *c = o->user; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return tn_fail(TN_E_INVALID, "a name or password has no line ends or other control characters");
    return TN_OK;
}

static tn_status copy_text(const char **text, char **out_copy) {
    if (!*text) return TN_OK;
    *out_copy = tn_alloc(NULL, strlen(*text) + 1);
    if (!*out_copy) return TN_E_MEMORY;
    memcpy(*out_copy, *text, strlen(*text) + 1);
    *text = *out_copy;
    return TN_OK;
}

static tn_status set_base(tn_http *h, const char *scheme, const char *host) {
    if (snprintf(h->base, sizeof h->base, "%s://%s", scheme, host) >= (int)sizeof h->base)
        return tn_fail(TN_E_LIMIT, "the name of a server has more than %zu bytes", sizeof h->base);
    return tn_url_origin(h, h->base, &h->origin);
}

/* This machine may speak either. Only an answer that is no TLS makes it plain HTTP: not a certificate that does not fit. */
static tn_status find_scheme(tn_http *h, const char *host) {
    char url[340];
    tn_exchange e = {.method = "GET", .limit = 4096};
    TN_TRY(set_base(h, h->options.plain_http ? "http" : "https", host));
    if (h->options.plain_http || h->ca_file || !tn_host_is_here(host)) return TN_OK;
    snprintf(url, sizeof url, "%s/v2/", h->base);
    tn_status status = tn_http_exchange(h, url, NULL, &e);
    bool plain = status == TN_E_IO && e.ssl_failed;
    tn_exchange_clear(&e);
    if (plain) return set_base(h, "http", host);
    return status == TN_E_INTERRUPTED ? status : TN_OK; /* what else is wrong, the first request will tell */
}

static tn_status find_server(tn_http *h, const char *server) {
    char *url;
    if (!strstr(server, "://")) return find_scheme(h, server);
    TN_TRY(tn_url_resolve(h, NULL, server, &url));
    tn_origin o;
    tn_status status = tn_url_origin(h, url, &o);
    tn_url_free(url);
    char host[sizeof o.host + sizeof o.port];
    snprintf(host, sizeof host, "%s:%s", o.host, o.port);
    return status == TN_OK ? set_base(h, o.scheme, host) : status;
}

tn_status tn_http_create(const tn_registry_options *options, const char *server, tn_http **out_http) {
    *out_http = NULL;
    if (options && !options->struct_size) return tn_fail(TN_E_INVALID, "set struct_size of the options first");
    if (sodium_init() < 0) return tn_fail(TN_E_INTERNAL, "libsodium does not start");
    tn_http *h = tn_alloc_zero(NULL, sizeof *h);
    if (!h) return TN_E_MEMORY;
    if (options) memcpy(&h->options, options, TN_MIN(options->struct_size, sizeof h->options));
    tn_status status = complete(&h->options);
    if (status == TN_OK) status = copy_text(&h->options.user, &h->user);
    if (status == TN_OK) status = copy_text(&h->options.ca_file, &h->ca_file);
    if (status == TN_OK) status = tn_curl_load(&h->curl);
    if (status == TN_OK && !(h->handle = h->curl->easy_init())) status = tn_fail(TN_E_MEMORY, "no memory for libcurl");
    if (status == TN_OK) status = find_server(h, server);
    if (status == TN_OK)
        *out_http = h;
    else
        tn_http_destroy(h);
    return status;
}

void tn_http_destroy(tn_http *h) {
    if (!h) return;
    tn_http_forget(h);
    if (h->handle) h->curl->easy_cleanup(h->handle);
    if (h->user) {
        sodium_memzero(h->user, strlen(h->options.user));
        tn_free(NULL, h->user, strlen(h->options.user) + 1);
    }
    if (h->ca_file) tn_free(NULL, h->ca_file, strlen(h->ca_file) + 1);
    tn_free(NULL, h, sizeof *h);
}
