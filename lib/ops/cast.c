/* Cast, CastLike, BitCast: every dtype to every other but complex numbers.
 *
 * Frequent pairs have a kernel; all others go by blocks through int64 or double, so that a dtype needs one reader and
 * one writer instead of a loop for each pair. A double is rounded once, also to the smallest formats. */
#include "base/element.h"
#include "ops/cast_text.h"
#include "ops/data.h"

enum { BLOCK = 512, GRAIN = 64 * BLOCK };

typedef struct {
    tn_dtype from, to;
    tn_narrowing narrowing;
    bool real; /* by doubles, not int64: these are exact but for the largest of 64 bits */
} cast_state;

static bool is_like(const tn_node *node) {
    return strcmp(node->op->name, "CastLike") == 0;
}

static bool castable(tn_dtype dtype) {
    return tn_dtype_bits(dtype) && dtype != TN_COMPLEX64 && dtype != TN_COMPLEX128;
}

/* The dtype that attribute `to` names; fails if it is none. */
static tn_status read_to(const tn_node *node, tn_dtype *out_dtype) {
    int64_t to = tn_attr_int(node, "to", 0);
    if (to < 0 || to > INT16_MAX || !tn_dtype_bits((tn_dtype)to))
        return tn_fail(TN_E_TYPE, "attribute to is %lld; expected the number of a data type", (long long)to);
    *out_dtype = (tn_dtype)to;
    return TN_OK;
}

static tn_status read_narrowing(const tn_node *node, tn_narrowing *out_narrowing) {
    static const char *const names[] = {[TN_ROUND_UP] = "up", [TN_ROUND_DOWN] = "down", [TN_ROUND_NEAREST] = "nearest"};
    const char *mode = tn_attr_text(node, "round_mode", "up");
    out_narrowing->overflow = tn_attr_int(node, "saturate", 1) == 0;
    for (size_t i = 0; i < TN_COUNT(names); i++) {
        out_narrowing->round = (tn_round)i;
        if (strcmp(mode, names[i]) == 0) return TN_OK;
    }
    return tn_fail(TN_E_INVALID, "attribute round_mode is '%s'; expected up, down or nearest", mode);
}

static tn_status infer_cast(tn_infer *call) {
    tn_narrowing narrowing;
    tn_dtype to = TN_UNDEFINED;
    TN_TRY(tn_infer_tensor(call, 0));
    TN_TRY(read_narrowing(call->node, &narrowing));
    if (is_like(call->node)) {
        TN_TRY(tn_infer_tensor(call, 1));
        to = call->in[1]->dtype;
    } else {
        TN_TRY(read_to(call->node, &to));
    }
    const tn_type *x = call->in[0];
    if (x->dtype && !castable(x->dtype)) return tn_infer_fail(call, 0, TN_E_TYPE, "there is no cast from it");
    if (to && !castable(to)) return tn_infer_fail(call, 0, TN_E_TYPE, "there is no cast to %s", tn_dtype_name(to));
    return tn_infer_out(call, 0, to, x->rank, x->dims);
}

static tn_status prepare_cast(tn_prepare *call) {
    cast_state *s = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    call->state = s;
    s->from = call->in[0]->dtype;
    s->to = call->out[0].dtype;
    bool wide = s->to == TN_FLOAT32 || s->to == TN_FLOAT64;
    s->real = tn_dtype_is_float(s->from) || (tn_dtype_is_float(s->to) && (!wide || s->from == TN_UINT64));
    return read_narrowing(call->node, &s->narrowing);
}

typedef struct {
    const cast_state *state;
    const tn_kernels *kernels;
    const void *x;
    void *y;
    int64_t count;
} cast_run;

/* True if a kernel did elements [first, first + n). */
static bool cast_by_kernel(const cast_run *r, int64_t first, size_t n) {
    const tn_kernels *k = r->kernels;
    const uint16_t *halves = (const uint16_t *)r->x + first;
    float *y = (float *)r->y + first;
    if (r->state->to == TN_FLOAT32) {
        switch (r->state->from) {
        case TN_FLOAT16: k->f16_to_f32(n, y, halves); return true;
        case TN_BFLOAT16: k->bf16_to_f32(n, y, halves); return true;
        case TN_INT8: k->i8_to_f32(n, y, (const int8_t *)r->x + first); return true;
        case TN_BOOL:
        case TN_UINT8: k->u8_to_f32(n, y, (const uint8_t *)r->x + first); return true;
        case TN_INT32: k->i32_to_f32(n, y, (const int32_t *)r->x + first); return true;
        case TN_INT64: k->i64_to_f32(n, y, (const int64_t *)r->x + first); return true;
        default: return false;
        }
    }
    if (r->state->from != TN_FLOAT32) return false;
    if (r->state->to == TN_FLOAT16)
        k->f32_to_f16(n, (uint16_t *)r->y + first, (const float *)r->x + first);
    else if (r->state->to == TN_BFLOAT16)
        k->f32_to_bf16(n, (uint16_t *)r->y + first, (const float *)r->x + first);
    else
        return false;
    return true;
}

static void cast_task(void *context, int64_t index) {
    const cast_run *r = context;
    const cast_state *s = r->state;
    int64_t first = index * GRAIN, last = TN_MIN(first + GRAIN, r->count);
    if (cast_by_kernel(r, first, (size_t)(last - first))) return;
    for (; first < last; first += BLOCK) {
        size_t n = (size_t)TN_MIN(last - first, (int64_t)BLOCK);
        double reals[BLOCK];
        int64_t integers[BLOCK];
        if (s->real)
            tn_read_doubles(s->from, r->x, first, n, reals);
        else
            tn_read_ints(s->from, r->x, first, n, integers);
        /* The bits behind the last packed element are zero. */
        size_t bits = tn_dtype_bits(s->to), tail = (size_t)(first + (int64_t)n) * bits;
        if (bits < 8 && tail % 8) ((uint8_t *)r->y)[tail / 8] = 0;
        if (s->real)
            tn_write_doubles(s->to, r->y, first, n, reals, s->narrowing);
        else
            tn_write_ints(s->to, r->y, first, n, integers, s->narrowing);
    }
}

static tn_status to_strings(tn_run *call, const tn_tensor *x, tn_tensor *y) {
    char text[TN_NUMBER_TEXT];
    for (int64_t i = 0, n = tn_count(x); i < n; i++) {
        size_t size = tn_number_to_text(x->dtype, x->data, i, text);
        char *kept = tn_run_string(call, size);
        if (!kept) return TN_E_MEMORY;
        memcpy(kept, text, size);
        ((tn_string *)y->data)[i] = (tn_string){kept, size};
    }
    return TN_OK;
}

static tn_status run_cast(tn_run *call) {
    const cast_state *s = call->state;
    const tn_tensor *x = tn_in(call, 0);
    tn_tensor *y = tn_out(call, 0);
    if (!y) return TN_OK;
    if (s->from == s->to) return tn_run_same_bytes(call);
    if (s->to == TN_STRING) return to_strings(call, x, y);
    int64_t count = tn_count(x);
    if (s->from == TN_STRING) {
        if (tn_dtype_bits(s->to) < 8) memset(y->data, 0, tn_dtype_bytes(s->to, count));
        for (int64_t i = 0; i < count; i++)
            TN_TRY(tn_number_from_text(s->to, y->data, i, ((const tn_string *)x->data)[i], s->narrowing));
        return TN_OK;
    }
    cast_run r = {s, call->kernels, x->data, y->data, count};
    tn_parallel(call->pool, (count + GRAIN - 1) / GRAIN, cast_task, &r);
    return TN_OK;
}

static bool view_cast(const tn_prepare *call, int out, int *in, size_t *byte_offset) {
    *in = 0;
    *byte_offset = 0;
    return call->in[0]->dtype == call->out[out].dtype;
}

/* ---- BitCast ---- */

static tn_status infer_bit_cast(tn_infer *call) {
    tn_dtype to = TN_UNDEFINED;
    TN_TRY(tn_infer_tensor(call, 0));
    TN_TRY(read_to(call->node, &to));
    const tn_type *x = call->in[0];
    if (x->dtype == TN_STRING || to == TN_STRING)
        return tn_infer_fail(call, 0, TN_E_TYPE, "strings have no bits to reinterpret");
    if (x->dtype && tn_dtype_bits(x->dtype) != tn_dtype_bits(to))
        return tn_infer_fail(call, 0, TN_E_TYPE, "an element of %s has %zu bits, not %zu", tn_dtype_name(to),
                             tn_dtype_bits(to), tn_dtype_bits(x->dtype));
    return tn_infer_out(call, 0, to, x->rank, x->dims);
}

static bool view_whole(const tn_prepare *call, int out, int *in, size_t *byte_offset) {
    (void)call, (void)out;
    *in = 0;
    *byte_offset = 0;
    return true;
}

const tn_op tn_ops_cast[] = {
    {.domain = "",
     .name = "Cast",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_IN_PLACE,
     .infer = infer_cast,
     .prepare = prepare_cast,
     .run = run_cast,
     .view = view_cast},
    {.domain = "",
     .name = "CastLike",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .infer = infer_cast,
     .prepare = prepare_cast,
     .run = run_cast,
     .view = view_cast},
    {.domain = "",
     .name = "BitCast",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_IN_PLACE,
     .infer = infer_bit_cast,
     .run = tn_run_same_bytes,
     .view = view_whole},
    {0},
};
