/* Einsum: what equations mean, on small numbers, and which are refused. */
#include "unit.h"
#include "exec/eager.h"

#define DIMS(...)                                                                                                      \
    (int64_t[]) {                                                                                                      \
        __VA_ARGS__                                                                                                    \
    }

static tn_tensor *count_up(tn_dtype dtype, int rank, const int64_t *dims) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(dtype, rank, dims, NULL, &t));
    for (int64_t i = 0; i < tn_count(t); i++)
        if (dtype == TN_FLOAT32)
            ((float *)t->data)[i] = (float)(i + 1);
        else
            ((uint8_t *)t->data)[i] = (uint8_t)(i + 1);
    return t;
}

/* Destroys the inputs. */
static tn_status einsum(const char *equation, int in_count, tn_tensor **in, tn_tensor **y) {
    const tn_attr attr = {.name = "equation", .kind = TN_ATTR_STRING, .s = {equation, strlen(equation)}};
    tn_status status =
        tn_eager_run(NULL, tn_op_find("", "Einsum"), 1, &attr, in_count, (const tn_tensor *const *)in, 1, y);
    for (int i = 0; i < in_count; i++) tn_tensor_destroy(in[i]);
    return status;
}

static void expect(tn_tensor *y, int rank, const int64_t *dims, const float *want) {
    assert_int_equal(y->rank, rank);
    for (int i = 0; i < rank; i++) assert_int_equal(y->dims[i], dims[i]);
    assert_memory_equal(y->data, want, (size_t)tn_count(y) * sizeof *want);
    tn_tensor_destroy(y);
}

static void labels_are_kept_summed_repeated_and_reordered(void **state) {
    (void)state;
    tn_tensor *y;
    assert_ok(einsum("ij,jk->ki", 2,
                     (tn_tensor *[]){count_up(TN_FLOAT32, 2, DIMS(2, 2)), count_up(TN_FLOAT32, 2, DIMS(2, 1))}, &y));
    expect(y, 2, DIMS(1, 2), (float[]){5, 11});
    assert_ok(einsum("ii->i", 1, (tn_tensor *[]){count_up(TN_FLOAT32, 2, DIMS(2, 2))}, &y));
    expect(y, 1, DIMS(2), (float[]){1, 4});
    assert_ok(einsum("ba", 1, (tn_tensor *[]){count_up(TN_FLOAT32, 2, DIMS(2, 2))}, &y));
    expect(y, 2, DIMS(2, 2), (float[]){1, 3, 2, 4});
    assert_ok(einsum("...j, j -> ...", 2,
                     (tn_tensor *[]){count_up(TN_FLOAT32, 3, DIMS(1, 2, 2)), count_up(TN_FLOAT32, 1, DIMS(2))}, &y));
    expect(y, 2, DIMS(1, 2), (float[]){5, 11});
    assert_ok(einsum("a,ab,b->", 3,
                     (tn_tensor *[]){count_up(TN_FLOAT32, 1, DIMS(2)), count_up(TN_FLOAT32, 2, DIMS(2, 2)),
                                     count_up(TN_FLOAT32, 1, DIMS(2))},
                     &y));
    expect(y, 0, NULL, (float[]){27});
}

static void small_integers_wrap_round(void **state) {
    (void)state;
    tn_tensor *y;
    assert_ok(
        einsum("i,i->i", 2, (tn_tensor *[]){count_up(TN_UINT8, 1, DIMS(20)), count_up(TN_UINT8, 1, DIMS(20))}, &y));
    assert_int_equal(((uint8_t *)y->data)[19], 400 % 256);
    tn_tensor_destroy(y);
}

static void equations_that_mean_nothing_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"ij->ikk",  "ij->k", "ij->ij->", "i1",  "ijk",
                                      "i...j...", "ij,jk", "",         ".ij", "->"};
    tn_tensor *y;
    for (size_t i = 0; i < TN_COUNT(bad); i++)
        assert_int_not_equal(einsum(bad[i], 1, (tn_tensor *[]){count_up(TN_FLOAT32, 2, DIMS(2, 2))}, &y), TN_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_kept_summed_repeated_and_reordered),
        cmocka_unit_test(small_integers_wrap_round),
        cmocka_unit_test(equations_that_mean_nothing_are_refused),
    };
    return cmocka_run_group_tests_name("einsum", tests, NULL, NULL);
}
