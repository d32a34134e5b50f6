/* RotaryEmbedding of ai.onnx and of com.microsoft: pairs of each head's elements turned by angles that grow with the
 * position (arXiv 2104.09864). X is [batch, heads, length, head] or [batch, length, heads * head]. Pairs are element i
 * of both halves, or neighbours if interleaved; elements past rotary_embedding_dim stay.
 *
 * The two domains differ in the order of inputs, and in that com.microsoft takes one position for a whole row. */
#include "ops/data.h"
#include "ops/rotary.h"

/* Where the inputs of each domain are. */
typedef struct rotary_inputs {
    int cos, sin, positions;
} rotary_inputs;

static rotary_inputs inputs_of(const tn_node *node) {
    return *node->op->domain ? (rotary_inputs){2, 3, 1} : (rotary_inputs){1, 2, 3};
}

typedef struct rotary_state {
    rotary_inputs inputs;
    bool interleaved;
    int64_t batch, length, heads, head, half; /* half: pairs to turn */
    int64_t head_stride, length_stride;
} rotary_state;

/* From concrete types; X's last dim and cos_cache's are enough to fail on wrong attributes. */
static tn_status get_state(const tn_node *node, const tn_type *x, const tn_type *cos, rotary_state *s) {
    int64_t heads = tn_attr_int(node, "num_heads", 0), turned = tn_attr_int(node, "rotary_embedding_dim", 0);
    *s = (rotary_state){.inputs = inputs_of(node), .interleaved = tn_attr_int(node, "interleaved", 0) != 0};
    s->batch = x->dims[0];
    s->half = cos->dims[cos->rank - 1];
    if (x->rank == 4) {
        s->heads = x->dims[1];
        s->length = x->dims[2];
        s->head = x->dims[3];
        s->head_stride = s->length * s->head;
        s->length_stride = s->head;
    } else {
        /* com.microsoft's may leave the number of heads out: then all of a head is turned. */
        if (heads == 0 && *node->op->domain && turned == 0 && s->half > 0) heads = x->dims[2] / (2 * s->half);
        if (heads <= 0 || x->dims[2] % heads)
            return tn_fail(TN_E_INVALID, "num_heads is %lld; expected a divisor of the last dimension, %lld",
                           (long long)heads, (long long)x->dims[2]);
        s->heads = heads;
        s->length = x->dims[1];
        s->head = x->dims[2] / heads;
        s->head_stride = s->head;
        s->length_stride = x->dims[2];
    }
    if (turned == 0) turned = s->head;
    if (turned < 0 || turned % 2 || turned > s->head)
        return tn_fail(TN_E_INVALID, "%lld elements of each head are to be turned; expected an even number up to %lld",
                       (long long)turned, (long long)s->head);
    if (turned / 2 != s->half)
        return tn_fail(TN_E_SHAPE, "cos_cache has rows of %lld angles; expected %lld, half of what is turned",
                       (long long)s->half, (long long)(turned / 2));
    return TN_OK;
}

static tn_status rotary_infer(tn_infer *call) {
    static const tn_dtype allowed[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};
    const rotary_inputs in = inputs_of(call->node);
    const bool positioned = tn_infer_has(call, in.positions);
    const int caches[2] = {in.cos, in.sin};
    TN_TRY(tn_infer_dtype(call, 0, allowed));
    const tn_type *x = call->in[0];
    if (x->rank >= 0 && x->rank != 3 && x->rank != 4)
        return tn_infer_fail(call, 0, TN_E_SHAPE, "expected 3 or 4 dimensions");
    if (positioned) TN_TRY(tn_infer_index(call, in.positions));
    for (int i = 0; i < 2; i++) {
        TN_TRY(tn_infer_dtype(call, caches[i], allowed));
        int rank = call->in[caches[i]]->rank;
        if (rank >= 0 && rank != (positioned ? 2 : 3))
            return tn_infer_fail(call, caches[i], TN_E_SHAPE, "expected %d dimensions", positioned ? 2 : 3);
    }
    const tn_type *cos = call->in[in.cos], *sin = call->in[in.sin];
    for (int i = 0; i < cos->rank && sin->rank >= 0; i++)
        if (!tn_dim_fits(cos->dims[i], sin->dims[i]))
            return tn_infer_fail(call, in.sin, TN_E_SHAPE, "expected the shape of cos_cache");
    if (tn_type_is_concrete(x) && tn_type_is_concrete(cos)) {
        rotary_state s;
        TN_TRY(get_state(call->node, x, cos, &s));
        const tn_type *rows = positioned ? call->in[in.positions] : cos;
        bool one = *call->node->op->domain && positioned && tn_type_is_concrete(rows) && tn_type_count(rows) == 1;
        if (!one && rows->rank >= 0 &&
            (rows->rank < 2 || !tn_dim_fits(rows->dims[0], s.batch) || !tn_dim_fits(rows->dims[1], s.length)))
            return tn_infer_fail(call, positioned ? in.positions : in.cos, TN_E_SHAPE,
                                 "expected its first dimensions to be [%lld,%lld]", (long long)s.batch,
                                 (long long)s.length);
    }
    return tn_infer_out(call, 0, x->dtype, x->rank, x->dims);
}

static tn_status rotary_prepare(tn_prepare *call) {
    rotary_state *state = tn_prepare_alloc(call, sizeof *state);
    if (!state) return TN_E_MEMORY;
    call->state = state;
    return get_state(call->node, call->in[0], call->in[inputs_of(call->node).cos], state);
}

/* Row of the caches for step t of batch row b; checks nothing. */
static int64_t cache_row(const rotary_state *s, const tn_tensor *positions, int64_t b, int64_t t) {
    if (!positions) return b * s->length + t;
    if (tn_count(positions) == 1 && s->batch * s->length != 1)
        return (int64_t)((uint64_t)tn_index_at(positions, 0) + (uint64_t)t); /* what overflows is negative */
    return tn_index_at(positions, b * s->length + t);
}

typedef struct rotary_job {
    const rotary_state *s;
    const tn_kernels *kernels;
    const tn_tensor *x, *cos, *sin, *positions;
    tn_tensor *out;
    int64_t tasks;
} rotary_job;

static void rotary_task(void *context, int64_t task) {
    const rotary_job *job = context;
    const rotary_state *s = job->s;
    int64_t units = s->batch * s->length, end = tn_task_start(units, job->tasks, task + 1);
    for (int64_t u = tn_task_start(units, job->tasks, task); u < end; u++) {
        int64_t b = u / s->length, t = u % s->length, row = cache_row(s, job->positions, b, t) * s->half;
        const float *cos = (const float *)job->cos->data + row, *sin = (const float *)job->sin->data + row;
        for (int64_t h = 0; h < s->heads; h++) {
            int64_t at = b * s->heads * s->length * s->head + h * s->head_stride + t * s->length_stride;
            const float *x = (const float *)job->x->data + at;
            float *y = (float *)job->out->data + at;
            tn_rotate_head(job->kernels, s->interleaved, (size_t)s->head, (size_t)s->half, x, cos, sin, y);
        }
    }
}

static tn_status rotary_run(tn_run *call) {
    const rotary_state *s = call->state;
    rotary_job job = {.s = s, .kernels = call->kernels, .x = tn_in(call, 0), .out = tn_out(call, 0)};
    job.cos = tn_in(call, s->inputs.cos);
    job.sin = tn_in(call, s->inputs.sin);
    job.positions = tn_in(call, s->inputs.positions);
    if (!job.out || tn_count(job.out) == 0) return TN_OK;
    for (int64_t u = 0; job.positions && u < s->batch * s->length; u++) {
        int64_t row = cache_row(s, job.positions, u / s->length, u % s->length), rows = job.cos->dims[0];
        if (row < 0 || row >= rows)
            return tn_fail(TN_E_INVALID, "position_ids gives position %lld; the caches have %lld", (long long)row,
                           (long long)rows);
    }
    job.tasks = tn_data_tasks(s->batch * s->length, s->heads * s->head * (int64_t)sizeof(float) * 2);
    tn_parallel(call->pool, job.tasks, rotary_task, &job);
    return TN_OK;
}

#define ROTARY(where, least)                                                                                           \
    {                                                                                                                  \
        .domain = where, .name = "RotaryEmbedding", .min_in = least, .max_in = 4, .min_out = 1, .max_out = 1,          \
        .flags = TN_OP_WIDEN, .infer = rotary_infer, .prepare = rotary_prepare, .run = rotary_run                      \
    }

const tn_op tn_ops_rotary[] = {ROTARY("", 3), ROTARY("com.microsoft", 4), {0}};
