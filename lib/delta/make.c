/* Making a delta: which steps make the result of the base. Tensors of both files are compared with each other; what is
 * between them, and files without any, goes by the bytes. Whatever is chosen here, a reader makes the same result. */
#include "delta/blocks.h"
#include "delta/match.h"
#include "delta/reader.h"
#include "import/import.h"

enum {
    SHORT_COPY = 8,    /* bytes that are worth a COPY where the base goes on */
    FAR_COPY = 24,     /* and elsewhere */
    TENSOR_COPY = 64,  /* and amid a tensor's elements, where equal ones cost little as they are */
    SAMPLES = 1 << 14, /* elements by which a tensor is judged */
};

/* What an element from nothing takes, in bits; and above its own bits, one that is changed. */
static const double new_bits[TN_ELEMENTS] = {
    [TN_ELEMENT_BYTE] = 6.5,    [TN_ELEMENT_INT8] = 7,       [TN_ELEMENT_INT16] = 14,
    [TN_ELEMENT_INT32] = 16,    [TN_ELEMENT_INT64] = 16,     [TN_ELEMENT_FLOAT16] = 13.5,
    [TN_ELEMENT_BFLOAT16] = 11, [TN_ELEMENT_FLOAT32] = 27.5, [TN_ELEMENT_FLOAT64] = 57,
};
#define CHANGE_BITS 2.0

typedef struct maker {
    tn_string base, result;
    tn_blocks blocks;
    tn_matcher matcher;
    tn_places base_places, places;
} maker;

static const uint8_t *at_base(const maker *m, uint64_t at) {
    return (const uint8_t *)m->base.data + at;
}
static const uint8_t *at_result(const maker *m, uint64_t at) {
    return (const uint8_t *)m->result.data + at;
}

/* Whether the elements cost less as changes of the base's than from nothing, by some of them. */
static bool is_change(const maker *m, tn_element element, uint64_t base, uint64_t result, uint64_t length) {
    uint64_t width = (uint64_t)tn_element_width(element), count = length / width, stride = count / SAMPLES + 1, n = 0;
    double bits = 0;
    for (uint64_t i = 0; i < count; i += stride, n++) {
        int distance = tn_element_distance(element, at_base(m, base + i * width), at_result(m, result + i * width));
        bits += distance ? distance + CHANGE_BITS : 0.3;
    }
    return n && bits < new_bits[element] * (double)n;
}

/* What was not found in the base as it is: changes of what is there in its place, or new. */
static tn_status rest(maker *m, tn_element element, uint64_t from, uint64_t to) {
    uint64_t length = to - from, base = tn_blocks_expected(&m->blocks);
    if (!length) return TN_OK;
    if (length % (uint64_t)tn_element_width(element)) element = TN_ELEMENT_BYTE;
    bool change = base <= m->base.size && length <= m->base.size - base && is_change(m, element, base, from, length);
    return tn_blocks_add(&m->blocks, (tn_step){change ? TN_STEP_CHANGE : TN_STEP_NEW, element, base, length});
}

/* The longest stretch around a piece that was found. */
static uint64_t stretch(const maker *m, uint64_t least, uint64_t *from, uint64_t to, uint64_t *base) {
    uint64_t back = 0, most = TN_MIN(*from - least, *base);
    while (back < most && *at_result(m, *from - back - 1) == *at_base(m, *base - back - 1)) back++;
    *from -= back;
    *base -= back;
    return tn_common(at_result(m, *from), at_base(m, *base), TN_MIN(to - *from, m->base.size - *base));
}

/* A range of which nothing is known but what its elements are. */
static tn_status search(maker *m, tn_element element, uint64_t from, uint64_t to) {
    uint64_t done = from, at = from;
    while (at < to) {
        uint64_t base = tn_blocks_expected(&m->blocks) + (at - done), start = at, length = 0;
        if (base < m->base.size)
            length = tn_common(at_result(m, at), at_base(m, base), TN_MIN(to - at, m->base.size - base));
        bool found = length >= SHORT_COPY || (length && at + length == to);
        if (!found && to - at >= TN_PIECE && tn_matcher_find(&m->matcher, at_result(m, at), &base)) {
            length = stretch(m, done, &start, to, &base);
            found = length >= FAR_COPY;
        }
        if (!found) {
            at++;
            continue;
        }
        TN_TRY(rest(m, element, done, start));
        TN_TRY(tn_blocks_add(&m->blocks, (tn_step){TN_STEP_COPY, TN_ELEMENT_BYTE, base, length}));
        done = at = start + length;
    }
    return rest(m, element, done, to);
}

/* A tensor, and the base's that it is compared with. */
static tn_status compare(maker *m, const tn_place *place, const tn_place *peer) {
    uint64_t width = (uint64_t)tn_element_width(place->element);
    uint64_t length = TN_MIN(place->length, peer->length) / width * width, done = 0, at = 0;
    bool change = is_change(m, place->element, peer->offset, place->offset, length);
    while (at < length) {
        uint64_t same = tn_common(at_result(m, place->offset + at), at_base(m, peer->offset + at), length - at);
        if (at + same < length) same = same / width * width;
        if (same < TENSOR_COPY && (at + same < length || !same)) {
            at += same + width;
            continue;
        }
        if (!change && at > done) TN_TRY(search(m, place->element, place->offset + done, place->offset + at));
        if (change)
            TN_TRY(
                tn_blocks_add(&m->blocks, (tn_step){TN_STEP_CHANGE, place->element, peer->offset + done, at - done}));
        TN_TRY(tn_blocks_add(&m->blocks, (tn_step){TN_STEP_COPY, TN_ELEMENT_BYTE, peer->offset + at, same}));
        done = at = at + same;
    }
    if (change)
        TN_TRY(
            tn_blocks_add(&m->blocks, (tn_step){TN_STEP_CHANGE, place->element, peer->offset + done, length - done}));
    else if (length > done)
        TN_TRY(search(m, place->element, place->offset + done, place->offset + length));
    if (place->length > length)
        TN_TRY(search(m, place->element, place->offset + length, place->offset + place->length));
    return TN_OK;
}

static tn_status steps(maker *m) {
    uint64_t at = 0;
    for (size_t i = 0; i < m->places.count; i++) {
        const tn_place *p = &m->places.all[i];
        TN_TRY(search(m, TN_ELEMENT_BYTE, at, p->offset));
        if (p->peer == TN_NO_PEER)
            TN_TRY(search(m, p->element, p->offset, p->offset + p->length));
        else
            TN_TRY(compare(m, p, &m->base_places.all[p->peer]));
        at = p->offset + p->length;
    }
    return search(m, TN_ELEMENT_BYTE, at, m->result.size);
}

static tn_status write_delta(maker *m, tn_output *output, tn_delta_header *h) {
    uint8_t head[TN_DELTA_HEADER];
    *h = (tn_delta_header){.base_bytes = m->base.size, .result_bytes = m->result.size};
    if (!tn_delta_is_possible(m->base.size, m->result.size))
        return tn_fail(TN_E_LIMIT, "%zu bytes cannot become %zu by a delta; send the file itself", m->base.size,
                       m->result.size);
    tn_sha256_of(m->base.data, m->base.size, h->base_digest);
    tn_sha256_of(m->result.data, m->result.size, h->result_digest);
    tn_delta_header_write(h, head);
    tn_output_write(output, head, sizeof head);
    TN_TRY(tn_places_find(m->base, &m->base_places));
    TN_TRY(tn_places_find(m->result, &m->places));
    TN_TRY(tn_places_pair(&m->base_places, &m->places));
    TN_TRY(tn_matcher_create(&m->matcher, m->base, &m->base_places));
    TN_TRY(tn_blocks_begin(&m->blocks, m->base, m->result, output));
    return tn_blocks_end(&m->blocks, steps(m));
}

static tn_status make(tn_string base, tn_string result, const char *delta, tn_delta_info *info) {
    maker m = {.base = base, .result = result};
    tn_delta_header h = {0};
    tn_output output;
    TN_TRY(tn_output_open(&output, delta));
    tn_status status = write_delta(&m, &output, &h);
    tn_places_free(&m.base_places);
    tn_places_free(&m.places);
    if (m.matcher.table) tn_matcher_destroy(&m.matcher);
    uint64_t bytes = output.position;
    if (status == TN_OK)
        status = tn_output_commit(&output);
    else
        tn_output_abort(&output);
    if (status == TN_OK && info) tn_delta_info_fill(&h, bytes, m.blocks.count, result.size, info);
    return status;
}

tn_status tn_delta_make(const char *base_path, const char *result_path, const char *delta_path,
                        tn_delta_info *out_info) {
    tn_string base, result;
    TN_TRY(tn_map_file(base_path, &base));
    tn_status status = tn_map_file(result_path, &result);
    if (status == TN_OK) {
        status = make(base, result, delta_path, out_info);
        tn_unmap_contents(result);
    }
    tn_unmap_contents(base);
    return status;
}
