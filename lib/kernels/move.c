/* Copies between two layouts: the plan, and its tiles handed to threads. */
#include "kernels/move.h"
#include "base/half.h"

enum {
    TILE_BYTES = 64 << 10,  /* what one tile writes at most: stays in the first cache levels */
    TASK_BYTES = 256 << 10, /* below this a thread is not worth waking */
    TRANSPOSE_ROWS = 64,    /* a cache line of the narrowest elements */
};

/* Drops dims of 1 and merges neighbours that are one run in both layouts. False if there is nothing to copy. */
static bool coalesce(tn_move *m) {
    int rank = 0;
    for (int i = 0; i < m->rank; i++) {
        if (m->dims[i] == 0) return false;
        if (m->dims[i] == 1) continue;
        int last = rank - 1;
        if (rank && m->dst_strides[last] == m->dims[i] * m->dst_strides[i] &&
            m->src_strides[last] == m->dims[i] * m->src_strides[i]) {
            m->dims[last] *= m->dims[i];
        } else {
            last = rank++;
            m->dims[last] = m->dims[i];
        }
        m->dst_strides[last] = m->dst_strides[i];
        m->src_strides[last] = m->src_strides[i];
    }
    m->rank = rank;
    return true;
}

static void remove_dim(tn_move *m, int at) {
    m->rank--;
    for (int i = at; i < m->rank; i++) {
        m->dims[i] = m->dims[i + 1];
        m->dst_strides[i] = m->dst_strides[i + 1];
        m->src_strides[i] = m->src_strides[i + 1];
    }
}

/* Takes dim `at` out of the outer dims to be the tiles' rows. */
static void take_rows(tn_move *m, int at) {
    m->rows = m->dims[at];
    m->dst_row = m->dst_strides[at];
    m->src_row = m->src_strides[at];
    remove_dim(m, at);
}

static void add_tiles(tn_move *m, int64_t count, int64_t dst_stride, int64_t src_stride) {
    m->dims[m->rank] = count;
    m->dst_strides[m->rank] = dst_stride;
    m->src_strides[m->rank++] = src_stride;
}

void tn_move_plan(tn_move *m) {
    m->tiles = 0;
    if (!coalesce(m)) return;
    m->kind = TN_MOVE_PACKED;
    m->tiles = m->tasks = 1;
    if (m->bits < 8) return;
    int64_t element = (int64_t)m->bits / 8;
    for (int i = 0; i < m->rank; i++) m->dst_strides[i] *= element, m->src_strides[i] *= element;
    /* Short runs become wider elements: a transpose of pairs of floats is one of 8-byte elements. */
    if (m->rank && m->dst_strides[m->rank - 1] == element && m->src_strides[m->rank - 1] == element) {
        int64_t run = m->dims[m->rank - 1] <= 16 ? m->dims[m->rank - 1] * element : 0;
        if (run == 2 || run == 4 || run == 8 || run == 16) element = run, m->rank--;
    }
    m->element = (size_t)element;
    m->rows = m->cols = 1;
    m->dst_row = m->src_row = m->dst_col = m->src_col = element;
    if (m->rank) {
        int last = --m->rank, across = -1;
        m->cols = m->dims[last];
        m->dst_col = m->dst_strides[last];
        m->src_col = m->src_strides[last];
        for (int i = 0; i < m->rank; i++)
            if (m->src_strides[i] == element) across = i;
        m->kind = TN_MOVE_STRIDED;
        if (m->dst_col == element && m->src_col == element) {
            m->kind = TN_MOVE_ROWS;
        } else if (m->dst_col == element && across >= 0) {
            m->kind = TN_MOVE_TRANSPOSE;
            take_rows(m, across);
        }
        if (m->kind != TN_MOVE_TRANSPOSE && m->rank) take_rows(m, m->rank - 1);
    } else {
        m->kind = TN_MOVE_ROWS;
    }
    int64_t fit = TILE_BYTES / element;
    m->row_tile = m->kind == TN_MOVE_TRANSPOSE ? TN_MIN(m->rows, TRANSPOSE_ROWS) : 1;
    m->col_tile = TN_MIN(m->cols, fit / m->row_tile);
    if (m->kind != TN_MOVE_TRANSPOSE) m->row_tile = TN_MIN(m->rows, TN_MAX(1, fit / m->col_tile));
    add_tiles(m, (m->rows + m->row_tile - 1) / m->row_tile, m->row_tile * m->dst_row, m->row_tile * m->src_row);
    add_tiles(m, (m->cols + m->col_tile - 1) / m->col_tile, m->col_tile * m->dst_col, m->col_tile * m->src_col);
    for (int i = 0; i < m->rank; i++) m->tiles *= m->dims[i];
    m->tasks = TN_MAX(1, m->tiles / TN_MAX(1, TASK_BYTES / (m->row_tile * m->col_tile * element)));
}

static inline void copy_elements(int64_t n, size_t element, char *dst, int64_t ds, const char *src, int64_t ss) {
#define CASE(size)                                                                                                     \
    case size:                                                                                                         \
        for (int64_t i = 0; i < n; i++) memcpy(dst + i * ds, src + i * ss, size);                                      \
        break;
    switch (element) {
        CASE(1)
        CASE(2)
        CASE(4)
        CASE(8)
        CASE(16)
    }
#undef CASE
}

static void copy_tile(const tn_move *m, const tn_kernels *kernels, int64_t rows, int64_t cols, char *dst,
                      const char *src) {
    if (m->kind == TN_MOVE_ROWS) {
        for (int64_t i = 0; i < rows; i++)
            memcpy(dst + i * m->dst_row, src + i * m->src_row, (size_t)cols * m->element);
    } else if (m->kind == TN_MOVE_STRIDED) {
        for (int64_t i = 0; i < rows; i++) {
            if (m->element == 4 && m->dst_col == 4)
                kernels->strided_4(cols, src + i * m->src_row, m->src_col, dst + i * m->dst_row);
            else
                copy_elements(cols, m->element, dst + i * m->dst_row, m->dst_col, src + i * m->src_row, m->src_col);
        }
    } else {
        void (*transpose)(int64_t, int64_t, const void *, int64_t, void *, int64_t) =
            m->element == 1   ? kernels->transpose_1
            : m->element == 2 ? kernels->transpose_2
            : m->element == 4 ? kernels->transpose_4
            : m->element == 8 ? kernels->transpose_8
                              : kernels->transpose_16;
        transpose(rows, cols, src, m->src_col, dst, m->dst_row);
    }
}

typedef struct move_job {
    const tn_move *m;
    const tn_kernels *kernels;
    char *dst;
    const char *src;
} move_job;

static void move_task(void *context, int64_t task) {
    const move_job *job = context;
    const tn_move *m = job->m;
    int64_t index[TN_MAX_RANK + 2], at = m->tiles / m->tasks * task + TN_MIN(task, m->tiles % m->tasks);
    int64_t count = m->tiles / m->tasks + (task < m->tiles % m->tasks), rest = at;
    char *dst = job->dst;
    const char *src = job->src;
    for (int i = m->rank - 1; i >= 0; i--) {
        index[i] = rest % m->dims[i];
        rest /= m->dims[i];
        dst += index[i] * m->dst_strides[i];
        src += index[i] * m->src_strides[i];
    }
    const int row_axis = m->rank - 2, col_axis = m->rank - 1;
    for (;;) {
        copy_tile(m, job->kernels, TN_MIN(m->row_tile, m->rows - index[row_axis] * m->row_tile),
                  TN_MIN(m->col_tile, m->cols - index[col_axis] * m->col_tile), dst, src);
        if (--count == 0) return;
        for (int i = col_axis;; i--) {
            dst += m->dst_strides[i];
            src += m->src_strides[i];
            if (++index[i] < m->dims[i]) break;
            dst -= m->dims[i] * m->dst_strides[i];
            src -= m->dims[i] * m->src_strides[i];
            index[i] = 0;
        }
    }
}

static void move_packed(const tn_move *m, uint8_t *dst, int64_t d, const uint8_t *src, int64_t s) {
    int64_t index[TN_MAX_RANK] = {0};
    for (;;) {
        tn_packed_set(dst, (int)m->bits, d, tn_packed_get(src, (int)m->bits, s));
        int i = m->rank - 1;
        for (; i >= 0; i--) {
            d += m->dst_strides[i];
            s += m->src_strides[i];
            if (++index[i] < m->dims[i]) break;
            d -= m->dims[i] * m->dst_strides[i];
            s -= m->dims[i] * m->src_strides[i];
            index[i] = 0;
        }
        if (i < 0) return;
    }
}

void tn_move_run(const tn_move *m, const tn_kernels *kernels, tn_pool *pool, void *dst, int64_t dst_offset,
                 const void *src, int64_t src_offset) {
    if (!m->tiles) return;
    if (m->kind == TN_MOVE_PACKED) {
        move_packed(m, dst, dst_offset, src, src_offset);
        return;
    }
    int64_t size = (int64_t)m->bits / 8;
    move_job job = {m, kernels, (char *)dst + dst_offset * size, (const char *)src + src_offset * size};
    tn_parallel(pool, m->tasks, move_task, &job);
}
