/* See dictionary.h. Arrays double; the slots are never more than half full. */
#include "data/dictionary.h"

static uint64_t hash_of(tn_string text) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < text.size; i++) hash = (hash ^ (uint8_t)text.data[i]) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

static size_t slot_of(const tn_dictionary *d, tn_string text) {
    size_t slot = (size_t)hash_of(text) & (d->slot_count - 1);
    for (; d->slots[slot] >= 0; slot = (slot + 1) & (d->slot_count - 1)) {
        const tn_string *other = &d->texts[d->slots[slot]];
        if (other->size == text.size && (!text.size || memcmp(other->data, text.data, text.size) == 0)) break;
    }
    return slot;
}

static bool make_room(tn_dictionary *d) {
    if ((size_t)d->count < d->text_room) return true;
    size_t room = d->text_room ? 2 * d->text_room : 16;
    tn_string *texts = tn_alloc(NULL, room * sizeof *texts);
    int32_t *slots = texts ? tn_alloc(NULL, 2 * room * sizeof *slots) : NULL;
    if (!slots) {
        tn_free(NULL, texts, room * sizeof *texts);
        return false;
    }
    if (d->count) memcpy(texts, d->texts, (size_t)d->count * sizeof *texts);
    tn_free(NULL, d->texts, d->text_room * sizeof *texts);
    tn_free(NULL, d->slots, d->slot_count * sizeof *slots);
    d->texts = texts;
    d->slots = slots;
    d->text_room = room;
    d->slot_count = 2 * room;
    for (size_t i = 0; i < d->slot_count; i++) slots[i] = -1;
    for (int i = 0; i < d->count; i++) slots[slot_of(d, texts[i])] = i;
    return true;
}

int tn_dictionary_add(tn_dictionary *d, tn_string text, int most) {
    if (!make_room(d)) return -1;
    size_t slot = slot_of(d, text);
    if (d->slots[slot] >= 0) return d->slots[slot];
    if (d->count >= most) return -2;
    char *copy = tn_region_strndup(d->region, text.data, text.size);
    if (!copy) return -1;
    d->texts[d->count] = (tn_string){copy, text.size};
    d->slots[slot] = d->count;
    return d->count++;
}

void tn_dictionary_deinit(tn_dictionary *d) {
    tn_free(NULL, d->texts, d->text_room * sizeof *d->texts);
    tn_free(NULL, d->slots, d->slot_count * sizeof *d->slots);
    *d = (tn_dictionary){0};
}
