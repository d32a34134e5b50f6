/* GatherBlockQuantized of com.microsoft: Gather from a table quantized in blocks along one axis, dequantized on the way:
 * (q - zero_point) * scale, with a scale for each block of `block_size` elements.
 *
 * Tables are of 4-bit elements, or of uint8 that holds 8-bit ones or pairs of 4-bit ones (low nibble first); then an
 * absent zero point is the middle of the range, else it is 0. Zero points are stored like the table. */
#include "ops/data.h"

typedef struct quantized_state {
    int gather_axis, axis, bits; /* axis: the quantized one */
    bool is_signed;
    int middle; /* the zero point if there is none */
    int64_t block;
    int64_t dims[TN_MAX_RANK]; /* of the table, in elements of `bits` */
    int64_t blocks, after;     /* along the axis; elements behind one position of it */
    int64_t zero_row, row;     /* of the last dim of zero_points: elements stored and used */
} quantized_state;

static tn_status get_state(const tn_node *node, const tn_type *table, quantized_state *s) {
    bool bytes = table->dtype == TN_UINT8;
    int64_t bits = tn_attr_int(node, "bits", 4);
    *s = (quantized_state){.is_signed = table->dtype == TN_INT4, .block = tn_attr_int(node, "block_size", 128)};
    TN_TRY(tn_infer_axis(NULL, tn_attr_int(node, "gather_axis", 0), table->rank, &s->gather_axis));
    TN_TRY(tn_infer_axis(NULL, tn_attr_int(node, "quantize_axis", 1), table->rank, &s->axis));
    if (bits != 4 && !(bytes && bits == 8))
        return tn_fail(TN_E_INVALID, "bits is %lld; expected 4, or 8 with a table of uint8", (long long)bits);
    if (s->block < 16 || s->block > INT32_MAX || (s->block & (s->block - 1)))
        return tn_fail(TN_E_INVALID, "block_size is %lld; expected a power of two of at least 16", (long long)s->block);
    s->bits = (int)bits;
    s->middle = bytes ? 1 << (bits - 1) : 0;
    memcpy(s->dims, table->dims, sizeof s->dims);
    bool pairs = bytes && bits == 4;
    if (pairs && (s->axis != table->rank - 1 || s->gather_axis == s->axis))
        return tn_fail(TN_E_INVALID, "pairs in uint8 are quantized along the last axis and gathered along another one");
    int64_t *last = &s->dims[table->rank - 1];
    if (pairs && *last >= 0 && __builtin_mul_overflow(*last, 2, last))
        return tn_fail(TN_E_SHAPE, "the last dimension of the table is too large");
    return TN_OK;
}

static tn_status quantized_infer(tn_infer *call) {
    static const tn_dtype tables[] = {TN_UINT8, TN_UINT4, TN_INT4, TN_UNDEFINED};
    static const tn_dtype scales_of[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};
    int64_t dims[2 * TN_MAX_RANK];
    int rank = 0;
    TN_TRY(tn_infer_dtype(call, 0, tables));
    TN_TRY(tn_infer_index(call, 1));
    TN_TRY(tn_infer_dtype(call, 2, scales_of));
    const tn_type *table = call->in[0], *indices = call->in[1], *scales = call->in[2];
    if (table->rank < 0 || !table->dtype) return tn_infer_out(call, 0, scales->dtype, -1, NULL);
    if (table->rank < 2) return tn_infer_fail(call, 0, TN_E_SHAPE, "expected at least 2 dimensions");
    quantized_state s;
    TN_TRY(get_state(call->node, table, &s));
    for (int in = 2; in < 4; in++) {
        if (!tn_infer_has(call, in) || call->in[in]->rank < 0) continue;
        if (call->in[in]->rank != table->rank)
            return tn_infer_fail(call, in, TN_E_SHAPE, "expected %d dimensions, as input 0 has", table->rank);
        for (int i = 0; i < table->rank; i++) {
            int64_t want = s.dims[i];
            if (i == s.axis && want >= 0) want = want / s.block + (want % s.block != 0);
            if (in == 3 && i == table->rank - 1 && want >= 0 && table->dtype == TN_UINT8 && s.bits == 4)
                want = (want + 1) / 2;
            if (!tn_dim_fits(call->in[in]->dims[i], want))
                return tn_infer_fail(call, in, TN_E_SHAPE, "expected dimension %d to be %lld", i, (long long)want);
        }
    }
    if (tn_infer_has(call, 3)) TN_TRY(tn_infer_equal_dtype(call, 0, 3));
    if (indices->rank < 0) return tn_infer_out(call, 0, scales->dtype, -1, NULL);
    for (int i = 0; i < s.gather_axis; i++) dims[rank++] = s.dims[i];
    for (int i = 0; i < indices->rank; i++) dims[rank++] = indices->dims[i];
    for (int i = s.gather_axis + 1; i < table->rank; i++) dims[rank++] = s.dims[i];
    return tn_infer_out(call, 0, scales->dtype, rank, dims);
}

static tn_status quantized_prepare(tn_prepare *call) {
    quantized_state *s = tn_prepare_alloc(call, sizeof *s);
    if (!s) return TN_E_MEMORY;
    call->state = s;
    TN_TRY(get_state(call->node, call->in[0], s));
    const int64_t *scales = call->in[2]->dims;
    int last = call->in[0]->rank - 1;
    s->blocks = scales[s->axis];
    s->after = tn_dims_span(s->dims, s->axis + 1, last + 1);
    s->row = scales[last];
    s->zero_row = call->in[0]->dtype == TN_UINT8 && s->bits == 4 ? (s->row + 1) / 2 * 2 : s->row;
    return TN_OK;
}

typedef struct quantized_job {
    const quantized_state *s;
    const tn_tensor *table, *indices, *scales, *zeros;
    tn_tensor *out;
    int64_t run, units, tasks; /* elements that one index picks */
} quantized_job;

static int element(const quantized_state *s, const tn_tensor *t, int64_t i) {
    if (s->bits == 8) return ((const uint8_t *)t->data)[i];
    return s->is_signed ? tn_packed_get_signed(t->data, 4, i) : tn_packed_get(t->data, 4, i);
}

static void quantized_task(void *context, int64_t task) {
    const quantized_job *job = context;
    const quantized_state *s = job->s;
    const float *scales = job->scales->data;
    int64_t count = tn_count(job->indices), size = s->dims[s->gather_axis], along = s->dims[s->axis];
    int64_t end = tn_task_start(job->units, job->tasks, task + 1);
    for (int64_t u = tn_task_start(job->units, job->tasks, task); u < end; u++) {
        int64_t from = (u / count * size + tn_index_wrap(job->indices, u % count, size)) * job->run;
        float *out = (float *)job->out->data + u * job->run;
        for (int64_t i = 0; i < job->run;) {
            /* Elements from i on that share a scale. */
            int64_t at = from + i, position = at / s->after % along, stop = i + 1;
            int64_t group = (at / s->after / along * s->blocks + position / s->block) * s->after + at % s->after;
            if (s->after == 1) stop = TN_MIN(job->run, i + TN_MIN(s->block - position % s->block, along - position));
            int zero = s->middle;
            if (job->zeros) zero = element(s, job->zeros, group / s->row * s->zero_row + group % s->row);
            for (; i < stop; i++) out[i] = (float)(element(s, job->table, from + i) - zero) * scales[group];
        }
    }
}

static tn_status quantized_run(tn_run *call) {
    quantized_job job = {.s = call->state, .table = tn_in(call, 0), .indices = tn_in(call, 1), .out = tn_out(call, 0)};
    job.scales = tn_in(call, 2);
    job.zeros = tn_in(call, 3);
    if (!job.out) return TN_OK;
    const quantized_state *s = job.s;
    TN_TRY(tn_index_check(1, job.indices, s->gather_axis, s->dims[s->gather_axis]));
    if (tn_count(job.out) == 0) return TN_OK;
    job.run = tn_dims_span(s->dims, s->gather_axis + 1, job.table->rank);
    job.units = tn_dims_span(s->dims, 0, s->gather_axis) * tn_count(job.indices);
    job.tasks = tn_data_tasks(job.units, job.run * (int64_t)sizeof(float) * 2);
    tn_parallel(call->pool, job.tasks, quantized_task, &job);
    return TN_OK;
}

const tn_op tn_ops_gather_quantized[] = {
    {.domain = "com.microsoft",
     .name = "GatherBlockQuantized",
     .min_in = 3,
     .max_in = 4,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = quantized_infer,
     .prepare = quantized_prepare,
     .run = quantized_run},
    {0},
};
