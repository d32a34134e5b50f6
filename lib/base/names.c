/* Names in lists that hosts write. */
#include "base/base.h"

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
