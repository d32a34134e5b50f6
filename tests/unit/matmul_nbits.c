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

static void set_attrs(tn_attr attrs[4], int bits) {
    const tn_attr all[] = {{.name = "K", .kind = TN_ATTR_INT, .i = K},
                           {.name = "N", .kind = TN_ATTR_INT, .i = N},
                           {.name = "block_size", .kind = TN_ATTR_INT, .i = BLOCK},
                           {.name = "bits", .kind = TN_ATTR_INT, .i = bits}};
    memcpy(attrs, all, sizeof all);
}

/* Number i of those that lie one after the other, low bits first. */
static int number(const uint8_t *row, int i, int bits) {
    int q = 0;
    for (int bit = 0; bit < bits; bit++) q |= (row[(i * bits + bit) / 8] >> ((i * bits + bit) % 8) & 1) << bit;
    return q;
}

static void products_match_plain_sums_at_every_cpu_level(void **state) {
    (void)state;
    static const int widths[] = {2, 3, 4, 8};
    for (int form = 0; form < 8; form++) {
        const int bits = widths[form / 2], row = BLOCKS * BLOCK * bits / 8, zero_row = (BLOCKS * bits + 7) / 8;
        const bool zeros = form % 2;
        tn_attr attrs[4];
        set_attrs(attrs, bits);
        tn_tensor *in[4] = {make(TN_FLOAT32, M * K), make(TN_UINT8, N * row), make(TN_FLOAT32, N * BLOCKS),
                            make(TN_UINT8, N * zero_row)};
        in[0]->rank = 2, in[0]->dims[0] = M, in[0]->dims[1] = K, in[0]->strides[0] = K, in[0]->strides[1] = 1;
        const float *a = in[0]->data, *scales = in[2]->data;
        const uint8_t *b = in[1]->data, *z = in[3]->data;
        for (int level = 0; level < TN_CPU_LEVELS; level++) {
            const tn_eager options = {NULL, tn_kernels_at((tn_cpu_level)level), NULL};
            tn_tensor *y;
            if (!options.kernels) continue;
            assert_ok(tn_eager_run(&options, tn_op_find("com.microsoft", "MatMulNBits"), 4, attrs, zeros ? 4 : 3,
                                   (const tn_tensor *const *)in, 1, &y));
            for (int i = 0; i < M; i++)
                for (int j = 0; j < N; j++) {
                    double sum = 0;
                    for (int k = 0; k < K; k++) {
                        int block = k / BLOCK, zero = zeros ? number(z + j * zero_row, block, bits) : 1 << (bits - 1);
                        sum += (double)a[i * K + k] * (number(b + j * row, k, bits) - zero) *
                               (double)scales[j * BLOCKS + block];
                    }
                    if (fabs(sum - (double)((float *)y->data)[i * N + j]) > 1e-3 * (1 << bits) / 16 + 1e-3)
                        fail_msg("%d bits at level %s", bits, tn_cpu_level_name((tn_cpu_level)level));
                }
            tn_tensor_destroy(y);
        }
        for (int i = 0; i < 4; i++) tn_tensor_destroy(in[i]);
    }
}

static void weights_of_another_size_are_refused(void **state) {
    (void)state;
    tn_attr attrs[4];
    set_attrs(attrs, 4);
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
