/* The discrete Fourier transform of one complex signal of any length, in double precision.
 *
 * Lengths whose prime factors are at most 61 go through the self-sorting mixed-radix algorithm of Stockham (1966), in
 * O(n log n) passes without a permutation; others become a convolution of a power of two by Bluestein (1970).
 * A plan is tables in the caller's memory; it never changes, so threads may share it. */
#ifndef TN_OPS_FFT_H
#define TN_OPS_FFT_H

#include "base/base.h"

typedef struct tn_complex {
    double re, im;
} tn_complex;

enum { TN_FFT_FACTORS = 64 };

typedef struct tn_fft {
    int64_t n;
    int factor_count, factors[TN_FFT_FACTORS];
    const tn_complex *roots; /* exp(-2 pi i k / n) */
    int64_t padded;          /* of Bluestein's convolution; 0: not needed */
    const tn_complex *chirp, *filter, *padded_roots;
} tn_fft;

/* Bytes of a plan's tables and of the work memory of a run, for n >= 1; SIZE_MAX if too large. */
size_t tn_fft_table_bytes(int64_t n);
size_t tn_fft_work_bytes(int64_t n);
void tn_fft_plan(tn_fft *fft, int64_t n, void *tables, void *work);
/* Transforms n elements in place, forward and not scaled. */
void tn_fft_run(const tn_fft *fft, tn_complex *x, void *work);

#endif
