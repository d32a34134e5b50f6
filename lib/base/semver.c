/* Semantic versions: see semver.h. */
#include "base/semver.h"
#include <stdlib.h>

#define DIGITS "0123456789"
#define IDENTIFIER DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-"

/* The length of a number without leading zeros; 0 if there is none. */
static size_t number_length(const char *text) {
    size_t n = strspn(text, DIGITS);
    return n > 9 || (n > 1 && text[0] == '0') ? 0 : n;
}

/* Identifiers with dots between; numbers among them have no leading zeros, if `strict`. 0 if malformed. */
static size_t identifiers_length(const char *text, bool strict) {
    const char *at = text;
    for (;;) {
        size_t n = strspn(at, IDENTIFIER);
        if (n == 0) return 0;
        if (strict && strspn(at, DIGITS) == n && n > 1 && at[0] == '0') return 0;
        at += n;
        if (*at != '.') return (size_t)(at - text);
        at++;
    }
}

size_t tn_semver_read_core(const char *text, int64_t part[3], int *out_count) {
    const char *at = text;
    *out_count = 0;
    part[0] = part[1] = part[2] = 0;
    do {
        if (*out_count) at++;
        size_t n = number_length(at);
        if (n == 0) return 0;
        part[(*out_count)++] = strtoll(at, NULL, 10);
        at += n;
    } while (*at == '.' && *out_count < 3);
    return (size_t)(at - text);
}

bool tn_semver_valid(const char *text) {
    int64_t part[3];
    int count;
    size_t n = tn_semver_read_core(text, part, &count);
    if (n == 0 || count != 3) return false;
    text += n;
    for (const char *mark = "-+"; *mark; mark++) {
        if (*text != *mark) continue;
        n = identifiers_length(text + 1, *mark == '-');
        if (n == 0) return false;
        text += n + 1;
    }
    return *text == 0;
}

/* Identifiers one by one: numbers by value and before words, fewer before more. Both end at their last identifier's end. */
static int compare_prerelease(const char *a, const char *b) {
    for (;;) {
        size_t n = strspn(a, IDENTIFIER), m = strspn(b, IDENTIFIER);
        bool a_number = strspn(a, DIGITS) == n, b_number = strspn(b, DIGITS) == m;
        if (a_number != b_number) return a_number ? -1 : 1;
        if (a_number && n != m) return n < m ? -1 : 1;
        int order = memcmp(a, b, TN_MIN(n, m));
        if (order) return order < 0 ? -1 : 1;
        if (n != m) return n < m ? -1 : 1;
        a += n, b += m;
        if (*a != '.' || *b != '.') return (*a == '.') - (*b == '.');
        a++, b++;
    }
}

int tn_semver_compare(const char *a, const char *b) {
    int64_t x[3], y[3];
    int count;
    a += tn_semver_read_core(a, x, &count);
    b += tn_semver_read_core(b, y, &count);
    for (int i = 0; i < 3; i++)
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    if (*a != '-' || *b != '-') return (*a != '-') - (*b != '-'); /* a pre-release precedes the release */
    return compare_prerelease(a + 1, b + 1);
}
