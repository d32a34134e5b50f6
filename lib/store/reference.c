/* Names, versions and references to them. */
#include "store/store.h"
#include <time.h>

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyz"

/* Parts of letters and digits with one of - _ . / between them: what registries take for a repository. */
tn_status tn_store_check_name(const char *name) {
    const char *at = name;
    size_t length = strlen(name);
    for (;;) {
        size_t n = strspn(at, DIGITS LETTERS);
        if (n == 0 || length >= TN_STORE_NAME)
            return tn_fail(TN_E_INVALID,
                           "'%.*s' cannot be a model's name: expected lower-case letters and digits, with one of - _ . "
                           "/ between them, at most %d bytes",
                           TN_STORE_NAME, name, TN_STORE_NAME - 1);
        at += n;
        if (!*at) return TN_OK;
        at += strspn(at, "-_./") == 1;
    }
}

tn_status tn_store_check_version(const char *version) {
    if (strlen(version) < TN_STORE_NAME && tn_semver_valid(version)) return TN_OK;
    return tn_fail(TN_E_INVALID, "'%.*s' is no semantic version; expected such as 1.2.0 or 1.2.0-rc.1", TN_STORE_NAME,
                   version);
}

tn_status tn_store_check_time(const char *time) {
    static const char pattern[] = "0000-00-00T00:00:00Z";
    for (size_t i = 0; i < sizeof pattern; i++)
        if (pattern[i] == '0' ? time[i] < '0' || time[i] > '9' : time[i] != pattern[i])
            return tn_fail(TN_E_INVALID, "'%.40s' is no time; expected such as 2026-03-01T12:00:00Z", time);
    return TN_OK;
}

int tn_store_order(const void *a, const void *b) {
    const tn_store_version *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    if (order == 0) order = tn_semver_compare(x->version, y->version);
    return order ? order : strcmp(x->version, y->version); /* builds of one version */
}

/* Whether the version lies in the range: ^1.2.3 below the next change of its first part that is not zero, ~1.2.3 below
 * the next second part. */
static bool in_range(char kind, const int64_t from[3], int parts, const char *version) {
    int64_t v[3];
    int count, fixed = kind == '~' ? TN_MIN(parts, 2) : 1;
    tn_semver_read_core(version, v, &count);
    while (kind == '^' && fixed < parts && from[fixed - 1] == 0) fixed++;
    for (int i = 0; i < fixed; i++)
        if (v[i] != from[i]) return false;
    for (int i = 0; i < 3; i++)
        if (v[i] != from[i]) return v[i] > from[i];
    return true;
}

/* What of a name is wished: a version, a range, or (wish NULL) the newest. */
typedef struct wish {
    char name[TN_STORE_NAME];
    const char *version;
    char kind; /* ^, ~ or 0 */
    int64_t from[3];
    int parts;
} wish;

static tn_status read_wish(const char *reference, wish *w) {
    size_t length = strcspn(reference, ":");
    *w = (wish){.version = reference[length] ? reference + length + 1 : NULL};
    if (length >= sizeof w->name) length = sizeof w->name - 1;
    memcpy(w->name, reference, length);
    TN_TRY(tn_store_check_name(w->name));
    const char *version = w->version;
    if (!version) return TN_OK;
    if (*version == '^' || *version == '~') w->kind = *version++;
    size_t n = tn_semver_read_core(version, w->from, &w->parts);
    if (w->kind ? n > 0 && version[n] == 0 : tn_semver_valid(version)) return TN_OK;
    return tn_fail(TN_E_INVALID, "'%.200s': expected NAME, NAME:1.2.0, NAME:^1.2, NAME:~1.2 or sha256:HEX", reference);
}

static bool is_wished(const wish *w, const char *version) {
    if (w->version && !w->kind) return strcmp(version, w->version) == 0;
    bool prerelease = version[strcspn(version, "-+")] == '-';
    return !prerelease && (!w->kind || in_range(w->kind, w->from, w->parts, version));
}

tn_status tn_reference_find(const char *reference, const tn_store_version *all, int count,
                            const tn_store_version **out_found) {
    *out_found = NULL;
    if (strncmp(reference, "sha256:", 7) == 0) {
        for (int i = 0; i < count && !*out_found; i++)
            if (strcmp(all[i].digest, reference) == 0) *out_found = &all[i];
        return *out_found ? TN_OK : tn_fail(TN_E_NOT_FOUND, "no version has the digest %.80s", reference);
    }
    wish w;
    TN_TRY(read_wish(reference, &w));
    bool named = false;
    for (int i = 0; i < count; i++) {
        if (strcmp(all[i].name, w.name) != 0) continue;
        named = true;
        if (is_wished(&w, all[i].version)) *out_found = &all[i]; /* they come in order */
    }
    if (*out_found) return TN_OK;
    if (!named) return tn_fail(TN_E_NOT_FOUND, "there is no model '%s'", w.name);
    return tn_fail(TN_E_NOT_FOUND, "there is no version '%.200s'%s", reference,
                   w.version ? "" : " but pre-releases, which must be named in full");
}

void tn_store_time_text(time_t at, char text[32]) {
    struct tm parts;
    gmtime_r(&at, &parts);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
}
