/* Rows of depthwise convolutions of bytes, for every instruction set: two taps at a time, widened to 16 bits, so that one
 * instruction multiplies both and adds. The including file defines
 *   QC_WIDTH                       columns at a time, a divisor of TN_QCONV_BLOCK
 *   QC_V, QC_SUMS                  that many values of 16 bits; of 32 bits
 *   qc_zero(), qc_load(p, stride, x_signed)  stride 1 or 2
 *   qc_add(sums, v0, v1, w0, w1)   sums + v0 * w0 + v1 * w1
 *   qc_store(c, sums)              adds them to c */

static inline __attribute__((always_inline)) void qc_row(int32_t *c, size_t n, size_t taps, const int32_t *w,
                                                         const uint8_t *const *x, size_t stride, bool x_signed) {
    for (size_t i = 0; i < n; i += QC_WIDTH) {
        QC_SUMS sums = qc_zero();
        size_t t = 0;
        for (; t + 2 <= taps; t += 2)
            sums = qc_add(sums, qc_load(x[t] + i * stride, stride, x_signed),
                          qc_load(x[t + 1] + i * stride, stride, x_signed), w[t], w[t + 1]);
        if (t < taps) {
            QC_V last = qc_load(x[t] + i * stride, stride, x_signed);
            sums = qc_add(sums, last, last, w[t], 0);
        }
        qc_store(c + i, sums);
    }
}

static void qconv_row(int32_t *c, size_t n, size_t taps, const int32_t *w, const uint8_t *const *x, size_t stride,
                      bool x_signed) {
    if (stride == 1 && x_signed) {
        qc_row(c, n, taps, w, x, 1, true);
    } else if (stride == 1) {
        qc_row(c, n, taps, w, x, 1, false);
    } else if (stride == 2 && x_signed) {
        qc_row(c, n, taps, w, x, 2, true);
    } else if (stride == 2) {
        qc_row(c, n, taps, w, x, 2, false);
    } else {
        for (size_t t = 0; t < taps; t++)
            for (size_t i = 0; i < n; i++) {
                uint8_t v = x[t][i * stride];
                c[i] = (int32_t)((uint32_t)c[i] + (uint32_t)w[t] * (x_signed ? (uint32_t)(int8_t)v : v));
            }
    }
}
