/* ReluGrad, of the domain `tenon`: dx = dy where y > 0, else 0, of dy and y, float32 of one shape. */
#include "ops/data.h"

typedef struct job {
    const tn_kernels *kernels;
    const float *dy, *y;
    float *dx;
    int64_t count, tasks;
} job;

static tn_status infer(tn_infer *call) {
    static const tn_dtype reals[] = {TN_FLOAT32, TN_FLOAT16, TN_BFLOAT16, TN_UNDEFINED};
    for (int i = 0; i < 2; i++) TN_TRY(tn_infer_dtype(call, i, reals));
    TN_TRY(tn_infer_equal_dtype(call, 0, 1));
    TN_TRY(tn_infer_fits(call, 1, 0));
    return tn_infer_same(call, 0, 1);
}

static void some_elements(void *context, int64_t task) {
    const job *j = context;
    int64_t first = tn_task_start(j->count, j->tasks, task), last = tn_task_start(j->count, j->tasks, task + 1);
    j->kernels->relu_grad_f32((size_t)(last - first), j->dy + first, j->y + first, j->dx + first);
}

static tn_status run(tn_run *call) {
    tn_tensor *out = tn_out(call, 0);
    if (!out) return TN_OK;
    job j = {call->kernels, tn_in(call, 0)->data, tn_in(call, 1)->data, out->data, tn_count(out), 0};
    j.tasks = tn_data_tasks(j.count, 3 * (int64_t)sizeof(float));
    if (j.count) tn_parallel(call->pool, j.tasks, some_elements, &j);
    return TN_OK;
}

const tn_op tn_ops_relu_grad[] = {
    {.domain = "tenon",
     .name = "ReluGrad",
     .min_in = 2,
     .max_in = 2,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN,
     .infer = infer,
     .run = run},
    {0},
};
