/* Deltas through registries: what changed comes instead of the file, is gone on with after any cut, and is never believed. */
#include "unit.h"
#include <tenon/tenon.h>

#if TN_WITH_SODIUM && TN_WITH_JANSSON && TN_WITH_CURL
#include "http_server.h"
#include "store/delta.h"
#include "tree.h"

enum { VALUES = 6000 };

static char root[64];
static http_server server;
static tn_store *source;
static tn_store_version old, new;
static tn_store_delta delta;

/* The registry has all blobs of `source`, takes manifests, and lists what lies beside the new version. */
static struct {
    bool lists;      /* by its API, else under the tag */
    char *list;      /* NULL: none */
    char *rival;     /* what another pusher puts in its place, */
    int rivals;      /* after so many lists that were put, */
    bool conditions; /* or before them, at a registry that knows conditional requests */
    int changes, refusals;
    long room;       /* bytes of blobs that it sends before it cuts; -1: no end */
    long sent;       /* of blobs */
    char puts[1024]; /* under what manifests were put, a space behind each */
} registry;

static char *at(const char *name) {
    return tree_at(root, name);
}

static tn_store_version put_model(const char *number, float last) {
    float *values = calloc(VALUES, sizeof *values);
    tn_store_version v;
    assert_non_null(values);
    for (int i = 0; i < VALUES; i++) values[i] = (float)((i * 7919) % 4099) / 4099 + (i >= VALUES - 100 ? last : 0);
    tree_write(at("press.onnx"), (const char *)values, VALUES * sizeof *values);
    free(values);
    tn_store_put_options o = {.struct_size = sizeof o, .name = "press", .version = number};
    assert_ok(tn_store_put(source, at("press.onnx"), &o, &v));
    return v;
}

static void give(const http_asked *a, const char *type, const char *data, size_t size) {
    char fields[512];
    int n = snprintf(fields, sizeof fields, "Content-Type: %s\r\n", type);
    if (registry.conditions) snprintf(fields + n, sizeof fields - (size_t)n, "ETag: \"list %d\"\r\n", registry.changes);
    http_answer(a, data ? 200 : 404, fields, data, data ? size : 0);
}

static char *read_blob(const char *digest, size_t *size) {
    char path[200];
    snprintf(path, sizeof path, "%s/source/blobs/sha256/%.64s", root, digest + 7);
    return access(path, R_OK) == 0 ? tree_read(path, size) : NULL;
}

static void give_blob(const http_asked *a, const char *data, size_t size) {
    char header[512];
    unsigned long long from = 0;
    int code = sscanf(http_field(a, "Range"), "bytes=%llu-", &from) == 1 ? 206 : 200;
    size_t rest = size - (size_t)from, send = rest;
    if (registry.room >= 0 && (long)send > registry.room) send = (size_t)registry.room;
    if (registry.room >= 0) registry.room -= (long)send;
    registry.sent += (long)send;
    int n = snprintf(header, sizeof header,
                     "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nContent-Range: bytes %llu-%zu/%zu\r\n\r\n", code, rest,
                     from, size - 1, size);
    if (http_send(a, header, (size_t)n)) http_send(a, data + from, send);
}

static void set_list(char *list) {
    free(registry.list);
    registry.list = list;
    registry.changes++;
}

/* Whether what the request wants to be so is so. */
static bool condition_holds(const http_asked *a) {
    char now[32];
    snprintf(now, sizeof now, "\"list %d\"", registry.changes);
    if (*http_field(a, "If-Match")) return registry.list && strcmp(http_field(a, "If-Match"), now) == 0;
    return strcmp(http_field(a, "If-None-Match"), "*") != 0 || !registry.list;
}

/* An entry of another pusher's gets into the list that is there. */
static void put_beside(void) {
    json_t *list = registry.list ? json_loads(registry.list, 0, NULL) : json_loads(registry.rival, 0, NULL);
    char digest[TN_STORE_DIGEST];
    snprintf(digest, sizeof digest, "sha256:%064d", registry.changes);
    json_array_append_new(json_object_get(list, "manifests"), json_pack("{s:s}", "digest", digest));
    set_list(json_dumps(list, 0));
    json_decref(list);
}

static void take_list_on_condition(const http_asked *a) {
    if (registry.rivals-- > 0) put_beside();
    bool good = condition_holds(a);
    registry.refusals += !good;
    if (good) set_list(strndup(a->body, a->size));
    http_answer(a, good ? 201 : 412, "", "", 0);
}

static void take_manifest(const http_asked *a, const char *under) {
    size_t used = strlen(registry.puts);
    snprintf(registry.puts + used, sizeof registry.puts - used, "%s ", under);
    if (strncmp(under, "sha256-", 7) == 0) {
        if (registry.conditions) {
            take_list_on_condition(a);
            return;
        }
        set_list(registry.rivals-- > 0 ? strdup(registry.rival) : strndup(a->body, a->size));
    }
    http_answer(a, 201, registry.lists ? "OCI-Subject: sha256:0\r\n" : "", "", 0);
}

static void answer(const http_asked *a) {
    const char *last = strrchr(a->path, '/') + 1;
    size_t size;
    if (strcmp(a->method, "PUT") == 0) {
        take_manifest(a, last);
    } else if (strcmp(a->method, "HEAD") == 0) {
        http_answer(a, 200, "", "", 0);
    } else if (strstr(a->path, "/referrers/") || strncmp(last, "sha256-", 7) == 0) {
        bool asked = registry.lists == (strstr(a->path, "/referrers/") != NULL);
        give(a, TN_OCI_INDEX, asked ? registry.list : NULL, registry.list ? strlen(registry.list) : 0);
    } else {
        char *data = strncmp(last, "sha256:", 7) == 0 ? read_blob(last, &size) : NULL;
        if (data && strstr(a->path, "/blobs/"))
            give_blob(a, data, size);
        else
            give(a, TN_OCI_MANIFEST, data, size);
        free(data);
    }
}

static tn_registry_options options = {.struct_size = sizeof options, .plain_http = true, .attempts = 1, .wait_ms = 1};

static const char *address(const char *what) {
    static char text[256];
    snprintf(text, sizeof text, "127.0.0.1:%d/press%s", server.port[0], what);
    return text;
}

static int setup(void **state) {
    (void)state;
    if (!tree_make(root, "registry_delta")) return -1;
    assert_ok(tn_store_create(at("source")));
    assert_ok(tn_store_open(at("source"), &source));
    old = put_model("1.0.0", 0);
    new = put_model("1.1.0", 0.25f);
    assert_ok(tn_store_put_delta(source, "press:1.0.0", "press:1.1.0", NULL));
    assert_ok(tn_delta_at(source->index, new.file_digest, 0, &delta));
    memset(&registry, 0, sizeof registry);
    registry.room = -1;
    return http_server_start(&server, answer) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    http_server_stop(&server);
    free(registry.list);
    tn_store_close(source);
    return tree_remove(root);
}

/* A store that has the old version. */
static tn_store *edge(void) {
    tn_store *s;
    tree_remove(at("edge"));
    assert_ok(tn_store_create(at("edge")));
    assert_ok(tn_store_open(at("edge"), &s));
    assert_ok(tn_store_fetch(s, at("source"), "press:1.0.0", NULL, NULL, NULL));
    return s;
}

static tn_status pull(tn_store *s, tn_registry_result *r) {
    char what[TN_STORE_DIGEST + 1];
    snprintf(what, sizeof what, "@%s", new.digest);
    *r = (tn_registry_result){.struct_size = sizeof *r};
    registry.sent = 0;
    return tn_store_pull(s, address(what), &options, NULL, r);
}

static void is_new(tn_store *s) {
    int faults;
    tn_store_version v;
    assert_ok(tn_store_find(s, "press", &v));
    assert_string_equal(v.digest, new.digest);
    assert_ok(tn_store_verify(s, NULL, NULL, &faults));
    assert_int_equal(faults, 0);
}

static uint64_t config_bytes(void) {
    json_t *manifest;
    char digest[TN_STORE_DIGEST];
    uint64_t size;
    assert_ok(tn_blob_json(source, new.digest, &manifest));
    assert_ok(tn_oci_manifest_part(manifest, "it", -1, digest, &size));
    json_decref(manifest);
    return size;
}

static void push(void) {
    tn_registry_result r = {.struct_size = sizeof r};
    assert_ok(tn_store_push(source, "press:1.1.0", address(":new"), &options, &r));
    assert_int_equal(r.deltas, 1);
}

static void a_delta_goes_along_and_comes_instead_of_the_file(void **state) {
    (void)state;
    tn_registry_result r;
    char tag[100];
    snprintf(tag, sizeof tag, " sha256-%.64s new ", new.digest + 7);
    for (int lists = 0; lists < 2; lists++) {
        registry.lists = lists;
        registry.puts[0] = 0;
        push();
        /* The delta's manifest, the list where the registry keeps none, and the version, which comes last. */
        assert_int_equal(strncmp(registry.puts, "sha256:", 7), 0);
        assert_string_equal(strchr(registry.puts, ' '), lists ? " new " : tag);
        tn_store *s = edge();
        assert_ok(pull(s, &r));
        assert_int_equal(r.deltas, 1);
        assert_int_equal(r.bytes, delta.size + config_bytes());
        assert_int_equal(registry.sent, delta.size + config_bytes());
        assert_true(delta.size < new.file_bytes / 20);
        is_new(s);
        tn_store_close(s);
    }
    registry.lists = false;
    char *before = strdup(registry.list);
    push(); /* is in the list already */
    assert_string_equal(registry.list, before);
    free(before);
}

/* Both read the list when it was empty; the other one puts last, once or again and again. */
static void what_another_push_takes_out_of_the_list_is_put_back(void **state) {
    (void)state;
    char other[TN_STORE_DIGEST], rival[256];
    snprintf(other, sizeof other, "sha256:%064d", 9);
    snprintf(rival, sizeof rival, "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"%s\"}]}", other);
    registry.rival = rival;
    for (int rivals = 1; rivals < 4; rivals++) {
        free(registry.list);
        registry.list = NULL;
        registry.rivals = rivals;
        push();
        assert_non_null(strstr(registry.list, other));
        assert_non_null(strstr(registry.list, delta.blob));
    }
    registry.rivals = 1000;
    assert_int_equal(tn_store_push(source, "press:1.1.0", address(":new"), &options, NULL), TN_OK); /* it is there */
    free(registry.list);
    registry.list = NULL;
    assert_int_equal(tn_store_push(source, "press:1.1.0", address(":new"), &options, NULL), TN_E_STATE);
    assert_non_null(strstr(tn_last_error(), "others change the list"));
}

/* Others put their entries between what is read and what is put, from the first list on: none of them is lost. */
static void a_registry_that_knows_conditions_loses_no_entry(void **state) {
    (void)state;
    char rival[] = "{\"schemaVersion\":2,\"manifests\":[]}";
    registry.rival = rival;
    registry.conditions = true;
    for (int rivals = 0; rivals < 4; rivals++) {
        set_list(NULL);
        registry.changes = registry.refusals = 0;
        registry.rivals = rivals;
        push();
        json_t *list = json_loads(registry.list, 0, NULL);
        assert_int_equal(registry.refusals, rivals);
        assert_int_equal(json_array_size(json_object_get(list, "manifests")), rivals + 1);
        assert_non_null(strstr(registry.list, delta.blob));
        json_decref(list);
    }
}

static void without_a_list_or_a_base_the_file_comes(void **state) {
    (void)state;
    tn_registry_result r;
    tn_store *s = edge();
    assert_ok(pull(s, &r));
    assert_int_equal(r.deltas, 0);
    assert_int_equal(r.bytes, new.file_bytes + config_bytes());
    is_new(s);
    tn_store_close(s);
    push();
    s = edge();
    assert_ok(tn_store_remove(s, "press"));
    assert_ok(tn_store_collect(s, NULL));
    assert_ok(pull(s, &r));
    assert_int_equal(r.deltas, 0);
    is_new(s);
    tn_store_close(s);
}

static void what_comes_is_within_the_budget(void **state) {
    (void)state;
    tn_registry_result r;
    tn_store *s = edge();
    options.most_bytes = delta.size + config_bytes();
    assert_int_equal(pull(s, &r), TN_E_LIMIT);
    assert_int_equal(registry.sent, 0);
    push();
    options.most_bytes--;
    assert_int_equal(pull(s, &r), TN_E_LIMIT);
    assert_int_equal(registry.sent, 0);
    options.most_bytes++;
    assert_ok(pull(s, &r));
    is_new(s);
    tn_store_close(s);
    options.most_bytes = 0;
}

static void a_cut_at_any_byte_is_gone_on_from(void **state) {
    (void)state;
    long all = (long)(delta.size + config_bytes()), step = all / 60 + 1;
    push();
    for (long cut = 0; cut < all; cut += step) {
        tn_registry_result r;
        tn_store *s = edge();
        registry.room = cut;
        assert_int_equal(pull(s, &r), TN_E_IO);
        assert_int_equal(registry.sent, cut);
        registry.room = -1;
        assert_ok(pull(s, &r));
        assert_int_equal(registry.sent, all - cut); /* no byte twice */
        assert_int_equal(r.deltas, 1);
        is_new(s);
        tn_store_close(s);
        assert_int_equal(tree_count(at("edge/journal")), 0);
    }
}

/* Replaces a part of the list; false if it is not there. */
static bool say(const char *instead, const char *of) {
    char *place = strstr(registry.list, of);
    if (!place) return false;
    size_t head = (size_t)(place - registry.list);
    char *text = malloc(strlen(registry.list) + strlen(instead) + 1);
    assert_non_null(text);
    sprintf(text, "%.*s%s%s", (int)head, registry.list, instead, place + strlen(of));
    free(registry.list);
    registry.list = text;
    return true;
}

static void lists_that_lie_are_passed_over(void **state) {
    (void)state;
    char size[64], nowhere[TN_STORE_DIGEST];
    snprintf(size, sizeof size, "\"org.tenon.delta.size\":\"%llu\"", (unsigned long long)delta.size);
    snprintf(nowhere, sizeof nowhere, "sha256:%064d", 7);
    const struct {
        const char *of, *instead;
    } lies[] = {
        {delta.blob, nowhere},                             /* is not there */
        {delta.blob, old.digest},                          /* is no delta */
        {size, "\"org.tenon.delta.size\":\"10\""},         /* is longer */
        {size, "\"org.tenon.delta.size\":\"9000\""},       /* is shorter */
        {size, "\"org.tenon.delta.size\":\"9999999999\""}, /* is longer than the file */
        {delta.base, nowhere},
        {new.file_digest, old.file_digest},
        {"{", "["},
        {"\"manifests\":[", "\"manifests\":[null,17,{\"annotations\":[]},"}, /* and after it a good one */
    };
    for (size_t i = 0; i < TN_COUNT(lies); i++) {
        tn_registry_result r;
        tn_store *s = edge();
        free(registry.list);
        registry.list = NULL;
        push();
        assert_true(say(lies[i].instead, lies[i].of));
        tn_status status = pull(s, &r);
        if (status != TN_OK) fail_msg("lie %zu: %s", i, tn_last_error());
        assert_int_equal(r.deltas, i + 1 == TN_COUNT(lies));
        is_new(s);
        tn_store_close(s);
    }
    /* The way without is too long. */
    tn_registry_result r;
    tn_store *s = edge();
    free(registry.list);
    registry.list = NULL;
    push();
    assert_true(say(nowhere, delta.blob));
    options.most_bytes = new.file_bytes;
    assert_int_equal(pull(s, &r), TN_E_LIMIT);
    assert_non_null(strstr(tn_last_error(), "instead of its delta"));
    options.most_bytes = 0;
    tn_store_close(s);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_delta_goes_along_and_comes_instead_of_the_file),
        TEST(what_another_push_takes_out_of_the_list_is_put_back),
        TEST(a_registry_that_knows_conditions_loses_no_entry),
        TEST(without_a_list_or_a_base_the_file_comes),
        TEST(what_comes_is_within_the_budget),
        TEST(a_cut_at_any_byte_is_gone_on_from),
        TEST(lists_that_lie_are_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void) {
    print_message("registries are left out of this build\n");
    return 0;
}
#endif
