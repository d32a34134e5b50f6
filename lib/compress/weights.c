/* Weights as int8, symmetric: half a step is the most that one moves. */
#include "compress/quantize.h"
#include <float.h>
#include <math.h>

/* The most that a bias may be in units of its layer's sums, which are int32. */
#define MOST_BIAS 0x1p29

static float number(const tn_tensor *t, int64_t i) {
    float x; /* weights may lie unaligned in a file */
    memcpy(&x, (const char *)t->data + (size_t)i * sizeof x, sizeof x);
    return x;
}

static float scale_for(double most, int levels, double in_scale, double bias) {
    double scale = most / levels;
    if (!(scale >= (double)FLT_MIN)) scale = 1;
    scale = fmax(scale, fabs(bias) / in_scale / MOST_BIAS);
    return (float)fmax(scale, (double)FLT_MIN / in_scale * 2);
}

tn_status tn_qweights_make(tn_region *region, const tn_tensor *w, int axis, bool per_tensor, int levels, float in_scale,
                           const float *bias, tn_qweights *out) {
    *out = (tn_qweights){.axis = axis, .channels = w->dims[axis], .outer = 1, .inner = 1};
    for (int i = 0; i < axis; i++) out->outer *= w->dims[i];
    for (int i = axis + 1; i < w->rank; i++) out->inner *= w->dims[i];
    out->scale_count = per_tensor ? 1 : out->channels;
    double *most = tn_region_array(region, (size_t)out->channels + 1, sizeof *most);
    out->scale = tn_region_array(region, (size_t)out->channels + 1, sizeof *out->scale);
    out->q = tn_region_array(region, (size_t)tn_count(w) + 1, 1);
    if (!most || !out->scale || !out->q) return TN_E_MEMORY;
    int64_t at = 0;
    for (int64_t o = 0; o < out->outer; o++)
        for (int64_t c = 0; c < out->channels; c++)
            for (int64_t i = 0; i < out->inner; i++, at++) {
                double x = fabs((double)number(w, at));
                if (!(x <= FLT_MAX)) return tn_fail(TN_E_INVALID, "there is a NaN or an infinity in its weights");
                most[c] = x > most[c] ? x : most[c];
            }
    double all = 0;
    for (int64_t c = 0; c < out->channels; c++) {
        if (bias && !(fabsf(bias[c]) <= FLT_MAX))
            return tn_fail(TN_E_INVALID, "there is a NaN or an infinity in its bias");
        all = fmax(all, most[c]);
    }
    for (int64_t c = 0; c < out->channels; c++) {
        float scale = scale_for(per_tensor ? all : most[c], levels, (double)in_scale, bias ? (double)bias[c] : 0);
        out->scale[per_tensor ? 0 : c] = per_tensor ? fmaxf(scale, out->scale[0]) : scale;
    }
    at = 0;
    for (int64_t o = 0; o < out->outer; o++)
        for (int64_t c = 0; c < out->channels; c++) {
            float scale = out->scale[per_tensor ? 0 : c];
            for (int64_t i = 0; i < out->inner; i++, at++) {
                const long q = lrintf(number(w, at) / scale); /* no more than a little beyond the levels */
                out->q[at] = (int8_t)TN_MIN(TN_MAX(q, (long)-levels), (long)levels);
            }
        }
    return TN_OK;
}
