/* Resize: sizes from scales or sizes, tables in prepare, then axis by axis. float32 runs on the resampling kernels,
 * other numbers in double; nearest moves elements of any type. */
#include "ops/resize_tables.h"

/* The position of an attribute's text in a list of `count` names. */
static tn_status get_choice(const tn_node *node, const char *name, const char *const *names, size_t count, int *out) {
    const char *text = tn_attr_text(node, name, names[0]);
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (int)i;
            return TN_OK;
        }
    return tn_fail(TN_E_INVALID, "%s is '%s', which is not one of its values ('%s'...)", name, text, names[0]);
}

static tn_status get_how(const tn_node *node, resize_how *how) {
    static const char *const modes[] = {"nearest", "linear", "cubic"};
    static const char *const coordinates[] = {"half_pixel",    "half_pixel_symmetric", "pytorch_half_pixel",
                                              "align_corners", "asymmetric",           "tf_crop_and_resize"};
    static const char *const nearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
    TN_TRY(get_choice(node, "mode", modes, TN_COUNT(modes), &how->mode));
    TN_TRY(get_choice(node, "coordinate_transformation_mode", coordinates, TN_COUNT(coordinates), &how->coordinates));
    TN_TRY(get_choice(node, "nearest_mode", nearest, TN_COUNT(nearest), &how->nearest));
    how->antialias = tn_attr_int(node, "antialias", 0) != 0 && how->mode != RESIZE_NEAREST;
    how->exclude_outside = tn_attr_int(node, "exclude_outside", 0) != 0;
    how->cubic_a = tn_attr_float(node, "cubic_coeff_a", -0.75f);
    how->extrapolation = tn_attr_float(node, "extrapolation_value", 0);
    return TN_OK;
}

/* The axes that roi, scales and sizes speak of. */
static tn_status get_axes(const tn_node *node, int rank, int *axes, int *out_count) {
    size_t count;
    const int64_t *given = tn_attr_ints(node, "axes", &count);
    bool seen[TN_MAX_RANK] = {0};
    *out_count = given ? (int)TN_MIN(count, TN_MAX_RANK + 1) : rank;
    if (*out_count > rank) return tn_fail(TN_E_INVALID, "attribute axes has %zu axes; the input has %d", count, rank);
    for (int i = 0; i < *out_count; i++) {
        TN_TRY(tn_infer_axis(NULL, given ? given[i] : i, rank, &axes[i]));
        if (seen[axes[i]]) return tn_fail(TN_E_INVALID, "attribute axes has axis %d twice", axes[i]);
        seen[axes[i]] = true;
    }
    return TN_OK;
}

static tn_status check_count(int in, const tn_tensor *t, int64_t want) {
    if (tn_count(t) == want) return TN_OK;
    return tn_fail(TN_E_SHAPE, "input %d has %lld elements; expected %lld", in, (long long)tn_count(t),
                   (long long)want);
}

/* With keep_aspect_ratio_policy, one scale for all axes. */
static tn_status keep_ratio(const tn_node *node, resize_axis *all, const int *axes, int count) {
    static const char *const policies[] = {"stretch", "not_larger", "not_smaller"};
    int policy = 0;
    double scale = 0;
    TN_TRY(get_choice(node, "keep_aspect_ratio_policy", policies, TN_COUNT(policies), &policy));
    if (policy == 0) return TN_OK;
    for (int i = 0; i < count; i++) {
        const resize_axis *a = &all[axes[i]];
        double own = (double)a->out / (double)a->in;
        if (i == 0 || (policy == 1 ? own < scale : own > scale)) scale = own;
    }
    for (int i = 0; i < count; i++) {
        resize_axis *a = &all[axes[i]];
        double size = floor(scale * (double)a->in + 0.5);
        if (!(size <= INT32_MAX)) return tn_fail(TN_E_SHAPE, "axis %d would become too large", axes[i]);
        a->out = (int64_t)size;
        a->scale = (float)scale;
        a->width = a->scale * (float)a->in;
    }
    return TN_OK;
}

/* Fills all[0, rank) but for the tables. dims may hold unknown ones; then `out` is -1 where it hangs on them, or the
 * very same unknown dim. scales and sizes: contents, NULL if absent (one of them is there). */
static tn_status read_axes(const tn_node *node, const resize_how *how, int rank, const int64_t *dims,
                           const tn_tensor *roi, const tn_tensor *scales, const tn_tensor *sizes, resize_axis *all) {
    int axes[TN_MAX_RANK], count;
    bool known = true;
    TN_TRY(get_axes(node, rank, axes, &count));
    for (int i = 0; i < rank; i++)
        all[i] = (resize_axis){.in = dims[i], .out = dims[i], .scale = 1, .width = (float)dims[i], .end = 1};
    if (scales) TN_TRY(check_count(2, scales, count));
    if (sizes) TN_TRY(check_count(3, sizes, count));
    for (int i = 0; i < count; i++) {
        resize_axis *a = &all[axes[i]];
        known &= a->in >= 0;
        if (sizes) {
            a->out = tn_index_at(sizes, i);
            if (a->out < 0) return tn_fail(TN_E_INVALID, "input 3 holds a size of %lld", (long long)a->out);
            a->scale = a->in > 0 ? (float)a->out / (float)a->in : 1;
            a->width = (float)a->out;
        } else {
            a->scale = ((const float *)scales->data)[i];
            if (!(a->scale > 0)) return tn_fail(TN_E_INVALID, "input 2 holds a scale of %g", (double)a->scale);
            a->width = a->scale * (float)a->in;
            if (a->scale == 1) continue;
            if (a->in >= 0 && !(a->width <= (float)(1 << 30)))
                return tn_fail(TN_E_SHAPE, "a scale of %g makes axis %d too large", (double)a->scale, axes[i]);
            a->out = a->in >= 0 ? (int64_t)floorf(a->width) : -1;
        }
        if (a->in == 0 && a->out > 0) return tn_fail(TN_E_SHAPE, "axis %d is empty and cannot be enlarged", axes[i]);
    }
    if (sizes && known) TN_TRY(keep_ratio(node, all, axes, count));
    if (sizes && !known && strcmp(tn_attr_text(node, "keep_aspect_ratio_policy", "stretch"), "stretch") != 0)
        for (int i = 0; i < count; i++) all[axes[i]].out = -1;
    if (how->coordinates == CROP_AND_RESIZE && roi) {
        TN_TRY(check_count(1, roi, 2 * (int64_t)count));
        for (int i = 0; i < count; i++) {
            all[axes[i]].start = (float)tn_get_double(roi->dtype, roi->data, i);
            all[axes[i]].end = (float)tn_get_double(roi->dtype, roi->data, count + i);
        }
    }
    for (int i = 0; i < rank; i++)
        all[i].same = all[i].in == all[i].out && all[i].scale == 1 && all[i].start == 0 && all[i].end == 1;
    return TN_OK;
}

/* Inputs given as an empty tensor count as absent. */
static bool has_input(const tn_infer *call, int in) {
    return tn_infer_has(call, in) && !(call->in[in]->rank == 1 && call->in[in]->dims[0] == 0);
}

static tn_status resize_infer(tn_infer *call) {
    static const tn_dtype words[] = {TN_STRING, TN_COMPLEX64, TN_COMPLEX128};
    static const tn_dtype float32[] = {TN_FLOAT32, TN_UNDEFINED};
    resize_how how;
    TN_TRY(tn_infer_whole(call, 0));
    TN_TRY(get_how(call->node, &how));
    const tn_type *data = call->in[0];
    for (size_t i = 0; i < TN_COUNT(words) && how.mode != RESIZE_NEAREST; i++)
        if (data->dtype == words[i]) return tn_infer_fail(call, 0, TN_E_TYPE, "only mode 'nearest' takes it");
    bool roi = has_input(call, 1), scales = has_input(call, 2), sizes = has_input(call, 3);
    if (scales == sizes)
        return tn_fail(TN_E_INVALID, "expected one of the inputs scales and sizes, found %s", scales ? "both" : "none");
    if (how.coordinates == CROP_AND_RESIZE && !roi)
        return tn_fail(TN_E_INVALID, "tf_crop_and_resize needs input 1, roi");
    if (roi) TN_TRY(tn_infer_dtype(call, 1, TN_FLOATS));
    if (scales) TN_TRY(tn_infer_dtype(call, 2, float32));
    if (sizes) TN_TRY(tn_infer_index(call, 3));
    if (data->rank < 0) return tn_infer_out(call, 0, data->dtype, -1, NULL);
    int axes[TN_MAX_RANK], count;
    int64_t dims[TN_MAX_RANK];
    resize_axis all[TN_MAX_RANK];
    TN_TRY(get_axes(call->node, data->rank, axes, &count));
    memcpy(dims, data->dims, sizeof dims);
    const tn_tensor *by_scale = scales ? call->value[2] : NULL, *by_size = sizes ? call->value[3] : NULL;
    /* A region that is not known leaves the sizes open: the tables need it before the run. */
    bool open = (!by_scale && !by_size) || (how.coordinates == CROP_AND_RESIZE && !call->value[1]);
    for (int i = 0; i < count && open; i++) dims[axes[i]] = -1;
    if (!open) {
        TN_TRY(read_axes(call->node, &how, data->rank, data->dims, call->value[1], by_scale, by_size, all));
        for (int i = 0; i < data->rank; i++) dims[i] = all[i].out;
    }
    return tn_infer_out(call, 0, data->dtype, data->rank, dims);
}

typedef struct resize_state {
    resize_how how;
    int rank;
    resize_axis axes[TN_MAX_RANK];
    int steps[TN_MAX_RANK], step_count; /* the axes to resize */
    bool planes;                        /* they are the two innermost ones, fit for tn_resample_planes_f32 */
    bool outside;                       /* some axis has positions to extrapolate */
    size_t half;                        /* bytes of each of the two scratch arrays */
} resize_state;

/* The shape before step s: [outer, in, inner] of its axis. */
static void step_shape(const resize_state *state, int s, int64_t *outer, int64_t *inner) {
    int at = state->steps[s];
    *outer = *inner = 1;
    for (int i = 0; i < state->rank; i++) {
        bool done = false;
        for (int k = 0; k < s; k++) done |= state->steps[k] == i;
        int64_t size = done ? state->axes[i].out : state->axes[i].in;
        if (i < at) *outer *= size;
        if (i > at) *inner *= size;
    }
}

static tn_status resize_prepare(tn_prepare *call) {
    const tn_type *data = call->in[0];
    resize_state *state = tn_prepare_alloc(call, sizeof *state);
    if (!state) return TN_E_MEMORY;
    call->state = state;
    state->rank = data->rank;
    TN_TRY(get_how(call->node, &state->how));
    const tn_tensor *value[4] = {0};
    for (int i = 1; i < call->in_count; i++)
        if (call->value[i] && tn_count(call->value[i]) > 0) value[i] = call->value[i];
    if (!value[2] && !value[3]) return tn_fail(TN_E_INTERNAL, "scales and sizes are not known in time");
    bool narrow = data->dtype == TN_FLOAT32;
    TN_TRY(read_axes(call->node, &state->how, data->rank, data->dims, value[1], value[2], value[3], state->axes));
    for (int i = 0; i < data->rank; i++) {
        resize_axis *a = &state->axes[i];
        if (a->same) continue;
        TN_TRY(resize_make_table(call, &state->how, a, narrow));
        state->steps[state->step_count++] = i;
        for (int64_t j = 0; a->outside && j < a->out; j++) state->outside |= a->outside[j];
    }
    if (state->how.mode == RESIZE_NEAREST || tn_type_count(&call->out[0]) == 0) return TN_OK;
    const resize_axis *a = state->axes + data->rank;
    state->planes = narrow && state->step_count == 2 && state->steps[0] == data->rank - 2 &&
                    state->steps[1] == data->rank - 1 && a[-2].table.taps <= TN_RESAMPLE_ROWS;
    if (state->planes) return TN_OK;
    /* What lies between steps, and for other types the input and output in double as well. */
    int64_t most = narrow ? 0 : TN_MAX(tn_type_count(data), tn_type_count(&call->out[0]));
    for (int s = 1; s < state->step_count; s++) {
        int64_t outer, inner;
        step_shape(state, s, &outer, &inner);
        most = TN_MAX(most, outer * state->axes[state->steps[s]].in * inner);
    }
    size_t bytes = (size_t)most * (narrow ? sizeof(float) : sizeof(double));
    state->half = (bytes + 63) & ~(size_t)63;
    call->scratch = 2 * state->half;
    return TN_OK;
}

/* Nearest: rows of the innermost resized axis are picked by its table, other axes pick rows. */
typedef struct nearest_job {
    const resize_state *state;
    const tn_kernels *kernels;
    const char *src;
    char *dst;
    int axis;    /* the innermost resized one */
    int64_t run; /* bytes of one position along it */
    int64_t rows, tasks;
} nearest_job;

static void nearest_task(void *context, int64_t task) {
    const nearest_job *job = context;
    const resize_axis *axes = job->state->axes, *last = &axes[job->axis];
    int64_t in_row = last->in * job->run, out_row = last->out * job->run, before = -1;
    int64_t end = tn_task_start(job->rows, job->tasks, task + 1);
    for (int64_t row = tn_task_start(job->rows, job->tasks, task); row < end; row++) {
        int64_t rest = row, from = 0, stride = 1;
        for (int i = job->axis - 1; i >= 0; i--) {
            int64_t at = rest % axes[i].out;
            rest /= axes[i].out;
            from += (axes[i].same ? at : axes[i].table.index[at]) * stride;
            stride *= axes[i].in;
        }
        const char *src = job->src + from * in_row;
        char *dst = job->dst + row * out_row;
        if (from == before)
            memcpy(dst, dst - out_row, (size_t)out_row);
        else if (job->run == 4)
            job->kernels->take_4(last->out, src, last->table.index, dst);
        else
            for (int64_t j = 0; j < last->out; j++)
                tn_copy_run(dst + j * job->run, src + last->table.index[j] * job->run, (size_t)job->run);
        before = from;
    }
}

static void run_nearest(tn_run *call, const resize_state *state, const tn_tensor *data, tn_tensor *out) {
    nearest_job job = {.state = state, .kernels = call->kernels, .src = data->data, .dst = out->data};
    job.axis = state->steps[state->step_count - 1];
    job.run = tn_dims_span(out->dims, job.axis + 1, out->rank) * (int64_t)(tn_dtype_bits(data->dtype) / 8);
    job.rows = tn_dims_span(out->dims, 0, job.axis);
    job.tasks = tn_data_tasks(job.rows, job.run * out->dims[job.axis]);
    tn_parallel(call->pool, job.tasks, nearest_task, &job);
}

static void run_f32(tn_run *call, const resize_state *state, const tn_tensor *data, tn_tensor *out) {
    const resize_axis *axes = state->axes;
    int rank = state->rank;
    if (state->planes) {
        tn_resample_planes_f32(&axes[rank - 2].table, &axes[rank - 1].table, call->kernels, call->pool,
                               tn_dims_span(data->dims, 0, rank - 2), data->data, out->data);
        return;
    }
    const float *src = data->data;
    for (int s = 0; s < state->step_count; s++) {
        int64_t outer, inner;
        bool last = s == state->step_count - 1;
        float *dst = last ? out->data : (float *)(void *)((char *)call->scratch + (s % 2 ? state->half : 0));
        step_shape(state, s, &outer, &inner);
        tn_resample_f32(&axes[state->steps[s]].table, call->kernels, call->pool, outer, inner, src, dst);
        src = dst;
    }
}

static void run_wide(tn_run *call, const resize_state *state, const tn_tensor *data, tn_tensor *out) {
    double *src = call->scratch, *dst = (void *)((char *)call->scratch + state->half);
    tn_read_doubles(data->dtype, data->data, 0, (size_t)tn_count(data), src);
    for (int s = 0; s < state->step_count; s++) {
        int64_t outer, inner;
        step_shape(state, s, &outer, &inner);
        tn_resample_f64(&state->axes[state->steps[s]].table, call->pool, outer, inner, src, dst);
        double *swap = src;
        src = dst, dst = swap;
    }
    tn_saturate(out->dtype, tn_count(out), src);
    tn_write_doubles(out->dtype, out->data, 0, (size_t)tn_count(out), src, (tn_narrowing){0});
}

static void extrapolate(const resize_state *state, tn_tensor *out) {
    size_t element = tn_dtype_bits(out->dtype) / 8;
    char value[16] = {0};
    tn_set_double(out->dtype, value, 0, state->how.extrapolation);
    if (out->dtype == TN_STRING) *(tn_string *)(void *)value = (tn_string){"", 0};
    for (int64_t i = 0, n = tn_count(out); i < n; i++) {
        bool outside = false;
        int64_t rest = i;
        for (int d = out->rank - 1; d >= 0; d--) {
            outside |= state->axes[d].outside && state->axes[d].outside[rest % out->dims[d]];
            rest /= out->dims[d];
        }
        if (outside) tn_copy_run((char *)out->data + i * (int64_t)element, value, element);
    }
}

static tn_status resize_run(tn_run *call) {
    const resize_state *state = call->state;
    const tn_tensor *data = tn_in(call, 0);
    tn_tensor *out = tn_out(call, 0);
    if (!out || tn_count(out) == 0) return TN_OK;
    if (state->step_count == 0) return tn_run_same_bytes(call);
    if (state->how.mode == RESIZE_NEAREST)
        run_nearest(call, state, data, out);
    else if (data->dtype == TN_FLOAT32)
        run_f32(call, state, data, out);
    else
        run_wide(call, state, data, out);
    if (state->outside) extrapolate(state, out);
    return TN_OK;
}

const tn_op tn_ops_resize[] = {
    {.domain = "",
     .name = "Resize",
     .min_in = 1,
     .max_in = 4,
     .min_out = 1,
     .max_out = 1,
     .flags = TN_OP_WIDEN | TN_OP_BATCH,
     .infer = resize_infer,
     .prepare = resize_prepare,
     .run = resize_run},
    {0},
};
