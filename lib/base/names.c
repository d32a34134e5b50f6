/* Names that hosts write: in lists, and of machines. */
#include "base/base.h"
#include <stdio.h>

bool tn_listed(const char *list, const char *name) {
    for (const char *at = list; at && *at;) {
        while (*at == ' ') at++;
        size_t n = strcspn(at, ",");
        if (n && at[n - 1] == '*' ? strncmp(at, name, n - 1) == 0 : n == strlen(name) && memcmp(at, name, n) == 0)
            return true;
        at += n + (at[n] == ',');
    }
    return false;
}

bool tn_host_is_here(const char *host) {
    char name[32];
    size_t length = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (length >= sizeof name || length > strlen(host)) return false;
    for (size_t i = 0; i < length; i++)
        name[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] + 'a' - 'A' : host[i]);
    name[length] = 0;
    if (strcmp(name, "localhost") == 0 || strcmp(name, "[::1]") == 0) return true;
    unsigned part[4];
    int end = 0;
    return sscanf(name, "%3u.%3u.%3u.%3u%n", &part[0], &part[1], &part[2], &part[3], &end) == 4 && !name[end] &&
           part[0] == 127 && part[1] < 256 && part[2] < 256 && part[3] < 256;
}
