/* Softmax of rows and of columns, for one level; see reduce.inc. Included by reduce_<level>.c after reduce_rows.h.
 *
 * exp(x - max) is never above 1 and its sum never below, so nothing overflows; a NaN, or a row of -infinity alone,
 * gives NaN. Columns are taken a vector's width at a time. */

/* Sum of exp(x - shift); the exponentials go to y unless it is NULL. */
static inline float sum_exp(float *y, const float *x, size_t n, float shift) {
    vf m = vf_set(shift), a = vf_set(0), b = a;
    size_t i = 0;
    for (; i + 2 * VF_WIDTH <= n; i += 2 * VF_WIDTH) {
        vf e = vf_exp_low(vf_sub(vf_load(x + i), m)), f = vf_exp_low(vf_sub(vf_load(x + i + VF_WIDTH), m));
        if (y) vf_store(y + i, e), vf_store(y + i + VF_WIDTH, f);
        a = vf_add(a, e);
        b = vf_add(b, f);
    }
    for (; i < n; i += VF_WIDTH) {
        size_t lanes = n - i < VF_WIDTH ? n - i : VF_WIDTH;
        vf e = vf_exp_low(vf_sub(load(x + i, lanes), m));
        if (y) store(y + i, e, lanes);
        a = vf_add(a, vf_select(vm_first(lanes), e, vf_set(0)));
    }
    return vf_sum(vf_add(a, b));
}

static void rows_sum_exp_f32(float *y, const float *x, size_t rows, size_t n, const float *shift) {
    for (size_t r = 0; r < rows; r++) y[r] = sum_exp(NULL, x + r * n, n, shift[r]);
}

/* y = x * a + b */
static inline void affine(float *y, const float *x, size_t n, vf a, vf b) {
    size_t i = 0;
    for (; i + VF_WIDTH <= n; i += VF_WIDTH) vf_store(y + i, vf_fma(vf_load(x + i), a, b));
    if (i < n) store(y + i, vf_fma(load(x + i, n - i), a, b), n - i);
}

static void rows_softmax_f32(float *y, const float *x, size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r++, x += n, y += n)
        affine(y, y, n, vf_set(1 / sum_exp(y, x, n, max_of(x, n))), vf_set(0));
}

static void rows_log_softmax_f32(float *y, const float *x, size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r++, x += n, y += n) {
        float max = max_of(x, n);
        vf log_sum = vf_log(vf_set(sum_exp(NULL, x, n, max))), m = vf_set(max);
        for (size_t i = 0; i < n; i += VF_WIDTH) {
            size_t lanes = n - i < VF_WIDTH ? n - i : VF_WIDTH;
            store(y + i, vf_sub(vf_sub(load(x + i, lanes), m), log_sum), lanes);
        }
    }
}

static inline void softmax_down(float *y, const float *x, size_t rows, size_t stride, size_t lanes, int is_log) {
    vf m = max_down(x, rows, stride, lanes), sum = vf_set(0);
    for (size_t r = 0; r < rows; r++) {
        vf e = vf_exp_low(vf_sub(load(x + r * stride, lanes), m));
        sum = vf_add(sum, e);
        if (!is_log) store(y + r * stride, e, lanes);
    }
    vf factor = is_log ? vf_log(sum) : vf_div(vf_set(1), sum);
    for (size_t r = 0; r < rows; r++) {
        vf v = is_log ? vf_sub(vf_sub(load(x + r * stride, lanes), m), factor)
                      : vf_mul(load(y + r * stride, lanes), factor);
        store(y + r * stride, v, lanes);
    }
}

static void columns_softmax_f32(float *y, const float *x, size_t rows, size_t n, size_t stride) {
    for (size_t j = 0; j < n; j += VF_WIDTH)
        softmax_down(y + j, x + j, rows, stride, n - j < VF_WIDTH ? n - j : VF_WIDTH, 0);
}

static void columns_log_softmax_f32(float *y, const float *x, size_t rows, size_t n, size_t stride) {
    for (size_t j = 0; j < n; j += VF_WIDTH)
        softmax_down(y + j, x + j, rows, stride, n - j < VF_WIDTH ? n - j : VF_WIDTH, 1);
}
