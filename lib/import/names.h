/* From names to numbers: the values of a graph while it is imported. Open addressing, in a region. */
#ifndef TN_IMPORT_NAMES_H
#define TN_IMPORT_NAMES_H

#include "base/base.h"

typedef struct tn_names {
    struct tn_name {
        tn_string name; /* borrowed */
        int value;
    } * slots; /* an unused one has a NULL name */
    size_t capacity, count;
} tn_names;

bool tn_names_get(const tn_names *names, tn_string name, int *value);
/* The name must not be in it yet, nor be empty. */
tn_status tn_names_put(tn_names *names, tn_region *region, tn_string name, int value);

#endif
