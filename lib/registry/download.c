/* Downloading one blob into the store's journal, continued where an earlier attempt was cut (distribution-spec, "Pulling
 * blobs"). */
#include "registry/http.h"
#include <stdio.h>

/* The answer's header: whether it is the rest that was asked for. A server may also send all of it again. */
static tn_status begin(tn_exchange *e) {
    tn_download *d = e->context;
    uint64_t range[3];
    if (e->code == 200 && d->staged->size) {
        TN_TRY(tn_stage_restart(d->store, d->staged));
        d->http->done = d->begun_at;
    }
    uint64_t rest = d->size - d->staged->size;
    if (e->code == 206 &&
        (!tn_content_range_parse(e->content_range, range) || range[0] != d->staged->size || range[2] != d->size))
        return tn_fail(TN_E_FORMAT, "the registry gives '%s' of %s; expected bytes from %llu on, of %llu",
                       e->content_range, d->digest, (unsigned long long)d->staged->size, (unsigned long long)d->size);
    if (e->length >= 0 && (e->code == 200 ? (uint64_t)e->length != rest : (uint64_t)e->length > rest))
        return tn_fail(TN_E_FORMAT, "the registry has %lld bytes of %s; expected %llu", (long long)e->length, d->digest,
                       (unsigned long long)rest);
    return TN_OK;
}

static tn_status take(tn_exchange *e, const void *data, size_t size) {
    tn_download *d = e->context;
    if (size > d->size - d->staged->size)
        return tn_fail(TN_E_FORMAT, "the registry gives more of %s than the %llu bytes that the manifest says",
                       d->digest, (unsigned long long)d->size);
    return tn_stage_add(d->store, d->staged, data, size);
}

static tn_status attempt(void *context, tn_exchange *e) {
    static const int wanted[] = {200, 206, 416, 0};
    char url[TN_URL_BYTES];
    tn_download *d = context;
    tn_http *h = d->http;
    if (d->staged->size == d->size) return TN_OK;
    h->done = d->begun_at + d->staged->size;
    TN_TRY(tn_address_url(d->address, h->base, "blobs", d->digest, url));
    tn_exchange_set(e, (tn_exchange){.method = "GET", .begin = begin, .sink = take, .context = d});
    if (d->staged->size) snprintf(e->range, sizeof e->range, "Range: bytes=%llu-", (unsigned long long)d->staged->size);
    tn_status status = tn_http_try(h, url, wanted, e);
    d->result->bytes += e->passed;
    h->done = d->begun_at + d->staged->size;
    if (status != TN_OK || d->staged->size == d->size) return status;
    e->transient = true;
    if (e->code == 416) TN_TRY(tn_stage_restart(d->store, d->staged));
    return tn_fail(TN_E_IO, "the registry ends %s after %llu of %llu bytes", d->digest,
                   (unsigned long long)d->staged->size, (unsigned long long)d->size);
}

static tn_status fill(void *context) {
    const tn_download *d = context;
    return tn_http_persist(d->http, attempt, context);
}

tn_status tn_registry_download(tn_download *d) {
    d->begun_at = d->http->done;
    TN_TRY(tn_stage_blob(d->store, d->digest, d->size, d->staged, fill, d, "the registry", &d->result->resumed));
    d->result->blobs++;
    d->http->done = d->begun_at + d->size;
    return TN_OK;
}
