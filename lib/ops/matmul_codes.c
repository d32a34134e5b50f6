/* See matmul_codes.h. Weights that share values (Han et al., "Deep Compression", arXiv 1510.00149) come here as float32, folded
 * from a codebook and a Gather, or however else a file has them: what counts is how many values there are. */
#include "ops/matmul_codes.h"
#include <stdio.h>

/* Weights that caches hold are read faster in float32 than they are looked up. From these many bytes in float32 on it pays, at
 * any number of rows; measured by tests/bench/sparse.c. */
static const size_t LEAST_BYTES = (size_t)32 << 20;

enum { MOST = 256, SLOTS = 1024 };

typedef struct tn_codebook { /* packed: this, then panels of codes as kernel lookup_panel has them */
    float value[MOST];
} tn_codebook;

struct tn_matmul_codes {
    const tn_product *product;
    const tn_codebook *book;
    const uint8_t *codes;
    int bits;
    size_t panel; /* bytes */
};

/* Values by their bits, so that -0 and NaN are kept as they are. */
typedef struct values {
    uint32_t key[SLOTS];
    int16_t at[SLOTS]; /* in the book; -1: the slot is free */
    float book[MOST];
    int count, most;
} values;

static int code_of(values *v, float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t slot = (bits * 2654435761u) >> 22;
    while (v->at[slot] >= 0 && v->key[slot] != bits) slot = (slot + 1) % SLOTS;
    if (v->at[slot] < 0) {
        if (v->count == v->most) return -1;
        v->key[slot] = bits;
        v->at[slot] = (int16_t)v->count;
        v->book[v->count++] = x;
    }
    return v->at[slot];
}

typedef struct source {
    const values *values;
    const uint8_t *codes; /* of each element, as the matrix lies */
    size_t row_stride, column_stride;
    const tn_matmul_codes *to;
} source;

static void pack(void *dst, const void *context) {
    const source *s = context;
    const tn_matmul_codes *c = s->to;
    const tn_product *p = c->product;
    const size_t line = p->columns * (size_t)c->bits / 8;
    uint8_t *to = (uint8_t *)((tn_codebook *)dst + 1);
    memset(dst, 0, sizeof(tn_codebook) + c->panel * p->column_panels);
    memcpy(dst, s->values->book, sizeof s->values->book);
    for (size_t j = 0; j < p->n; j += p->columns, to += c->panel)
        for (size_t k = 0; k < p->k; k++) {
            const uint8_t *from = s->codes + k * s->row_stride + j * s->column_stride;
            const size_t count = TN_MIN(p->columns, p->n - j), low = TN_MIN(count, line);
            for (size_t i = 0; i < low; i++) to[k * line + i] = from[i * s->column_stride];
            for (size_t i = low; i < count; i++) to[k * line + i - line] |= (uint8_t)(from[i * s->column_stride] << 4);
        }
}

/* False if there are more than a codebook takes. */
static bool collect(values *v, const float *w, size_t count, uint8_t *codes) {
    memset(v->at, -1, sizeof v->at);
    for (size_t i = 0; i < count; i++) {
        const int code = code_of(v, w[i]);
        if (code < 0) return false;
        codes[i] = (uint8_t)code;
    }
    return true;
}

/* What was collected, as the product will read it. */
static tn_status take(tn_prepare *call, const tn_product *product, source *s, tn_matmul_codes **out_codes) {
    tn_product *plan = tn_prepare_alloc(call, sizeof *plan);
    tn_matmul_codes *c = plan ? tn_prepare_alloc(call, sizeof *c) : NULL;
    char layout[96];
    const void *packed;
    if (!c) return TN_E_MEMORY;
    *plan = *product;
    *c = (tn_matmul_codes){.product = plan, .bits = s->values->count <= 16 ? 4 : 8};
    c->panel = (product->k * product->columns * (size_t)c->bits / 8 + 63) / 64 * 64;
    s->to = c;
    snprintf(layout, sizeof layout, "codes %zu %zux%zu at %zu,%zu", product->columns, product->k, product->n,
             s->row_stride, s->column_stride);
    TN_TRY(tn_prepare_pack(call, 1, layout, sizeof(tn_codebook) + c->panel * product->column_panels, pack, s, &packed));
    c->book = packed;
    c->codes = (const uint8_t *)(c->book + 1);
    *out_codes = c;
    return TN_OK;
}

tn_status tn_matmul_codes_prepare(tn_prepare *call, const tn_operand *b, const tn_product *product,
                                  tn_matmul_codes **out_codes) {
    const size_t count = (size_t)(b->rows * b->columns);
    *out_codes = NULL;
    if (count < LEAST_BYTES / sizeof(float) || product->bf16 || product->columns % 2) return TN_OK;
    values *v = tn_alloc_zero(NULL, sizeof *v);
    uint8_t *codes = v ? tn_alloc(NULL, count) : NULL;
    tn_status status = codes ? TN_OK : TN_E_MEMORY;
    if (v) v->most = call->kernels->lookup_bits < 8 ? 16 : MOST;
    if (codes && collect(v, call->value[1]->data, count, codes)) {
        source s = {v, codes, (size_t)b->row_stride, (size_t)b->column_stride, NULL};
        status = take(call, product, &s, out_codes);
    }
    if (codes) tn_free(NULL, codes, count);
    if (v) tn_free(NULL, v, sizeof *v);
    return status;
}

static void make_panels(const tn_panels *panels, const tn_product *p, size_t column, size_t n, size_t k, size_t k_count,
                        float *buffer, tn_gemm_f32 *call) {
    const tn_matmul_codes *c = ((const tn_code_panels *)panels)->codes;
    const size_t columns = p->columns, line = columns * (size_t)c->bits / 8;
    call->b = buffer;
    call->b_stride = columns;
    call->b_panel = columns * k_count;
    for (size_t j = 0; j < n; j += columns, buffer += call->b_panel)
        p->kernels->lookup_panel(buffer, c->codes + (column + j) / columns * c->panel + k * line, k_count, columns,
                                 c->bits, c->book->value);
}

tn_code_panels tn_matmul_codes_panels(const tn_matmul_codes *codes) {
    return (tn_code_panels){{.make = make_panels}, codes};
}
