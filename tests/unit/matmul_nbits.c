/* Products with weights of few bits against plain sums, at every CPU level; refusals. */
#include "unit.h"
#include "exec/eager.h"
#include <math.h>

enum { M = 3, K = 100, N = 37, BLOCK = 32, BLOCKS = 4 };

static tn_tensor *make(tn_dtype dtype, int64_t count) {
    tn_tensor *t;
    static uint32_t seed = 1;
    assert_ok(tn_tensor_create(dtype, 1, &count, NULL, &t));
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = (seed = seed * 1664525 + 1013904223) >> 16;
        if (dtype == TN_UINT8)
            ((uint8_t *)t->data)[i] = (uint8_t)bits;
        else
            ((float *)t->data)[i] = (float)(bits % 1000) / 1000;
    }
    return t;
}

static const tn_attr attrs[] = {{.name = "K", .kind = TN_ATTR_INT, .i = K},
                                {.name = "N", .kind = TN_ATTR_INT, .i = N},
                                {.name = "block_size", .kind = TN_ATTR_INT, .i = BLOCK},
                                {.name = "bits", .kind = TN_ATTR_INT, .i = 4}};

static void products_match_plain_sums_at_every_cpu_level(void **state) {
    (void)state;
    tn_tensor *in[4] = {make(TN_FLOAT32, M * K), make(TN_UINT8, N * BLOCKS * BLOCK / 2), make(TN_FLOAT32, N * BLOCKS),
                        make(TN_UINT8, N * BLOCKS / 2)};
    in[0]->rank = 2, in[0]->dims[0] = M, in[0]->dims[1] = K, in[0]->strides[0] = K, in[0]->strides[1] = 1;
    const float *a = in[0]->data, *scales = in[2]->data;
    const uint8_t *b = in[1]->data, *zeros = in[3]->data;
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_eager options = {NULL, tn_kernels_at((tn_cpu_level)level), NULL};
        tn_tensor *y;
        if (!options.kernels) continue;
        assert_ok(tn_eager_run(&options, tn_op_find("com.microsoft", "MatMulNBits"), 4, attrs, 4,
                               (const tn_tensor *const *)in, 1, &y));
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                double sum = 0;
                for (int k = 0; k < K; k++) {
                    int block = k / BLOCK, zero = zeros[j * BLOCKS / 2 + block / 2] >> (block % 2 * 4) & 15;
                    int q = b[j * BLOCKS * BLOCK / 2 + k / 2] >> (k % 2 * 4) & 15;
                    sum += (double)a[i * K + k] * (q - zero) * (double)scales[j * BLOCKS + block];
                }
                assert_true(fabs(sum - (double)((float *)y->data)[i * N + j]) < 1e-3);
            }
        tn_tensor_destroy(y);
    }
    for (int i = 0; i < 4; i++) tn_tensor_destroy(in[i]);
}

static void weights_of_another_size_are_refused(void **state) {
    (void)state;
    tn_tensor *in[3] = {make(TN_FLOAT32, K), make(TN_UINT8, 10), make(TN_FLOAT32, N * BLOCKS)}, *y;
    assert_int_equal(tn_eager_run(NULL, tn_op_find("com.microsoft", "MatMulNBits"), 4, attrs, 3,
                                  (const tn_tensor *const *)in, 1, &y),
                     TN_E_SHAPE);
    for (int i = 0; i < 3; i++) tn_tensor_destroy(in[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_match_plain_sums_at_every_cpu_level),
        cmocka_unit_test(weights_of_another_size_are_refused),
    };
    return cmocka_run_group_tests_name("matmul_nbits", tests, NULL, NULL);
}
