/* Libraries that are loaded when they are first needed, and stay: a program that does without is not to wait for them at its
 * start. */
#ifndef TN_BASE_LIBRARY_H
#define TN_BASE_LIBRARY_H

#include <stddef.h>

/* Takes `count` functions by their names into the pointers at `functions`, which lie one behind the other. Returns the name of
 * what is not there, the file or a function; NULL: all is. */
const char *tn_library_load(const char *file, const char *const *names, size_t count, void *functions);

#endif
