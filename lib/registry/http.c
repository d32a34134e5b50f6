/* One exchange with a server, by libcurl. Neither redirects nor credentials are left to it: request.c knows better where a
 * password may go. */
#include "registry/http.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

enum { HEADER_BYTES = 65536, ERROR_BYTES = 16384, SLOWEST = 64 /* bytes a second */ };

/* ---- what comes back ---- */

void tn_exchange_clear(tn_exchange *e) {
    if (e->data) tn_free(NULL, e->data, e->room);
    e->data = NULL;
    e->code = 0;
    e->size = e->room = e->header_bytes = 0;
    e->passed = e->sent = 0;
    e->transient = e->begun = e->enough = e->ssl_failed = false;
    e->length = e->retry_after = -1;
    e->location[0] = e->type[0] = e->content_range[0] = e->upload_range[0] = e->digest[0] = e->subject[0] = e->etag[0] =
        e->challenge[0] = 0;
    e->status = TN_OK;
}

void tn_exchange_set(tn_exchange *e, tn_exchange next) {
    tn_exchange_clear(e);
    *e = next;
}

/* Values that are too long, or not printable, are as if they were not there. */
static void take_value(char *out, size_t size, const char *value, size_t length) {
    size_t used = strlen(out), comma = used ? 2 : 0;
    if (used + comma + length >= size) return;
    for (size_t i = 0; i < length; i++)
        if ((value[i] < 0x20 && value[i] != '\t') || value[i] > 0x7e) return;
    memcpy(out + used, ", ", comma);
    memcpy(out + used + comma, value, length);
    out[used + comma + length] = 0;
}

static size_t on_header(char *line, size_t one, size_t length, void *context) {
    tn_exchange *e = context;
    (void)one;
    char seconds[16] = "";
    const struct {
        const char *name;
        char *out;
        size_t size;
    } wanted[] = {{"location", e->location, sizeof e->location},
                  {"content-type", e->type, sizeof e->type},
                  {"content-range", e->content_range, sizeof e->content_range},
                  {"range", e->upload_range, sizeof e->upload_range},
                  {"docker-content-digest", e->digest, sizeof e->digest},
                  {"oci-subject", e->subject, sizeof e->subject},
                  {"etag", e->etag, sizeof e->etag},
                  {"www-authenticate", e->challenge, sizeof e->challenge},
                  {"retry-after", seconds, sizeof seconds}};
    e->header_bytes += length;
    if (e->header_bytes > HEADER_BYTES) {
        e->status = tn_fail(TN_E_LIMIT, "the server's header has more than %d bytes", HEADER_BYTES);
        return 0;
    }
    if (length > 5 && strncasecmp(line, "HTTP/", 5) == 0) { /* those of an answer before, such as 100, do not count */
        uint64_t passed = e->passed, sent = e->sent;
        size_t bytes = e->header_bytes;
        tn_exchange_clear(e);
        e->passed = passed;
        e->sent = sent;
        e->header_bytes = bytes;
        return length;
    }
    const char *colon = memchr(line, ':', length), *end = line + length, *value = colon ? colon + 1 : NULL;
    if (!colon) return length;
    while (value < end && isspace((unsigned char)*value)) value++;
    while (end > value && isspace((unsigned char)end[-1])) end--;
    for (size_t i = 0; i < TN_COUNT(wanted); i++)
        if (strlen(wanted[i].name) == (size_t)(colon - line) &&
            strncasecmp(line, wanted[i].name, (size_t)(colon - line)) == 0)
            take_value(wanted[i].out, wanted[i].size, value, (size_t)(end - value));
    if (seconds[0] && strspn(seconds, "0123456789") == strlen(seconds) && strlen(seconds) < 10)
        e->retry_after = atol(seconds);
    return length;
}

static void read_code(tn_exchange *e) {
    long code = 0;
    curl_off_t length = -1;
    e->http->curl->easy_getinfo(e->http->handle, CURLINFO_RESPONSE_CODE, &code);
    e->http->curl->easy_getinfo(e->http->handle, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    e->code = (int)code;
    e->length = length;
}

static bool keep(tn_exchange *e, const char *data, size_t size, size_t limit) {
    size_t room = e->size + size + 1;
    if (size > limit - e->size) return false;
    if (room > e->room) {
        room = TN_MIN(TN_MAX(room, 2 * e->room), limit + 1);
        char *grown = tn_alloc(NULL, room);
        if (!grown) {
            e->status = TN_E_MEMORY;
            return false;
        }
        if (e->data) {
            memcpy(grown, e->data, e->size);
            tn_free(NULL, e->data, e->room);
        }
        e->data = grown;
        e->room = room;
    }
    memcpy(e->data + e->size, data, size);
    e->size += size;
    e->data[e->size] = 0;
    return true;
}

/* Less than `size` ends the exchange. */
static size_t on_body(char *data, size_t one, size_t size, void *context) {
    tn_exchange *e = context;
    (void)one;
    if (!e->code) read_code(e);
    bool good = e->code == 200 || e->code == 206;
    if (e->sink && good) {
        if (!e->begun && e->begin) e->status = e->begin(e);
        e->begun = true;
        if (e->status == TN_OK) e->status = e->sink(e, data, size);
        if (e->status == TN_OK) {
            e->passed += size;
            return size;
        }
        return 0;
    }
    if (keep(e, data, size, good ? e->limit : ERROR_BYTES)) return size;
    if (good && e->status == TN_OK)
        e->status = tn_fail(TN_E_LIMIT, "the server's answer has more than the %zu bytes that are expected", e->limit);
    e->enough = !good; /* of what an error has to say */
    return 0;
}

/* ---- what is sent ---- */

static size_t on_send(char *out, size_t one, size_t room, void *context) {
    tn_exchange *e = context;
    size_t n = (size_t)TN_MIN(e->send - e->sent, (uint64_t)room * one);
    if (e->body) {
        memcpy(out, e->body + e->sent, n);
    } else if (n) {
        ssize_t got = pread(e->file, out, n, (off_t)(e->file_at + e->sent));
        if (got <= 0) {
            e->status =
                tn_fail(TN_E_IO, "cannot read what is to be sent: %s", got < 0 ? strerror(errno) : "it became shorter");
            return CURL_READFUNC_ABORT;
        }
        n = (size_t)got;
    }
    e->sent += n;
    if (!e->body) e->passed = e->sent;
    return n;
}

/* A connection that was kept, and is gone, is made anew: all is sent from the start. */
static int on_seek(void *context, curl_off_t offset, int origin) {
    tn_exchange *e = context;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > e->send) return CURL_SEEKFUNC_FAIL;
    e->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

tn_status tn_http_tell(tn_http *h) {
    const tn_registry_options *o = &h->options;
    uint64_t done = h->done + h->moving;
    if (!o->progress || o->progress(o->context, TN_MIN(done, h->total), h->total)) return TN_OK;
    return tn_fail(TN_E_INTERRUPTED, "the transfer was ended by the program");
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    tn_exchange *e = context;
    (void)a, (void)b, (void)c, (void)d;
    e->http->moving = e->passed;
    tn_status status = tn_http_tell(e->http);
    if (status != TN_OK) e->status = status;
    return status != TN_OK;
}

/* ---- the exchange ---- */

#define SET(option, value) h->curl->easy_setopt(h->handle, option, value)

static void set_safety(tn_http *h) {
    const tn_registry_options *o = &h->options;
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
    SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (h->ca_file) {
        SET(CURLOPT_CAINFO, h->ca_file);
        SET(CURLOPT_CAPATH, NULL);
    }
    SET(CURLOPT_CONNECTTIMEOUT, (long)o->connect_seconds);
    SET(CURLOPT_LOW_SPEED_LIMIT, (long)SLOWEST);
    SET(CURLOPT_LOW_SPEED_TIME, (long)o->stall_seconds);
    if (o->bytes_per_second) {
        SET(CURLOPT_MAX_RECV_SPEED_LARGE, (curl_off_t)o->bytes_per_second);
        SET(CURLOPT_MAX_SEND_SPEED_LARGE, (curl_off_t)o->bytes_per_second);
        /* It reads some ten times before it looks at the clock. */
        SET(CURLOPT_BUFFERSIZE, (long)TN_MAX(1024, TN_MIN(16384, o->bytes_per_second / 50)));
    }
}

static void set_request(tn_http *h, const char *url, struct curl_slist *lines, tn_exchange *e) {
    bool sends = strcmp(e->method, "GET") != 0 && strcmp(e->method, "HEAD") != 0;
    SET(CURLOPT_URL, url);
    SET(CURLOPT_ERRORBUFFER, h->error);
    SET(CURLOPT_HTTPHEADER, lines);
    SET(CURLOPT_USERAGENT, "tenon/" TN_VERSION);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, e);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, e);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, e);
    if (sends) {
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_READFUNCTION, on_send);
        SET(CURLOPT_READDATA, e);
        SET(CURLOPT_SEEKFUNCTION, on_seek);
        SET(CURLOPT_SEEKDATA, e);
        SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)e->send);
        SET(CURLOPT_CUSTOMREQUEST, e->method);
    } else if (strcmp(e->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    }
    /* What is small has a time to be there in; of what is large, each half minute has to bring something. */
    if (!e->sink && e->send < 65536) SET(CURLOPT_TIMEOUT, 2L * h->options.stall_seconds + h->options.connect_seconds);
}

static bool add_line(const tn_http *h, struct curl_slist **lines, const char *name, const char *value) {
    char line[512];
    if (!value || !*value) return true;
    snprintf(line, sizeof line, "%s%s", name, value);
    struct curl_slist *longer = h->curl->slist_append(*lines, *name ? line : value);
    if (longer) *lines = longer;
    return longer != NULL;
}

static bool may_pass(CURLcode code) {
    static const CURLcode passing[] = {
        CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY, CURLE_COULDNT_CONNECT, CURLE_PARTIAL_FILE,
        CURLE_OPERATION_TIMEDOUT,   CURLE_GOT_NOTHING,           CURLE_SEND_ERROR,      CURLE_RECV_ERROR,
        CURLE_SEND_FAIL_REWIND};
    for (size_t i = 0; i < TN_COUNT(passing); i++)
        if (code == passing[i]) return true;
    return false;
}

static tn_status perform(tn_http *h, const char *url, tn_exchange *e) {
    char shown[256];
    h->error[0] = 0;
    CURLcode code = h->curl->easy_perform(h->handle);
    read_code(e);
    h->moving = 0;
    if (e->status != TN_OK || code == CURLE_OK || e->enough) return e->status;
    tn_url_show(url, shown);
    e->transient = may_pass(code);
    e->ssl_failed = code == CURLE_SSL_CONNECT_ERROR;
    return tn_fail(TN_E_IO, "%s: %s", shown, h->error[0] ? h->error : h->curl->easy_strerror(code));
}

tn_status tn_http_exchange(tn_http *h, const char *url, const char *header, tn_exchange *e) {
    struct curl_slist *lines = NULL;
    tn_exchange_clear(e);
    e->http = h;
    h->moving = 0;
    bool good = add_line(h, &lines, "Accept: ", e->accept) && add_line(h, &lines, "Content-Type: ", e->content_type) &&
                add_line(h, &lines, "", e->range) && add_line(h, &lines, "", e->condition) &&
                add_line(h, &lines, "", header) && add_line(h, &lines, "", "Expect:");
    h->curl->easy_reset(h->handle);
    set_safety(h);
    set_request(h, url, lines, e);
    tn_status status = good ? perform(h, url, e) : tn_fail(TN_E_MEMORY, "no memory for a request");
    h->curl->slist_free_all(lines);
    return status;
}
