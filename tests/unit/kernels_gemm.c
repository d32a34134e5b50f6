/* Matrix product kernels and their cutting into tasks, at every CPU level, against sums in double. */
#include "unit.h"
#include "kernels/product.h"
#include "kernels/product_f64.h"
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>

static uint32_t random_state = 1;
static float random_float(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / (float)(1 << 23) - 1;
}
static float *random_floats(size_t n) {
    float *x = tn_alloc(NULL, n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) x[i] = random_float();
    return x;
}
static void release(float *x) {
    tn_free(NULL, x, 0);
}

static double reference(double x, const tn_epilogue *e) {
    double alpha = (double)e->alpha, beta = (double)e->beta;
    switch (e->activation) {
    case TN_ACT_NONE: return x;
    case TN_ACT_CLIP: return fmin(beta, fmax(alpha, x));
    case TN_ACT_LEAKY_RELU: return x < 0 ? alpha * x : x;
    case TN_ACT_HARD_SIGMOID: return fmin(1, fmax(0, alpha * x + beta));
    case TN_ACT_HARD_SWISH: return x * fmin(1, fmax(0, x / 6 + 0.5)) + alpha;
    case TN_ACT_SIGMOID: return 1 / (1 + exp(-x));
    case TN_ACT_TANH: return tanh(x);
    case TN_ACT_SWISH: return x / (1 + exp(-alpha * x));
    case TN_ACT_GELU: return 0.5 * x * (1 + erf(x * 0.70710678118654752440));
    case TN_ACT_GELU_TANH: return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    }
    return x;
}

/* What is read ends where a page begins that nobody may read, as weights in a mapped file or in pages of their own do. */
enum { MATRIX_A, MATRIX_B, PANELS_A, PANELS_B, PLACES, PLACE_BYTES = 4 << 20 };
static float *before_the_end(int place, size_t bytes) {
    static char *places[PLACES];
    if (!places[place]) {
        void *pages = mmap(NULL, PLACE_BYTES + 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(pages != MAP_FAILED && mprotect(pages, PLACE_BYTES, PROT_READ | PROT_WRITE) == 0);
        places[place] = pages;
    }
    assert_true(bytes <= PLACE_BYTES);
    return (float *)(void *)(places[place] + PLACE_BYTES - bytes);
}
static float *random_before_the_end(int place, size_t n) {
    float *x = before_the_end(place, n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = random_float();
    return x;
}

enum { PACKED, MATRIX, TRANSPOSED, SOURCES };

typedef struct product_case {
    size_t m, n, k;
    int source;
    tn_epilogue epilogue;
    const float *a, *b; /* b[k][n], or [n][k] for TRANSPOSED */
} product_case;

/* The product by the kernels of a level; tasks in falling order, so that none leans on another. */
static float *product(const product_case *t, const tn_kernels *kernels) {
    tn_product p;
    tn_product_plan(&p, kernels, t->m, t->n, t->k, 1, 1);
    float *packed_a = before_the_end(PANELS_A, (tn_product_a_bytes(&p) + 63) / 64 * 64);
    float *packed_b = before_the_end(PANELS_B, (tn_product_b_bytes(&p) + 63) / 64 * 64);
    float *buffer = tn_alloc(NULL, tn_product_buffer_bytes(&p)), *c = random_floats(t->m * t->n);
    size_t k_stride = t->source == TRANSPOSED ? 1 : t->n, column_stride = t->source == TRANSPOSED ? t->k : 1;
    for (size_t i = 0; i < p.row_panels; i++) tn_product_pack_a(&p, t->a, t->k, 1, packed_a, i);
    for (size_t i = 0; i < p.column_panels; i++) tn_product_pack_b(&p, t->b, k_stride, column_stride, packed_b, i);
    tn_panels b =
        t->source == PACKED ? tn_panels_packed(packed_b, t->k) : tn_panels_matrix(t->b, k_stride, column_stride);
    for (size_t i = p.tasks; i-- > 0;) tn_product_task(&p, i, packed_a, &b, c, t->n, &t->epilogue, buffer);
    release(buffer);
    return c;
}

static void check(const product_case *t, const tn_kernels *kernels) {
    float *c = product(t, kernels);
    const tn_epilogue *e = &t->epilogue;
    for (size_t i = 0; i < t->m; i++)
        for (size_t j = 0; j < t->n; j++) {
            double sum = 0, size = 0;
            for (size_t k = 0; k < t->k; k++) {
                double term = (double)t->a[i * t->k + k] *
                              (double)(t->source == TRANSPOSED ? t->b[j * t->k + k] : t->b[k * t->n + j]);
                sum += term;
                size += fabs(term);
            }
            if (e->row_bias) sum += (double)e->row_bias[i];
            if (e->column_bias) sum += (double)e->column_bias[j];
            if (e->residual) sum += (double)e->residual[i * e->residual_stride + j];
            double want = reference(sum, e), got = (double)c[i * t->n + j];
            if (fabs(want - got) > 1e-6 * (size + 4) + 1e-6)
                fail_msg("%s: %zu x %zu x %zu, source %d, activation %d: [%zu, %zu] is %g, not %g",
                         tn_cpu_level_name(kernels->level), t->m, t->n, t->k, t->source, (int)e->activation, i, j, got,
                         want);
        }
    release(c);
}

static void check_all_sources(size_t m, size_t n, size_t k, tn_epilogue e, const tn_kernels *kernels) {
    const float *a = random_before_the_end(MATRIX_A, m * k), *b = random_before_the_end(MATRIX_B, k * n);
    for (int source = 0; source < SOURCES; source++) {
        product_case t = {m, n, k, source, e, a, b};
        check(&t, kernels);
    }
}

static void products_match_at_every_cpu_level(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 5, 7, 8, 13, 14, 15, 16, 17, 29, 31, 32, 33, 37, 65};
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *kernels = tn_kernels_at((tn_cpu_level)level);
        if (!kernels) continue;
        for (size_t i = 0; i < TN_COUNT(sizes); i++)
            for (size_t j = 0; j < TN_COUNT(sizes); j++)
                check_all_sources(sizes[i], sizes[j], sizes[(i * 5 + j * 3) % TN_COUNT(sizes)], (tn_epilogue){0},
                                  kernels);
        check_all_sources(1, 300, 40, (tn_epilogue){0}, kernels);
        check_all_sources(5, 9, 0, (tn_epilogue){0}, kernels);
        check_all_sources(31, 70, 3100, (tn_epilogue){0}, kernels); /* more than one block of k */
        check_all_sources(150, 210, 90, (tn_epilogue){0}, kernels); /* more than one task */
    }
}

static void epilogues_match_at_every_cpu_level(void **state) {
    (void)state;
    float *row = random_floats(40), *column = random_floats(40), *residual = random_floats(40 * 40);
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *kernels = tn_kernels_at((tn_cpu_level)level);
        if (!kernels) continue;
        for (int terms = 0; terms < 8; terms++)
            for (int activation = TN_ACT_NONE; activation <= TN_ACT_GELU_TANH; activation++) {
                tn_epilogue e = {.activation = (tn_act)activation, .residual_stride = 40};
                e.row_bias = terms & 1 ? row : NULL;
                e.column_bias = terms & 2 ? column : NULL;
                e.residual = terms & 4 ? residual : NULL;
                e.alpha = activation == TN_ACT_SWISH ? 1.25f : activation == TN_ACT_CLIP ? -0.5f : 0.2f;
                e.beta = 0.5f;
                check_all_sources(15, 33, 7, e, kernels);
                check_all_sources(1, 32, 5, e, kernels);
                check_all_sources(3, 40, 1700, e, kernels);
            }
    }
    release(row), release(column), release(residual);
}

static void one_row_has_the_same_bits_in_whatever_order_memory_is_read(void **state) {
    (void)state;
    enum { K = 403 };
    static const size_t columns[] = {128, 320, 643, 1000};
    float *column = random_floats(1000), *residual = random_floats(1000), row = 0.25f;
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *kernels = tn_kernels_at((tn_cpu_level)level);
        for (size_t i = 0; kernels && i < TN_COUNT(columns) * 2; i++) {
            const size_t n = columns[i / 2];
            tn_epilogue e = {.activation = TN_ACT_TANH, .column_bias = column, .row_bias = &row};
            e.residual = residual;
            product_case t = {1, n, K, PACKED, i % 2 ? e : (tn_epilogue){0}, NULL, NULL};
            t.a = random_before_the_end(MATRIX_A, K), t.b = random_before_the_end(MATRIX_B, K * n);
            float *packed = product(&t, kernels);
            t.source = MATRIX;
            check(&t, kernels);
            float *far = product(&t, kernels);
            assert_memory_equal(packed, far, n * sizeof *far);
            release(packed), release(far);
        }
    }
    release(column), release(residual);
}

static void a_residual_may_be_the_result_itself(void **state) {
    (void)state;
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *kernels = tn_kernels_at((tn_cpu_level)level);
        if (!kernels) continue;
        enum { M = 17, N = 35, K = 2000 };
        float *a = random_floats(M * K), *b = random_floats(K * N), *c = random_floats(M * N);
        tn_product p;
        tn_product_plan(&p, kernels, M, N, K, 1, 1);
        float *packed = tn_alloc(NULL, tn_product_a_bytes(&p)), *buffer = tn_alloc(NULL, tn_product_buffer_bytes(&p));
        for (size_t i = 0; i < p.row_panels; i++) tn_product_pack_a(&p, a, K, 1, packed, i);
        tn_panels panels = tn_panels_matrix(b, N, 1);
        float *apart = random_floats(M * N), *copy = random_floats(M * N);
        memcpy(copy, c, M * N * sizeof *c);
        tn_epilogue e = {.residual = c, .residual_stride = N, .activation = TN_ACT_TANH};
        for (size_t i = 0; i < p.tasks; i++) tn_product_task(&p, i, packed, &panels, apart, N, &e, buffer);
        for (size_t i = 0; i < p.tasks; i++) tn_product_task(&p, i, packed, &panels, c, N, &e, buffer);
        assert_memory_equal(apart, c, M * N * sizeof *c);
        release(a), release(b), release(c), release(packed), release(buffer), release(apart), release(copy);
    }
}

static void rows_are_gathered_at_any_stride(void **state) {
    (void)state;
    float *src = random_floats(4000);
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *kernels = tn_kernels_at((tn_cpu_level)level);
        if (!kernels) continue;
        for (size_t stride = 1; stride < 4; stride++)
            for (size_t n = 0; n < 70; n++) {
                float dst[3 * 80];
                for (size_t i = 0; i < TN_COUNT(dst); i++) dst[i] = 9;
                /* The source ends where the memory does, for a sanitizer to see. */
                const float *from = src + 4000 - (n ? 2 * 250 + (n - 1) * stride + 1 : 500);
                kernels->gather_rows_f32(3, n, from, 250, stride, dst, 80);
                for (size_t r = 0; r < 3; r++)
                    for (size_t i = 0; i < 80; i++)
                        assert_true(dst[r * 80 + i] == (i < n ? from[r * 250 + i * stride] : 9));
            }
    }
    release(src);
}

/* A[m,k] and B[k,n], or the transposed of each; C keeps what is beside it. */
static void check_f64(const tn_kernels *kernels, size_t m, size_t n, size_t k, bool a_turned, bool b_turned) {
    size_t stride = n + 3;
    double *a = calloc(m * k + 1, sizeof *a), *b = calloc(k * n + 1, sizeof *b), *c = calloc(m * stride, sizeof *c);
    double *buffer = malloc(tn_product_f64_buffer(kernels) * sizeof *buffer);
    for (size_t i = 0; i < m * k; i++) a[i] = (double)random_float();
    for (size_t i = 0; i < k * n; i++) b[i] = (double)random_float();
    for (size_t i = 0; i < m * stride; i++) c[i] = 9;
    const tn_matrix_f64 left = {a, a_turned ? 1 : k, a_turned ? m : 1}, right = {b, b_turned ? 1 : n, b_turned ? k : 1};
    tn_product_f64(kernels, m, n, k, &left, &right, c, stride, buffer);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < stride; j++) {
            double sum = 0;
            for (size_t l = 0; j < n && l < k; l++)
                sum += a[a_turned ? l * m + i : i * k + l] * b[b_turned ? j * k + l : l * n + j];
            if (!(fabs(c[i * stride + j] - (j < n ? sum : 9)) <= 1e-15 * (double)(k + 1) * 4))
                fail_msg("%s: %zu x %zu x %zu, [%zu,%zu]: %.17g, expected %.17g", tn_cpu_level_name(kernels->level), m,
                         n, k, i, j, c[i * stride + j], sum);
        }
    free(a), free(b), free(c), free(buffer);
}

static void products_in_float64_match_at_every_cpu_level(void **state) {
    (void)state;
    static const size_t sizes[][3] = {{1, 1, 1},     {3, 5, 2},  {6, 8, 256}, {12, 16, 257}, {13, 17, 30},
                                      {25, 40, 600}, {2, 70, 9}, {7, 3, 0},   {31, 33, 1}};
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *kernels = tn_kernels_at((tn_cpu_level)level);
        if (!kernels) continue;
        for (size_t i = 0; i < TN_COUNT(sizes); i++)
            for (int turned = 0; turned < 4; turned++)
                check_f64(kernels, sizes[i][0], sizes[i][1], sizes[i][2], turned & 1, turned & 2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_match_at_every_cpu_level),
        cmocka_unit_test(epilogues_match_at_every_cpu_level),
        cmocka_unit_test(one_row_has_the_same_bits_in_whatever_order_memory_is_read),
        cmocka_unit_test(a_residual_may_be_the_result_itself),
        cmocka_unit_test(rows_are_gathered_at_any_stride),
        cmocka_unit_test(products_in_float64_match_at_every_cpu_level),
    };
    return cmocka_run_group_tests_name("kernels_gemm", tests, NULL, NULL);
}
