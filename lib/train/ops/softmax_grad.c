/* SoftmaxGrad, of the domain `tenon`: the gradient of Softmax over the last axis, float32, from dy and its output y. */
#include "ops/data.h"

typedef struct job {
    const tn_kernels *kernels;
    const float *dy, *y;
    float *dx;
    int64_t rows, n, tasks;
} job;

static tn_status infer(tn_infer *call) {
    static const tn_dtype reals[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};
    for (int i = 0; i < 2; i++) TN_TRY(tn_infer_dtype(call, i, reals));
    TN_TRY(tn_infer_equal_dtype(call, 0, 1));
    if (call->in[1]->rank == 0) return tn_infer_fail(call, 1, TN_E_SHAPE, "expected an axis");
    TN_TRY(tn_infer_fits(call, 0, 1));
    return tn_infer_same(call, 0, 1);
}

static void some_rows(void *context, int64_t task) {
    const job *j = context;
    int64_t first = tn_task_start(j->rows, j->tasks, task), last = tn_task_start(j->rows, j->tasks, task + 1);
    for (int64_t r = first; r < last; r++)
        j->kernels->softmax_grad_f32((size_t)j->n, j->dy + r * j->n, j->y + r * j->n, j->dx + r * j->n);
}

static tn_status run(tn_run *call) {
    tn_tensor *out = tn_out(call, 0);
    if (!out || tn_count(out) == 0) return TN_OK;
    job j = {.kernels = call->kernels, .dy = tn_in(call, 0)->data, .y = tn_in(call, 1)->data, .dx = out->data};
    j.n = out->dims[out->rank - 1];
    j.rows = tn_count(out) / j.n;
    j.tasks = TN_MIN(tn_data_tasks(tn_count(out), 3 * (int64_t)sizeof(float)), j.rows);
    tn_parallel(call->pool, j.tasks, some_rows, &j);
    return TN_OK;
}

const tn_op tn_ops_softmax_grad[] = {
    {.domain = "tenon",
     .name = "SoftmaxGrad",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = infer,
     .run = run},
    {0},
};
