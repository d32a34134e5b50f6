/* MatMulNBits of com.microsoft: A[..., K] times weights of 2, 3, 4 or 8 bits, quantized in blocks along K.
 *
 * Weights stay as small as they are: packed once in panels of as many columns as the product's kernel takes, and turned
 * to float32 panel by panel, block of k by block, in the buffer of the thread that multiplies them. */
#include "kernels/product.h"
#include "ops/quant.h"
#include "ops/scratch.h"
#include <stdio.h>

enum { A, B, SCALES, ZEROS, INDEX, BIAS };

typedef struct nbits {
    tn_product p;
    size_t n, k, block, blocks; /* columns; rows; rows of a block; blocks */
    int bits;
    size_t q_panel,
        line_panel;        /* bytes of a panel's elements; numbers of its scales, or zero points: [blocks, columns] */
    const uint8_t *q;      /* packed; NULL: at each run */
    const float *lines[2]; /* scales and zero points */
    size_t q_bytes, line_bytes; /* of all */
    size_t buffer_bytes, a_bytes;
} nbits;

static tn_status read_size(const tn_node *node, const char *name, int64_t fallback, int64_t *value) {
    *value = tn_attr_int(node, name, fallback);
    if (*value >= 1 && *value <= INT32_MAX) return TN_OK;
    return tn_fail(TN_E_INVALID, "%s is %lld; expected a positive number", name, (long long)*value);
}

static tn_status check(const tn_infer *call, int in, int64_t count, const char *what) {
    int64_t have = call->in[in]->rank < 0 ? -1 : tn_dims_count(call->in[in]->rank, call->in[in]->dims);
    for (int i = 0; i < call->in[in]->rank; i++)
        if (call->in[in]->dims[i] < 0) return TN_OK;
    if (call->in[in]->rank < 0 || have == count) return TN_OK;
    return tn_infer_fail(call, in, TN_E_SHAPE, "expected %lld elements: %s", (long long)count, what);
}

static tn_status infer(tn_infer *call) {
    static const tn_dtype floats[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};
    static const tn_dtype bytes[] = {TN_UINT8, TN_UNDEFINED};
    static const tn_dtype zeros[] = {TN_UINT8, TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};
    int64_t k, n, block, bits;
    TN_TRY(tn_infer_dtype(call, A, floats));
    TN_TRY(tn_infer_dtype(call, B, bytes));
    TN_TRY(tn_infer_dtype(call, SCALES, floats));
    TN_TRY(read_size(call->node, "K", 0, &k));
    TN_TRY(read_size(call->node, "N", 0, &n));
    TN_TRY(read_size(call->node, "block_size", 0, &block));
    TN_TRY(read_size(call->node, "bits", 4, &bits));
    if ((bits != 2 && bits != 3 && bits != 4 && bits != 8) || block % 16 != 0)
        return tn_fail(TN_E_UNSUPPORTED, "%lld bits in blocks of %lld; expected 2, 3, 4 or 8 in multiples of 16",
                       (long long)bits, (long long)block);
    if (tn_attr_int(call->node, "weight_prepacked", 0) || tn_infer_has(call, INDEX))
        return tn_fail(TN_E_UNSUPPORTED, "weights that are prepacked, or reordered by g_idx, are not supported");
    int64_t blocks = (k + block - 1) / block;
    TN_TRY(check(call, B, n * blocks * (block * bits / 8), "N x blocks of K x bytes of a block"));
    TN_TRY(check(call, SCALES, n * blocks, "N x blocks of K"));
    if (tn_infer_has(call, ZEROS)) {
        TN_TRY(tn_infer_dtype(call, ZEROS, zeros));
        bool packed = call->in[ZEROS]->dtype == TN_UINT8;
        if (call->in[ZEROS]->dtype)
            TN_TRY(check(call, ZEROS, packed ? n * ((blocks * bits + 7) / 8) : n * blocks, "one for each scale"));
    }
    if (tn_infer_has(call, BIAS)) {
        TN_TRY(tn_infer_dtype(call, BIAS, floats));
        TN_TRY(check(call, BIAS, n, "N"));
    }
    const tn_type *a = call->in[A];
    int64_t dims[TN_MAX_RANK];
    if (a->rank < 0) return tn_infer_out(call, 0, a->dtype, -1, NULL);
    if (a->rank == 0 || (a->dims[a->rank - 1] >= 0 && a->dims[a->rank - 1] != k))
        return tn_infer_fail(call, A, TN_E_SHAPE, "expected K = %lld as last dimension", (long long)k);
    memcpy(dims, a->dims, sizeof dims);
    dims[a->rank - 1] = n;
    return tn_infer_out(call, 0, a->dtype, a->rank, dims);
}

typedef struct source {
    const nbits *s;
    const tn_tensor *from; /* NULL: zero points in the middle of the range */
} source;

/* Element i of a column: one after the other, low bits first. */
static unsigned element(const nbits *s, const uint8_t *column, size_t i) {
    const size_t at = i * (size_t)s->bits, shift = at % 8;
    unsigned both = column[at / 8];
    if (shift + (size_t)s->bits > 8) both |= (unsigned)column[at / 8 + 1] << 8;
    return both >> shift & ((1u << s->bits) - 1);
}

/* Where row k, a multiple of 8 or of the block size, begins in a panel. */
static size_t panel_offset(const nbits *s, size_t k) {
    return k / 8 * s->p.columns * (size_t)s->bits;
}

/* One element of a panel, as kernel dequantize_panel has them. */
static void put_element(const nbits *s, uint8_t *panel, size_t k, size_t c, unsigned q) {
    const size_t columns = s->p.columns, line = columns * (size_t)s->bits / 8;
    if (s->bits == 3) {
        const size_t shift = k % 8 * 3;
        uint8_t *at = panel + panel_offset(s, k) + shift / 8 * columns + c;
        *at |= (uint8_t)(q << shift % 8);
        if (shift % 8 > 5) at[columns] |= (uint8_t)(q >> (8 - shift % 8));
    } else {
        panel[k * line + c % line] |= (uint8_t)(q << (c / line * (size_t)s->bits));
    }
}

static void pack_q(void *dst, const void *context) {
    const source *f = context;
    const nbits *s = f->s;
    const size_t columns = s->p.columns;
    const size_t column_bytes = s->blocks * (s->block * (size_t)s->bits / 8);
    uint8_t *to = dst;
    memset(dst, 0, s->q_bytes);
    for (size_t i = 0; i < s->n; i++) {
        const uint8_t *column = (const uint8_t *)f->from->data + i * column_bytes;
        uint8_t *panel = to + i / columns * s->q_panel;
        for (size_t k = 0; k < s->k; k++) put_element(s, panel, k, i % columns, element(s, column, k));
    }
}

/* Scales or zero points; columns past n have 0. */
static void pack_lines(void *dst, const void *context) {
    const source *f = context;
    const nbits *s = f->s;
    const size_t columns = s->p.columns, packed = (s->blocks * (size_t)s->bits + 7) / 8;
    float *to = dst;
    memset(dst, 0, s->line_bytes);
    for (size_t i = 0; i < s->n; i++)
        for (size_t b = 0; b < s->blocks; b++)
            to[i / columns * s->line_panel + b * columns + i % columns] =
                !f->from                     ? (float)(1 << (s->bits - 1))
                : f->from->dtype == TN_UINT8 ? (float)element(s, (const uint8_t *)f->from->data + i * packed, b)
                                             : ((const float *)f->from->data)[i * s->blocks + b];
}

typedef struct nbits_panels {
    tn_panels panels; /* what the product sees */
    const nbits *s;
    const uint8_t *q;
    const float *lines[2];
} nbits_panels;

/* The product's B: rows k to k + k_count of the panels from `column` on; k is a multiple of the block size. */
static void make_panels(const tn_panels *panels, const tn_product *p, size_t column, size_t n, size_t k, size_t k_count,
                        float *buffer, tn_gemm_f32 *call) {
    const nbits_panels *own = (const nbits_panels *)panels;
    const nbits *s = own->s;
    const size_t columns = p->columns;
    call->b = buffer;
    call->b_stride = columns;
    call->b_panel = columns * k_count;
    for (size_t j = 0; j < n; j += columns, buffer += call->b_panel) {
        const size_t panel = (column + j) / columns;
        const uint8_t *q = own->q + panel * s->q_panel;
        const float *scale = own->lines[0] + panel * s->line_panel, *zero = own->lines[1] + panel * s->line_panel;
        for (size_t done = 0, rows; done < k_count; done += rows) {
            size_t at = k + done, block = at / s->block;
            rows = TN_MIN(k_count - done, s->block - at % s->block);
            p->kernels->dequantize_panel(buffer + done * columns, q + panel_offset(s, at), rows, columns, s->bits,
                                         scale + block * columns, zero + block * columns);
        }
    }
}

/* What is constant is packed now; for the rest scratch is asked for. */
static tn_status pack_constants(tn_prepare *call, nbits *s) {
    char layout[96];
    const void *packed;
    snprintf(layout, sizeof layout, "nbits %d %zu %zux%zu/%zu", s->bits, s->p.columns, s->k, s->n, s->block);
    if (call->value[B]) {
        const source from = {s, call->value[B]};
        TN_TRY(tn_prepare_pack(call, B, layout, s->q_bytes, pack_q, &from, &packed));
        s->q = packed;
    } else if (!tn_scratch_add(&call->scratch, s->q_bytes, 1)) {
        return tn_fail(TN_E_SHAPE, "the product is too large");
    }
    for (int i = 0; i < 2; i++) {
        source from = {s, NULL};
        if (i == 1 && !tn_prepare_has(call, ZEROS)) {
            float *lines = tn_prepare_alloc(call, s->line_bytes);
            if (!lines) return TN_E_MEMORY;
            pack_lines(lines, &from);
            s->lines[i] = lines;
        } else if (call->value[SCALES + i]) {
            from.from = call->value[SCALES + i];
            TN_TRY(tn_prepare_pack(call, SCALES + i, layout, s->line_bytes, pack_lines, &from, &packed));
            s->lines[i] = packed;
        } else if (!tn_scratch_add(&call->scratch, s->line_bytes, 1)) {
            return tn_fail(TN_E_SHAPE, "the product is too large");
        }
    }
    return TN_OK;
}

static tn_status prepare(tn_prepare *call) {
    nbits *s = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    call->state = s;
    s->n = (size_t)tn_attr_int(call->node, "N", 1);
    s->k = (size_t)tn_attr_int(call->node, "K", 1);
    s->block = (size_t)tn_attr_int(call->node, "block_size", 1);
    s->bits = (int)tn_attr_int(call->node, "bits", 4);
    s->blocks = (s->k + s->block - 1) / s->block;
    size_t m = (size_t)tn_type_count(call->in[A]) / s->k, bytes;
    tn_product_plan(&s->p, call->kernels, m, s->n, s->k, TN_MIN(s->block, s->k), 1);
    if (m == 0) return TN_OK;
    bool fits = tn_mul_size((s->k + 7) / 8, s->p.columns * (size_t)s->bits, &s->q_panel) && s->q_panel < SIZE_MAX / 2;
    s->q_panel = (s->q_panel + 63) / 64 * 64;
    s->line_panel = s->blocks * s->p.columns;
    fits = fits && tn_mul_size(s->q_panel, s->p.column_panels, &s->q_bytes) &&
           tn_mul_size(s->line_panel * sizeof(float), s->p.column_panels, &s->line_bytes);
    s->a_bytes = m > 1 ? tn_product_a_bytes(&s->p) : 0;
    s->buffer_bytes = (tn_product_buffer_bytes(&s->p) + 63) / 64 * 64;
    fits = fits && s->a_bytes < SIZE_MAX && tn_scratch_add(&call->scratch, s->a_bytes, 1) &&
           tn_mul_size((size_t)call->threads, s->buffer_bytes, &bytes) && tn_scratch_add(&call->scratch, bytes, 1);
    return fits ? pack_constants(call, s) : tn_fail(TN_E_SHAPE, "the product is too large");
}

typedef struct job {
    const nbits *s;
    const float *a;
    float *packed_a, *y;
    uint8_t *buffers;
    nbits_panels right;
    tn_epilogue epilogue;
} job;

static void pack_task(void *context, int64_t panel) {
    const job *j = context;
    tn_product_pack_a(&j->s->p, j->a, j->s->k, 1, j->packed_a, (size_t)panel);
}

static void product_task(void *context, int64_t task) {
    const job *j = context;
    float *buffer = (float *)(void *)(j->buffers + (size_t)tn_worker_index() * j->s->buffer_bytes);
    tn_product_task(&j->s->p, (size_t)task, j->packed_a, &j->right.panels, j->y, j->s->n, &j->epilogue, buffer);
}

static tn_status run(tn_run *call) {
    const nbits *s = call->state;
    const tn_tensor *a = tn_in(call, A), *bias = tn_in(call, BIAS);
    tn_tensor *y = tn_out(call, 0);
    if (!y || s->p.m == 0) return TN_OK;
    uint8_t *at = call->scratch;
    job j = {.s = s, .a = a->data, .y = y->data, .epilogue = {.column_bias = bias ? bias->data : NULL}};
    j.packed_a = tn_scratch_take(&at, s->a_bytes, 1);
    j.buffers = tn_scratch_take(&at, (size_t)tn_pool_threads(call->pool) * s->buffer_bytes, 1);
    j.right = (nbits_panels){{.make = make_panels}, s, s->q, {s->lines[0], s->lines[1]}};
    if (!s->q) {
        const source from = {s, tn_in(call, B)};
        uint8_t *q = tn_scratch_take(&at, s->q_bytes, 1);
        pack_q(q, &from);
        j.right.q = q;
    }
    for (int i = 0; i < 2; i++) {
        if (s->lines[i]) continue;
        const source from = {s, tn_in(call, SCALES + i)};
        float *lines = tn_scratch_take(&at, s->line_bytes, 1);
        pack_lines(lines, &from);
        j.right.lines[i] = lines;
    }
    if (s->p.m > 1)
        tn_parallel(call->pool, (int64_t)s->p.row_panels, pack_task, &j);
    else
        j.packed_a = (float *)(uintptr_t)j.a;
    tn_parallel(call->pool, (int64_t)s->p.tasks, product_task, &j);
    return TN_OK;
}

const tn_op tn_ops_matmul_nbits[] = {
    {.domain = "com.microsoft",
     .name = "MatMulNBits",
     .min_in = 3,
     .max_in = 6,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
