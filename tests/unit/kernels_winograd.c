/* The transforms of Winograd convolution at every CPU level: with one channel, they are the convolution. */
#include "unit.h"
#include "kernels/kernels.h"
#include <math.h>
#include <string.h>

enum { SIDE = 90, TILES = 128, STEP = TILES + 4 * TN_WINOGRAD_SLACK };

static float x[SIDE * SIDE], residual[SIDE * SIDE], y[SIDE * SIDE];
static float v[TN_WINOGRAD_TERMS * STEP], buffer[1 << 16];
static double u[TN_WINOGRAD_TERMS];
static uint32_t random_state = 5;

static float random_float(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / (float)(1 << 23) - 1;
}

/* U = G g G', the rows of G being (1, p, p^2) over the product of p's differences from the other points. */
static void transform_weights(const float *g) {
    const double points[5] = {0, sqrt(0.5), -sqrt(0.5), sqrt(2), -sqrt(2)};
    double matrix[TN_WINOGRAD_PATCH][3] = {[5] = {0, 0, 1}};
    for (int i = 0; i < 5; i++) {
        double scale = 1;
        for (int j = 0; j < 5; j++)
            if (j != i) scale *= points[i] - points[j];
        for (int k = 0; k < 3; k++) matrix[i][k] = pow(points[i], k) / scale;
    }
    for (int i = 0; i < TN_WINOGRAD_PATCH; i++)
        for (int j = 0; j < TN_WINOGRAD_PATCH; j++) {
            double sum = 0;
            for (int k = 0; k < 9; k++) sum += matrix[i][k / 3] * matrix[j][k % 3] * (double)g[k];
            u[i * TN_WINOGRAD_PATCH + j] = sum;
        }
}

static double plain(const float *g, int height, int width, int top, int left) {
    double sum = 0;
    for (int k = 0; k < 9; k++) {
        int row = top + k / 3, column = left + k % 3;
        if (row >= 0 && row < height && column >= 0 && column < width)
            sum += (double)x[row * width + column] * (double)g[k];
    }
    return sum;
}

static void check(const tn_kernels *kernels, const float *g, int height, int width, int pad, tn_act activation) {
    int out_height = height + 2 * pad - 2, out_width = width + 2 * pad - 2;
    size_t rows = (size_t)(out_height + 3) / 4, columns = (size_t)(out_width + 3) / 4, tiles = rows * columns;
    assert_true(tiles <= TILES && tn_winograd_input_floats(rows, columns) <= TN_COUNT(buffer) &&
                tn_winograd_output_floats(rows, columns) <= TN_COUNT(buffer));
    memset(v, 0xff, sizeof v), memset(buffer, 0xff, sizeof buffer), memset(y, 0, sizeof y);
    float *first = v + TN_WINOGRAD_SLACK;
    tn_winograd_input in = {.x = x,
                            .height = (size_t)height,
                            .width = (size_t)width,
                            .top = -pad,
                            .left = -pad,
                            .rows = rows,
                            .columns = columns,
                            .v = first,
                            .step = STEP,
                            .buffer = buffer};
    kernels->winograd_input_f32(&in);
    for (size_t i = 0; i < TN_WINOGRAD_TERMS; i++)
        for (size_t t = 0; t < tiles; t++) first[i * STEP + t] = (float)((double)first[i * STEP + t] * u[i]);
    tn_winograd_output out = {.m = first,
                              .step = STEP,
                              .rows = rows,
                              .columns = columns,
                              .y = y,
                              .height = (size_t)out_height,
                              .width = (size_t)out_width,
                              .bias = 0.25f,
                              .epilogue = {.residual = residual, .activation = activation, .alpha = -0.5f, .beta = 1},
                              .buffer = buffer};
    kernels->winograd_output_f32(&out);
    for (int i = 0; i < out_height * out_width; i++) {
        double want = plain(g, height, width, i / out_width - pad, i % out_width - pad) + 0.25 + (double)residual[i];
        if (activation == TN_ACT_CLIP) want = fmin(1, fmax(-0.5, want));
        if (activation == TN_ACT_LEAKY_RELU && want < 0) want *= -0.5;
        if (!(fabs((double)y[i] - want) < 2e-5))
            fail_msg("%s: %d x %d, pad %d: [%d] is %g, not %g", tn_cpu_level_name(kernels->level), height, width, pad,
                     i, (double)y[i], want);
    }
    assert_true(y[out_height * out_width] == 0);
}

static void transforms_make_the_convolution_at_every_cpu_level(void **state) {
    (void)state;
    static const int sizes[][2] = {{3, 3}, {4, 9}, {7, 7}, {14, 14}, {10, 30}, {33, 18}, {6, 66}, {5, 90}, {40, 40}};
    float g[9];
    for (size_t i = 0; i < TN_COUNT(x); i++) x[i] = random_float(), residual[i] = random_float();
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const tn_kernels *kernels = tn_kernels_at((tn_cpu_level)level);
        for (size_t i = 0; i < TN_COUNT(sizes) && kernels; i++)
            for (int pad = 0; pad < 3; pad++) {
                for (int k = 0; k < 9; k++) g[k] = random_float();
                transform_weights(g);
                check(kernels, g, sizes[i][0], sizes[i][1], pad, TN_ACT_NONE);
                check(kernels, g, sizes[i][0], sizes[i][1], pad, TN_ACT_CLIP);
                check(kernels, g, sizes[i][0], sizes[i][1], pad, TN_ACT_LEAKY_RELU);
            }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(transforms_make_the_convolution_at_every_cpu_level)};
    return cmocka_run_group_tests_name("kernels_winograd", tests, NULL, NULL);
}
