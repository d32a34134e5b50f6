/* One node at once. See eager.h.
 *
 * Half-precision inputs of operators that compute in float32 (TN_OP_WIDEN) are widened here and their outputs
 * narrowed, as the pass of that name does in a graph. */
#include "exec/eager.h"
#include "base/element.h"
#include "graph/infer.h"

typedef struct {
    const tn_eager *options;
    const tn_node *node;
    int in_count, out_count;
    tn_region *region;
    tn_value **in; /* what the operator sees */
    tn_type *in_types, *out_types;
    const tn_type **in_type;
    const tn_tensor **contents;
    tn_value **out;
    tn_dtype narrow; /* what widened outputs go back to; TN_UNDEFINED: nothing was widened */
} call;

static tn_status narrow(tn_value *value, tn_dtype to, const tn_allocator *allocator) {
    tn_tensor half = {0};
    TN_TRY(tn_tensor_init(&half, to, value->tensor.rank, value->tensor.dims, allocator));
    const float *x = value->tensor.data;
    uint16_t *y = half.data;
    int64_t n = tn_count(&half);
    for (int64_t i = 0; i < n; i++) y[i] = to == TN_FLOAT16 ? tn_float_to_half(x[i]) : tn_float_to_bfloat(x[i]);
    tn_tensor_deinit(&value->tensor);
    value->tensor = half;
    return TN_OK;
}

/* A float32 copy of input i in the region. */
static tn_status widen(call *c, int i) {
    const tn_tensor *half = &c->in[i]->tensor;
    tn_value *wide = tn_region_alloc(c->region, sizeof *wide);
    int64_t n = tn_count(half);
    float *y = wide ? tn_region_array(c->region, (size_t)TN_MAX(n, 1), sizeof *y) : NULL;
    if (!y) return TN_E_MEMORY;
    const uint16_t *x = half->data;
    c->narrow = half->dtype;
    for (int64_t k = 0; k < n; k++)
        y[k] = half->dtype == TN_FLOAT16 ? tn_half_to_float(x[k]) : tn_bfloat_to_float(x[k]);
    TN_TRY(tn_tensor_set_dense(&wide->tensor, TN_FLOAT32, half->rank, half->dims, y));
    wide->present = true;
    c->in[i] = wide;
    return TN_OK;
}

static tn_status infer(call *c, bool *out_half) {
    for (int i = 0; i < c->in_count; i++) {
        if (!c->in[i]) continue;
        tn_value_type(c->in[i], &c->in_types[i]);
        c->in_type[i] = &c->in_types[i];
        c->contents[i] = c->in[i]->present && !c->in[i]->sequence ? &c->in[i]->tensor : NULL;
    }
    for (int i = 0; i < c->out_count; i++) tn_type_unknown(&c->out_types[i]);
    tn_infer infer_call = {c->node, c->in_count, c->out_count, c->in_type, c->contents, c->out_types, NULL};
    TN_TRY(c->node->op->infer(&infer_call));
    for (int i = 0; out_half && i < c->out_count; i++) out_half[i] = tn_dtype_is_half(c->out_types[i].dtype);
    return TN_OK;
}

static tn_status prepare_and_run(call *c, const tn_allocator *allocator, tn_value *out) {
    const tn_op *op = c->node->op;
    const tn_kernels *kernels = c->options && c->options->kernels ? c->options->kernels : tn_kernels_best();
    tn_pool *pool = c->options ? c->options->pool : NULL;
    struct tn_prepare_host prepare_host = {.region = c->region};
    tn_prepare prepare = {.node = c->node,
                          .in_count = c->in_count,
                          .out_count = c->out_count,
                          .in = c->in_type,
                          .value = c->contents,
                          .out = c->out_types,
                          .kernels = kernels,
                          .threads = tn_pool_threads(pool),
                          .host = &prepare_host};
    if (op->prepare) TN_TRY(op->prepare(&prepare));
    void *scratch = tn_region_alloc(c->region, TN_MAX(prepare.scratch, (size_t)64));
    if (!scratch) return TN_E_MEMORY;
    for (int i = 0; i < c->out_count; i++) {
        out[i].present = true;
        c->out[i] = &out[i];
        const tn_type *type = &c->out_types[i];
        if (tn_type_is_concrete(type))
            TN_TRY(tn_tensor_init(&out[i].tensor, type->dtype, type->rank, type->dims, allocator));
    }
    struct tn_run_host run_host = {allocator, c->region, 0x5DEECE66Du};
    tn_run run = {.node = c->node,
                  .in_count = c->in_count,
                  .out_count = c->out_count,
                  .in = c->in,
                  .out = c->out,
                  .state = prepare.state,
                  .scratch = scratch,
                  .kernels = kernels,
                  .pool = pool,
                  .host = &run_host};
    return op->run(&run);
}

/* Strings live in the region so far: gives each output of strings its own copy. */
static tn_status own_strings(tn_value *value, const tn_allocator *allocator) {
    if (!value->present || value->sequence || value->tensor.dtype != TN_STRING) return TN_OK;
    tn_tensor copy = {0};
    TN_TRY(tn_tensor_init_copy(&copy, &value->tensor, allocator));
    tn_tensor_deinit(&value->tensor);
    value->tensor = copy;
    return TN_OK;
}

static tn_status run_in(call *c, tn_value *const *in, tn_value *out) {
    const tn_op *op = c->node->op;
    const tn_allocator *allocator = c->options ? c->options->allocator : NULL;
    size_t ins = (size_t)c->in_count + 1, outs = (size_t)c->out_count + 1;
    c->in = tn_region_array(c->region, ins, sizeof *c->in);
    c->in_types = tn_region_array(c->region, ins, sizeof *c->in_types);
    c->in_type = tn_region_array(c->region, ins, sizeof *c->in_type);
    c->contents = tn_region_array(c->region, ins, sizeof *c->contents);
    c->out = tn_region_array(c->region, outs, sizeof *c->out);
    c->out_types = tn_region_array(c->region, outs, sizeof *c->out_types);
    bool *half = tn_region_array(c->region, outs, sizeof *half);
    if (!c->in || !c->in_types || !c->in_type || !c->contents || !c->out || !c->out_types || !half) return TN_E_MEMORY;
    if (!op->run) return tn_fail(TN_E_UNSUPPORTED, "%s cannot run alone", op->name);
    if (c->in_count < op->min_in || (op->max_in >= 0 && c->in_count > op->max_in) || c->out_count < op->min_out ||
        (op->max_out >= 0 && c->out_count > op->max_out))
        return tn_fail(TN_E_INVALID, "%s with %d inputs and %d outputs; it takes %d to %d and gives %d to %d", op->name,
                       c->in_count, c->out_count, op->min_in, op->max_in, op->min_out, op->max_out);
    for (int i = 0; i < op->min_in; i++)
        if (!in[i]) return tn_fail(TN_E_INVALID, "input %d of %s is absent; it is required", i, op->name);
    for (int i = 0; i < c->in_count; i++) c->in[i] = in[i];
    TN_TRY(infer(c, half));
    if (op->flags & TN_OP_WIDEN) {
        for (int i = 0; i < c->in_count; i++)
            if (c->in[i] && tn_dtype_is_half(c->in_types[i].dtype)) TN_TRY(widen(c, i));
        if (c->narrow) TN_TRY(infer(c, NULL));
    }
    TN_TRY(prepare_and_run(c, allocator, out));
    for (int i = 0; i < c->out_count; i++) {
        if (c->narrow && half[i] && out[i].present && out[i].tensor.dtype == TN_FLOAT32)
            TN_TRY(narrow(&out[i], c->narrow, allocator));
        TN_TRY(own_strings(&out[i], allocator));
    }
    return TN_OK;
}

tn_status tn_eager_values(const tn_eager *options, const tn_node *node, int in_count, tn_value *const *in,
                          int out_count, tn_value *out) {
    call c = {.options = options, .node = node, .in_count = in_count, .out_count = out_count};
    memset(out, 0, (size_t)out_count * sizeof *out);
    c.region = tn_region_create(options ? options->allocator : NULL);
    if (!c.region) return TN_E_MEMORY;
    tn_status status = run_in(&c, in, out);
    if (status != TN_OK)
        for (int i = 0; i < out_count; i++) tn_value_release(&out[i]);
    tn_region_destroy(c.region);
    return status;
}

tn_status tn_eager_run(const tn_eager *options, const tn_op *op, int attr_count, const tn_attr *attrs, int in_count,
                       const tn_tensor *const *in, int out_count, tn_tensor **out) {
    const tn_allocator *allocator = options ? options->allocator : NULL;
    tn_node node = {.op = op, .name = "", .attr_count = attr_count, .attrs = (tn_attr *)attrs};
    tn_region *region = tn_region_create(allocator);
    tn_value *values = region ? tn_region_array(region, (size_t)(in_count + out_count) + 1, sizeof *values) : NULL;
    tn_value **pointers = values ? tn_region_array(region, (size_t)in_count + 1, sizeof *pointers) : NULL;
    tn_value *results = values ? values + in_count : NULL;
    tn_status status = pointers ? TN_OK : TN_E_MEMORY;
    memset(out, 0, (size_t)out_count * sizeof *out);
    for (int i = 0; i < in_count && status == TN_OK; i++) {
        if (!in[i]) continue;
        pointers[i] = &values[i];
        values[i].present = true;
        if (tn_tensor_is_dense(in[i]) && tn_tensor_is_aligned(in[i])) {
            /* Dims of 1 may have any stride in a dense tensor; operators see the regular ones. */
            status = tn_tensor_set_dense(&values[i].tensor, in[i]->dtype, in[i]->rank, in[i]->dims, in[i]->data);
        } else {
            status = tn_tensor_init_copy(&values[i].tensor, in[i], allocator);
        }
    }
    if (status == TN_OK) status = tn_eager_values(options, &node, in_count, pointers, out_count, results);
    for (int i = 0; i < out_count && status == TN_OK; i++) {
        if (!results[i].present || results[i].sequence)
            status = tn_fail(TN_E_TYPE, "output %d of %s is not a tensor", i, op->name);
        else
            status = tn_tensor_move(&results[i].tensor, &out[i]);
    }
    for (int i = 0; values && i < in_count + out_count; i++) tn_value_release(&values[i]);
    for (int i = 0; i < out_count && status != TN_OK; i++) {
        tn_tensor_destroy(out[i]);
        out[i] = NULL;
    }
    tn_region_destroy(region);
    return status;
}
