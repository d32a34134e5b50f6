/* Einsum: reading the equation. What it comes to is in einsum_run.c. */
#include "ops/einsum.h"

static int letter(char c) {
    return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : -1;
}

/* The next label of a term: a letter's, TN_EINSUM_ELLIPSIS, -1 at the term's end, -2 for what is none. */
static int next_label(const char **at) {
    while (**at == ' ') ++*at;
    if (**at == '\0' || **at == ',' || strncmp(*at, "->", 2) == 0) return -1;
    if (strncmp(*at, "...", 3) == 0) {
        *at += 3;
        return TN_EINSUM_ELLIPSIS;
    }
    int label = letter(**at);
    ++*at;
    return label < 0 ? -2 : label;
}

static tn_status bad_equation(const char *equation, const char *why) {
    return tn_fail(TN_E_INVALID, "equation '%.80s': %s", equation, why);
}

/* What a label's dim is together with `dim`; both as in tn_type. It starts as 1. */
static tn_status merge_dim(const tn_infer *call, int in, int axis, int64_t dim, int64_t *merged) {
    if (dim == *merged || dim == 1) return TN_OK;
    if (*merged == 1 || *merged < 0) {
        if (*merged == 1 || dim >= 0) *merged = dim;
        return TN_OK;
    }
    if (dim < 0) return TN_OK;
    return tn_infer_fail(call, in, TN_E_SHAPE, "its dimension %d should be %lld, as elsewhere in the equation", axis,
                         (long long)*merged);
}

/* Labels of an input's axes; *out_known: its rank is known or follows from the equation. */
static tn_status read_term(const tn_infer *call, const char *equation, const char **at, int in, int *labels,
                           int *out_rank, int *out_ellipsis, bool *out_known) {
    int letters = 0, before = -1, found[TN_MAX_RANK], rank = call->in[in]->rank;
    for (int label; (label = next_label(at)) != -1;) {
        if (label == -2) return bad_equation(equation, "expected letters, commas, '...' and one '->'");
        if (label == TN_EINSUM_ELLIPSIS) {
            if (before >= 0) return bad_equation(equation, "a term has two ellipses");
            before = letters;
            continue;
        }
        if (letters == TN_MAX_RANK) return bad_equation(equation, "a term has too many letters");
        found[letters++] = label;
    }
    int dims = before < 0 ? 0 : rank < 0 ? -1 : rank - letters;
    if (rank >= 0 && ((before < 0 && rank != letters) || dims < 0))
        return tn_infer_fail(call, in, TN_E_SHAPE, "but its term in '%.80s' has %d letters", equation, letters);
    *out_known = dims >= 0 && rank >= 0;
    *out_ellipsis = TN_MAX(dims, 0);
    *out_rank = letters + *out_ellipsis;
    const int n = *out_ellipsis;
    for (int i = 0; i < *out_rank; i++)
        labels[i] = before < 0 || i < before ? found[i]
                    : i < before + n         ? TN_EINSUM_ELLIPSIS + TN_MAX_RANK - n + (i - before)
                                             : found[i - n];
    return TN_OK;
}

/* The output's labels: as written after '->', or the ellipsis and then, in order, the letters that appear once. */
static tn_status read_output(const char *equation, const char *at, uint64_t seen, uint64_t repeated, int ellipsis,
                             tn_einsum *e) {
    uint64_t given = 0;
    bool implicit = *at == '\0';
    int labels[TN_EINSUM_LABELS + 1], count = 0;
    if (implicit) {
        if (ellipsis) labels[count++] = TN_EINSUM_ELLIPSIS;
        for (int i = 0; i < TN_EINSUM_ELLIPSIS; i++)
            if (seen >> i & ~(repeated >> i) & 1) labels[count++] = i;
    } else {
        at += 2;
        for (int label; (label = next_label(&at)) != -1;) {
            if (label == -2 || count > TN_MAX_RANK) return bad_equation(equation, "the output's term is none");
            if (given >> label & 1) return bad_equation(equation, "the output's term repeats a label");
            if (label != TN_EINSUM_ELLIPSIS && !(seen >> label & 1))
                return bad_equation(equation, "the output has a letter that no input has");
            given |= 1ull << label;
            labels[count++] = label;
        }
        if (*at) return bad_equation(equation, "something follows the output's term");
    }
    e->rank = 0;
    for (int i = 0; i < count; i++) {
        int n = labels[i] == TN_EINSUM_ELLIPSIS ? ellipsis : 1;
        if (e->rank + n > TN_MAX_RANK) return bad_equation(equation, "the output has too many dimensions");
        for (int k = 0; k < n; k++)
            e->out[e->rank++] =
                labels[i] == TN_EINSUM_ELLIPSIS ? TN_EINSUM_ELLIPSIS + TN_MAX_RANK - ellipsis + k : labels[i];
    }
    return TN_OK;
}

/* Reads all of it; e->sides may be NULL. *out_known: the output's rank and dims mean something. */
static tn_status read_equation(const tn_infer *call, tn_einsum *e, bool *out_known) {
    const char *equation = tn_attr_text(call->node, "equation", NULL), *at = equation;
    uint64_t seen = 0, repeated = 0;
    int most_ellipsis = 0, labels[TN_MAX_RANK], rank, ellipsis;
    if (!equation) return tn_fail(TN_E_INVALID, "attribute equation is missing");
    e->count = call->in_count;
    *out_known = true;
    for (int i = 0; i < TN_EINSUM_LABELS; i++) e->dims[i] = 1;
    for (int in = 0; in < call->in_count; in++) {
        if (in > 0 && *at++ != ',') return bad_equation(equation, "it has fewer terms than there are inputs");
        bool known;
        TN_TRY(read_term(call, equation, &at, in, labels, &rank, &ellipsis, &known));
        *out_known = *out_known && known;
        most_ellipsis = TN_MAX(most_ellipsis, ellipsis);
        for (int i = 0; i < rank; i++) {
            repeated |= seen & 1ull << labels[i];
            seen |= 1ull << labels[i];
            if (known) TN_TRY(merge_dim(call, in, i, call->in[in]->dims[i], &e->dims[labels[i]]));
        }
    }
    if (*at == ',') return bad_equation(equation, "it has more terms than there are inputs");
    return read_output(equation, at, seen, repeated, most_ellipsis, e);
}

/* Strides of the operands along the labels. */
static tn_status read_sides(const tn_infer *call, tn_einsum *e) {
    const char *equation = tn_attr_text(call->node, "equation", ""), *at = equation;
    for (int in = 0; in < call->in_count; in++, at++) {
        int labels[TN_MAX_RANK], rank, ellipsis;
        bool known;
        TN_TRY(read_term(call, equation, &at, in, labels, &rank, &ellipsis, &known));
        tn_einsum_side *side = &e->sides[in];
        int64_t stride = 1;
        for (int i = rank - 1; i >= 0; i--) {
            int64_t dim = call->in[in]->dims[i];
            if (dim != 1 && e->dims[labels[i]] != 1) {
                side->mask |= 1ull << labels[i];
                side->strides[labels[i]] += stride;
            }
            stride *= dim;
        }
    }
    return TN_OK;
}

static tn_status infer(tn_infer *call) {
    static const tn_dtype dtypes[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_FLOAT64, TN_INT8,   TN_INT16,    TN_INT32,
                                      TN_INT64,   TN_UINT8,   TN_UINT16,   TN_UINT32,  TN_UINT64, TN_UNDEFINED};
    tn_einsum e = {0};
    bool known;
    tn_dtype dtype = TN_UNDEFINED;
    for (int i = 0; i < call->in_count; i++) {
        TN_TRY(tn_infer_dtype(call, i, dtypes));
        if (dtype && call->in[i]->dtype && dtype != call->in[i]->dtype)
            return tn_infer_fail(call, i, TN_E_TYPE, "expected %s as the inputs before", tn_dtype_name(dtype));
        if (!dtype) dtype = call->in[i]->dtype;
    }
    TN_TRY(read_equation(call, &e, &known));
    int64_t dims[TN_MAX_RANK];
    for (int i = 0; i < e.rank; i++) dims[i] = e.dims[e.out[i]];
    return tn_infer_out(call, 0, dtype, known ? e.rank : -1, dims);
}

static tn_status prepare(tn_prepare *call) {
    const tn_infer types = {.node = call->node, .in_count = call->in_count, .in = call->in};
    tn_einsum e = {.sides = tn_prepare_alloc(call, (size_t)call->in_count * sizeof *e.sides)};
    tn_einsum_plan *plan;
    bool known;
    if (!e.sides) return TN_E_MEMORY;
    TN_TRY(read_equation(&types, &e, &known));
    TN_TRY(read_sides(&types, &e));
    TN_TRY(tn_einsum_prepare(call, &e, &plan));
    call->state = plan;
    return TN_OK;
}

static tn_status run(tn_run *call) {
    return tn_einsum_run(call, call->state);
}

const tn_op tn_ops_einsum[] = {
    {.domain = "",
     .name = "Einsum",
     .min_in = 1,
     .max_in = -1,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
