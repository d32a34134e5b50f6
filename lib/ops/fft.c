/* Discrete Fourier transforms. See fft.h. */
#include "ops/fft.h"
#include <math.h>

enum { LARGEST_FACTOR = 61 };

/* 4, 2, 3, 5, 6, 7...: what is not prime no longer divides when its turn comes. */
static int next_factor(int f) {
    return f == 4 ? 2 : f == 3 ? 5 : f + 1;
}

/* Fills factors, fours first; 0 if a prime above the largest is among them. */
static int factorize(int64_t n, int *factors) {
    int count = 0;
    for (int f = 4; n > 1 && f <= LARGEST_FACTOR; f = next_factor(f))
        for (; n % f == 0; n /= f) factors[count++] = f;
    return n == 1 ? count : 0;
}

static bool is_smooth(int64_t n) {
    int factors[TN_FFT_FACTORS];
    return n == 1 || factorize(n, factors) > 0;
}

static int64_t padded_length(int64_t n) {
    int64_t padded = 1;
    while (padded < 2 * n - 1) padded *= 2;
    return padded;
}

static size_t bytes_of(int64_t elements) {
    size_t bytes;
    return tn_mul_size((size_t)elements, sizeof(tn_complex), &bytes) ? bytes : SIZE_MAX;
}

size_t tn_fft_table_bytes(int64_t n) {
    if (n > INT64_MAX / 16) return SIZE_MAX;
    return bytes_of(is_smooth(n) ? n : n + 2 * padded_length(n));
}

size_t tn_fft_work_bytes(int64_t n) {
    if (n > INT64_MAX / 16) return SIZE_MAX;
    return bytes_of(is_smooth(n) ? n : 2 * padded_length(n));
}

static tn_complex multiply(tn_complex a, tn_complex b) {
    return (tn_complex){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
static tn_complex add(tn_complex a, tn_complex b) {
    return (tn_complex){a.re + b.re, a.im + b.im};
}
static tn_complex subtract(tn_complex a, tn_complex b) {
    return (tn_complex){a.re - b.re, a.im - b.im};
}

/* exp(-2 pi i k / n), exact at multiples of a quarter. */
static tn_complex root(int64_t k, int64_t n) {
    static const tn_complex quarters[] = {{1, 0}, {0, -1}, {-1, 0}, {0, 1}};
    if (4 * k % n == 0) return quarters[4 * k / n];
    double angle = -2 * M_PI * ((double)k / (double)n);
    return (tn_complex){cos(angle), sin(angle)};
}

static void fill_roots(tn_complex *roots, int64_t n) {
    for (int64_t k = 0; k < n; k++) roots[k] = root(k, n);
}

/* One pass: of each group of r elements, m * s apart, their transform of length r, turned by its place. `s` signals lie
 * side by side; total = r * m * s. */
static void pass_2(int64_t m, int64_t s, const tn_complex *w, const tn_complex *x, tn_complex *y) {
    for (int64_t p = 0; p < m; p++, y += 2 * s)
        for (int64_t q = 0; q < s; q++) {
            tn_complex a = x[q + s * p], b = x[q + s * (p + m)];
            y[q] = add(a, b);
            y[q + s] = multiply(subtract(a, b), w[p * s]);
        }
}

static void pass_4(int64_t m, int64_t s, const tn_complex *w, const tn_complex *x, tn_complex *y) {
    for (int64_t p = 0; p < m; p++, y += 4 * s) {
        tn_complex w1 = w[p * s], w2 = w[2 * p * s], w3 = w[3 * p * s];
        for (int64_t q = 0; q < s; q++) {
            const tn_complex *in = x + q + s * p;
            tn_complex a = in[0], b = in[s * m], c = in[2 * s * m], d = in[3 * s * m];
            tn_complex ac = add(a, c), a_c = subtract(a, c), bd = add(b, d), b_d = subtract(b, d);
            tn_complex turned = {b_d.im, -b_d.re}; /* by -i */
            y[q] = add(ac, bd);
            y[q + s] = multiply(add(a_c, turned), w1);
            y[q + 2 * s] = multiply(subtract(ac, bd), w2);
            y[q + 3 * s] = multiply(subtract(a_c, turned), w3);
        }
    }
}

static void pass_any(int r, int64_t m, int64_t s, const tn_complex *w, const tn_complex *x, tn_complex *y) {
    int64_t step = m * s; /* w[k * step] is a root of order r */
    for (int64_t p = 0; p < m; p++, y += r * s)
        for (int64_t q = 0; q < s; q++)
            for (int j = 0; j < r; j++) {
                tn_complex sum = x[q + s * p];
                for (int k = 1; k < r; k++) sum = add(sum, multiply(x[q + s * (p + k * m)], w[j * k % r * step]));
                y[q + s * j] = multiply(sum, w[p * j * s]);
            }
}

static void stockham(int64_t n, int count, const int *factors, const tn_complex *roots, tn_complex *x,
                     tn_complex *work) {
    tn_complex *from = x, *to = work;
    int64_t left = n, s = 1;
    for (int i = 0; i < count; i++) {
        int r = factors[i];
        left /= r;
        if (r == 2)
            pass_2(left, s, roots, from, to);
        else if (r == 4)
            pass_4(left, s, roots, from, to);
        else
            pass_any(r, left, s, roots, from, to);
        s *= r;
        tn_complex *swap = from;
        from = to;
        to = swap;
    }
    if (from != x) memcpy(x, from, (size_t)n * sizeof *x);
}

static void run_padded(const tn_fft *fft, tn_complex *x, tn_complex *work) {
    int factors[TN_FFT_FACTORS];
    stockham(fft->padded, factorize(fft->padded, factors), factors, fft->padded_roots, x, work);
}

void tn_fft_plan(tn_fft *fft, int64_t n, void *tables, void *work) {
    tn_complex *table = tables;
    *fft = (tn_fft){.n = n};
    fft->factor_count = factorize(n, fft->factors);
    if (is_smooth(n)) {
        fft->roots = table;
        fill_roots(table, n);
        return;
    }
    int64_t padded = fft->padded = padded_length(n);
    tn_complex *filter = table, *roots = table + padded, *chirp = table + 2 * padded;
    fft->filter = filter;
    fft->padded_roots = roots;
    fft->chirp = chirp;
    fill_roots(roots, padded);
    /* exp(-pi i k^2 / n); k^2 modulo 2n stays small and exact. */
    for (int64_t k = 0, square = 0; k < n; k++) {
        chirp[k] = root(square, 2 * n);
        square = (square + 2 * k + 1) % (2 * n);
    }
    memset(filter, 0, (size_t)padded * sizeof *filter);
    for (int64_t k = 0; k < n; k++) {
        tn_complex c = {chirp[k].re / (double)padded, -chirp[k].im / (double)padded};
        filter[k] = c;
        if (k) filter[padded - k] = c;
    }
    run_padded(fft, filter, work);
}

void tn_fft_run(const tn_fft *fft, tn_complex *x, void *memory) {
    tn_complex *work = memory;
    int64_t n = fft->n, padded = fft->padded;
    if (!padded) {
        stockham(n, fft->factor_count, fft->factors, fft->roots, x, work);
        return;
    }
    for (int64_t k = 0; k < n; k++) work[k] = multiply(x[k], fft->chirp[k]);
    memset(work + n, 0, (size_t)(padded - n) * sizeof *work);
    run_padded(fft, work, work + padded);
    for (int64_t k = 0; k < padded; k++) {
        tn_complex product = multiply(work[k], fft->filter[k]);
        work[k] = (tn_complex){product.re, -product.im}; /* backwards by conjugating before and after */
    }
    run_padded(fft, work, work + padded);
    for (int64_t k = 0; k < n; k++) x[k] = multiply((tn_complex){work[k].re, -work[k].im}, fft->chirp[k]);
}
