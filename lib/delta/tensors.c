/* Tensors of a file and their peers: see tensors.h. Walks over ONNX's messages (onnx.proto) without importing them: also a
 * model that cannot run here is compared tensor by tensor. */
#include "delta/tensors.h"
#include "import/pb.h"
#include "model/file.h"
#include <stdlib.h>

enum { MOST_DEPTH = 32, MOST_PLACES = 1 << 22 };

typedef struct walk {
    tn_string file, weights; /* weights: of a model file, where external data is */
    tn_places *places;
    tn_status status;
} walk;

static uint64_t hash(uint64_t seed, const void *data, size_t size) {
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) seed = (seed ^ bytes[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    return seed ^ seed >> 29;
}

static const struct {
    uint8_t dtype, element;
} elements[] = {
    {TN_FLOAT32, TN_ELEMENT_FLOAT32},    {TN_COMPLEX64, TN_ELEMENT_FLOAT32}, {TN_FLOAT64, TN_ELEMENT_FLOAT64},
    {TN_COMPLEX128, TN_ELEMENT_FLOAT64}, {TN_FLOAT16, TN_ELEMENT_FLOAT16},   {TN_BFLOAT16, TN_ELEMENT_BFLOAT16},
    {TN_INT16, TN_ELEMENT_INT16},        {TN_UINT16, TN_ELEMENT_INT16},      {TN_INT32, TN_ELEMENT_INT32},
    {TN_UINT32, TN_ELEMENT_INT32},       {TN_INT64, TN_ELEMENT_INT64},       {TN_UINT64, TN_ELEMENT_INT64},
};

/* Of one byte, and of less: those are compared as bytes. */
static tn_element element_of(uint64_t dtype, uint64_t bytes) {
    for (size_t i = 0; i < TN_COUNT(elements); i++)
        if (elements[i].dtype == dtype && bytes % (uint64_t)tn_element_width((tn_element)elements[i].element) == 0)
            return (tn_element)elements[i].element;
    return TN_ELEMENT_INT8;
}

static void add(walk *w, tn_place place) {
    tn_places *p = w->places;
    if (w->status != TN_OK || !place.length) return;
    if (p->count == p->room) {
        size_t room = p->room ? 2 * p->room : 256;
        tn_place *all = room <= MOST_PLACES ? tn_alloc(NULL, room * sizeof *all) : NULL;
        if (!all) {
            w->status = room <= MOST_PLACES ? TN_E_MEMORY : tn_fail(TN_E_LIMIT, "more than %d tensors", MOST_PLACES);
            return;
        }
        if (p->count) memcpy(all, p->all, p->count * sizeof *all);
        tn_free(NULL, p->all, p->room * sizeof *all);
        p->all = all;
        p->room = room;
    }
    p->all[p->count++] = place;
}

/* Whether `text` is a number that fits. */
static bool number_of(tn_string text, uint64_t *out) {
    *out = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || *out > UINT64_MAX / 10 - 1) return false;
        *out = *out * 10 + (uint64_t)(text.data[i] - '0');
    }
    return text.size > 0;
}

/* Data among a model file's weights; nothing if they are elsewhere. */
static tn_string external(const walk *w, tn_string message, tn_string data) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    tn_string key = {"", 0}, value = {"", 0};
    uint64_t number;
    while (tn_pb_next(&r, &f)) {
        if (f.number == 1) key = tn_pb_bytes(&r, &f);
        if (f.number == 2) value = tn_pb_bytes(&r, &f);
    }
    if (r.bad || !number_of(value, &number)) return data;
    if (tn_string_equal(key, tn_string_of("offset")) && w->weights.data && number <= w->weights.size)
        return (tn_string){w->weights.data + number, TN_MIN(data.size, w->weights.size - number)};
    if (tn_string_equal(key, tn_string_of("length"))) data.size = number;
    return data;
}

static void tensor(walk *w, tn_string message, uint64_t name) {
    tn_pb r = tn_pb_over(message), again;
    tn_pb_field f;
    tn_string data = {NULL, 0}, outside = {NULL, 0};
    uint64_t dtype = 0, shape = 1, dim;
    bool is_outside = false;
    while (tn_pb_next(&r, &f)) {
        switch (f.number) {
        case 1:
            while (tn_pb_each(&r, &f, TN_PB_VARINT, &dim)) shape = hash(shape, &dim, sizeof dim);
            break;
        case 2: dtype = (uint64_t)tn_pb_int(&r, &f); break;
        case 4:
        case 10:
        case 9:
            if (f.wire == TN_PB_LEN) data = tn_pb_bytes(&r, &f);
            break;
        case 8: {
            tn_string own = tn_pb_bytes(&r, &f);
            if (!r.bad) name = hash(name, own.data, own.size);
            break;
        }
        case 14: is_outside = tn_pb_int(&r, &f) == 1; break;
        default: break;
        }
    }
    if (r.bad) return;
    if (is_outside) {
        /* Twice: offset and length come in any order. */
        for (int pass = 0; pass < 2; pass++)
            for (again = tn_pb_over(message); tn_pb_next(&again, &f);)
                if (f.number == 13) outside = external(w, tn_pb_bytes(&again, &f), outside);
        data = outside.data ? outside : (tn_string){NULL, 0};
        if (data.data && data.size > w->weights.size - (size_t)(data.data - w->weights.data)) return;
    }
    if (!data.data || dtype == TN_STRING) return;
    add(w, (tn_place){.offset = (uint64_t)(data.data - w->file.data),
                      .length = data.size,
                      .name = name,
                      .shape = hash(shape, &dtype, sizeof dtype),
                      .peer = TN_NO_PEER,
                      .element = element_of(dtype, data.size)});
}

static void graph(walk *w, tn_string message, uint64_t name, int depth);

static void attribute(walk *w, tn_string message, uint64_t name, int depth) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    while (tn_pb_next(&r, &f)) {
        bool named = f.number == 1, is_tensor = f.number == 5 || f.number == 10,
             is_graph = f.number == 6 || f.number == 11;
        if (!named && !is_tensor && !is_graph) continue;
        tn_string inner = tn_pb_bytes(&r, &f);
        if (r.bad) return;
        if (named) name = hash(name, inner.data, inner.size);
        if (is_tensor) tensor(w, inner, name);
        if (is_graph) graph(w, inner, name, depth + 1);
        if (!named) name = hash(name, "+", 1);
    }
}

/* A node is known by its first output's name, which comes before its attributes. */
static void node(walk *w, tn_string message, uint64_t name, int depth) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    bool named = false;
    while (tn_pb_next(&r, &f)) {
        if (f.number != 2 && f.number != 5) continue;
        tn_string inner = tn_pb_bytes(&r, &f);
        if (r.bad) return;
        if (f.number == 2 && !named) name = hash(name, inner.data, inner.size);
        if (f.number == 2) named = true;
        if (f.number == 5) attribute(w, inner, name, depth);
    }
}

static void graph(walk *w, tn_string message, uint64_t name, int depth) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    if (depth > MOST_DEPTH) return;
    while (w->status == TN_OK && tn_pb_next(&r, &f)) {
        if (f.number != 1 && f.number != 5) continue;
        tn_string inner = tn_pb_bytes(&r, &f);
        if (r.bad) return;
        if (f.number == 1) node(w, inner, name, depth);
        if (f.number == 5) tensor(w, inner, name);
    }
}

static void function(walk *w, tn_string message) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    uint64_t name = 2;
    while (w->status == TN_OK && tn_pb_next(&r, &f)) {
        if (f.number != 1 && f.number != 7) continue;
        tn_string inner = tn_pb_bytes(&r, &f);
        if (r.bad) return;
        if (f.number == 1) name = hash(name, inner.data, inner.size);
        if (f.number == 7) node(w, inner, name, 0);
    }
}

static void model(walk *w, tn_string message) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    while (w->status == TN_OK && tn_pb_next(&r, &f)) {
        if (f.number != 7 && f.number != 25) continue;
        tn_string inner = tn_pb_bytes(&r, &f);
        if (r.bad) return;
        if (f.number == 7)
            graph(w, inner, 1, 0);
        else
            function(w, inner);
    }
}

static tn_string plain_section(const tn_file_table *table, uint32_t kind) {
    const tn_section *s = tn_file_find(table, kind);
    if (!s || s->flags & TN_SECTION_PACKED) return (tn_string){"", 0};
    return (tn_string){table->contents.data + s->offset, (size_t)s->stored};
}

static int by_offset(const void *a, const void *b) {
    const tn_place *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return x->length < y->length ? 1 : x->length > y->length ? -1 : 0;
}

tn_status tn_places_find(tn_string contents, tn_places *out) {
    walk w = {.file = contents, .places = out};
    tn_file_table table;
    *out = (tn_places){0};
    if (!tn_is_model_file(contents)) {
        model(&w, contents);
    } else if (tn_file_table_read(contents, &table) == TN_OK) {
        w.weights = plain_section(&table, TN_SECTION_WEIGHTS);
        model(&w, plain_section(&table, TN_SECTION_GRAPH));
    }
    if (w.status != TN_OK) {
        tn_places_free(out);
        return w.status;
    }
    size_t kept = 0;
    uint64_t end = 0;
    if (out->count) qsort(out->all, out->count, sizeof *out->all, by_offset);
    for (size_t i = 0; i < out->count; i++) {
        if (out->all[i].offset < end) continue; /* several may share a place */
        out->all[kept++] = out->all[i];
        end = out->all[i].offset + out->all[i].length;
    }
    out->count = kept;
    return TN_OK;
}

void tn_places_free(tn_places *p) {
    tn_free(NULL, p->all, p->room * sizeof *p->all);
    *p = (tn_places){0};
}

/* ---- peers ---- */

/* An index of the base's tensors, in order of a key. */
typedef struct key {
    uint64_t hash, length, index;
    tn_element element;
    bool taken; /* by a tensor of the result */
} key;

static int by_key(const void *a, const void *b) {
    const key *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    if (x->element != y->element) return x->element < y->element ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* The first whose hash and element are these and that is free, if it is not behind too many that are not. */
static key *find_free(key *keys, size_t count, uint64_t wanted, tn_element element) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        bool less = keys[middle].hash != wanted ? keys[middle].hash < wanted : keys[middle].element < element;
        if (less)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t tries = 0; low < count && tries < 4096; low++, tries++) {
        if (keys[low].hash != wanted || keys[low].element != element) return NULL;
        if (!keys[low].taken) return &keys[low];
    }
    return NULL;
}

tn_status tn_places_pair(const tn_places *base, tn_places *result) {
    if (!base->count) return TN_OK;
    key *keys = tn_alloc(NULL, base->count * sizeof *keys);
    bool *taken = tn_alloc_zero(NULL, base->count * sizeof *taken);
    for (int pass = 0; keys && taken && pass < 2; pass++) {
        bool by_name = pass == 0;
        for (size_t i = 0; i < base->count; i++) {
            const tn_place *b = &base->all[i];
            keys[i] = (key){by_name ? b->name : b->shape, b->length, i, b->element, taken[i]};
        }
        qsort(keys, base->count, sizeof *keys, by_key);
        for (size_t i = 0; i < result->count; i++) {
            tn_place *r = &result->all[i];
            if (r->peer != TN_NO_PEER) continue;
            key *found = find_free(keys, base->count, by_name ? r->name : r->shape, r->element);
            if (!found || (!by_name && found->length != r->length)) continue;
            found->taken = taken[found->index] = true;
            r->peer = found->index;
        }
    }
    tn_status status = keys && taken ? TN_OK : TN_E_MEMORY;
    tn_free(NULL, keys, base->count * sizeof *keys);
    tn_free(NULL, taken, base->count * sizeof *taken);
    return status;
}
