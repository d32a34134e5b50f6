/* What lies beside a version in a registry: its referrers, as a list of descriptors in an index (distribution-spec,
 * "Listing Referrers"). A registry that keeps none has the list under a tag that is made of the version's digest, where whoever
 * pushes keeps it ("Referrers Tag Schema"). */
#include "registry/http.h"
#include <stdio.h>
#include <stdlib.h>

#define TURNS 6 /* in which an entry must get into a list that others change as well */
#define FILTER "?artifactType=application%2Fvnd.tenon.delta.v1"

/* A list as it was read, and the line of a request that holds only as long as it is so. */
typedef struct listed {
    json_t *index; /* NULL: there is none */
    char condition[160];
} listed;

/* The status codes of registries that do not have it. */
static const int wanted[] = {200, 400, 403, 404, 405, 406, 501, 0};

/* *out_index NULL: there is none. */
static tn_status ask(tn_http *h, const char *url, listed *out) {
    tn_exchange e = {.method = "GET", .accept = TN_OCI_INDEX, .limit = TN_STORE_JSON_BYTES};
    *out = (listed){0};
    tn_status status = tn_http_request(h, url, wanted, &e);
    if (status == TN_OK && e.code == 200)
        status = tn_json_parse("the list of referrers", e.data ? e.data : "", e.size, &out->index);
    if (status == TN_OK && e.code == 404) snprintf(out->condition, sizeof out->condition, "If-None-Match: *");
    if (status == TN_OK && e.code == 200 && e.etag[0] == '"')
        snprintf(out->condition, sizeof out->condition, "If-Match: %s", e.etag);
    tn_exchange_clear(&e);
    return status;
}

static tn_status tag_url(const tn_http *h, const tn_address *a, const char *digest, char url[TN_URL_BYTES]) {
    char tag[TN_STORE_DIGEST];
    snprintf(tag, sizeof tag, "sha256-%s", digest + strlen("sha256:"));
    return tn_address_url(a, h->base, "manifests", tag, url);
}

tn_status tn_referrers_read(tn_http *h, const tn_address *a, const char *digest, json_t **out_index) {
    char name[sizeof FILTER + TN_STORE_DIGEST], url[TN_URL_BYTES];
    snprintf(name, sizeof name, "%s%s", digest, FILTER);
    TN_TRY(tn_address_url(a, h->base, "referrers", name, url));
    listed list;
    tn_status status = ask(h, url, &list);
    if (status == TN_OK && !list.index) {
        TN_TRY(tag_url(h, a, digest, url));
        status = ask(h, url, &list);
    }
    *out_index = list.index;
    if (status == TN_E_INTERRUPTED || status == TN_E_MEMORY) return status;
    if (!*out_index) *out_index = json_object(); /* what cannot be read has nothing of use */
    return *out_index ? TN_OK : tn_fail(TN_E_MEMORY, "no memory for a list of referrers");
}

static bool has(const json_t *index, const char *digest) {
    const json_t *entry;
    size_t i;
    json_array_foreach(json_object_get(index, "manifests"), i, entry) {
        const char *text = json_string_value(json_object_get(entry, "digest"));
        if (text && strcmp(text, digest) == 0) return true;
    }
    return false;
}

/* Nothing is put, and nothing is wrong, where the registry sees that the list is another one by now (412). */
static tn_status put(tn_http *h, const char *url, const json_t *index, const char *condition) {
    static const int created[] = {201, 412, 0};
    char *text = tn_json_dump(index);
    if (!text) return tn_fail(TN_E_MEMORY, "no memory for a list of referrers");
    tn_exchange e = {.method = "PUT", .content_type = TN_OCI_INDEX, .body = text, .send = strlen(text), .limit = 65536};
    snprintf(e.condition, sizeof e.condition, "%s", condition);
    tn_status status = tn_http_request(h, url, created, &e);
    tn_exchange_clear(&e);
    free(text);
    return status;
}

/* Adds the entry to the list that is under the tag now, unless it is there; *out_there: it was. */
static tn_status add_once(tn_http *h, const char *url, const char *digest, json_t *entry, bool *out_there) {
    listed list;
    TN_TRY(ask(h, url, &list));
    json_t *index = list.index;
    if (!index) index = json_pack("{s:i,s:s,s:[]}", "schemaVersion", 2, "mediaType", TN_OCI_INDEX, "manifests");
    json_t *entries = json_object_get(index, "manifests");
    tn_status status = TN_OK;
    *out_there = has(index, json_string_value(json_object_get(entry, "digest")));
    if (!index)
        status = tn_fail(TN_E_MEMORY, "no memory for a list of referrers");
    else if (!json_is_array(entries))
        status = tn_fail(TN_E_FORMAT, "the tag for what lies beside %s has something else", digest);
    else if (!*out_there)
        status = json_array_append(entries, entry) == 0 ? put(h, url, index, list.condition) : TN_E_MEMORY;
    json_decref(index);
    return status;
}

/* Of two that read the list, add and put at once, the later one takes the other's entry away. A registry that knows conditional
 * requests (RFC 9110, 13; the specification leaves it to registries) refuses the later one, who reads and adds anew. Others
 * take it. So each looks again when some time has passed, in which who read the list before has put it, and adds what is
 * lost once more. */
tn_status tn_referrers_add(tn_http *h, const tn_address *a, const char *digest, json_t *entry) {
    char url[TN_URL_BYTES];
    bool there;
    TN_TRY(tag_url(h, a, digest, url));
    for (int turn = 1; turn <= TURNS; turn++) {
        TN_TRY(add_once(h, url, digest, entry, &there));
        if (there) return TN_OK;
        TN_TRY(tn_http_wait(h, turn, &(tn_exchange){0}));
    }
    return tn_fail(TN_E_STATE, "others change the list of what lies beside %s all the time; push once more", digest);
}
