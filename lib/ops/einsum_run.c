/* Einsum's plan: products of matrices, where the type allows, of two operands after the other.
 *
 * Idea: of the labels of two operands, those that both have and that are still wanted are batches, those that only one
 * has are rows (columns), those that nobody wants any more are summed over. If the labels of each kind lie one after the
 * other in memory the product reads the operand as it is, else a copy in that order. A sum over one operand, and types
 * of less than 32 bits, go through plain loops over all labels. */
#include "kernels/move.h"
#include "ops/einsum.h"
#include "ops/matmul.h"
#include "ops/scratch.h"

/* A list of labels in an order. */
typedef struct order {
    int count;
    int labels[TN_EINSUM_LABELS];
} order;

typedef struct step {
    const tn_matmul *matmul;
    const tn_move *move[2]; /* NULL: read as it is */
    int input[2];           /* number of the input; -1: the result of the step before */
    size_t copy[2], result; /* offsets in scratch */
    bool direct;            /* the result is the output */
} step;

struct tn_einsum_plan {
    tn_einsum e;
    tn_dtype dtype;
    order all; /* of the plain loops: the output's labels, then those summed over */
    int kept;  /* of `all`: those before are the output's */
    int64_t count, sums;
    bool plain;
    int steps;
    step *step;
    const tn_move *last; /* from the last result (or the only input) to the output; NULL: it is there */
    size_t result;
};

static void append(order *o, uint64_t mask, const order *first) {
    for (int i = 0; i < first->count; i++)
        if (mask >> first->labels[i] & 1) {
            o->labels[o->count++] = first->labels[i];
            mask &= ~(1ull << first->labels[i]);
        }
    for (int i = 0; i < TN_EINSUM_LABELS; i++)
        if (mask >> i & 1) o->labels[o->count++] = i;
}

/* Several labels as one dim: false unless they lie one after the other. No labels are one element. */
static bool merge(const tn_einsum *e, const tn_einsum_side *side, const order *o, int64_t *dim, int64_t *stride) {
    *dim = 1;
    *stride = 1;
    for (int i = o->count - 1; i >= 0; i--) {
        int64_t own = side->mask >> o->labels[i] & 1 ? side->strides[o->labels[i]] : 0;
        if (i == o->count - 1)
            *stride = own;
        else if (own != *stride * *dim)
            return false;
        *dim *= e->dims[o->labels[i]];
    }
    return true;
}

/* The move that puts an operand's labels into order, dense. */
static const tn_move *plan_move(tn_prepare *call, const tn_einsum *e, const tn_einsum_side *side, const order *o,
                                tn_dtype dtype) {
    tn_move *move = tn_prepare_alloc(call, sizeof *move);
    if (!move) return NULL;
    int64_t stride = 1;
    move->bits = tn_dtype_bits(dtype);
    move->rank = o->count;
    for (int i = o->count - 1; i >= 0; i--) {
        move->dims[i] = e->dims[o->labels[i]];
        move->dst_strides[i] = stride;
        move->src_strides[i] = side->mask >> o->labels[i] & 1 ? side->strides[o->labels[i]] : 0;
        stride *= move->dims[i];
    }
    tn_move_plan(move);
    return move;
}

static void make_dense(const tn_einsum *e, tn_einsum_side *side, const order *o) {
    int64_t stride = 1;
    *side = (tn_einsum_side){0};
    for (int i = o->count - 1; i >= 0; i--) {
        side->mask |= 1ull << o->labels[i];
        side->strides[o->labels[i]] = stride;
        stride *= e->dims[o->labels[i]];
    }
}

static bool count_of(const tn_einsum *e, const order *o, size_t *count) {
    *count = 1;
    for (int i = 0; i < o->count; i++)
        if (!tn_mul_size(*count, (size_t)e->dims[o->labels[i]], count)) return false;
    return *count < SIZE_MAX / 64;
}

static order concat(const order *a, const order *b, const order *c) {
    order all = *a;
    for (int i = 0; i < b->count; i++) all.labels[all.count++] = b->labels[i];
    for (int i = 0; i < c->count; i++) all.labels[all.count++] = c->labels[i];
    return all;
}

typedef struct sizes {
    size_t matmul, own; /* scratch: the product's, which comes first, and this plan's */
} sizes;

/* An operand as a stack of matrices, through a copy unless it is fit as it lies. */
static tn_status plan_side(tn_prepare *call, const tn_einsum *e, tn_einsum_side *side, const order *batch,
                           const order *rows, const order *columns, int index, step *s, sizes *z, tn_operand *o) {
    tn_dtype dtype = call->in[0]->dtype;
    bool fits =
        merge(e, side, rows, &o->rows, &o->row_stride) && merge(e, side, columns, &o->columns, &o->column_stride);
    fits = fits && (o->row_stride == 1 || o->column_stride == 1 || dtype != TN_FLOAT32);
    if (!fits) {
        order all = concat(batch, rows, columns);
        size_t count;
        if (all.count > TN_MAX_RANK + 2) return tn_fail(TN_E_UNSUPPORTED, "a term has too many dimensions");
        s->move[index] = plan_move(call, e, side, &all, dtype);
        if (!s->move[index]) return TN_E_MEMORY;
        s->copy[index] = z->own;
        if (!count_of(e, &all, &count) || !tn_scratch_add(&z->own, count, tn_dtype_bits(dtype) / 8))
            return tn_fail(TN_E_SHAPE, "the product is too large");
        make_dense(e, side, &all);
        merge(e, side, rows, &o->rows, &o->row_stride);
        merge(e, side, columns, &o->columns, &o->column_stride);
    }
    o->batch_rank = batch->count;
    for (int i = 0; i < batch->count; i++) {
        o->batch[i] = e->dims[batch->labels[i]];
        o->batch_stride[i] = side->strides[batch->labels[i]];
    }
    return TN_OK;
}

/* Whether labels come in the order in which the output has them, apart from those that it has not. */
static bool in_order(const order *o, const order *wanted) {
    int at = 0;
    for (int i = 0; i < wanted->count; i++)
        if (at < o->count && o->labels[at] == wanted->labels[i]) at++;
    return at == o->count;
}

/* side[0] and side[1] contracted; the result replaces side[0]. keep: labels that are wanted afterwards. */
static tn_status plan_step(tn_prepare *call, const tn_einsum *e, tn_einsum_side *side, uint64_t keep,
                           const order *wanted, bool last, step *s, sizes *z) {
    uint64_t a = side[0].mask, b = side[1].mask;
    order batch = {0}, rows = {0}, columns = {0}, sum = {0}, none = {0};
    append(&batch, a & b & keep, wanted);
    append(&rows, a & ~b & keep, wanted);
    append(&columns, b & ~a & keep, wanted);
    append(&sum, (a | b) & ~keep, &none);
    order result = concat(&batch, &rows, &columns), swapped = concat(&batch, &columns, &rows);
    if (!in_order(&result, wanted) && in_order(&swapped, wanted)) {
        tn_einsum_side t = side[0];
        int input = s->input[0];
        side[0] = side[1], side[1] = t;
        s->input[0] = s->input[1], s->input[1] = input;
        order o = rows;
        rows = columns, columns = o;
        result = swapped;
    }
    if (batch.count > TN_MAX_RANK) return tn_fail(TN_E_UNSUPPORTED, "a product has too many dimensions");
    tn_operand left, right;
    TN_TRY(plan_side(call, e, &side[0], &batch, &rows, &sum, 0, s, z, &left));
    TN_TRY(plan_side(call, e, &side[1], &batch, &sum, &columns, 1, s, z, &right));
    /* Weights can be packed when they are what the product expects them to be: inputs 0 and 1, as they lie. */
    const bool whole = call->in_count == 2 && s->input[0] == 0 && s->input[1] == 1;
    const tn_tensor *values[2] = {whole && !s->move[0] ? call->value[0] : NULL,
                                  whole && !s->move[1] ? call->value[1] : NULL};
    tn_prepare local = *call;
    local.in_count = call->in_count < 2 ? call->in_count : 2;
    local.value = values;
    local.scratch = 0;
    tn_matmul *matmul;
    TN_TRY(tn_matmul_prepare(&local, &left, &right, 1, &matmul));
    s->matmul = matmul;
    z->matmul = TN_MAX(z->matmul, local.scratch);
    make_dense(e, &side[0], &result);
    s->direct = last && in_order(&result, wanted);
    size_t count;
    s->result = z->own;
    if (!s->direct &&
        (!count_of(e, &result, &count) || !tn_scratch_add(&z->own, count, tn_dtype_bits(call->in[0]->dtype) / 8)))
        return tn_fail(TN_E_SHAPE, "the product is too large");
    return TN_OK;
}

static tn_status plan_steps(tn_prepare *call, tn_einsum_plan *p, const order *wanted) {
    const tn_einsum *e = &p->e;
    sizes z = {0};
    tn_einsum_side side[2] = {e->sides[0]};
    p->steps = e->count - 1;
    p->step = tn_prepare_alloc(call, (size_t)p->steps * sizeof *p->step);
    if (!p->step) return TN_E_MEMORY;
    uint64_t out = 0;
    for (int i = 0; i < wanted->count; i++) out |= 1ull << wanted->labels[i];
    for (int i = 0; i < p->steps; i++) {
        uint64_t keep = out;
        for (int k = i + 2; k < e->count; k++) keep |= e->sides[k].mask;
        side[1] = e->sides[i + 1];
        p->step[i].input[0] = i == 0 ? 0 : -1;
        p->step[i].input[1] = i + 1;
        TN_TRY(plan_step(call, e, side, keep, wanted, i == p->steps - 1, &p->step[i], &z));
    }
    if (!p->step[p->steps - 1].direct) {
        p->last = plan_move(call, e, &side[0], wanted, p->dtype);
        if (!p->last) return TN_E_MEMORY;
    }
    /* The product's own scratch lies first. */
    if (!tn_add_size(z.matmul, 63, &z.matmul)) return tn_fail(TN_E_SHAPE, "the product is too large");
    z.matmul = z.matmul / 64 * 64;
    for (int i = 0; i < p->steps; i++) {
        p->step[i].result += z.matmul;
        for (int k = 0; k < 2; k++) p->step[i].copy[k] += z.matmul;
    }
    if (!tn_add_size(z.matmul, z.own, &call->scratch)) return tn_fail(TN_E_SHAPE, "the product is too large");
    return TN_OK;
}

static bool has_product(tn_dtype dtype) {
    return dtype == TN_FLOAT32 || dtype == TN_FLOAT64 || dtype == TN_INT32 || dtype == TN_UINT32 || dtype == TN_INT64 ||
           dtype == TN_UINT64;
}

tn_status tn_einsum_prepare(tn_prepare *call, const tn_einsum *e, tn_einsum_plan **out_plan) {
    tn_einsum_plan *p = *out_plan = tn_prepare_alloc(call, sizeof *p);
    if (!p) return TN_E_MEMORY;
    p->e = *e;
    p->dtype = call->in[0]->dtype;
    p->count = tn_type_count(&call->out[0]);
    if (p->count == 0) return TN_OK;
    uint64_t used = 0, wanted_mask = 0;
    order wanted = {0};
    for (int i = 0; i < e->count; i++) used |= e->sides[i].mask;
    for (int i = 0; i < e->rank; i++)
        if (used >> e->out[i] & 1) {
            wanted.labels[wanted.count++] = e->out[i];
            wanted_mask |= 1ull << e->out[i];
        }
    append(&p->all, wanted_mask, &wanted);
    append(&p->all, used & ~wanted_mask, &wanted);
    p->sums = 1;
    p->kept = wanted.count;
    for (int i = wanted.count; i < p->all.count; i++) p->sums *= e->dims[p->all.labels[i]];
    if (e->count > 1 && has_product(p->dtype)) return plan_steps(call, p, &wanted);
    p->plain = e->count > 1 || wanted_mask != used;
    if (p->plain) return TN_OK;
    p->last = plan_move(call, e, &e->sides[0], &wanted, p->dtype);
    return p->last ? TN_OK : TN_E_MEMORY;
}

/* ---- plain loops ---- */
typedef struct loops {
    const tn_run *call;
    const tn_einsum_plan *p;
    int64_t task;
} loops;

/* Offsets of an operand's element at position `index` of the labels [first, last) of `all`. */
static int64_t offset_of(const tn_einsum_plan *p, const tn_einsum_side *side, int first, int last, int64_t index) {
    int64_t offset = 0;
    for (int i = last - 1; i >= first; i--) {
        int label = p->all.labels[i];
        offset += index % p->e.dims[label] * (side->mask >> label & 1 ? side->strides[label] : 0);
        index /= p->e.dims[label];
    }
    return offset;
}

#define LOOPS(type, sum_type)                                                                                          \
    static void loops_##type(const loops *l, int64_t at) {                                                             \
        const tn_einsum_plan *p = l->p;                                                                                \
        const int summed = p->kept;                                                                                    \
        sum_type sum = 0;                                                                                              \
        for (int64_t k = 0; k < p->sums; k++) {                                                                        \
            sum_type term = 1;                                                                                         \
            for (int i = 0; i < p->e.count; i++) {                                                                     \
                const tn_einsum_side *side = &p->e.sides[i];                                                           \
                int64_t offset = offset_of(p, side, 0, summed, at) + offset_of(p, side, summed, p->all.count, k);      \
                term *= (sum_type)((const type *)tn_in(l->call, i)->data)[offset];                                     \
            }                                                                                                          \
            sum += term;                                                                                               \
        }                                                                                                              \
        ((type *)tn_out(l->call, 0)->data)[at] = (type)sum;                                                            \
    }
LOOPS(float, double)
LOOPS(double, double)
LOOPS(uint8_t, uint64_t)
LOOPS(uint16_t, uint64_t)
LOOPS(uint32_t, uint64_t)
LOOPS(uint64_t, uint64_t)

static void loops_task(void *context, int64_t task) {
    const loops *l = context;
    const tn_einsum_plan *p = l->p;
    int64_t last = TN_MIN((task + 1) * l->task, p->count);
    for (int64_t i = task * l->task; i < last; i++) switch (p->dtype) {
        case TN_FLOAT32: loops_float(l, i); break;
        case TN_FLOAT64: loops_double(l, i); break;
        /* Sums modulo 2^n are the same for both signs. */
        case TN_INT8:
        case TN_UINT8: loops_uint8_t(l, i); break;
        case TN_INT16:
        case TN_UINT16: loops_uint16_t(l, i); break;
        case TN_INT32:
        case TN_UINT32: loops_uint32_t(l, i); break;
        default: loops_uint64_t(l, i);
        }
}

tn_status tn_einsum_run(const tn_run *call, const tn_einsum_plan *p) {
    tn_tensor *y = tn_out(call, 0);
    if (!y || p->count == 0) return TN_OK;
    if (p->plain) {
        loops l = {call, p, TN_MAX(16384 / TN_MAX(p->sums, 1), 1)};
        tn_parallel(call->pool, (p->count + l.task - 1) / l.task, loops_task, &l);
        return TN_OK;
    }
    uint8_t *scratch = call->scratch;
    const void *result = tn_in(call, 0)->data;
    for (int i = 0; i < p->steps; i++) {
        const step *s = &p->step[i];
        const void *side[2];
        for (int k = 0; k < 2; k++) {
            side[k] = s->input[k] < 0 ? result : tn_in(call, s->input[k])->data;
            if (!s->move[k]) continue;
            tn_move_run(s->move[k], call->kernels, call->pool, scratch + s->copy[k], 0, side[k], 0);
            side[k] = scratch + s->copy[k];
        }
        void *to = s->direct ? y->data : scratch + s->result;
        tn_matmul_run(call, s->matmul, side[0], side[1], to, NULL);
        result = to;
    }
    if (p->last) tn_move_run(p->last, call->kernels, call->pool, y->data, 0, result, 0);
    return TN_OK;
}
