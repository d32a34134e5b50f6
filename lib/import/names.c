/* Names to numbers: see names.h. */
#include "import/names.h"

static size_t hash(tn_string name) {
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, with a last mix for the low bits */
    for (size_t i = 0; i < name.size; i++) h = (h ^ (uint8_t)name.data[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 32);
}

/* The name's slot, or the unused one where it belongs. */
static struct tn_name *slot_of(const tn_names *names, tn_string name) {
    size_t i = hash(name) & (names->capacity - 1);
    while (names->slots[i].name.data && !tn_string_equal(names->slots[i].name, name))
        i = (i + 1) & (names->capacity - 1);
    return &names->slots[i];
}

bool tn_names_get(const tn_names *names, tn_string name, int *value) {
    if (!names->capacity) return false;
    const struct tn_name *slot = slot_of(names, name);
    if (slot->name.data) *value = slot->value;
    return slot->name.data != NULL;
}

tn_status tn_names_put(tn_names *names, tn_region *region, tn_string name, int value) {
    if (names->count * 4 >= names->capacity * 3) {
        tn_names more = {NULL, names->capacity ? names->capacity * 2 : 64, names->count};
        more.slots = tn_region_array(region, more.capacity, sizeof *more.slots);
        if (!more.slots) return TN_E_MEMORY;
        for (size_t i = 0; i < names->capacity; i++)
            if (names->slots[i].name.data) *slot_of(&more, names->slots[i].name) = names->slots[i];
        *names = more;
    }
    *slot_of(names, name) = (struct tn_name){name, value};
    names->count++;
    return TN_OK;
}
