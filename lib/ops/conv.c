/* Conv, and com.microsoft's FusedConv with what is added and the activation inside.
 *
 * float32: kernels of one element are products of the weights with the image as it is; depthwise convolution has kernels
 * of its own (conv_depthwise.c, conv_lanes.c); where there is one output position, weights lie as a product with a vector
 * wants them; few positions are rows of a product with packed weights (conv_few.c); 3x3 kernels go Winograd's way where that
 * pays (conv_winograd.c); all others are products with a copy of the image (conv_image.c). float64 takes plain loops. */
#include "ops/conv.h"
#include "ops/data.h"
#include "ops/fused_activation.h"
#include "ops/scratch.h"
#include <stdio.h>

typedef enum conv_kind {
    CONV_EMPTY,
    CONV_DEPTHWISE,
    CONV_LANES,
    CONV_VECTOR,
    CONV_FEW,
    CONV_WINOGRAD,
    CONV_POINTWISE,
    CONV_IMAGE,
    CONV_WIDE
} conv_kind;

typedef struct conv_state {
    conv_kind kind;
    tn_conv_shape shape;
    tn_epilogue epilogue;
    tn_conv_depthwise *depthwise;
    tn_conv_lanes *lanes;
    tn_conv_image *image;
    tn_conv_few *few;
    tn_conv_winograd *winograd;
    tn_conv_f64 *wide;
    const tn_product *product;     /* of one group */
    const float *weights;          /* packed, group after group; NULL: packed at each run */
    size_t group_a, buffer_floats; /* floats of a group's packed weights, of one thread's buffer */
    size_t scratch;                /* bytes of scratch memory before that of the packed weights */
    int64_t task_rows, row_tasks;  /* of products with a vector */
} conv_state;

tn_status tn_conv_decode(const tn_node *node, const tn_type *x, const tn_type *w, bool transposed, tn_conv_shape *s) {
    int spatial = x->rank - 2;
    if (spatial < 1) return tn_fail(TN_E_SHAPE, "input 0 has %d dimensions; expected 3 or more", x->rank);
    if (w->rank != x->rank)
        return tn_fail(TN_E_SHAPE, "the weights have %d dimensions; expected %d, as input 0 has", w->rank, x->rank);
    *s = (tn_conv_shape){.group = tn_attr_int(node, "group", 1)};
    if (s->group < 1) return tn_fail(TN_E_INVALID, "attribute group is %lld; expected 1 or more", (long long)s->group);
    if (transposed)
        TN_TRY(tn_window_attributes(&s->window, node, spatial, w->dims + 2));
    else
        TN_TRY(tn_window_decode(&s->window, node, spatial, x->dims + 2, w->dims + 2));
    int64_t inner = w->dims[1]; /* the dim that counts one group's channels (transposed: outputs) only */
    int64_t all = inner < 0 ? -1 : 0;
    if (inner >= 0 && __builtin_mul_overflow(inner, s->group, &all))
        return tn_fail(TN_E_SHAPE, "%lld groups are too many", (long long)s->group);
    s->batch = x->dims[0];
    s->channels = x->dims[1];
    s->outputs = transposed ? all : w->dims[0];
    int64_t channels = transposed ? w->dims[0] : all;
    if (!tn_dim_fits(s->channels, channels))
        return tn_fail(TN_E_SHAPE, "input 0 has %lld channels but the weights are for %lld", (long long)s->channels,
                       (long long)channels);
    int64_t divided = transposed ? s->channels : s->outputs;
    if (divided >= 0 && divided % s->group != 0)
        return tn_fail(TN_E_SHAPE, "%lld %s do not divide into %lld groups", (long long)divided,
                       transposed ? "channels" : "outputs", (long long)s->group);
    return TN_OK;
}

tn_status tn_conv_infer(const tn_infer *call, bool transposed, tn_conv_shape *s, bool *out_known) {
    for (int i = 0; i < 2; i++) TN_TRY(tn_infer_dtype(call, i, TN_FLOATS));
    TN_TRY(tn_infer_equal_dtype(call, 0, 1));
    const tn_type *x = call->in[0], *w = call->in[1];
    *out_known = x->rank >= 0 && w->rank >= 0;
    if (*out_known) TN_TRY(tn_conv_decode(call->node, x, w, transposed, s));
    if (!tn_infer_has(call, 2)) return TN_OK;
    const tn_type *b = call->in[2];
    TN_TRY(tn_infer_dtype(call, 2, TN_FLOATS));
    TN_TRY(tn_infer_equal_dtype(call, 0, 2));
    if (b->rank >= 0 && b->rank != 1) return tn_infer_fail(call, 2, TN_E_SHAPE, "expected one dimension");
    if (*out_known && b->rank == 1 && !tn_dim_fits(b->dims[0], s->outputs))
        return tn_infer_fail(call, 2, TN_E_SHAPE, "expected %lld elements, one an output channel",
                             (long long)s->outputs);
    return TN_OK;
}

tn_status tn_conv_read(const tn_prepare *call, bool transposed, tn_conv_shape *s) {
    return tn_conv_measure(call->node, call->in[0], call->in[1], &call->out[0], transposed, s);
}

tn_status tn_conv_measure(const tn_node *node, const tn_type *x, const tn_type *w, const tn_type *y, bool transposed,
                          tn_conv_shape *s) {
    TN_TRY(tn_conv_decode(node, x, w, transposed, s));
    int spatial = s->window.spatial;
    for (int i = 0; i < spatial; i++) {
        s->window.in[i] = x->dims[i + 2];
        s->window.out[i] = y->dims[i + 2];
    }
    s->in_plane = tn_dims_count(spatial, s->window.in);
    s->out_plane = tn_dims_count(spatial, s->window.out);
    s->taps = tn_dims_count(spatial, s->window.kernel);
    if (s->taps < 0 || s->in_plane < 0 || s->out_plane < 0)
        return tn_fail(TN_E_SHAPE, "a kernel or image is too large");
    return TN_OK;
}

static tn_status conv_infer(tn_infer *call) {
    tn_conv_shape s;
    tn_epilogue epilogue;
    bool known;
    TN_TRY(tn_activation_read(call->node, &epilogue));
    TN_TRY(tn_conv_infer(call, false, &s, &known));
    if (!known) return tn_infer_out(call, 0, call->in[0]->dtype, -1, NULL);
    int64_t dims[TN_MAX_RANK] = {s.batch, s.outputs};
    int rank = s.window.spatial + 2;
    for (int i = 0; i < s.window.spatial; i++) dims[i + 2] = s.window.out[i];
    if (tn_infer_has(call, 3)) {
        const tn_type *z = call->in[3];
        TN_TRY(tn_infer_dtype(call, 3, TN_FLOATS));
        TN_TRY(tn_infer_equal_dtype(call, 0, 3));
        for (int i = 0; i < rank && z->rank >= 0; i++)
            if (z->rank != rank || !tn_dim_fits(z->dims[i], dims[i]))
                return tn_infer_fail(call, 3, TN_E_SHAPE, "expected the output's shape");
    }
    return tn_infer_out(call, 0, call->in[0]->dtype, rank, dims);
}

/* How weights are packed for products. */
typedef struct pack_call {
    const tn_product *product;
    const float *weights;
    int64_t group;
} pack_call;

static void pack_weights(void *dst, const void *context) {
    const pack_call *c = context;
    const tn_product *p = c->product;
    for (int64_t g = 0; g < c->group; g++)
        tn_product_pack_all_a(p, c->weights + (size_t)g * p->m * p->k, p->k, 1,
                              (float *)dst + (size_t)g * tn_product_a_offset(p, p->m));
}

tn_status tn_conv_pack(tn_prepare *call, const tn_product *p, int64_t group, const float **out_weights) {
    size_t bytes = tn_product_a_bytes(p);
    if (bytes == SIZE_MAX || !tn_mul_size(bytes, (size_t)group, &bytes))
        return tn_fail(TN_E_SHAPE, "the weights are too large");
    pack_call context = {p, call->value[1]->data, group};
    char layout[96];
    const void *packed;
    snprintf(layout, sizeof layout, "conv_%s %zu %lldx%zux%zu", p->bf16 ? "bf16" : "f32", p->rows, (long long)group,
             p->m, p->k);
    TN_TRY(tn_prepare_pack(call, 1, layout, bytes, pack_weights, &context, &packed));
    *out_weights = packed;
    return TN_OK;
}

/* Has the weights packed for state->product, or makes room for that in the scratch memory. */
static tn_status prepare_weights(tn_prepare *call, conv_state *c) {
    const tn_product *p = c->product;
    size_t bytes = tn_product_a_bytes(p);
    int64_t group = c->shape.group;
    if (bytes == SIZE_MAX || !tn_mul_size(bytes, (size_t)group, &bytes))
        return tn_fail(TN_E_SHAPE, "the weights are too large");
    c->group_a = tn_product_a_offset(p, p->m);
    if (call->value[1]) return tn_conv_pack(call, p, group, &c->weights);
    return tn_scratch_add(&call->scratch, bytes, 1) ? TN_OK : tn_fail(TN_E_SHAPE, "the weights are too large");
}

static bool is_pointwise(const tn_conv_shape *s) {
    for (int i = 0; i < s->window.spatial; i++)
        if (s->window.kernel[i] != 1 || s->window.pad_begin[i] != 0 || s->window.in[i] != s->window.out[i])
            return false;
    return true;
}

static tn_status prepare_pointwise(tn_prepare *call, conv_state *c) {
    const tn_conv_shape *s = &c->shape;
    tn_product *p = tn_prepare_alloc(call, sizeof *p);
    if (!p) return TN_E_MEMORY;
    c->product = p;
    tn_product_plan_fast(p, call->kernels, call->threads, (size_t)(s->outputs / s->group), (size_t)s->out_plane,
                         (size_t)(s->channels / s->group), 1, (size_t)(s->batch * s->group));
    size_t bytes = tn_product_buffer_bytes(p);
    c->buffer_floats = (bytes + 63) / 64 * 16;
    if (bytes == SIZE_MAX || !tn_scratch_add(&call->scratch, (size_t)call->threads, c->buffer_floats * sizeof(float)))
        return tn_fail(TN_E_SHAPE, "an image of %lld channels is too large", (long long)s->channels);
    return TN_OK;
}

/* One output position whose window is the whole image. */
static bool is_vector(const tn_conv_shape *s) {
    for (int i = 0; i < s->window.spatial; i++)
        if (s->window.in[i] != s->window.kernel[i] || s->window.pad_begin[i] != 0 || s->window.out[i] != 1)
            return false;
    return s->group == 1;
}

static tn_status conv_prepare(tn_prepare *call) {
    conv_state *c = tn_prepare_alloc(call, sizeof *c);
    if (!c) return TN_E_MEMORY;
    call->state = c;
    TN_TRY(tn_conv_read(call, false, &c->shape));
    TN_TRY(tn_activation_read(call->node, &c->epilogue));
    tn_window_drop_unit_axes(&c->shape.window);
    const tn_conv_shape *s = &c->shape;
    if (tn_type_count(&call->out[0]) == 0) return TN_OK;
    /* Products of bfloat16 are so much faster that nothing else pays but where there are few terms. */
    const bool fast = call->kernels->bf16_products;
    if (call->in[0]->dtype != TN_FLOAT32) {
        c->kind = CONV_WIDE;
        return tn_conv_f64_prepare(call, s, &c->wide);
    } else if (tn_conv_lanes_fits(call, s)) {
        c->kind = CONV_LANES;
        return tn_conv_lanes_prepare(call, s, &c->lanes);
    } else if (tn_conv_depthwise_fits(s)) {
        c->kind = CONV_DEPTHWISE;
        return tn_conv_depthwise_prepare(call, s, s->window.out[0], &c->depthwise);
    } else if (is_vector(s)) {
        c->kind = CONV_VECTOR;
        int64_t k = TN_MAX(s->channels * s->taps, 1);
        c->task_rows = TN_MAX(65536 / k, 4);
        c->row_tasks = (s->outputs + c->task_rows - 1) / c->task_rows;
    } else if (!fast && call->value[1] && tn_conv_few_fits(s, call->kernels)) {
        c->kind = CONV_FEW;
        return tn_conv_few_prepare(call, s, &c->few);
    } else if (!fast && tn_conv_winograd_fits(call, s)) {
        c->kind = CONV_WINOGRAD;
        TN_TRY(tn_conv_winograd_prepare(call, s, &c->winograd));
        return tn_conv_winograd_pack(call, c->winograd, &c->weights);
    } else {
        c->kind = is_pointwise(s) ? CONV_POINTWISE : CONV_IMAGE;
        if (c->kind == CONV_POINTWISE)
            TN_TRY(prepare_pointwise(call, c));
        else
            TN_TRY(tn_conv_image_prepare(call, s, &c->image, &c->product));
        c->scratch = call->scratch;
        return prepare_weights(call, c);
    }
    return TN_OK;
}

typedef struct run_call {
    const conv_state *state;
    const tn_kernels *kernels;
    const float *x, *w; /* w: packed, for products */
    float *y, *buffers;
    const tn_epilogue *epilogue;
} run_call;

static void pointwise_task(void *context, int64_t index) {
    const run_call *c = context;
    const conv_state *state = c->state;
    const tn_conv_shape *s = &state->shape;
    const tn_product *p = state->product;
    size_t task = (size_t)index % p->tasks, group = (size_t)index / p->tasks % (size_t)s->group;
    size_t image = (size_t)index / p->tasks / (size_t)s->group, plane = (size_t)s->out_plane;
    size_t row = group * p->m, at = (image * (size_t)s->outputs + row) * plane;
    size_t channel = image * (size_t)s->channels + group * (size_t)(s->channels / s->group);
    tn_panels panels = tn_panels_matrix(c->x + channel * plane, plane, 1);
    tn_epilogue e = *c->epilogue;
    if (e.row_bias) e.row_bias += row;
    if (e.residual) e.residual += at;
    e.residual_stride = plane;
    tn_product_task(p, task, c->w + group * state->group_a, &panels, c->y + at, plane, &e,
                    c->buffers + (size_t)tn_worker_index() * state->buffer_floats);
}

void tn_conv_add_residual(const tn_kernels *kernels, const tn_epilogue *e, size_t at, size_t n, float *y) {
    kernels->scatter_add_f32(n, e->residual + at, y + at, 1);
    kernels->activate_f32(n, y + at, e);
}

static void vector_task(void *context, int64_t index) {
    const run_call *c = context;
    const tn_conv_shape *s = &c->state->shape;
    const tn_epilogue *e = c->epilogue;
    int64_t image = index / c->state->row_tasks, row = index % c->state->row_tasks * c->state->task_rows;
    int64_t rows = TN_MIN(c->state->task_rows, s->outputs - row), k = s->channels * s->taps;
    float *y = c->y + image * s->outputs + row;
    c->kernels->dot_f32((size_t)rows, (size_t)k, c->w + row * k, (size_t)k, c->x + image * k, y, 1);
    for (int64_t i = 0; e->row_bias && i < rows; i++) y[i] += e->row_bias[row + i];
    for (int64_t i = 0; e->residual && i < rows; i++) y[i] += e->residual[image * s->outputs + row + i];
    c->kernels->activate_f32((size_t)rows, y, e);
}

static tn_status conv_run(tn_run *call) {
    const conv_state *state = call->state;
    const tn_conv_shape *s = &state->shape;
    const tn_tensor *x = tn_in(call, 0), *w = tn_in(call, 1), *b = tn_in(call, 2), *z = tn_in(call, 3);
    tn_tensor *out = tn_out(call, 0);
    if (!out || state->kind == CONV_EMPTY) return TN_OK;
    if (state->kind == CONV_WIDE) {
        tn_conv_f64_run(call, state->wide, &state->epilogue);
        return TN_OK;
    }
    tn_epilogue e = state->epilogue;
    e.row_bias = b ? b->data : NULL;
    e.residual = z ? z->data : NULL;
    if (state->kind == CONV_LANES) {
        tn_conv_lanes_run(call, state->lanes, x->data, w->data, out->data, &e);
        return TN_OK;
    }
    if (state->kind == CONV_DEPTHWISE) {
        tn_conv_depthwise_run(call, state->depthwise, x->data, w->data, out->data, &e);
        return TN_OK;
    }
    if (state->kind == CONV_FEW) {
        tn_conv_few_run(call, state->few, x->data, out->data, &e);
        return TN_OK;
    }
    if (state->kind == CONV_WINOGRAD) {
        tn_conv_winograd_run(call, state->winograd, x->data, w->data, state->weights, out->data, &e);
        return TN_OK;
    }
    run_call c = {state, call->kernels, x->data, w->data, out->data, NULL, &e};
    if (state->kind == CONV_VECTOR) {
        tn_parallel(call->pool, s->batch * state->row_tasks, vector_task, &c);
        return TN_OK;
    }
    c.w = state->weights;
    if (!c.w) {
        pack_call pack = {state->product, w->data, s->group};
        float *packed = (float *)(void *)((char *)call->scratch + state->scratch);
        pack_weights(packed, &pack);
        c.w = packed;
    }
    if (state->kind == CONV_IMAGE) {
        tn_conv_image_run(call, state->image, call->scratch, c.x, c.w, c.y, &e);
        return TN_OK;
    }
    c.buffers = call->scratch;
    tn_parallel(call->pool, s->batch * s->group * (int64_t)state->product->tasks, pointwise_task, &c);
    return TN_OK;
}

const tn_op tn_ops_conv[] = {
    {.name = "Conv",
     .domain = "",
     .min_in = 2,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN | TN_OP_BATCH,
     .infer = conv_infer,
     .prepare = conv_prepare,
     .run = conv_run},
    {.name = "FusedConv",
     .domain = "com.microsoft",
     .min_in = 2,
     .max_in = 4,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN | TN_OP_BATCH,
     .infer = conv_infer,
     .prepare = conv_prepare,
     .run = conv_run},
    {0},
};
