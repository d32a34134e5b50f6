/* The index of a base's pieces: see match.h. */
#include "delta/match.h"
#include "model/file.h"

enum { TABLE_BITS = 18, TABLE = 1 << TABLE_BITS, MOST_PIECES = TABLE / 3, GRAIN = 8 };

static uint32_t hash_of(const uint8_t *at) {
    uint64_t a = tn_get_little(at, 8), b = tn_get_little(at + 8, 8);
    return (uint32_t)(((a * UINT64_C(0x9E3779B97F4A7C15)) ^ b) * UINT64_C(0xD6E8FEB86659FD93) >> (64 - TABLE_BITS));
}

/* Every piece at a multiple of a distance that makes the pieces of `bytes` few enough. */
static void add(tn_matcher *m, uint64_t from, uint64_t to, uint64_t bytes) {
    uint64_t distance = GRAIN;
    while (bytes / distance > MOST_PIECES) distance *= 2;
    for (uint64_t at = (from + distance - 1) / distance * distance; at + TN_PIECE <= to; at += distance) {
        const uint8_t *piece = (const uint8_t *)m->base.data + at;
        if (at / GRAIN >= UINT32_MAX) return;
        if (memcmp(piece, piece + 1, TN_PIECE - 1) == 0) continue; /* one byte over and over tells nothing */
        uint32_t *slot = &m->table[hash_of(piece)];
        if (!*slot) *slot = (uint32_t)(at / GRAIN) + 1;
    }
}

tn_status tn_matcher_create(tn_matcher *m, tn_string base, const tn_places *places) {
    uint64_t inside = 0, end = 0;
    *m = (tn_matcher){base, tn_alloc_zero(NULL, TABLE * sizeof(uint32_t))};
    if (!m->table) return TN_E_MEMORY;
    for (size_t i = 0; i < places->count; i++) inside += places->all[i].length;
    for (size_t i = 0; i <= places->count; i++) {
        add(m, end, i < places->count ? places->all[i].offset : base.size, base.size - inside);
        if (i < places->count) end = places->all[i].offset + places->all[i].length;
    }
    for (size_t i = 0; i < places->count; i++)
        add(m, places->all[i].offset, places->all[i].offset + places->all[i].length, inside);
    return TN_OK;
}

void tn_matcher_destroy(tn_matcher *m) {
    tn_free(NULL, m->table, TABLE * sizeof(uint32_t));
    m->table = NULL;
}

bool tn_matcher_find(const tn_matcher *m, const uint8_t *at, uint64_t *out_base) {
    uint32_t slot = m->table[hash_of(at)];
    if (!slot) return false;
    *out_base = (uint64_t)(slot - 1) * GRAIN;
    return memcmp(m->base.data + *out_base, at, TN_PIECE) == 0;
}
