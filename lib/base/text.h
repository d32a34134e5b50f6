/* Text that grows in a region, for reports and files. The first failure stays: what follows does nothing. */
#ifndef TN_BASE_TEXT_H
#define TN_BASE_TEXT_H

#include "base/base.h"

typedef struct tn_text {
    tn_region *region;
    char *data;
    size_t used, capacity;
    bool failed;
} tn_text;

void tn_put_text(tn_text *t, const char *piece);
/* Up to 1023 bytes. */
void tn_put_format(tn_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tn_put_string(tn_text *t, const char *s);                 /* as JSON */
void tn_put_number(tn_text *t, const char *key, double value); /* "key": value, null if it is not finite */
void tn_put_escaped(tn_text *t, const char *s);                /* as HTML */

#endif
