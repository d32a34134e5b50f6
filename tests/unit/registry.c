/* Registries: what goes there comes back, whatever is cut on the way, and a server that lies, stalls, floods or redirects
 * ends in a sentence, with the store as it was. Beside real servers and clients: tests/registry. */
#include "unit.h"
#include <tenon/tenon.h>

#if TN_WITH_SODIUM && TN_WITH_JANSSON && TN_WITH_CURL
#include "http_server.h"
#include "registry/http.h"
#include "tree.h"

static char root[64];

/* ---- text ---- */

static void addresses_are_read(void **state) {
    (void)state;
    static const char digest[] = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    char with_digest[256];
    snprintf(with_digest, sizeof with_digest, "localhost/a@%s", digest);
    const struct {
        const char *text, *host, *repository, *tag, *digest;
    } good[] = {{"localhost:5000/line-2/press:1.2.0", "localhost:5000", "line-2/press", "1.2.0", ""},
                {"registry.example.com/a__b/c--d.e", "registry.example.com", "a__b/c--d.e", "", ""},
                {"[::1]:80/a:_A.b-C", "[::1]:80", "a", "_A.b-C", ""},
                {with_digest, "localhost", "a", "", digest}};
    static const char *const bad[] = {"",
                                      "press",
                                      "host/",
                                      "/a",
                                      "host:0/a",
                                      "host:65536/a",
                                      "host:/a",
                                      "host:x/a",
                                      "host/A",
                                      "host/a//b",
                                      "host/a/",
                                      "host/-a",
                                      "host/a..b",
                                      "host/a___b",
                                      "host/../a",
                                      "host/a:",
                                      "host/a:.b",
                                      "host/a:b c",
                                      "host/a@sha256:12",
                                      "host/a@",
                                      "https://host/a",
                                      "user:secret@host/a",
                                      "ho st/a",
                                      "host\n/a",
                                      "-host/a",
                                      "[]/a",
                                      "[::1/a",
                                      "host/a:t\r\nX: y",
                                      "host/a?b",
                                      "host/a#b"};
    tn_address a;
    for (size_t i = 0; i < TN_COUNT(good); i++) {
        assert_ok(tn_address_parse(good[i].text, &a));
        assert_string_equal(a.host, good[i].host);
        assert_string_equal(a.repository, good[i].repository);
        assert_string_equal(a.tag, good[i].tag);
        assert_string_equal(a.digest, good[i].digest);
    }
    for (size_t i = 0; i < TN_COUNT(bad); i++)
        if (tn_address_parse(bad[i], &a) != TN_E_INVALID) fail_msg("'%s' was taken for an address", bad[i]);
    assert_int_equal(tn_address_parse("user:secret@host/a", &a), TN_E_INVALID);
    assert_null(strstr(tn_last_error(), "secret"));
}

static void this_machine_has_few_names(void **state) {
    (void)state;
    static const char *const here[] = {"localhost", "LocalHost:80", "127.0.0.1", "127.1.2.3:5000", "[::1]", "[::1]:80"};
    static const char *const there[] = {"localhost.example.com",
                                        "127.0.0.1.example.com",
                                        "128.0.0.1",
                                        "[::2]",
                                        "127.0.0",
                                        "127.0.0.256",
                                        "example.com"};
    for (size_t i = 0; i < TN_COUNT(here); i++) assert_true(tn_host_is_here(here[i]));
    for (size_t i = 0; i < TN_COUNT(there); i++) assert_false(tn_host_is_here(there[i]));
}

static void challenges_are_read_strictly(void **state) {
    (void)state;
    tn_challenge c;
    assert_true(
        tn_challenge_parse("Bearer realm=\"https://a/token\",service=\"b c\",scope=\"repository:x:pull,push\"", &c));
    assert_true(c.bearer && !c.basic);
    assert_string_equal(c.realm, "https://a/token");
    assert_string_equal(c.service, "b c");
    assert_string_equal(c.scope, "repository:x:pull,push");
    assert_true(tn_challenge_parse("basic REALM=\"a, b=\\\"c\\\"\"", &c));
    assert_true(c.basic && !c.bearer);
    assert_true(tn_challenge_parse("Basic realm=x, bearer realm = \"http://h\" , error=\"invalid_token\"", &c));
    assert_true(c.basic && c.bearer);
    assert_string_equal(c.realm, "http://h");
    static const char *const bad[] = {"",
                                      "Bearer",
                                      "Bearer service=\"a\"",
                                      "Bearer realm=\"a",
                                      "Bearer realm=\"a\" service=\"b\"",
                                      "Bearer realm=\"a\",realm=\"b\"",
                                      "Bearer realm=\"a\", Bearer realm=\"b\"",
                                      "Bearer realm=\"a\nb\"",
                                      "Bearer realm=\"a\\",
                                      "Digest realm=\"a\"",
                                      "realm=\"a\"",
                                      "Bearer realm=",
                                      "Bearer \"a\"",
                                      "Bearer realm=\"a\", =\"b\""};
    for (size_t i = 0; i < TN_COUNT(bad); i++)
        if (tn_challenge_parse(bad[i], &c)) fail_msg("taken for a challenge: %s", bad[i]);
    char text[3000] = "Bearer realm=\"";
    memset(text + strlen(text), 'a', 2000);
    strcat(text, "\"");
    assert_false(tn_challenge_parse(text, &c));
}

static void ranges_are_read_strictly(void **state) {
    (void)state;
    uint64_t r[3], size;
    assert_true(tn_content_range_parse("bytes 5-9/10", r));
    assert_true(r[0] == 5 && r[1] == 9 && r[2] == 10);
    static const char *const bad[] = {"",
                                      "bytes 5-9/9",
                                      "bytes 9-5/10",
                                      "bytes */10",
                                      "bytes 5-9/*",
                                      "bytes 5-9/10x",
                                      "bytes -9/10",
                                      "5-9/10",
                                      "bytes 5-99999999999999999999/100000000000000000000"};
    for (size_t i = 0; i < TN_COUNT(bad); i++) assert_false(tn_content_range_parse(bad[i], r));
    assert_true(tn_upload_range_parse("0-9", &size) && size == 10);
    assert_true(tn_upload_range_parse("bytes=0-0", &size) && size == 0);
    assert_false(tn_upload_range_parse("1-9", &size));
    assert_false(tn_upload_range_parse("0-9/10", &size));
}

static void tokens_cannot_smuggle_header_lines(void **state) {
    (void)state;
    char *token;
    static const char good[] = "{\"access_token\":\"abc.DEF-1_2~3+/==\"}";
    assert_ok(tn_token_read(good, sizeof good - 1, &token));
    assert_string_equal(token, "abc.DEF-1_2~3+/==");
    tn_store_free_text(token, strlen(token));
    static const char *const bad[] = {"",
                                      "[]",
                                      "{}",
                                      "{\"token\":1}",
                                      "{\"token\":\"a\\r\\nHost: b\"}",
                                      "{\"token\":\"a b\"}",
                                      "{\"token\":\"a\\u0000b\"}",
                                      "{\"token\":\"\"}"};
    for (size_t i = 0; i < TN_COUNT(bad); i++)
        assert_int_not_equal(tn_token_read(bad[i], strlen(bad[i]), &token), TN_OK);
    char said[256];
    static const char error[] = "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\\u001b[31m\"}]}";
    tn_error_read(error, sizeof error - 1, said);
    assert_string_equal(said, "DENIED: no?[31m");
}

/* ---- a registry that can lie ---- */

typedef enum fault {
    NONE,
    WRONG_BYTES,
    LONGER,
    LONGER_UNSAID,
    SHORTER_SAID,
    CUT,        /* the connection ends in the middle, each time a little later */
    CUT_AT_ONE, /* after the first byte, each time */
    IGNORES_RANGE,
    WRONG_RANGE,
    WRONG_TOTAL,
    NO_RANGES, /* 416 */
    STALLS,
    ENDLESS_ERROR,
    ENDLESS_HEADER,
    ENDLESS_MANIFEST,
    GARBAGE,
    NO_OBJECT,
    OTHER_TYPE,
    OTHER_DIGEST_SAID,
    NOT_HTTP,
    NO_ANSWER,
    BUSY, /* 503 for some time */
    DOWN, /* 500 for ever */
    LOOP,
    TO_FILE,
    TO_OTHER, /* blobs are on the other server */
    BASIC,
    TOKEN,
    TOKEN_GARBAGE,
    TOKEN_NEVER,
    CHALLENGE_GARBAGE,
    UPLOAD_CUT, /* takes half a piece, then fails */
    UPLOAD_LOST,
    UPLOAD_NOWHERE,
    UPLOAD_LEAPS,
    FORBIDDEN, /* 403 of what is not there */
} fault;

#define NAME_AND_PASSWORD "Basic ZWRnZTpzZWNyZXQ=" /* edge:secret */

static http_server server;
static struct {
    fault fault;
    tree *store;         /* whose blobs it has, to give */
    char manifest[1024]; /* instead of the true one, if not "" */
    char digest[TN_STORE_DIGEST];
    int requests, blob_requests, token_requests;
    char elsewhere[2048]; /* what the other server was given as Authorization */
    /* of uploads */
    char *upload, *kept[16];
    size_t upload_size, kept_size[16];
    int kept_count;
    char kept_manifest[4096], kept_tag[64];
} registry;

static const tree_file *blob(const char *path) {
    const char *colon = strrchr(path, ':');
    for (size_t i = 0; colon && i < registry.store->count; i++) {
        const char *slash = strrchr(registry.store->files[i].name, '/');
        if (slash && strcmp(slash + 1, colon + 1) == 0 && registry.store->files[i].data)
            return &registry.store->files[i];
    }
    return NULL;
}

static void flood(const http_asked *a, const char *start) {
    static const char piece[8192] = "xxxxxxxxxxxxxxxx";
    if (!http_send(a, start, strlen(start))) return;
    for (int i = 0; i < 20000 && http_send(a, piece, sizeof piece); i++) {
    } /* 160 MB at most */
}

static void give_manifest(const http_asked *a) {
    const tree_file *file = blob(registry.digest);
    const char *text = registry.manifest[0] ? registry.manifest : file->data;
    size_t size = registry.manifest[0] ? strlen(registry.manifest) : file->size;
    char fields[512];
    switch ((int)registry.fault) {
    case ENDLESS_MANIFEST: flood(a, "HTTP/1.1 200 OK\r\nContent-Type: " TN_OCI_MANIFEST "\r\n\r\n"); return;
    case GARBAGE: text = "{\"schemaVersion\":2,", size = 19; break;
    case NO_OBJECT: text = "[]", size = 2; break;
    default: break;
    }
    snprintf(fields, sizeof fields, "Content-Type: %s\r\n%s",
             registry.fault == OTHER_TYPE ? "application/vnd.oci.image.index.v1+json" : TN_OCI_MANIFEST,
             registry.fault == OTHER_DIGEST_SAID
                 ? "Docker-Content-Digest: sha256:"
                   "0000000000000000000000000000000000000000000000000000000000000000\r\n"
                 : "");
    http_answer(a, 200, fields, text, size);
}

static void give_blob(const http_asked *a, const tree_file *file) {
    char fields[256] = "", *copy = malloc(file->size + 1000);
    size_t from = 0, size = file->size, sent;
    unsigned long long wanted = 0;
    int code = 200;
    memset(copy, 'y', file->size + 1000);
    memcpy(copy, file->data, size);
    registry.blob_requests++;
    if (sscanf(http_field(a, "Range"), "bytes=%llu-", &wanted) == 1 && registry.fault != IGNORES_RANGE) {
        from = (size_t)wanted;
        code = 206;
        snprintf(fields, sizeof fields, "Content-Range: bytes %zu-%zu/%zu\r\n", from + (registry.fault == WRONG_RANGE),
                 size - 1, size + (registry.fault == WRONG_TOTAL));
    }
    size -= from;
    sent = size;
    if (registry.fault == WRONG_BYTES) copy[from + size / 2] ^= 1;
    if (registry.fault == LONGER) sent = size += 5;
    if (registry.fault == SHORTER_SAID) sent = size -= 5;
    if (registry.fault == NO_RANGES && code == 206) code = 416, sent = size = 0;
    bool cuts = registry.fault == CUT || registry.fault == WRONG_RANGE || registry.fault == WRONG_TOTAL ||
                registry.fault == IGNORES_RANGE || registry.fault == NO_RANGES;
    if (cuts && registry.blob_requests < 4 && sent > 10) sent = sent / 2;
    if (registry.fault == CUT_AT_ONE) sent = 1;
    if (registry.fault == STALLS) sent = 10;
    if (registry.fault == LONGER_UNSAID) {
        flood(a, "HTTP/1.1 200 OK\r\n\r\n");
    } else {
        char header[512];
        int n = snprintf(header, sizeof header, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s\r\n", code, size, fields);
        if (http_send(a, header, (size_t)n)) http_send(a, copy + from, sent);
        if (registry.fault == STALLS) recv(a->connection, header, 1, 0); /* until the other side goes */
    }
    free(copy);
}

static void take_upload(const http_asked *a) {
    char fields[512], location[128];
    snprintf(location, sizeof location, "Location: /v2/upload/%d?_state=secret\r\n", registry.requests);
    if (strcmp(a->method, "POST") == 0) {
        registry.upload_size = 0;
        http_answer(a, 202, registry.fault == UPLOAD_NOWHERE ? "" : location, "", 0);
    } else if (strcmp(a->method, "PATCH") == 0) {
        bool half = registry.fault == UPLOAD_CUT && registry.requests % 3 && a->size > 10;
        size_t size = half ? a->size / 2 : a->size;
        registry.upload = realloc(registry.upload, registry.upload_size + size + 1);
        memcpy(registry.upload + registry.upload_size, a->body, size);
        registry.upload_size += size;
        if (half) return;
        snprintf(fields, sizeof fields, "%sRange: 0-%zu\r\n", location,
                 registry.upload_size - 1 + (registry.fault == UPLOAD_LEAPS ? 1000000 : 0));
        bool lost = registry.fault == UPLOAD_LOST && registry.requests < 12;
        http_answer(a, lost ? 500 : 202, lost ? "" : fields, "", 0);
    } else if (strcmp(a->method, "GET") == 0) {
        snprintf(fields, sizeof fields, "%sRange: 0-%zu\r\n", location,
                 registry.upload_size ? registry.upload_size - 1 : 0);
        http_answer(a, registry.fault == UPLOAD_LOST ? 404 : 204, registry.fault == UPLOAD_LOST ? "" : fields, "", 0);
    } else {
        char digest[TN_STORE_DIGEST], wanted[256];
        tn_digest_of(registry.upload, registry.upload_size, digest);
        snprintf(wanted, sizeof wanted, "digest=sha256%%3a%s", digest + 7);
        const char *query = strstr(a->path, "digest=");
        bool right = query && strcasecmp(query, wanted) == 0 && strstr(a->path, "_state=secret");
        if (right) {
            registry.kept[registry.kept_count] = registry.upload;
            registry.kept_size[registry.kept_count++] = registry.upload_size;
            registry.upload = NULL;
        }
        http_answer(a, right ? 201 : 400, "", "", 0);
    }
}

/* True if the request was answered here already. */
static bool ask_for_credentials(const http_asked *a) {
    char fields[512];
    const char *given = http_field(a, "Authorization");
    if (strncmp(a->path, "/token", 6) == 0) {
        registry.token_requests++;
        bool right = strcmp(given, NAME_AND_PASSWORD) == 0 && strstr(a->path, "service=a+b") &&
                     strstr(a->path, "scope=repository%3");
        const char *token = registry.fault == TOKEN_GARBAGE ? "{\"token\":\"a\\nb\"}" : "{\"token\":\"t0ken\"}";
        http_answer(a, right ? 200 : 401, "", token, strlen(token));
        return true;
    }
    bool basic = registry.fault == BASIC;
    if (!basic && registry.fault != TOKEN && registry.fault != TOKEN_GARBAGE && registry.fault != TOKEN_NEVER &&
        registry.fault != CHALLENGE_GARBAGE)
        return false;
    if (registry.fault != TOKEN_NEVER && strcmp(given, basic ? NAME_AND_PASSWORD : "Bearer t0ken") == 0) return false;
    if (basic)
        snprintf(fields, sizeof fields, "WWW-Authenticate: Basic realm=\"x\"\r\n");
    else
        snprintf(fields, sizeof fields,
                 "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:%d/token\",service=\"a b\"%s\r\n", server.port[1],
                 registry.fault == CHALLENGE_GARBAGE ? ",realm=\"b\"" : "");
    http_answer(a, 401, fields, "", 0);
    return true;
}

/* A server of files: the source's folder trust. */
static void give_file(const http_asked *a) {
    char path[256], data[65536];
    snprintf(path, sizeof path, "%s/source/trust/%.100s", root, a->path + strlen("/trust/"));
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(data, 1, sizeof data, file) : 0;
    if (file) fclose(file);
    if (registry.fault == ENDLESS_MANIFEST && strstr(a->path, "timestamp"))
        flood(a, "HTTP/1.1 200 OK\r\n\r\n");
    else
        http_answer(a, file ? 200 : registry.fault == FORBIDDEN ? 403 : 404, "", data, size);
}

static void answer(const http_asked *a) {
    char where[2200];
    registry.requests++;
    if (a->which == 1 && strncmp(a->path, "/token", 6) != 0)
        snprintf(registry.elsewhere, sizeof registry.elsewhere, "%s", http_field(a, "Authorization"));
    if (a->which == 0 || strncmp(a->path, "/token", 6) == 0)
        if (ask_for_credentials(a)) return;
    switch ((int)registry.fault) {
    case NOT_HTTP: http_send(a, "SSH-2.0-x\r\n", 11); return;
    case NO_ANSWER: return;
    case BUSY:
        if (registry.requests % 5 != 1 && registry.requests % 5 != 2) break;
        http_answer(a, registry.requests % 5 == 1 ? 503 : 429, "Retry-After: 0\r\n", "", 0);
        return;
    case DOWN: http_answer(a, 500, "", "{\"errors\":[{\"code\":\"UNKNOWN\"}]}", 31); return;
    case ENDLESS_ERROR: flood(a, "HTTP/1.1 404 X\r\n\r\n"); return;
    case ENDLESS_HEADER:
        http_send(a, "HTTP/1.1 200 X\r\n", 16);
        for (int i = 0; i < 100000 && http_send(a, "X-Filler: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", 46); i++) {
        }
        return;
    case LOOP: http_answer(a, 307, "Location: /v2/again\r\n", "", 0); return;
    case TO_FILE: http_answer(a, 302, "Location: file:///etc/passwd\r\n", "", 0); return;
    default: break;
    }
    if (strncmp(a->path, "/trust/", 7) == 0) {
        give_file(a);
    } else if (strstr(a->path, "/manifests/") && strcmp(a->method, "PUT") == 0) {
        snprintf(registry.kept_manifest, sizeof registry.kept_manifest, "%.*s", (int)a->size, a->body);
        snprintf(registry.kept_tag, sizeof registry.kept_tag, "%s", strrchr(a->path, '/') + 1);
        http_answer(a, 201, "", "", 0);
    } else if (strstr(a->path, "/manifests/")) {
        give_manifest(a);
    } else if (strstr(a->path, "/upload")) {
        take_upload(a);
    } else if (strcmp(a->method, "HEAD") == 0) {
        http_answer(a, 404, "", "", 0);
    } else if (registry.fault == TO_OTHER && a->which == 0) {
        snprintf(where, sizeof where, "Location: http://127.0.0.1:%d%s\r\n", server.port[1], a->path);
        http_answer(a, 307, where, "", 0);
    } else if (blob(a->path)) {
        give_blob(a, blob(a->path));
    } else {
        http_answer(a, 404, "", "", 0);
    }
}

/* ---- the tests' own ---- */

static char *at(const char *name) {
    return tree_at(root, name);
}

static tn_store *source;
static tn_store_version version;
static tree contents;

static int setup(void **state) {
    (void)state;
    char content[3000];
    if (!tree_make(root, "registry")) return -1;
    for (size_t i = 0; i < sizeof content; i++) content[i] = (char)(i * 7 + i / 251);
    tree_write(at("press.onnx"), content, sizeof content);
    tn_store_put_options o = {.struct_size = sizeof o, .name = "press", .version = "1.2.0+b"};
    assert_ok(tn_store_create(at("source")));
    assert_ok(tn_store_open(at("source"), &source));
    assert_ok(tn_store_put(source, at("press.onnx"), &o, &version));
    tree_load(at("source"), &contents);
    return http_server_start(&server, answer) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    http_server_stop(&server);
    tn_store_close(source);
    tree_free(&contents);
    return tree_remove(root);
}

static void begin_registry(fault f) {
    for (int i = 0; i < registry.kept_count; i++) free(registry.kept[i]);
    free(registry.upload);
    memset(&registry, 0, sizeof registry);
    registry.fault = f;
    registry.store = &contents;
    memcpy(registry.digest, version.digest, sizeof version.digest);
}

static tn_registry_options options(void) {
    return (tn_registry_options){.struct_size = sizeof(tn_registry_options),
                                 .plain_http = true,
                                 .attempts = 6,
                                 .wait_ms = 1,
                                 .stall_seconds = 1};
}

static const char *address(const char *what) {
    static char text[512];
    snprintf(text, sizeof text, "127.0.0.1:%d/press%s", server.port[0], what);
    return text;
}

static tn_store *empty_store(void) {
    tn_store *s;
    tree_remove(at("edge"));
    assert_ok(tn_store_create(at("edge")));
    assert_ok(tn_store_open(at("edge"), &s));
    return s;
}

static void is_whole(tn_store *s, int versions) {
    tn_store_version v;
    int faults, count = 0;
    while (tn_store_at(s, count, &v) == TN_OK) count++;
    assert_int_equal(count, versions);
    assert_ok(tn_store_verify(s, NULL, NULL, &faults));
    assert_int_equal(faults, 0);
}

static void a_version_is_pulled(void **state) {
    (void)state;
    static const fault faults[] = {NONE, BUSY, CUT, IGNORES_RANGE, NO_RANGES, TO_OTHER, BASIC, TOKEN};
    for (size_t i = 0; i < TN_COUNT(faults); i++) {
        tn_store *s = empty_store();
        tn_store_version v;
        tn_registry_options o = options();
        tn_registry_result r = {.struct_size = sizeof r};
        begin_registry(faults[i]);
        o.user = "edge:secret";
        if (tn_store_pull(s, address(":stable"), &o, &v, &r) != TN_OK)
            fail_msg("fault %d: %s", faults[i], tn_last_error());
        assert_memory_equal(&v, &version, sizeof v);
        assert_string_equal(r.digest, version.digest);
        assert_int_equal(r.blobs, 2);
        is_whole(s, 1);
        assert_string_equal(registry.elsewhere, ""); /* no credentials for others */
        if (faults[i] == TOKEN) assert_int_equal(registry.token_requests, 1);
        assert_ok(tn_store_pull(s, address(":stable"), &o, &v, &r));
        assert_int_equal(r.skipped, 2);
        is_whole(s, 1);
        tn_store_close(s);
    }
}

static void what_was_cut_is_continued_by_another_call(void **state) {
    (void)state;
    tn_store *s = empty_store();
    tn_registry_options o = options();
    tn_registry_result r = {.struct_size = sizeof r};
    o.attempts = 1;
    begin_registry(CUT);
    assert_int_equal(tn_store_pull(s, address(":stable"), &o, NULL, NULL), TN_E_IO);
    is_whole(s, 0);
    begin_registry(CUT);
    registry.blob_requests = 10; /* no more cuts */
    assert_ok(tn_store_pull(s, address(":stable"), &o, NULL, &r));
    assert_true(r.resumed > 50 && r.resumed + r.bytes == version.file_bytes + 212);
    is_whole(s, 1);
    tn_store_close(s);
}

static void a_torn_rest_is_fetched_anew(void **state) {
    (void)state;
    tn_store *s = empty_store();
    tn_registry_options o = options();
    char name[64], garbage[1000];
    memset(garbage, 'z', sizeof garbage);
    snprintf(name, sizeof name, "edge/journal/%.32s.part", version.file_digest + 7);
    tree_write(at(name), garbage, sizeof garbage);
    begin_registry(NONE);
    assert_ok(tn_store_pull(s, address(":stable"), &o, NULL, NULL));
    is_whole(s, 1);
    tn_store_close(s);
}

static void lies_are_refused(void **state) {
    (void)state;
    static const struct {
        fault fault;
        tn_status status;
        const char *sentence;
    } lies[] = {
        {WRONG_BYTES, TN_E_FORMAT, "wrong bytes"},
        {LONGER, TN_E_FORMAT, "expected"},
        {LONGER_UNSAID, TN_E_FORMAT, "more of"},
        {SHORTER_SAID, TN_E_FORMAT, "expected"},
        {CUT_AT_ONE, TN_E_IO, "127.0.0.1"},
        {WRONG_RANGE, TN_E_FORMAT, "expected bytes from"},
        {WRONG_TOTAL, TN_E_FORMAT, "expected bytes from"},
        {STALLS, TN_E_IO, "too slow"},
        {ENDLESS_ERROR, TN_E_NOT_FOUND, "not found"},
        {ENDLESS_HEADER, TN_E_LIMIT, "header"},
        {ENDLESS_MANIFEST, TN_E_LIMIT, "more than the 4194304 bytes"},
        {GARBAGE, TN_E_FORMAT, "manifest"},
        {NO_OBJECT, TN_E_FORMAT, "no JSON object"},
        {OTHER_TYPE, TN_E_FORMAT, "image.index"},
        {OTHER_DIGEST_SAID, TN_E_FORMAT, "its digest is"},
        {NOT_HTTP, TN_E_IO, "127.0.0.1"},
        {NO_ANSWER, TN_E_IO, "127.0.0.1"},
        {DOWN, TN_E_IO, "UNKNOWN"},
        {LOOP, TN_E_IO, "redirects more than"},
        {TO_FILE, TN_E_INVALID, "neither https nor http"},
        {TOKEN_GARBAGE, TN_E_FORMAT, "bytes that no token has"},
        {TOKEN_NEVER, TN_E_IO, "does not accept"},
        {CHALLENGE_GARBAGE, TN_E_IO, "not understood"},
    };
    for (size_t i = 0; i < TN_COUNT(lies); i++) {
        tn_store *s = empty_store();
        tn_registry_options o = options();
        o.attempts = 2;
        o.user = "edge:secret";
        begin_registry(lies[i].fault);
        tn_status status = tn_store_pull(s, address(":stable"), &o, NULL, NULL);
        if (status != lies[i].status || !strstr(tn_last_error(), lies[i].sentence))
            fail_msg("fault %d: %s: %s", lies[i].fault, tn_status_text(status), tn_last_error());
        assert_null(strstr(tn_last_error(), "secret"));
        is_whole(s, 0);
        tn_store_close(s);
    }
}

static void manifests_that_ask_too_much_are_refused(void **state) {
    (void)state;
    static const char form[] =
        "{\"schemaVersion\":2,\"mediaType\":\"" TN_OCI_MANIFEST "\",\"artifactType\":\"" TN_MODEL_MANIFEST
        "\",\"config\":{"
        "\"digest\":\"%s\",\"size\":%s},\"layers\":[{\"digest\":\"%s\",\"size\":%s}],\"annotations\":{"
        "\"org.opencontainers.image.title\":\"%s\",\"org.opencontainers.image.version\":\"1.0.0\","
        "\"org.opencontainers.image.created\":\"2026-03-01T12:00:00Z\"}}";
    static const struct {
        const char *digest, *config, *layer, *name;
        tn_status status;
    } all[] = {
        {NULL, "9223372036854775807", "9223372036854775807", "press", TN_E_LIMIT},
        {NULL, "1", "99999999999", "press", TN_E_LIMIT},
        {NULL, "-1", "1", "press", TN_E_FORMAT},
        {NULL, "1.5", "1", "press", TN_E_FORMAT},
        {NULL, "1", "1", "../press", TN_E_INVALID},
        {"sha256:../../../etc/passwd", "1", "1", "press", TN_E_FORMAT},
        {"md5:0123", "1", "1", "press", TN_E_FORMAT},
    };
    tn_registry_options o = options();
    for (size_t i = 0; i < TN_COUNT(all); i++) {
        tn_store *s = empty_store();
        const char *digest = all[i].digest ? all[i].digest : version.file_digest;
        begin_registry(NONE);
        snprintf(registry.manifest, sizeof registry.manifest, form, digest, all[i].config, digest, all[i].layer,
                 all[i].name);
        tn_status status = tn_store_pull(s, address(":stable"), &o, NULL, NULL);
        if (status != all[i].status) fail_msg("manifest %zu: %s: %s", i, tn_status_text(status), tn_last_error());
        assert_int_equal(registry.blob_requests, 0);
        is_whole(s, 0);
        tn_store_close(s);
    }
    char text[256];
    tn_store *s = empty_store();
    begin_registry(NONE);
    snprintf(text, sizeof text, "@sha256:%064d", 0);
    assert_int_equal(tn_store_pull(s, address(text), &o, NULL, NULL), TN_E_FORMAT);
    assert_non_null(strstr(tn_last_error(), "another manifest"));
    snprintf(text, sizeof text, "@%s", version.digest);
    assert_ok(tn_store_pull(s, address(text), &o, NULL, NULL));
    o.most_bytes = 100;
    assert_ok(tn_store_pull(s, address(":stable"), &o, NULL, NULL)); /* it is there */
    tn_store_close(s);
    s = empty_store();
    assert_int_equal(tn_store_pull(s, address(":stable"), &o, NULL, NULL), TN_E_LIMIT);
    tn_store_close(s);
}

static void a_version_that_is_there_is_not_replaced(void **state) {
    (void)state;
    tn_store *s = empty_store();
    tn_registry_options o = options();
    tn_store_put_options other = {.struct_size = sizeof other, .name = "press", .version = "1.2.0+b"};
    tree_write(at("other"), "other", 5);
    assert_ok(tn_store_put(s, at("other"), &other, NULL));
    begin_registry(NONE);
    assert_int_equal(tn_store_pull(s, address(":stable"), &o, NULL, NULL), TN_E_STATE);
    assert_int_equal(registry.blob_requests, 0);
    is_whole(s, 1);
    tn_store_close(s);
}

static void a_version_is_pushed(void **state) {
    (void)state;
    static const fault faults[] = {NONE, BUSY, UPLOAD_CUT, UPLOAD_LOST, BASIC, TOKEN};
    for (size_t i = 0; i < TN_COUNT(faults); i++) {
        tn_registry_options o = options();
        tn_registry_result r = {.struct_size = sizeof r};
        begin_registry(faults[i]);
        o.user = "edge:secret";
        o.piece_bytes = 700;
        o.attempts = 12;
        if (tn_store_push(source, "press:1.2.0+b", address(""), &o, &r) != TN_OK)
            fail_msg("fault %d: %s", faults[i], tn_last_error());
        assert_int_equal(registry.kept_count, 2);
        assert_true(r.bytes >= version.file_bytes + 212 && (faults[i] != NONE || r.bytes == version.file_bytes + 212));
        size_t size;
        char *file = tree_read(at("press.onnx"), &size), digest[TN_STORE_DIGEST];
        assert_int_equal(registry.kept_size[1], size);
        assert_memory_equal(registry.kept[1], file, size);
        free(file);
        tn_digest_of(registry.kept_manifest, strlen(registry.kept_manifest), digest);
        assert_string_equal(digest, version.digest);
        assert_string_equal(registry.kept_tag, "1.2.0_b");
    }
}

static void a_push_that_cannot_be_fails(void **state) {
    (void)state;
    static const struct {
        fault fault;
        tn_status status;
        const char *sentence;
    } lies[] = {{UPLOAD_NOWHERE, TN_E_IO, "Location"}, {UPLOAD_LEAPS, TN_E_IO, "were sent"}, {DOWN, TN_E_IO, "500"}};
    for (size_t i = 0; i < TN_COUNT(lies); i++) {
        tn_registry_options o = options();
        o.attempts = 2;
        begin_registry(lies[i].fault);
        tn_status status = tn_store_push(source, "press:1.2.0+b", address(""), &o, NULL);
        if (status != lies[i].status || !strstr(tn_last_error(), lies[i].sentence))
            fail_msg("fault %d: %s: %s", lies[i].fault, tn_status_text(status), tn_last_error());
        assert_null(strstr(tn_last_error(), "_state"));
    }
    assert_int_equal(tn_store_push(source, "press:9.9.9", address(""), NULL, NULL), TN_E_NOT_FOUND);
    assert_int_equal(tn_store_push(source, "press:1.2.0+b", "registry", NULL, NULL), TN_E_INVALID);
}

static void what_is_trusted_comes_from_any_server_of_files(void **state) {
    (void)state;
    char url[64];
    tn_store *s = empty_store();
    tn_store_channel_info c;
    tn_store_version v;
    tn_trust_state t = {.struct_size = sizeof t};
    tn_registry_options o = options();
    o.attempts = 2;
    snprintf(url, sizeof url, "http://127.0.0.1:%d/trust/", server.port[0]);
    assert_ok(tn_trust_init(source, at("keys"), NULL));
    assert_ok(tn_store_promote(source, "press:1.2.0+b", "stable", at("keys")));
    begin_registry(NONE);
    assert_int_equal(tn_trust_fetch(s, url, &o), TN_E_NOT_FOUND); /* it trusts no root yet */
    assert_ok(tn_trust_accept(s, at("source/trust/1.root.json"), TN_TRUST_ENFORCE));
    assert_ok(tn_trust_fetch(s, url, &o));
    assert_ok(tn_store_channel(s, "press", "stable", &c));
    assert_string_equal(c.digest, version.digest);
    /* Another root, and a server that has other words for what is not there. */
    assert_ok(tn_trust_rotate(source, "timestamp", at("keys")));
    begin_registry(FORBIDDEN);
    assert_ok(tn_trust_fetch(s, url, &o));
    assert_ok(tn_trust_info(s, &t));
    assert_int_equal(t.root, 2);
    assert_ok(tn_trust_sign(source, at("keys")));
    begin_registry(ENDLESS_MANIFEST);
    assert_int_equal(tn_trust_fetch(s, url, &o), TN_E_LIMIT);
    begin_registry(DOWN);
    assert_int_equal(tn_trust_fetch(s, url, &o), TN_E_IO);
    begin_registry(NONE);
    for (int i = 0; i < 2; i++) {
        assert_ok(tn_store_follow(s, "press@stable", url, address(""), &o, &v));
        assert_memory_equal(&v, &version, sizeof v);
    }
    assert_int_equal(registry.blob_requests, 2); /* in the first round */
    is_whole(s, 1);
    begin_registry(WRONG_BYTES);
    assert_int_equal(tn_store_follow(s, "press@canary", url, address(""), &o, &v), TN_E_NOT_FOUND);
    assert_int_equal(tn_store_follow(s, "press@stable", url, address(":tag"), &o, &v), TN_E_INVALID);
    assert_int_equal(tn_store_follow(s, "press", url, address(""), &o, &v), TN_E_INVALID);
    assert_int_equal(tn_trust_fetch(s, "https://a/trust?b", &o), TN_E_INVALID);
    assert_int_equal(tn_trust_fetch(s, "http://edge:secret@127.0.0.1/trust", &o), TN_E_INVALID);
    assert_null(strstr(tn_last_error(), "secret"));
    tn_store_close(s);
}

static bool stop(void *context, uint64_t done, uint64_t total) {
    (void)done, (void)total;
    return --*(int *)context > 0;
}

static void the_program_can_end_it(void **state) {
    (void)state;
    int calls = 1;
    tn_store *s = empty_store();
    tn_registry_options o = options();
    o.progress = stop;
    o.context = &calls;
    begin_registry(STALLS);
    assert_int_equal(tn_store_pull(s, address(":stable"), &o, NULL, NULL), TN_E_INTERRUPTED);
    is_whole(s, 0);
    tn_store_close(s);
}

static void plain_http_is_not_for_others(void **state) {
    (void)state;
    tn_registry_options o = options();
    tn_http *h;
    char *url;
    o.plain_http = false;
    assert_ok(tn_http_create(&o, "registry.example.com", &h));
    assert_int_equal(tn_url_resolve(h, NULL, "http://registry.example.com/v2/", &url), TN_E_INVALID);
    assert_int_equal(tn_url_resolve(h, "https://a/", "http://127.0.0.1/v2/", &url), TN_E_INVALID);
    assert_int_equal(tn_url_resolve(h, NULL, "https://a:b@c/", &url), TN_E_INVALID);
    assert_null(strstr(tn_last_error(), "a:b"));
    assert_int_equal(tn_url_resolve(h, NULL, "gopher://127.0.0.1/", &url), TN_E_INVALID);
    assert_ok(tn_url_resolve(h, "https://a/b/c?d", "../e", &url));
    assert_string_equal(url, "https://a/e");
    tn_url_free(url);
    tn_http_destroy(h);
    static const char *const users[] = {"edge", ":secret", "edge:a\r\nb"};
    for (size_t i = 0; i < TN_COUNT(users); i++) {
        o.user = users[i];
        assert_int_equal(tn_http_create(&o, "a", &h), TN_E_INVALID);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(this_machine_has_few_names),
        cmocka_unit_test(challenges_are_read_strictly),
        cmocka_unit_test(ranges_are_read_strictly),
        cmocka_unit_test(tokens_cannot_smuggle_header_lines),
        cmocka_unit_test(a_version_is_pulled),
        cmocka_unit_test(what_was_cut_is_continued_by_another_call),
        cmocka_unit_test(a_torn_rest_is_fetched_anew),
        cmocka_unit_test(lies_are_refused),
        cmocka_unit_test(manifests_that_ask_too_much_are_refused),
        cmocka_unit_test(a_version_that_is_there_is_not_replaced),
        cmocka_unit_test(a_version_is_pushed),
        cmocka_unit_test(a_push_that_cannot_be_fails),
        cmocka_unit_test(what_is_trusted_comes_from_any_server_of_files),
        cmocka_unit_test(the_program_can_end_it),
        cmocka_unit_test(plain_http_is_not_for_others),
    };
    setenv("no_proxy", "127.0.0.1", 1);
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    begin_registry(NONE);
    return failed;
}
#else
static void it_says_that_it_is_not_there(void **state) {
    (void)state;
    assert_int_equal(tn_store_push(NULL, "a", "b/c", NULL, NULL), TN_E_UNSUPPORTED);
    assert_int_equal(tn_store_pull(NULL, "b/c", NULL, NULL, NULL), TN_E_UNSUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_says_that_it_is_not_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
