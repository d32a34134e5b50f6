/* UTF-8, and upper and lower case. */
#ifndef TN_UNICODE_H
#define TN_UNICODE_H

#include "base/base.h"

#define TN_UNICODE_LAST 0x10FFFFu

/* The code point at text, of size > 0 bytes; returns how many bytes it takes. A byte b that is not UTF-8 counts as the
 * code TN_UNICODE_LAST + 1 + b, one byte long, so that nothing is lost. */
size_t tn_utf8_decode(const char *text, size_t size, uint32_t *out_code);
/* The reverse: writes 1 to 4 bytes. */
size_t tn_utf8_encode(uint32_t code, char *out);
/* Simple mappings (one code point to one), the same in every locale. */
uint32_t tn_unicode_lower(uint32_t code);
uint32_t tn_unicode_upper(uint32_t code);

#endif
