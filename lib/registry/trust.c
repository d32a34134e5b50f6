/* Following trust over HTTP, and a channel with it. A server may take its time: so an update is rehearsed first, with what
 * it reads kept in memory, and done with the store's lock held from there alone. */
#include "registry/http.h"
#include "trust/trust.h"
#include <stdio.h>

/* A file that was read, or why it was not. */
typedef struct remembered {
    struct remembered *next;
    char name[64];
    tn_status status;
    char sentence[512];
    char *data;
    size_t size;
} remembered;

typedef struct remote {
    tn_http *http;
    const char *url;
    remembered *files;
    bool sealed; /* nothing more is fetched */
} remote;

static tn_status copy(const char *data, size_t size, char **out_data, size_t *out_size) {
    *out_data = tn_alloc(NULL, size + 1);
    if (!*out_data) return TN_E_MEMORY;
    if (size) memcpy(*out_data, data, size);
    (*out_data)[size] = 0;
    *out_size = size;
    return TN_OK;
}

/* 403 is what some servers say of files that are not there. */
static tn_status fetch(const remote *r, const char *name, size_t limit, remembered *f) {
    static const int wanted[] = {200, 403, 404, 0};
    char url[TN_URL_BYTES];
    size_t length = strlen(r->url);
    while (length && r->url[length - 1] == '/') length--;
    if (snprintf(url, sizeof url, "%.*s/%s", (int)length, r->url, name) >= (int)sizeof url)
        return tn_fail(TN_E_LIMIT, "a URL of more than %zu bytes", sizeof url);
    tn_exchange e = {.method = "GET", .limit = limit};
    tn_status status = tn_http_request(r->http, url, wanted, &e);
    if (status == TN_OK && e.code != 200) status = tn_fail(TN_E_NOT_FOUND, "%s: not found", url);
    if (status == TN_OK) status = copy(e.data, e.size, &f->data, &f->size);
    tn_exchange_clear(&e);
    return status;
}

static tn_status read_remote(void *context, const char *name, size_t limit, char **out_data, size_t *out_size) {
    remote *r = context;
    remembered *f = r->files;
    while (f && strcmp(f->name, name) != 0) f = f->next;
    if (!f && r->sealed) return tn_fail(TN_E_STATE, "the store was changed by another process meanwhile; try again");
    if (!f) {
        f = tn_alloc_zero(NULL, sizeof *f);
        if (!f) return TN_E_MEMORY;
        f->next = r->files;
        r->files = f;
        snprintf(f->name, sizeof f->name, "%s", name);
        f->status = fetch(r, name, limit, f);
        if (f->status != TN_OK) snprintf(f->sentence, sizeof f->sentence, "%s", tn_last_error());
    }
    return f->status == TN_OK ? copy(f->data, f->size, out_data, out_size) : tn_fail(f->status, "%s", f->sentence);
}

static void forget(remote *r) {
    while (r->files) {
        remembered *f = r->files;
        r->files = f->next;
        tn_store_free_text(f->data, f->size);
        tn_free(NULL, f, sizeof *f);
    }
}

tn_status tn_trust_fetch(tn_store *store, const char *url, const tn_registry_options *options) {
    char shown[256];
    remote r = {.url = url};
    tn_url_show(url, shown);
    tn_trust_source source = {read_remote, &r, shown};
    if (!strstr(url, "://") || strpbrk(url, "?#"))
        return tn_fail(TN_E_INVALID, "'%s' is no URL of a folder; expected such as https://models.example.com/trust",
                       shown);
    TN_TRY(tn_http_create(options, url, &r.http));
    tn_status status = tn_trust_rehearse(store, &source);
    r.sealed = true;
    /* What it refuses it refuses again, after the roots that came before that were kept. */
    if (status != TN_E_INTERRUPTED) status = tn_trust_update_from(store, &source);
    forget(&r);
    tn_http_destroy(r.http);
    return status;
}

tn_status tn_store_follow(tn_store *store, const char *channel, const char *trust, const char *repository,
                          const tn_registry_options *options, tn_store_version *out_version) {
    char name[2 * TN_STORE_NAME], address[640];
    tn_address a;
    tn_store_channel_info c;
    tn_store_version v;
    if (snprintf(name, sizeof name, "%s", channel) >= (int)sizeof name || !strchr(name, '@'))
        return tn_fail(TN_E_INVALID, "'%.100s' is no channel; expected NAME@CHANNEL", channel);
    char *at = strchr(name, '@');
    *at = 0;
    TN_TRY(tn_address_parse(repository, &a));
    if (a.tag[0] || a.digest[0])
        return tn_fail(TN_E_INVALID, "'%.300s': the channel says which version; expected HOST/REPOSITORY", repository);
    TN_TRY(strstr(trust, "://") ? tn_trust_fetch(store, trust, options) : tn_trust_update(store, trust));
    TN_TRY(tn_store_channel(store, name, at + 1, &c));
    tn_status status = tn_store_find(store, channel, &v);
    if (status == TN_E_NOT_FOUND) {
        snprintf(address, sizeof address, "%s/%s@%s", a.host, a.repository, c.digest);
        TN_TRY(tn_store_pull(store, address, options, NULL, NULL));
        status = tn_store_find(store, channel, &v);
    }
    if (status == TN_OK && out_version) *out_version = v;
    return status;
}
