/* See library.h. */
#include "base/library.h"
#include <dlfcn.h>
#include <string.h>

const char *tn_library_load(const char *file, const char *const *names, size_t count, void *functions) {
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library) return file;
    for (size_t i = 0; i < count; i++) {
        /* ISO C knows no conversion of void * to a function's; POSIX has this one. */
        void *found = dlsym(library, names[i]);
        if (!found) return names[i];
        memcpy((char *)functions + i * sizeof found, &found, sizeof found);
    }
    return NULL;
}
