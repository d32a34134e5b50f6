/* Texts numbered as they first appear, found again by hash (FNV-1a, open addressing). */
#ifndef TN_DATA_DICTIONARY_H
#define TN_DATA_DICTIONARY_H

#include "base/base.h"

typedef struct tn_dictionary {
    tn_region *region; /* of the texts; not the dictionary's */
    tn_string *texts;
    int32_t *slots; /* a number, or -1 */
    int count;
    size_t text_room, slot_count; /* slot_count is a power of two, or 0 */
} tn_dictionary;

/* The text's number; -1 on failure. Beyond `most` different ones: -2. */
int tn_dictionary_add(tn_dictionary *d, tn_string text, int most);
void tn_dictionary_deinit(tn_dictionary *d);

#endif
