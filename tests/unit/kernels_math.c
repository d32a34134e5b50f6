/* Every function of math.inc at every level of this machine, against libm's doubles over all of float32. */
#include "unit.h"
#include "base/half.h"
#include "kernels/kernels.h"
#include <float.h>
#include <math.h>

#define SAMPLES 300000

typedef void unary(float *y, const float *x, size_t n, const float *p);

static float parameters[3];

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}
static double neg(double x) {
    return -x;
}
static double reciprocal(double x) {
    return 1 / x;
}
static double gelu(double x) {
    return isinf(x) ? fmax(x, 0) : 0.5 * x * erfc(-x * sqrt(0.5));
}
static double gelu_tanh(double x) {
    double u = sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x);
    return isinf(x) ? fmax(x, 0) : x * sigmoid(2 * u);
}
static double swish(double x) {
    return x == -INFINITY ? 0 : x * sigmoid(parameters[0] * x);
}
static double softplus(double x) {
    return fmax(x, 0) + log1p(exp(-fabs(x))) + (isnan(x) ? x : 0);
}
static double softsign(double x) {
    return x / (1 + fabs(x));
}
static double mish(double x) {
    return x == -INFINITY ? 0 : x * tanh(log1p(exp(x)) < 1e300 ? log1p(exp(x)) : 1e300) + (isnan(x) ? x : 0);
}
static double elu(double x) {
    return x < 0 ? parameters[0] * expm1(x * parameters[1]) : x * parameters[2];
}
static double relu(double x) {
    return x < 0 ? 0 : x;
}
static double leaky_relu(double x) {
    return x < 0 ? parameters[0] * x : x;
}
static double thresholded_relu(double x) {
    return x <= parameters[0] ? 0 : x;
}
static double hard_sigmoid(double x) {
    double y = parameters[0] * x + parameters[1];
    return y < 0 ? 0 : y > 1 ? 1 : y;
}
static double hard_swish(double x) {
    return x * hard_sigmoid(x);
}

/* The bound is in units of the last place, or relative to |x| where it is below 1e-3. */
static const struct {
    const char *name;
    size_t member;
    double (*reference)(double);
    double bound;
    float parameters[3];
} rows[] = {
#define ROW(name) #name, offsetof(tn_kernels, name##_f32)
    {ROW(abs), fabs, 0, {0}},
    {ROW(neg), neg, 0, {0}},
    {ROW(floor), floor, 0, {0}},
    {ROW(ceil), ceil, 0, {0}},
    {ROW(round), rint, 0, {0}},
    {ROW(sqrt), sqrt, 0.5, {0}},
    {ROW(reciprocal), reciprocal, 0.5, {0}},
    {ROW(exp), exp, 1.1, {0}},
    {ROW(log), log, 0.9, {0}},
    {ROW(sin), sin, 1.7, {0}},
    {ROW(cos), cos, 1.7, {0}},
    {ROW(tanh), tanh, 2.3, {0}},
    {ROW(sigmoid), sigmoid, 2.2, {0}},
    {ROW(erf), erf, 1.1, {0}},
    {ROW(gelu), gelu, 0x1p-22, {0}},
    {ROW(gelu_tanh), gelu_tanh, 0x1p-22, {0}},
    {ROW(swish), swish, 3.2, {1}},
    {ROW(softplus), softplus, 2.5, {0}},
    {ROW(softsign), softsign, 1.5, {0}},
    {ROW(mish), mish, 4, {0}},
    {ROW(elu), elu, 1.6, {1, 1, 1}},
    {ROW(elu), elu, 4, {1.0507f * 1.6733f, 1, 1.0507f}},
    {ROW(relu), relu, 0, {0}},
    {ROW(leaky_relu), leaky_relu, 0.5, {0.01f}},
    {ROW(thresholded_relu), thresholded_relu, 0, {1.5f}},
    {ROW(hard_sigmoid), hard_sigmoid, 1, {0.2f, 0.5f}},
    {ROW(hard_swish), hard_swish, 2, {1 / 6.0f, 0.5f}},
};

static unary *kernel_of(const tn_kernels *table, int row) {
    unary *kernel;
    memcpy(&kernel, (const char *)table + rows[row].member, sizeof kernel);
    return kernel;
}

static float x[SAMPLES], y[SAMPLES];

/* Bit patterns at even distances, so all exponents alike; then the special ones, then what models see. */
static void fill(void) {
    static const float special[] = {0.0f,     -0.0f,   INFINITY, -INFINITY, NAN,        -NAN,       1.0f,
                                    -1.0f,    0.5f,    1.5f,     2.5f,      -2.5f,      FLT_MIN,    FLT_MAX,
                                    -FLT_MAX, 1e-45f,  -1e-45f,  88.72283f, 88.72284f,  -87.33654f, -87.3f,
                                    -103.97f, -104.0f, 0.925f,   1.308148f, 8388607.5f, 1e5f,       -1e5f};
    const int n = SAMPLES / 2;
    for (int i = 0; i < n; i++) x[i] = tn_bits_float((uint32_t)((uint64_t)i * 0x100000000 / (uint64_t)n));
    for (int i = n; i < SAMPLES; i++) x[i] = -24 + 48.0f * (float)(i - n) / (float)(SAMPLES - n);
    memcpy(x + 1000, special, sizeof special);
}

static double error(int row, double reference, float in, float out) {
    if (isnan(reference)) return isnan(out) ? 0 : INFINITY;
    if (isinf((float)reference) || isinf(out)) {
        if ((float)reference == out) return 0;
        return fabs(reference) > 3.4028230e38 && fabs((double)out) > 3.4028230e38 ? 0.5 : INFINITY;
    }
    if (rows[row].bound > 0 && rows[row].bound < 1e-3)
        return fabs(reference - (double)out) / fmax(fabs((double)in), FLT_MIN);
    int exponent;
    frexp(reference, &exponent);
    double last = ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
    /* Functions of exp_low may give 0 in the place of denormals, and of denormals times x. */
    if (out == 0 && fabs(reference) < 0x1p-119 && rows[row].bound > 1.15) return 0;
    return fabs(reference - (double)out) / last;
}

static void accuracy_is_as_stated_at_every_level(void **state) {
    (void)state;
    int failures = 0;
    fill();
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *table = tn_kernels_at((tn_cpu_level)level);
        if (!table) continue;
        for (int row = 0; row < (int)TN_COUNT(rows); row++) {
            memcpy(parameters, rows[row].parameters, sizeof parameters);
            kernel_of(table, row)(y, x, SAMPLES, parameters);
            double worst = 0;
            int at = 0;
            for (int i = 0; i < SAMPLES; i++) {
                double e = error(row, rows[row].reference((double)x[i]), x[i], y[i]);
                if (e > worst) worst = e, at = i;
            }
            bool bad = worst > rows[row].bound;
            if (bad)
                print_message("%s of %a at level %s is %a, not %a: error %g, allowed %g\n", rows[row].name,
                              (double)x[at], tn_cpu_level_name((tn_cpu_level)level), (double)y[at],
                              rows[row].reference((double)x[at]), worst, rows[row].bound);
            failures += bad;
        }
    }
    assert_int_equal(failures, 0);
}

static void any_length_and_in_place_give_the_same_and_write_nothing_else(void **state) {
    (void)state;
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *table = tn_kernels_at((tn_cpu_level)level);
        if (!table) continue;
        for (int row = 0; row < (int)TN_COUNT(rows); row++) {
            float in[41], whole[40], part[41];
            for (int i = 0; i < 41; i++) in[i] = (float)i * 0.37f - 6;
            kernel_of(table, row)(whole, in, 40, rows[row].parameters);
            for (size_t n = 0; n <= 40; n++) {
                memcpy(part, in, sizeof part);
                kernel_of(table, row)(part, part, n, rows[row].parameters);
                assert_memory_equal(part, whole, n * sizeof *part);
                assert_memory_equal(part + n, in + n, (41 - n) * sizeof *part);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accuracy_is_as_stated_at_every_level),
        cmocka_unit_test(any_length_and_in_place_give_the_same_and_write_nothing_else),
    };
    return cmocka_run_group_tests_name("kernels_math", tests, NULL, NULL);
}
