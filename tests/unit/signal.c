/* Fourier transforms against their definition; windows and mel filters. */
#include "ops.h"
#include "ops/fft.h"
#include <math.h>
#include <stdlib.h>

static double uniform(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 11) / 9007199254740992.0 - 0.5;
}

/* The transform by its definition: element k. */
static tn_complex defined(int64_t n, const tn_complex *x, int64_t k) {
    tn_complex sum = {0, 0};
    for (int64_t i = 0; i < n; i++) {
        double angle = -2 * M_PI * (double)(i * k % n) / (double)n, c = cos(angle), s = sin(angle);
        sum.re += x[i].re * c - x[i].im * s;
        sum.im += x[i].re * s + x[i].im * c;
    }
    return sum;
}

static void every_length_matches_the_definition(void **state) {
    (void)state;
    uint64_t seed = 1;
    /* all short ones; products of small primes; primes above 61, which go through a convolution */
    const int64_t longer[] = {128, 360, 400, 512, 61 * 3, 67, 127, 134, 1009, 1024, 67 * 8};
    for (int64_t i = 1; i <= 100 + (int64_t)TN_COUNT(longer); i++) {
        int64_t n = i <= 100 ? i : longer[i - 101];
        tn_complex *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)n * sizeof *y);
        void *tables = malloc(tn_fft_table_bytes(n)), *work = malloc(tn_fft_work_bytes(n));
        for (int64_t k = 0; k < n; k++) y[k] = x[k] = (tn_complex){uniform(&seed), uniform(&seed)};
        tn_fft fft;
        tn_fft_plan(&fft, n, tables, work);
        tn_fft_run(&fft, y, work);
        for (int64_t k = 0; k < n; k++) {
            tn_complex want = defined(n, x, k);
            if (fabs(want.re - y[k].re) + fabs(want.im - y[k].im) > 1e-12 * (double)n)
                fail_msg("length %d, element %d: %g%+gi, not %g%+gi", (int)n, (int)k, y[k].re, y[k].im, want.re,
                         want.im);
        }
        free(x), free(y), free(tables), free(work);
    }
}

static tn_tensor *noise(tn_dtype dtype, int rank, const int64_t *dims) {
    uint64_t seed = 7;
    tn_tensor *t = make(dtype, rank, dims, NULL);
    for (int64_t i = 0; i < tn_count(t); i++) tn_set_double(dtype, t->data, i, uniform(&seed));
    return t;
}
static tn_tensor *copy_of(const tn_tensor *t) {
    tn_tensor *copy;
    assert_ok(tn_tensor_clone(t, NULL, &copy));
    return copy;
}
static tn_tensor *whole(double value) {
    return make(TN_INT64, SCALAR, VALUES(value));
}

static void expect_same(tn_tensor *found, tn_tensor *wanted, double tolerance) {
    assert_int_equal(tn_count(found), tn_count(wanted));
    for (int64_t i = 0; i < tn_count(wanted); i++) {
        double a = tn_get_double(found->dtype, found->data, i), b = tn_get_double(wanted->dtype, wanted->data, i);
        if (fabs(a - b) > tolerance) fail_msg("element %d: %.9g, not %.9g", (int)i, a, b);
    }
    tn_tensor_destroy(found), tn_tensor_destroy(wanted);
}

static void the_inverse_undoes_the_transform(void **state) {
    (void)state;
    const tn_attr inverse = ATTR_INT("inverse", 1), onesided = ATTR_INT("onesided", 1);
    for (int axis = 0; axis < 3; axis++) {
        tn_tensor *x = noise(TN_FLOAT32, DIMS(4, 5, 6, 2));
        tn_tensor *y = run1("DFT", NO_ATTRS, copy_of(x), NULL, whole(axis));
        expect_same(run1("DFT", ATTRS(inverse), y, NULL, whole(axis - 4)), x, 1e-6);
    }
    for (int n = 7; n <= 8; n++) { /* half a spectrum and back, of odd and even lengths */
        tn_tensor *x = noise(TN_FLOAT64, DIMS(3, n, 1));
        tn_tensor *y = run1("DFT", ATTRS(onesided), copy_of(x));
        assert_int_equal(y->dims[1], n / 2 + 1);
        expect_same(run1("DFT", ATTRS(onesided, inverse), y, whole(n)), x, 1e-12);
    }
}

static void transforms_pad_and_cut(void **state) {
    (void)state;
    expect_near(run1("DFT", NO_ATTRS, make(TN_FLOAT32, DIMS(2, 1), VALUES(1, 2)), whole(4)), TN_FLOAT32, DIMS(4, 2),
                VALUES(3, 0, 1, -2, -1, 0, 1, 2), 1e-6);
    expect_near(run1("DFT", NO_ATTRS, make(TN_FLOAT16, DIMS(3, 1), VALUES(1, 2, 9)), whole(2)), TN_FLOAT16, DIMS(2, 2),
                VALUES(3, 0, -1, 0), 1e-6);
    refused("DFT", NO_ATTRS, TN_E_INVALID, "dft_length", make(TN_FLOAT32, DIMS(2, 1), NULL), whole(0));
    refused("DFT", NO_ATTRS, TN_E_INVALID, "axis", make(TN_FLOAT32, DIMS(2, 1), NULL), NULL, whole(1));
    refused("DFT", NO_ATTRS, TN_E_SHAPE, "1 (real) or 2", make(TN_FLOAT32, DIMS(2, 3), NULL));
    expect_dims("DFT", ATTRS(ATTR_INT("onesided", 1)), INPUTS(TYPE(TN_FLOAT32, -2, 10, 1)), KNOWN(NULL),
                DIMS(-2, 6, 2));
}

static void frames_overlap_and_are_weighed(void **state) {
    (void)state;
    const double x[] = {1, 2, 3, 4, 5, 6};
    /* frames 1 2 3 4 and 3 4 5 6, the window 0 1 1 0 leaves their middles */
    expect_near(run1("STFT", NO_ATTRS, make(TN_FLOAT32, DIMS(1, 6, 1), x), whole(2),
                     make(TN_FLOAT32, DIMS(4), VALUES(0, 1, 1, 0))),
                TN_FLOAT32, DIMS(1, 2, 3, 2), VALUES(5, 0, -3, -2, 1, 0, 9, 0, -5, -4, 1, 0), 1e-6);
    expect_near(
        run1("STFT", ATTRS(ATTR_INT("onesided", 0)), make(TN_FLOAT32, DIMS(1, 2, 1), x), whole(1), NULL, whole(2)),
        TN_FLOAT32, DIMS(1, 1, 2, 2), VALUES(3, 0, -1, 0), 1e-6);
    refused("STFT", NO_ATTRS, TN_E_SHAPE, "shorter than a frame", make(TN_FLOAT32, DIMS(1, 2, 1), x), whole(1), NULL,
            whole(4));
    refused("STFT", NO_ATTRS, TN_E_INVALID, "frame_step", make(TN_FLOAT32, DIMS(1, 2, 1), x), whole(0), NULL, whole(2));
    refused("STFT", NO_ATTRS, TN_E_INVALID, "one-sided", make(TN_FLOAT32, DIMS(1, 2, 2), NULL), whole(1), NULL,
            whole(2));
    refused("STFT", NO_ATTRS, TN_E_SHAPE, "at most frame_length", make(TN_FLOAT32, DIMS(1, 9, 1), NULL), whole(1),
            make(TN_FLOAT32, DIMS(4), NULL), whole(2));
}

static void windows_are_periodic_or_symmetric(void **state) {
    (void)state;
    expect_near(run1("HannWindow", NO_ATTRS, whole(4)), TN_FLOAT32, DIMS(4), VALUES(0, 0.5, 1, 0.5), 1e-7);
    expect_near(run1("HannWindow", ATTRS(ATTR_INT("periodic", 0)), whole(5)), TN_FLOAT32, DIMS(5),
                VALUES(0, 0.5, 1, 0.5, 0), 1e-7);
    expect_near(run1("BlackmanWindow", ATTRS(ATTR_INT("output_datatype", TN_FLOAT64)), whole(2)), TN_FLOAT64, DIMS(2),
                VALUES(0, 1), 1e-15);
    expect_near(run1("HammingWindow", NO_ATTRS, whole(2)), TN_FLOAT32, DIMS(2), VALUES(4.0 / 46, 1), 1e-7);
    expect(run1("HannWindow", NO_ATTRS, whole(0)), TN_FLOAT32, DIMS(0), NULL);
    refused("HannWindow", NO_ATTRS, TN_E_INVALID, "-1", whole(-1));
    refused("HannWindow", ATTRS(ATTR_INT("output_datatype", TN_STRING)), TN_E_TYPE, "output_datatype", whole(1));
}

static void mel_bands_lie_within_the_spectrum(void **state) {
    (void)state;
    tn_tensor *y = run1("MelWeightMatrix", NO_ATTRS, whole(8), whole(16), whole(8192),
                        make(TN_FLOAT32, SCALAR, VALUES(0)), make(TN_FLOAT32, SCALAR, VALUES(4096)));
    assert_int_equal(y->dims[0], 9);
    assert_int_equal(y->dims[1], 8);
    for (int band = 0; band < 8; band++) {
        float peak = 0;
        for (int bin = 0; bin < 9; bin++) peak = fmaxf(peak, ((float *)y->data)[bin * 8 + band]);
        assert_true(peak == 1);
    }
    tn_tensor_destroy(y);
    refused("MelWeightMatrix", NO_ATTRS, TN_E_INVALID, "outside", whole(8), whole(16), whole(8192),
            make(TN_FLOAT32, SCALAR, VALUES(0)), make(TN_FLOAT32, SCALAR, VALUES(9000)));
    refused("MelWeightMatrix", NO_ATTRS, TN_E_INVALID, "outside", whole(8), whole(16), whole(8192),
            make(TN_FLOAT32, SCALAR, VALUES(-1e30)), make(TN_FLOAT32, SCALAR, VALUES(NAN)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_matches_the_definition),
        cmocka_unit_test(the_inverse_undoes_the_transform),
        cmocka_unit_test(transforms_pad_and_cut),
        cmocka_unit_test(frames_overlap_and_are_weighed),
        cmocka_unit_test(windows_are_periodic_or_symmetric),
        cmocka_unit_test(mel_bands_lie_within_the_spectrum),
    };
    return cmocka_run_group_tests_name("signal", tests, NULL, NULL);
}
