/* Resampling: loops around the weighing kernels, split into tasks by shape. */
#include "kernels/resample.h"

enum {
    TASK_WORK = 32 << 10, /* multiplications that are worth a task */
    COLUMNS = 256,        /* of a band: its rows stay in the first cache level */
    BAND_ROWS = 16,       /* the least output rows of a band */
    ENOUGH_TASKS = 16,
};

typedef struct axis_job {
    const tn_resample *r;
    const tn_kernels *kernels;
    int64_t inner, units, tasks;
    const float *src;
    float *dst;
    const double *wide_src;
    double *wide_dst;
} axis_job;

static void plan_tasks(axis_job *job, int64_t outer) {
    const tn_resample *r = job->r;
    job->units = job->inner == 1 && job->src ? outer : outer * r->out;
    int64_t unit = r->taps * (job->inner == 1 && job->src ? r->out : job->inner);
    job->tasks = TN_MAX(1, job->units / TN_MAX(1, TASK_WORK / TN_MAX(1, unit)));
}

static int64_t first_unit(const axis_job *job, int64_t task) {
    return job->units / job->tasks * task + TN_MIN(task, job->units % job->tasks);
}

static void axis_task(void *context, int64_t task) {
    const axis_job *job = context;
    const tn_resample *r = job->r;
    for (int64_t u = first_unit(job, task), end = first_unit(job, task + 1); u < end; u++) {
        if (job->inner == 1) {
            job->kernels->weigh_taps_f32(r->out, r->taps, job->src + u * r->in, r->index, r->weights, r->out,
                                         job->dst + u * r->out);
        } else {
            int64_t o = u / r->out, j = u % r->out;
            job->kernels->weigh_rows_f32(job->inner, r->taps, job->src + o * r->in * job->inner, job->inner,
                                         r->index + j, r->weights + j, r->out, job->dst + u * job->inner);
        }
    }
}

void tn_resample_f32(const tn_resample *r, const tn_kernels *kernels, tn_pool *pool, int64_t outer, int64_t inner,
                     const float *src, float *dst) {
    axis_job job = {.r = r, .kernels = kernels, .inner = inner, .src = src, .dst = dst};
    plan_tasks(&job, outer);
    tn_parallel(pool, job.tasks, axis_task, &job);
}

static void wide_task(void *context, int64_t task) {
    const axis_job *job = context;
    const tn_resample *r = job->r;
    for (int64_t u = first_unit(job, task), end = first_unit(job, task + 1); u < end; u++) {
        int64_t o = u / r->out, j = u % r->out;
        double *to = job->wide_dst + u * job->inner;
        for (int64_t i = 0; i < job->inner; i++) to[i] = 0;
        for (int64_t k = 0; k < r->taps; k++) {
            const double *from = job->wide_src + (o * r->in + r->index[k * r->out + j]) * job->inner;
            for (int64_t i = 0; i < job->inner; i++) to[i] += r->wide[k * r->out + j] * from[i];
        }
    }
}

void tn_resample_f64(const tn_resample *r, tn_pool *pool, int64_t outer, int64_t inner, const double *src,
                     double *dst) {
    axis_job job = {.r = r, .inner = inner, .wide_src = src, .wide_dst = dst};
    plan_tasks(&job, outer);
    tn_parallel(pool, job.tasks, wide_task, &job);
}

/* A plane is cut into bands of rows and of columns. Within one, each input row is resampled along x once and kept for
 * as long as output rows need it: the rows that one output row needs follow each other, so slot row % taps is free. */
typedef struct plane_job {
    const tn_resample *y, *x;
    const tn_kernels *kernels;
    const float *src;
    float *dst;
    int64_t bands, columns; /* of a plane */
    int64_t units, tasks;
} plane_job;

static void resample_band(const plane_job *job, int64_t unit) {
    const tn_resample *y = job->y, *x = job->x;
    float rows[TN_RESAMPLE_ROWS][COLUMNS];
    int64_t held[TN_RESAMPLE_ROWS];
    int64_t band = unit % job->bands, column = unit / job->bands % job->columns,
            plane = unit / job->bands / job->columns;
    int64_t first = y->out * band / job->bands, end = y->out * (band + 1) / job->bands;
    int64_t left = column * COLUMNS, n = TN_MIN(COLUMNS, x->out - left);
    const float *src = job->src + plane * y->in * x->in;
    float *dst = job->dst + plane * y->out * x->out + left;
    for (int64_t k = 0; k < y->taps; k++) held[k] = -1;
    for (int64_t j = first; j < end; j++) {
        int32_t slots[TN_RESAMPLE_ROWS];
        float weights[TN_RESAMPLE_ROWS];
        for (int64_t k = 0; k < y->taps; k++) {
            int32_t row = y->index[k * y->out + j];
            slots[k] = (int32_t)(row % y->taps);
            weights[k] = y->weights[k * y->out + j];
            if (held[slots[k]] == row) continue;
            held[slots[k]] = row;
            job->kernels->weigh_taps_f32(n, x->taps, src + row * x->in, x->index + left, x->weights + left, x->out,
                                         rows[slots[k]]);
        }
        job->kernels->weigh_rows_f32(n, y->taps, rows[0], COLUMNS, slots, weights, 1, dst + j * x->out);
    }
}

static void plane_task(void *context, int64_t task) {
    const plane_job *job = context;
    int64_t end = job->units * (task + 1) / job->tasks;
    for (int64_t u = job->units * task / job->tasks; u < end; u++) resample_band(job, u);
}

void tn_resample_planes_f32(const tn_resample *y, const tn_resample *x, const tn_kernels *kernels, tn_pool *pool,
                            int64_t planes, const float *src, float *dst) {
    plane_job job = {.y = y, .x = x, .kernels = kernels, .src = src, .dst = dst};
    job.columns = (x->out + COLUMNS - 1) / COLUMNS;
    job.units = planes * job.columns;
    if (job.units == 0 || y->out == 0) return;
    job.bands = job.units < ENOUGH_TASKS ? TN_MAX(1, TN_MIN(y->out / BAND_ROWS, ENOUGH_TASKS / job.units)) : 1;
    job.units *= job.bands;
    int64_t unit = TN_MIN(x->out, COLUMNS) * (y->out / job.bands) * (x->taps + y->taps);
    job.tasks = TN_MAX(1, job.units / TN_MAX(1, TASK_WORK / TN_MAX(1, unit)));
    tn_parallel(pool, job.tasks, plane_task, &job);
}
