/* Requests: exchanges until there is an answer that counts. */
#include "registry/http.h"
#include <sodium.h>
#include <stdio.h>
#include <time.h>

enum { ENOUGH = 1 << 20, MOST_REDIRECTS = 5, MOST_WAIT_MS = 30000, MOST_RETRY_AFTER = 60, STEP_MS = 100 };

static bool is_among(int code, const int *wanted) {
    while (*wanted && *wanted != code) wanted++;
    return *wanted != 0;
}

/* A sentence about an answer that was not wanted. */
static tn_status refused(const tn_http *h, const char *url, const tn_exchange *e) {
    char shown[256], said[256];
    tn_url_show(url, shown);
    tn_error_read(e->data ? e->data : "", e->size, said);
    const char *colon = said[0] ? ": " : "";
    switch (e->code) {
    case 401:
        return tn_fail(TN_E_IO,
                       h->user ? "%s does not accept the name and password%s%s" : "%s wants a name and password%s%s",
                       shown, colon, said);
    case 403: return tn_fail(TN_E_IO, "%s: forbidden%s%s", shown, colon, said);
    case 404: return tn_fail(TN_E_NOT_FOUND, "%s: not found%s%s", shown, colon, said);
    default: return tn_fail(TN_E_IO, "%s %s: unexpected answer %d%s%s", e->method, shown, e->code, colon, said);
    }
}

/* One exchange, with credentials if they are known and for this server. */
static tn_status go(tn_http *h, const char *url, bool *out_ours, tn_exchange *e) {
    tn_origin origin;
    TN_TRY(tn_url_origin(h, url, &origin));
    *out_ours = tn_origin_equal(&origin, &h->origin);
    return tn_http_exchange(h, url, *out_ours ? h->authorization : NULL, e);
}

static bool leads_on(const tn_exchange *e) {
    static const int redirects[] = {301, 302, 303, 307, 308, 0};
    return e->location[0] && is_among(e->code, redirects) &&
           (strcmp(e->method, "GET") == 0 || strcmp(e->method, "HEAD") == 0);
}

static tn_status attempt(tn_http *h, char **url, tn_exchange *e) {
    bool ours, asked = false;
    for (int redirects = 0;;) {
        TN_TRY(go(h, *url, &ours, e));
        if (e->code == 401 && ours && !asked && e->challenge[0]) {
            asked = true;
            TN_TRY(tn_http_authorize(h, e));
        } else if (leads_on(e)) {
            char *next;
            if (++redirects > MOST_REDIRECTS)
                return tn_fail(TN_E_IO, "the server redirects more than %d times", MOST_REDIRECTS);
            TN_TRY(tn_url_resolve(h, *url, e->location, &next));
            tn_url_free(*url);
            *url = next;
        } else {
            return TN_OK;
        }
    }
}

tn_status tn_http_try(tn_http *h, const char *url, const int *wanted, tn_exchange *e) {
    char *at;
    tn_exchange_clear(e);
    TN_TRY(tn_url_resolve(h, NULL, url, &at));
    tn_status status = attempt(h, &at, e);
    if (status == TN_OK && !is_among(e->code, wanted)) {
        e->transient = e->code == 429 || e->code == 500 || (e->code >= 502 && e->code <= 504);
        status = refused(h, at, e);
    }
    tn_url_free(at);
    return status;
}

tn_status tn_http_request(tn_http *h, const char *url, const int *wanted, tn_exchange *e) {
    for (int i = 1;; i++) {
        tn_status status = tn_http_try(h, url, wanted, e);
        if (status == TN_OK || !e->transient || i >= h->options.attempts) return status;
        TN_TRY(tn_http_wait(h, i, e));
    }
}

/* Doubles with each attempt; half of it is random, so that a thousand machines do not come back at once. */
tn_status tn_http_wait(tn_http *h, int attempt_number, const tn_exchange *e) {
    int64_t wait = h->options.wait_ms;
    for (int i = 1; i < attempt_number && wait < MOST_WAIT_MS; i++) wait *= 2;
    wait = TN_MIN(wait, MOST_WAIT_MS);
    wait = wait / 2 + randombytes_uniform((uint32_t)wait / 2 + 1);
    if (e->code && e->retry_after > 0) wait = TN_MAX(wait, TN_MIN(e->retry_after, MOST_RETRY_AFTER) * 1000);
    for (; wait > 0; wait -= STEP_MS) {
        TN_TRY(tn_http_tell(h));
        int64_t step = TN_MIN(wait, STEP_MS);
        nanosleep(&(struct timespec){0, step * 1000000}, NULL);
    }
    return TN_OK;
}

tn_status tn_http_persist(tn_http *h, tn_status (*attempt_once)(void *context, tn_exchange *e), void *context) {
    uint64_t furthest = h->done;
    tn_exchange e = {0};
    tn_status status;
    for (int failures = 0;;) {
        status = attempt_once(context, &e);
        if (status == TN_OK || !e.transient) break;
        if (h->done >= furthest + ENOUGH) failures = 0;
        furthest = TN_MAX(furthest, h->done);
        if (++failures >= h->options.attempts) break;
        tn_status wait = tn_http_wait(h, failures, &e);
        if (wait != TN_OK) {
            status = wait;
            break;
        }
    }
    tn_exchange_clear(&e);
    return status;
}
