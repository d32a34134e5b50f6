/* Sequence operators: construct, insert, erase, at, length.
 *
 * A sequence is made anew by each node and shares the elements that it keeps (exec/sequence.h), so none of these copies
 * more than the tensor that comes in or goes out. */
#include "ops/strings.h"

static tn_status infer_sequence_in(const tn_infer *call) {
    const tn_type *type = call->in[0];
    if (type->kind != TN_KIND_UNKNOWN && type->kind != TN_KIND_SEQUENCE)
        return tn_infer_fail(call, 0, TN_E_TYPE, "expected a sequence");
    return TN_OK;
}

static tn_status infer_position(const tn_infer *call, int in) {
    static const tn_dtype integers[] = {TN_INT32, TN_INT64, TN_UNDEFINED};
    if (!tn_infer_has(call, in)) return TN_OK;
    TN_TRY(tn_infer_dtype(call, in, integers));
    const tn_type *type = call->in[in];
    int64_t count = type->rank >= 0 ? tn_dims_count(type->rank, type->dims) : -1;
    if (count >= 0 && count != 1) return tn_infer_fail(call, in, TN_E_SHAPE, "expected one position");
    return TN_OK;
}

static void out_sequence(tn_infer *call, const tn_type *element) {
    call->out[0] = *element;
    call->out[0].kind = TN_KIND_SEQUENCE;
    call->out[0].optional = false;
}

/* The sequence in input 0; a sentence and NULL where the host gave something else. */
static const tn_sequence *sequence_in(const tn_run *call) {
    const tn_value *value = call->in[0];
    if (value && value->present && value->sequence) return value->sequence;
    tn_fail(TN_E_TYPE, "input 0 holds no sequence");
    return NULL;
}

/* Position from input `in`, `fallback` if it is absent; counted from the end if negative. Within [0, limit]. */
static tn_status position_in(const tn_run *call, int in, int64_t count, int64_t limit, int64_t fallback, int64_t *out) {
    const tn_tensor *t = tn_in(call, in);
    int64_t position = fallback;
    if (t) {
        if (tn_count(t) != 1) return tn_fail(TN_E_SHAPE, "position has %lld elements, not 1", (long long)tn_count(t));
        position = t->dtype == TN_INT32 ? *(const int32_t *)t->data : *(const int64_t *)t->data;
    }
    *out = position < 0 ? position + count : position;
    if (*out < 0 || *out > limit)
        return tn_fail(TN_E_INVALID, "position %lld is outside of [%lld, %lld] in a sequence of %lld",
                       (long long)position, (long long)-count, (long long)limit, (long long)count);
    return TN_OK;
}

static tn_status construct_infer(tn_infer *call) {
    tn_type element = *call->in[0];
    for (int i = 0; i < call->in_count; i++) {
        if (!tn_infer_has(call, i)) return tn_fail(TN_E_INVALID, "input %d is absent; every element is required", i);
        const tn_type *type = call->in[i];
        if (type->kind != TN_KIND_UNKNOWN && type->kind != TN_KIND_TENSOR)
            return tn_infer_fail(call, i, TN_E_TYPE, "expected a tensor");
        if (element.dtype && type->dtype && element.dtype != type->dtype)
            return tn_infer_fail(call, i, TN_E_TYPE, "the elements before it are %s", tn_dtype_name(element.dtype));
        tn_type_merge(&element, type);
    }
    out_sequence(call, &element);
    return TN_OK;
}

static tn_status construct_run(tn_run *call) {
    tn_sequence *out = tn_run_sequence(call, 0);
    if (!out) return TN_E_MEMORY;
    for (int i = 0; i < call->in_count; i++) {
        const tn_tensor *t = tn_in(call, i);
        if (!t) return tn_fail(TN_E_INVALID, "element %d holds nothing", i);
        TN_TRY(tn_sequence_insert(out, i, t));
    }
    return TN_OK;
}

static tn_status empty_infer(tn_infer *call) {
    int64_t dtype = tn_attr_int(call->node, "dtype", TN_FLOAT32);
    if (dtype < 0 || dtype > INT32_MAX || !tn_dtype_bits((tn_dtype)dtype))
        return tn_fail(TN_E_TYPE, "attribute dtype is %lld, which is no data type", (long long)dtype);
    tn_type element;
    tn_type_tensor(&element, (tn_dtype)dtype, -1, NULL);
    out_sequence(call, &element);
    return TN_OK;
}

static tn_status empty_prepare(tn_prepare *call) {
    tn_dtype *dtype = call->state = tn_prepare_alloc(call, sizeof *dtype);
    if (!dtype) return TN_E_MEMORY;
    *dtype = (tn_dtype)tn_attr_int(call->node, "dtype", TN_FLOAT32);
    return TN_OK;
}

static tn_status empty_run(tn_run *call) {
    tn_sequence *out = tn_run_sequence(call, 0);
    if (!out) return TN_E_MEMORY;
    tn_sequence_set_dtype(out, *(const tn_dtype *)call->state);
    return TN_OK;
}

static tn_status insert_infer(tn_infer *call) {
    TN_TRY(infer_sequence_in(call));
    TN_TRY(infer_position(call, 2));
    const tn_type *sequence = call->in[0], *tensor = call->in[1];
    if (tensor->kind != TN_KIND_UNKNOWN && tensor->kind != TN_KIND_TENSOR)
        return tn_infer_fail(call, 1, TN_E_TYPE, "expected a tensor");
    if (sequence->dtype && tensor->dtype && sequence->dtype != tensor->dtype)
        return tn_infer_fail(call, 1, TN_E_TYPE, "the sequence is of %s", tn_dtype_name(sequence->dtype));
    tn_type element = *sequence;
    element.kind = tensor->kind;
    if (!element.dtype) element.dtype = tensor->dtype;
    tn_type_merge(&element, tensor);
    out_sequence(call, &element);
    return TN_OK;
}

static tn_status insert_run(tn_run *call) {
    const tn_sequence *from = sequence_in(call);
    const tn_tensor *tensor = tn_in(call, 1);
    tn_sequence *out = from ? tn_run_sequence(call, 0) : NULL;
    if (!out) return from ? TN_E_MEMORY : TN_E_TYPE;
    if (!tensor) return tn_fail(TN_E_INVALID, "input 1 holds no tensor");
    int64_t count = tn_sequence_count(from), position;
    TN_TRY(position_in(call, 2, count, count, count, &position));
    tn_sequence_set_dtype(out, tn_sequence_dtype(from));
    for (int64_t i = 0; i < count; i++) TN_TRY(tn_sequence_share(out, from, i));
    return tn_sequence_insert(out, position, tensor);
}

static tn_status erase_infer(tn_infer *call) {
    TN_TRY(infer_sequence_in(call));
    TN_TRY(infer_position(call, 1));
    out_sequence(call, call->in[0]);
    return TN_OK;
}

static tn_status erase_run(tn_run *call) {
    const tn_sequence *from = sequence_in(call);
    tn_sequence *out = from ? tn_run_sequence(call, 0) : NULL;
    if (!out) return from ? TN_E_MEMORY : TN_E_TYPE;
    int64_t count = tn_sequence_count(from), position;
    TN_TRY(position_in(call, 1, count, count - 1, -1, &position));
    tn_sequence_set_dtype(out, tn_sequence_dtype(from));
    for (int64_t i = 0; i < count; i++)
        if (i != position) TN_TRY(tn_sequence_share(out, from, i));
    return TN_OK;
}

static tn_status at_infer(tn_infer *call) {
    TN_TRY(infer_sequence_in(call));
    TN_TRY(infer_position(call, 1));
    call->out[0] = *call->in[0];
    call->out[0].kind = TN_KIND_TENSOR;
    call->out[0].optional = false;
    return TN_OK;
}

static tn_status at_run(tn_run *call) {
    const tn_sequence *from = sequence_in(call);
    if (!from) return TN_E_TYPE;
    int64_t count = tn_sequence_count(from), position;
    TN_TRY(position_in(call, 1, count, count - 1, 0, &position));
    const tn_tensor *element = tn_sequence_at(from, position);
    TN_TRY(tn_run_output(call, 0, element->dtype, element->rank, element->dims));
    tn_tensor *out = tn_out(call, 0);
    size_t bytes = tn_dtype_bytes(out->dtype, tn_count(out));
    if (bytes) memcpy(out->data, element->data, bytes);
    return tn_keep_strings(call, out); /* the sequence may be gone before the result is */
}

static tn_status length_infer(tn_infer *call) {
    TN_TRY(infer_sequence_in(call));
    return tn_infer_out(call, 0, TN_INT64, 0, NULL);
}

static tn_status length_run(tn_run *call) {
    const tn_sequence *from = sequence_in(call);
    if (!from) return TN_E_TYPE;
    *(int64_t *)tn_out(call, 0)->data = tn_sequence_count(from);
    return TN_OK;
}

#define OP(name_, lo, hi, prepare_, function)                                                                          \
    {                                                                                                                  \
        .domain = "", .name = name_, .min_in = lo, .max_in = hi, .min_out = 1, .max_out = 1,                           \
        .infer = function##_infer, .prepare = prepare_, .run = function##_run                                          \
    }

const tn_op tn_ops_sequence[] = {
    OP("SequenceConstruct", 1, -1, NULL, construct),
    OP("SequenceEmpty", 0, 0, empty_prepare, empty),
    OP("SequenceInsert", 2, 3, NULL, insert),
    OP("SequenceErase", 1, 2, NULL, erase),
    OP("SequenceAt", 2, 2, NULL, at),
    OP("SequenceLength", 1, 1, NULL, length),
    {0},
};
