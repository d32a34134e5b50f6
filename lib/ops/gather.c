/* Gather and GatherElements: picking along one axis. All indices are checked before any is used. */
#include "ops/data.h"

static tn_status gather_infer(tn_infer *call) {
    TN_TRY(tn_infer_whole(call, 0));
    TN_TRY(tn_infer_index(call, 1));
    const tn_type *data = call->in[0], *indices = call->in[1];
    int64_t dims[2 * TN_MAX_RANK];
    int axis, rank = 0;
    if (data->rank < 0) return tn_infer_out(call, 0, data->dtype, -1, NULL);
    TN_TRY(tn_infer_axis(call, tn_attr_int(call->node, "axis", 0), data->rank, &axis));
    if (call->value[1] && data->dims[axis] >= 0) TN_TRY(tn_index_check(1, call->value[1], axis, data->dims[axis]));
    if (indices->rank < 0) return tn_infer_out(call, 0, data->dtype, -1, NULL);
    for (int i = 0; i < axis; i++) dims[rank++] = data->dims[i];
    for (int i = 0; i < indices->rank; i++) dims[rank++] = indices->dims[i];
    for (int i = axis + 1; i < data->rank; i++) dims[rank++] = data->dims[i];
    return tn_infer_out(call, 0, data->dtype, rank, dims);
}

typedef struct gather_job {
    const tn_tensor *indices;
    const char *data;
    char *out;
    int64_t size, count; /* of the axis, of the indices */
    int64_t run;         /* bytes that one index picks */
    int64_t units, tasks;
} gather_job;

static void gather_task(void *context, int64_t task) {
    const gather_job *job = context;
    int64_t end = tn_task_start(job->units, job->tasks, task + 1), unit = tn_task_start(job->units, job->tasks, task);
    while (unit < end) {
        int64_t outer = unit / job->count, i = unit % job->count, stop = TN_MIN(job->count, i + end - unit);
        const char *data = job->data + outer * job->size * job->run;
        for (; i < stop; i++, unit++)
            tn_copy_run(job->out + unit * job->run, data + tn_index_wrap(job->indices, i, job->size) * job->run,
                        (size_t)job->run);
    }
}

static tn_status gather_run(tn_run *call) {
    const tn_tensor *data = tn_in(call, 0), *indices = tn_in(call, 1);
    tn_tensor *out = tn_out(call, 0);
    int axis = *(const int *)call->state;
    if (!out) return TN_OK;
    TN_TRY(tn_index_check(1, indices, axis, data->dims[axis]));
    if (tn_count(out) == 0) return TN_OK;
    gather_job job = {.indices = indices, .data = data->data, .out = out->data, .size = data->dims[axis]};
    job.count = tn_count(indices);
    job.run = tn_dims_span(data->dims, axis + 1, data->rank) * (int64_t)(tn_dtype_bits(data->dtype) / 8);
    job.units = tn_dims_span(data->dims, 0, axis) * job.count;
    job.tasks = tn_data_tasks(job.units, job.run);
    tn_parallel(call->pool, job.tasks, gather_task, &job);
    return TN_OK;
}

/* One known index into an outermost axis. */
static bool gather_view(const tn_prepare *call, int out, int *in, size_t *byte_offset) {
    const tn_type *data = call->in[0];
    const tn_tensor *indices = call->value[1];
    int axis;
    (void)out;
    if (!indices || tn_count(indices) != 1) return false;
    if (tn_infer_axis(NULL, tn_attr_int(call->node, "axis", 0), data->rank, &axis) != TN_OK) return false;
    if (tn_dims_span(data->dims, 0, axis) != 1) return false;
    if (tn_index_check(1, indices, axis, data->dims[axis]) != TN_OK) return false;
    *in = 0;
    *byte_offset = tn_dtype_bytes(data->dtype, tn_index_wrap(indices, 0, data->dims[axis]) *
                                                   tn_dims_span(data->dims, axis + 1, data->rank));
    return true;
}

static tn_status gather_elements_infer(tn_infer *call) {
    TN_TRY(tn_infer_whole(call, 0));
    TN_TRY(tn_infer_index(call, 1));
    const tn_type *data = call->in[0], *indices = call->in[1];
    if (data->rank >= 0) {
        int axis;
        TN_TRY(tn_infer_axis(call, tn_attr_int(call->node, "axis", 0), data->rank, &axis));
        if (indices->rank >= 0 && indices->rank != data->rank)
            return tn_infer_fail(call, 1, TN_E_SHAPE, "expected %d dimensions, as input 0 has", data->rank);
        for (int i = 0; i < indices->rank; i++)
            if (i != axis && data->dims[i] >= 0 && indices->dims[i] > data->dims[i])
                return tn_infer_fail(call, 1, TN_E_SHAPE, "its dimension %d is larger than that of input 0, %lld", i,
                                     (long long)data->dims[i]);
    }
    return tn_infer_out(call, 0, data->dtype, indices->rank, indices->dims);
}

typedef struct elements_job {
    const tn_tensor *data, *indices;
    tn_tensor *out;
    int axis;
    int64_t rows, row, tasks; /* `row` elements in the innermost dim */
    size_t element;
} elements_job;

/* dst[j] = src[j * step + indices[j] * stride], in bytes of elements; a negative index counts from `size`. */
#define PICK(index, width)                                                                                             \
    for (int64_t j = 0; j < n; j++) {                                                                                  \
        int64_t at = ((const index *)indices)[j];                                                                      \
        at += at < 0 ? size : 0;                                                                                       \
        memcpy(dst + j * (width), src + j * step + at * stride, width);                                                \
    }
#define PICK_CASES(index)                                                                                              \
    switch (element) {                                                                                                 \
    case 1: PICK(index, 1) return;                                                                                     \
    case 2: PICK(index, 2) return;                                                                                     \
    case 4: PICK(index, 4) return;                                                                                     \
    case 8: PICK(index, 8) return;                                                                                     \
    default: PICK(index, 16) return;                                                                                   \
    }
static void pick_row(int64_t n, size_t element, char *dst, const char *src, int64_t step, int64_t stride,
                     const void *indices, bool wide, int64_t size) {
    if (wide) PICK_CASES(int64_t)
    PICK_CASES(int32_t)
}

static void elements_task(void *context, int64_t task) {
    const elements_job *job = context;
    const tn_tensor *data = job->data, *indices = job->indices;
    int64_t end = tn_task_start(job->rows, job->tasks, task + 1), element = (int64_t)job->element;
    int64_t stride = data->strides[job->axis] * element, step = job->axis == data->rank - 1 ? 0 : element;
    const bool wide = indices->dtype == TN_INT64;
    for (int64_t row = tn_task_start(job->rows, job->tasks, task); row < end; row++) {
        int64_t base = 0, rest = row, at = row * job->row;
        for (int d = data->rank - 2; d >= 0; d--) {
            if (d != job->axis) base += rest % indices->dims[d] * data->strides[d];
            rest /= indices->dims[d];
        }
        pick_row(job->row, job->element, (char *)job->out->data + at * element,
                 (const char *)data->data + base * element, step, stride,
                 (const char *)indices->data + at * (wide ? 8 : 4), wide, data->dims[job->axis]);
    }
}

static tn_status gather_elements_run(tn_run *call) {
    elements_job job = {.data = tn_in(call, 0), .indices = tn_in(call, 1), .out = tn_out(call, 0)};
    if (!job.out) return TN_OK;
    job.axis = *(const int *)call->state;
    TN_TRY(tn_index_check(1, job.indices, job.axis, job.data->dims[job.axis]));
    if (tn_count(job.out) == 0) return TN_OK;
    job.element = tn_dtype_bits(job.data->dtype) / 8;
    job.row = job.indices->dims[job.indices->rank - 1];
    job.rows = tn_count(job.indices) / job.row;
    job.tasks = tn_data_tasks(job.rows, job.row * (int64_t)sizeof(int64_t));
    tn_parallel(call->pool, job.tasks, elements_task, &job);
    return TN_OK;
}

const tn_op tn_ops_gather[] = {
    {.domain = "",
     .name = "Gather",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .infer = gather_infer,
     .prepare = tn_prepare_axis,
     .run = gather_run,
     .view = gather_view},
    {.domain = "",
     .name = "GatherElements",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .infer = gather_elements_infer,
     .prepare = tn_prepare_axis,
     .run = gather_elements_run},
    {0},
};
