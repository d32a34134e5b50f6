/* Fuzzing what comes from registries and from command lines: any bytes, taken for an address, a challenge, a range, a
 * token, an error, a manifest or a list of what lies beside one, end in something of good form or in a sentence. */
#include <stdlib.h>
#include <string.h>
#include <tenon/tenon.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

#if TN_WITH_SODIUM && TN_WITH_JANSSON && TN_WITH_CURL
#include "registry/registry.h"
#include "store/delta.h"

static void demand(bool holds) {
    if (!holds) abort();
}

static bool is_printable(const char *text) {
    for (; *text; text++)
        if (*text < 0x20 || *text > 0x7e) return false;
    return true;
}

/* What was read can be written, and is read as the same. */
static void take_address(const char *text) {
    tn_address a, again;
    char whole[1024];
    if (tn_address_parse(text, &a) != TN_OK) return;
    demand(is_printable(a.host) && !strpbrk(a.host, "/@?#\\ ") && is_printable(a.repository) &&
           !strstr(a.repository, ".."));
    demand(!a.tag[0] || !a.digest[0]);
    snprintf(whole, sizeof whole, "%s/%s%s%s%s%s", a.host, a.repository, a.tag[0] ? ":" : "", a.tag,
             a.digest[0] ? "@" : "", a.digest);
    demand(strcmp(whole, text) == 0 && tn_address_parse(whole, &again) == TN_OK && memcmp(&a, &again, sizeof a) == 0);
    tn_host_is_here(a.host);
}

static void take_header(const char *text) {
    tn_challenge c;
    uint64_t range[3], there;
    if (tn_challenge_parse(text, &c)) {
        demand(c.basic || c.bearer);
        demand(is_printable(c.realm) && is_printable(c.service) && is_printable(c.scope) && (!c.bearer || c.realm[0]));
    }
    if (tn_content_range_parse(text, range)) demand(range[0] <= range[1] && range[1] < range[2]);
    tn_upload_range_parse(text, &there);
}

static void take_json(const char *text, size_t size) {
    char said[256], *token, digest[TN_STORE_DIGEST];
    json_t *manifest;
    tn_store_version v;
    uint64_t bytes;
    tn_error_read(text, size, said);
    demand(is_printable(said));
    if (tn_token_read(text, size, &token) == TN_OK) {
        demand(token[0] && is_printable(token) && !strchr(token, ' '));
        tn_store_free_text(token, strlen(token));
    }
    if (tn_json_parse("it", text, size, &manifest) != TN_OK) return;
    tn_digest_of(text, size, digest);
    if (tn_oci_manifest_read(manifest, digest, &v) == TN_OK)
        demand(tn_store_check_name(v.name) == TN_OK && tn_digest_is_valid(v.file_digest));
    for (int i = -1; tn_oci_manifest_part(manifest, "it", i, digest, &bytes) == TN_OK; i++)
        demand(tn_digest_is_valid(digest) && bytes <= INT64_MAX);
    tn_store_delta delta;
    memcpy(digest, "sha256:", 7);
    memset(digest + 7, '7', 64);
    for (int i = 0; tn_delta_at(manifest, digest, i, &delta) == TN_OK; i++)
        demand(tn_digest_is_valid(delta.blob) && tn_digest_is_valid(delta.base));
    json_decref(manifest);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    char *text = malloc(size + 1);
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = 0;
    take_address(text);
    take_header(text);
    take_json(text, size);
    free(text);
    return 0;
}
#else
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    (void)data, (void)size;
    return 0;
}
#endif
