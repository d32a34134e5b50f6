/* Addresses of what registries keep: HOST[:PORT]/REPOSITORY[:TAG] or ...@sha256:HEX. The grammar of repositories and tags
 * is that of the distribution specification ("Pulling manifests"). */
#include "registry/registry.h"
#include <stdio.h>
#include <stdlib.h>

#define DIGITS "0123456789"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* A name, an IPv4 address, or an IPv6 one in brackets, then perhaps a port. */
static bool is_host(const char *text) {
    size_t n;
    if (text[0] == '[') {
        n = 1 + strspn(text + 1, DIGITS "abcdefABCDEF:.");
        if (n < 3 || text[n] != ']') return false;
        n++;
    } else {
        n = strspn(text, DIGITS LOWER UPPER "-.");
        if (n == 0 || text[0] == '.' || text[0] == '-') return false;
    }
    if (!text[n]) return true;
    size_t digits = strspn(text + n + 1, DIGITS);
    if (text[n] != ':' || digits < 1 || digits > 5 || text[n + 1 + digits]) return false;
    int port = atoi(text + n + 1);
    return port > 0 && port < 65536;
}

/* [a-z0-9]+ with . _ __ or any number of - between, parts of which have / between. */
static bool is_repository(const char *at) {
    for (;;) {
        size_t n = strspn(at, DIGITS LOWER);
        if (n == 0) return false;
        at += n;
        if (!*at) return true;
        size_t dashes = strspn(at, "-"), lines = strspn(at, "_");
        if (lines > 2) return false;
        at += dashes ? dashes : lines ? lines : strspn(at, "./") > 0;
    }
}

static bool is_tag(const char *text) {
    size_t length = strlen(text);
    return length > 0 && length <= 128 && text[0] != '.' && text[0] != '-' &&
           strspn(text, DIGITS LOWER UPPER "_.-") == length;
}

static bool copy(char *out, size_t size, const char *from, size_t length) {
    if (length >= size) return false;
    memcpy(out, from, length);
    out[length] = 0;
    return true;
}

tn_status tn_address_parse(const char *text, tn_address *out) {
    static const char expected[] = "HOST[:PORT]/REPOSITORY[:TAG] or HOST[:PORT]/REPOSITORY@sha256:HEX";
    *out = (tn_address){0};
    if (strstr(text, "://"))
        return tn_fail(TN_E_INVALID, "an address of a registry has no scheme such as https://; expected %s", expected);
    const char *slash = strchr(text, '/');
    if (slash && memchr(text, '@', (size_t)(slash - text)))
        return tn_fail(TN_E_INVALID, "an address of a registry has no credentials in it: give them on their own");
    if (!slash || !copy(out->host, sizeof out->host, text, (size_t)(slash - text)) || !is_host(out->host))
        return tn_fail(TN_E_INVALID, "'%.300s' names no registry; expected %s", text, expected);
    const char *repository = slash + 1, *end = repository + strcspn(repository, ":@");
    if (!copy(out->repository, sizeof out->repository, repository, (size_t)(end - repository)) ||
        !is_repository(out->repository))
        return tn_fail(TN_E_INVALID,
                       "'%.300s' names no repository: parts of lower-case letters and digits, with one of . _ - "
                       "between them, and / between the parts, at most 255 bytes",
                       text);
    if (*end == '@') {
        if (!tn_digest_is_valid(end + 1))
            return tn_fail(TN_E_INVALID, "'%.300s': behind the @ comes a digest, sha256: and 64 digits of 0 to f",
                           text);
        memcpy(out->digest, end + 1, TN_STORE_DIGEST - 1); /* with its zero */
    } else if (*end == ':') {
        if (!is_tag(end + 1))
            return tn_fail(TN_E_INVALID, "'%.300s': a tag is of letters, digits and _ . - (not first), at most 128",
                           text);
        memcpy(out->tag, end + 1, strlen(end + 1) + 1);
    }
    return TN_OK;
}

tn_status tn_address_url(const tn_address *a, const char *base, const char *what, const char *name,
                         char url[TN_URL_BYTES]) {
    int n = snprintf(url, TN_URL_BYTES, "%s/v2/%s/%s/%s", base, a->repository, what, name);
    return n < TN_URL_BYTES ? TN_OK : tn_fail(TN_E_LIMIT, "a URL of %d bytes", n);
}

tn_status tn_tag_of_version(const char *version, char tag[129]) {
    if (!copy(tag, 129, version, strlen(version)))
        return tn_fail(TN_E_LIMIT, "version '%s' is too long for a tag; give one", version);
    for (char *c = tag; *c; c++)
        if (*c == '+') *c = '_';
    return TN_OK;
}
