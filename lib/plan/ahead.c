/* Samples for training whose rows lie in a file. An epoch takes them in random order, a page for each row and many times over
 * if the system has no memory to keep it. So those of many batches, a window of the epoch's order, are read at once, as many as
 * a share of the memory holds, in the order in which the file has them, and the system is asked for them some time before.
 *
 * Each window still wants a row of nearly every page where rows are small. If windows are many, all rows are read once at the
 * beginning of an epoch, in order, and each is written behind those of its window in a second file, where a window lies
 * together. */
#include <stdlib.h>
#include "plan/plan.h"

/* More windows than this, of rows of fewer bytes than that, are worth a copy, which is read, written and read again. */
enum { MOST_WINDOWS = 8, SMALL_BYTES = 2048 };
/* What is asked for at once, and how far before it is copied; a gap that is read rather than left out. */
enum { ASK_BYTES = 1 << 20, AHEAD_BYTES = 4 << 20, GAP_BYTES = 1 << 15, AHEAD_ROWS = 16 };

typedef struct place {
    int64_t sample, at; /* at: among the kept ones */
} place;

struct tn_ahead {
    const tn_spill *spill;
    const tn_sample_set *from;
    int64_t epoch, first, kept; /* positions of that epoch's order: what is there of the window */
    int64_t most;               /* samples of a window */
    place *places;
    float *data;
    int64_t windows;
    int64_t *ends;      /* of each window in the copy; NULL: there is none */
    int32_t *window_of; /* each row */
    float *copy;        /* of the epoch; NULL: the disk had no room for it */
};

static int by_sample(const void *a, const void *b) {
    const place *x = a, *y = b;
    return (x->sample > y->sample) - (x->sample < y->sample);
}

/* Bytes of x that a sample begins at, and ends before. */
static int64_t span(const tn_ahead *a, int64_t i, int64_t *out_end) {
    const int64_t row = a->from->x->dims[1] * (int64_t)sizeof(float);
    int64_t first, end;
    tn_sample_span(a->from, a->places[i].sample, &first, &end);
    *out_end = end * row;
    return first * row;
}

/* Asks for what lies together, from a place on; the next one. */
static int64_t ask(const tn_ahead *a, int64_t i) {
    int64_t end, next_end;
    const int64_t from = span(a, i, &end);
    for (i++; i < a->kept; i++) {
        const int64_t next = span(a, i, &next_end);
        if (next - end > GAP_BYTES || next_end - from > ASK_BYTES) break;
        end = TN_MAX(end, next_end);
    }
    /* Where lags lie far apart, most of what is between them is not wanted. */
    if (!a->from->steps || end - from <= ASK_BYTES)
        tn_spill_ask((const char *)a->from->x->data + from, (size_t)(end - from));
    return i;
}

static bool is_near(const tn_ahead *a, int64_t i, int64_t asked) {
    int64_t end;
    return asked - i < AHEAD_ROWS || span(a, asked, &end) - span(a, i, &end) < AHEAD_BYTES;
}

static size_t copy_bytes(const tn_ahead *a) {
    return (size_t)(a->from->count * a->from->width) * sizeof *a->copy;
}

/* The file is a new one for each epoch: what is written into an old page is read first. */
static void copy_rows(tn_ahead *a, const int64_t *order) {
    const int64_t width = a->from->width;
    const float *x = a->from->x->data;
    tn_free(&a->spill->allocator, a->copy, copy_bytes(a));
    a->copy = tn_alloc(&a->spill->allocator, copy_bytes(a));
    if (!a->copy) return;
    for (int64_t w = 0; w < a->windows; w++) a->ends[w] = w * a->most;
    for (int64_t i = 0; i < a->from->count; i++) a->window_of[order[i]] = (int32_t)(i / a->most);
    tn_spill_in_order(a->spill, x, true);
    for (int64_t r = 0; r < a->from->count; r++)
        memcpy(a->copy + a->ends[a->window_of[r]]++ * width, x + r * width, (size_t)width * sizeof *x);
    tn_spill_in_order(a->spill, x, false);
    tn_spill_in_order(a->spill, a->copy, true);
}

static void read_window(tn_ahead *a, const int64_t *order, int64_t epoch, int64_t position) {
    const int64_t width = a->from->width;
    if (epoch != a->epoch && a->ends) copy_rows(a, order);
    a->epoch = epoch;
    a->first = position - position % a->most;
    a->kept = TN_MIN(a->most, a->from->count - a->first);
    for (int64_t i = 0; i < a->kept; i++) a->places[i] = (place){order[a->first + i], i};
    qsort(a->places, (size_t)a->kept, sizeof *a->places, by_sample);
    for (int64_t i = 0, asked = 0; i < a->kept; i++) {
        float *to = a->data + a->places[i].at * width;
        while (!a->copy && asked < a->kept && is_near(a, i, asked)) asked = ask(a, asked);
        if (a->copy)
            memcpy(to, a->copy + (a->first + i) * width, (size_t)width * sizeof *to);
        else
            tn_sample_copy(a->from, a->places[i].sample, to);
    }
}

const float *tn_ahead_row(tn_ahead *a, const int64_t *order, int64_t epoch, int64_t position) {
    if (epoch != a->epoch || position < a->first || position >= a->first + a->kept)
        read_window(a, order, epoch, position);
    return a->data + (position - a->first) * a->from->width;
}

tn_status tn_ahead_open(const tn_plan_data *data, int64_t batch, tn_ahead **out_ahead) {
    const tn_sample_set *from = &data->samples[TN_PART_TRAIN];
    *out_ahead = NULL;
    if (!tn_spill_has(&data->spill, from->x->data)) return TN_OK;
    const size_t sample = (size_t)from->width * sizeof(float) + sizeof(place);
    tn_ahead *a = tn_alloc_zero(NULL, sizeof *a);
    if (!a) return TN_E_MEMORY;
    a->spill = &data->spill;
    a->from = from;
    a->epoch = -1;
    a->most = TN_MIN(TN_MAX((int64_t)(data->spill.limit / 2 / sample), batch), from->count);
    a->windows = (from->count + a->most - 1) / a->most;
    a->places = tn_alloc(NULL, (size_t)a->most * sizeof *a->places);
    a->data = tn_alloc(NULL, (size_t)(a->most * from->width) * sizeof *a->data);
    const bool copies = a->windows > MOST_WINDOWS && sample < SMALL_BYTES && !from->steps;
    if (copies) {
        a->ends = tn_alloc(NULL, (size_t)a->windows * sizeof *a->ends);
        a->window_of = tn_alloc(NULL, (size_t)from->count * sizeof *a->window_of);
    }
    if (a->places && a->data && (!copies || (a->ends && a->window_of))) {
        tn_spill_in_order(a->spill, from->x->data, false);
        *out_ahead = a;
        return TN_OK;
    }
    tn_ahead_close(a);
    return TN_E_MEMORY;
}

void tn_ahead_close(tn_ahead *a) {
    if (!a) return;
    tn_spill_in_order(a->spill, a->from->x->data, true);
    tn_free(&a->spill->allocator, a->copy, copy_bytes(a));
    tn_free(NULL, a->window_of, (size_t)a->from->count * sizeof *a->window_of);
    tn_free(NULL, a->ends, (size_t)a->windows * sizeof *a->ends);
    tn_free(NULL, a->places, (size_t)a->most * sizeof *a->places);
    tn_free(NULL, a->data, (size_t)(a->most * a->from->width) * sizeof *a->data);
    tn_free(NULL, a, sizeof *a);
}
