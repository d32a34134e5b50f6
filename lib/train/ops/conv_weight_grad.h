/* The gradient of a convolution by its weights: what its two ways share. See conv_weight_grad.c. */
#ifndef TN_TRAIN_CONV_WEIGHT_GRAD_H
#define TN_TRAIN_CONV_WEIGHT_GRAD_H

#include "ops/window.h"

/* Two spatial axes; a single one is the second. */
typedef struct tn_weight_grad {
    int64_t batch, channels, outputs, group;
    int64_t in[2], out[2], kernel[2], stride[2], dilation[2], pad[2];
    int64_t padded[2]; /* the image that windows meet, in elements */
} tn_weight_grad;

/* Groups of one channel. `scratch` grows by what run needs, which is the first of it. */
bool tn_weight_grad_depthwise_prepare(const tn_weight_grad *g, int threads, size_t *scratch);
void tn_weight_grad_depthwise_run(const tn_weight_grad *g, const tn_run *call, const float *dy, const float *x,
                                  float *dw);

#endif
