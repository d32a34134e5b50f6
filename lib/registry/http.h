/* HTTP for registries: one exchange with a server (http.c), and a request, which is as many exchanges as redirects,
 * credentials and failures make necessary (request.c). What comes back has a largest size everywhere. */
#ifndef TN_REGISTRY_HTTP_H
#define TN_REGISTRY_HTTP_H

#include "registry/curl.h"
#include "registry/registry.h"
#include "store/delta.h"

typedef struct tn_exchange tn_exchange;
struct tn_exchange {
    const char *method;
    const char *accept, *content_type; /* NULL: none */
    char range[96], condition[160];    /* whole header lines; "": none */
    /* What is sent: `send` bytes of `body`, or, if that is NULL, of `file` from `file_at` on. */
    const char *body;
    int file;
    uint64_t file_at, send;
    /* What comes back goes to `data`, at most `limit` bytes of it; or, of an answer 200 or 206, to `sink`, after `begin`
     * liked its header. `context` is theirs. */
    size_t limit;
    tn_status (*begin)(tn_exchange *e);
    tn_status (*sink)(tn_exchange *e, const void *data, size_t size);
    void *context;

    int code;       /* of the answer; 0: there was none */
    bool transient; /* the failure may pass */
    char *data;     /* with a zero behind it */
    size_t size, room;
    uint64_t passed;     /* bytes that went to the sink, or of the file */
    int64_t length;      /* Content-Length; -1: not said */
    int64_t retry_after; /* seconds; -1: not said */
    char location[TN_URL_BYTES], type[128], content_range[96], upload_range[96], digest[96], subject[96], etag[128],
        challenge[TN_URL_BYTES];
    /* within http.c */
    struct tn_http *http;
    uint64_t sent;
    size_t header_bytes;
    bool begun, enough, ssl_failed;
    tn_status status; /* of begin, sink, or what the answer has too much of */
};
void tn_exchange_clear(tn_exchange *e); /* of what was answered */
/* Another request with the same memory. */
void tn_exchange_set(tn_exchange *e, tn_exchange next);

typedef struct tn_origin {
    char scheme[8], host[280], port[8];
} tn_origin;

typedef struct tn_http {
    tn_registry_options options; /* completed; texts copied */
    char *user, *ca_file;
    const tn_curl *curl;
    CURL *handle;
    char base[320]; /* "https://host:port" */
    tn_origin origin;
    char *authorization; /* a header line, once it was asked for */
    char scope[300];     /* of tokens, where the challenge names none */
    char error[CURL_ERROR_SIZE];
    uint64_t done, moving, total; /* for progress: `moving` is the exchange's that is under way */
} tn_http;

/* For a registry HOST[:PORT], whose scheme is found, or for the server of a URL. Options may be NULL. */
tn_status tn_http_create(const tn_registry_options *options, const char *server, tn_http **out_http);
void tn_http_destroy(tn_http *h); /* accepts NULL */

/* TN_OK is any answer; TN_E_IO is none, and TN_E_INTERRUPTED the host's wish. `header` is one more line, or NULL. */
tn_status tn_http_exchange(tn_http *h, const char *url, const char *header, tn_exchange *e);
/* Tells the host how far things are; TN_E_INTERRUPTED if it wants an end. */
tn_status tn_http_tell(tn_http *h);

/* url.c: a URL that is to be talked to, against a base (NULL: it is whole); free with tn_url_free. TN_E_INVALID of other
 * schemes, of credentials within, and of plain HTTP where that is not allowed. */
tn_status tn_url_resolve(const tn_http *h, const char *base, const char *text, char **out_url);
void tn_url_free(char *url); /* accepts NULL */
tn_status tn_url_origin(const tn_http *h, const char *url, tn_origin *out);
bool tn_origin_equal(const tn_origin *a, const tn_origin *b);
/* For sentences: without what is behind a question mark, which may be secret. */
void tn_url_show(const char *url, char out[256]);

/* Adds NAME=VALUE behind the question mark of *url, which it replaces. */
tn_status tn_url_add(const tn_http *h, char **url, const char *name, const char *value);

/* request.c. One attempt: redirects are followed (GET and HEAD), and credentials given when they are asked for, to the
 * origin of `h` alone. TN_OK is an answer whose code is among `wanted` (up to a 0); e->transient: another attempt may
 * succeed. */
tn_status tn_http_try(tn_http *h, const char *url, const int *wanted, tn_exchange *e);
/* As many attempts as the options say. */
tn_status tn_http_request(tn_http *h, const char *url, const int *wanted, tn_exchange *e);
/* For transfers: attempts, each of which tells by h->done how far it came, until one is no transient failure. Who gets
 * ahead by a mebibyte has all attempts again. */
tn_status tn_http_persist(tn_http *h, tn_status (*attempt)(void *context, tn_exchange *e), void *context);
/* Waits after attempt number `attempt` (from 1 on) that ended as `e` says. */
tn_status tn_http_wait(tn_http *h, int attempt, const tn_exchange *e);

/* download.c: a blob into the journal; adds to `result`. */
typedef struct tn_download {
    tn_http *http;
    const tn_address *address;
    const tn_store *store;
    tn_registry_result *result;
    const char *digest;
    uint64_t size;
    tn_staged *staged;
    uint64_t begun_at; /* `done` of the client before it */
} tn_download;
tn_status tn_registry_download(tn_download *d);

/* referrers.c: an index of what lies beside that manifest, of which nothing is to be believed; an empty object where none can
 * be had. Free with json_decref. */
tn_status tn_referrers_read(tn_http *h, const tn_address *a, const char *digest, json_t **out_index);
/* For a registry that does not keep the list itself: puts an entry into it. */
tn_status tn_referrers_add(tn_http *h, const tn_address *a, const char *digest, json_t *entry);

/* auth.c: fills h->authorization as the answer `e` wants it. */
tn_status tn_http_authorize(tn_http *h, tn_exchange *e);
void tn_http_forget(tn_http *h); /* the authorization */

#endif
