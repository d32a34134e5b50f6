/* Rows for training that lie in a file. An epoch takes them in random order, a page for each row and many times over if the
 * system has no memory to keep it. So those of many batches are read at once, as many as a share of the memory holds, in the
 * order in which the file has them, and the system is asked for them some time before: each page is read once for all. */
#include <stdlib.h>
#include "plan/plan.h"

/* What is asked for at once, and how far before it is copied; a gap that is read rather than left out. */
enum { ASK_BYTES = 1 << 20, AHEAD_BYTES = 4 << 20, GAP_BYTES = 1 << 15, AHEAD_ROWS = 16 };

typedef struct place {
    int64_t row, at; /* of x; among the kept ones */
} place;

struct tn_ahead {
    const tn_spill *spill;
    const float *x;
    int64_t width, rows;        /* of x */
    int64_t epoch, first, kept; /* positions of that epoch's order */
    int64_t most;
    place *places;
    float *data;
};

static int by_row(const void *a, const void *b) {
    const place *x = a, *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

/* Asks for what lies together, from a place on; the next one. */
static int64_t ask(const tn_ahead *a, int64_t i) {
    const int64_t bytes = a->width * (int64_t)sizeof *a->x, from = a->places[i].row * bytes;
    int64_t end = from + bytes;
    for (i++; i < a->kept; i++) {
        const int64_t next = a->places[i].row * bytes;
        if (next - end > GAP_BYTES || next + bytes - from > ASK_BYTES) break;
        end = next + bytes;
    }
    tn_spill_ask((const char *)a->x + from, (size_t)(end - from));
    return i;
}

static bool is_near(const tn_ahead *a, int64_t i, int64_t asked) {
    const int64_t bytes = a->width * (int64_t)sizeof *a->x;
    return asked - i < AHEAD_ROWS || (a->places[asked].row - a->places[i].row) * bytes < AHEAD_BYTES;
}

static void read_from(tn_ahead *a, const int64_t *order, int64_t epoch, int64_t position) {
    a->epoch = epoch;
    a->first = position;
    a->kept = TN_MIN(a->most, a->rows - position);
    for (int64_t i = 0; i < a->kept; i++) a->places[i] = (place){order[position + i], i};
    qsort(a->places, (size_t)a->kept, sizeof *a->places, by_row);
    for (int64_t i = 0, asked = 0; i < a->kept; i++) {
        while (asked < a->kept && is_near(a, i, asked)) asked = ask(a, asked);
        memcpy(a->data + a->places[i].at * a->width, a->x + a->places[i].row * a->width,
               (size_t)a->width * sizeof *a->x);
    }
}

const float *tn_ahead_row(tn_ahead *a, const int64_t *order, int64_t epoch, int64_t position) {
    if (epoch != a->epoch || position < a->first || position >= a->first + a->kept)
        read_from(a, order, epoch, position);
    return a->data + (position - a->first) * a->width;
}

tn_status tn_ahead_open(const tn_plan_data *data, int64_t batch, tn_ahead **out_ahead) {
    const tn_tensor *x = data->x[TN_PART_TRAIN];
    *out_ahead = NULL;
    if (!tn_spill_has(&data->spill, x->data)) return TN_OK;
    const int64_t rows = data->rows[TN_PART_TRAIN];
    const size_t row = (size_t)data->width * sizeof(float) + sizeof(place);
    tn_ahead *a = tn_alloc_zero(NULL, sizeof *a);
    if (!a) return TN_E_MEMORY;
    a->spill = &data->spill;
    a->x = x->data;
    a->width = data->width;
    a->rows = rows;
    a->epoch = -1;
    a->most = TN_MIN(TN_MAX((int64_t)(data->spill.limit / 2 / row), batch), rows);
    a->places = tn_alloc(NULL, (size_t)a->most * sizeof *a->places);
    a->data = tn_alloc(NULL, (size_t)(a->most * a->width) * sizeof *a->data);
    if (a->places && a->data) {
        tn_spill_in_order(a->spill, a->x, false);
        *out_ahead = a;
        return TN_OK;
    }
    tn_ahead_close(a);
    return TN_E_MEMORY;
}

void tn_ahead_close(tn_ahead *a) {
    if (!a) return;
    tn_spill_in_order(a->spill, a->x, true);
    tn_free(NULL, a->places, (size_t)a->most * sizeof *a->places);
    tn_free(NULL, a->data, (size_t)(a->most * a->width) * sizeof *a->data);
    tn_free(NULL, a, sizeof *a);
}
