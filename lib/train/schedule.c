/* Schedules of the learning rate, as factors of it: the closed forms of torch.optim.lr_scheduler's StepLR, ExponentialLR,
 * CosineAnnealingWarmRestarts, OneCycleLR (cosine), ReduceLROnPlateau and LinearLR. */
#include <math.h>
#include "train/train.h"

static double or_default(double x, double fallback) {
    return x == 0 ? fallback : x < 0 ? 0 : x;
}

/* From `from` to `to`, along half a cosine, at [0, 1]. */
static double glide(double from, double to, double at) {
    return to + (from - to) / 2 * (1 + cos(M_PI * at));
}

static double cosine(const tn_schedule *s, int64_t step) {
    double period = (double)TN_MAX(s->period, 1), stretch = s->stretch < 1 ? 1 : s->stretch, at = (double)step;
    if (stretch == 1) {
        at = fmod(at, period);
    } else {
        for (; at >= period; period *= stretch) at -= period;
    }
    return glide(1, s->floor, at / period);
}

static double one_cycle(const tn_schedule *s, int64_t step) {
    double start = or_default(s->start, 25), end = or_default(s->end, 1e4), total = (double)TN_MAX(s->total, 2);
    double top = or_default(s->rise, 0.3) * total - 1, at = fmin((double)step, total - 1);
    if (at <= top) return glide(1 / start, 1, top > 0 ? at / top : 1);
    return glide(1, 1 / (start * end), (at - top) / (total - 1 - top));
}

double tn_schedule_factor(const tn_schedule *s, int64_t step, int64_t drops) {
    double factor = or_default(s->factor, 0.1);
    if (step < s->warm_up) return (double)(step + 1) / (double)s->warm_up;
    step -= TN_MAX(s->warm_up, 0);
    switch (s->kind) {
    case TN_SCHEDULE_STEP: return pow(factor, (double)(step / TN_MAX(s->period, 1)));
    case TN_SCHEDULE_EXPONENTIAL: return pow(factor, (double)step);
    case TN_SCHEDULE_COSINE: return cosine(s, step);
    case TN_SCHEDULE_ONE_CYCLE: return one_cycle(s, step);
    case TN_SCHEDULE_PLATEAU: return fmax(pow(factor, (double)drops), s->floor);
    default: return 1;
    }
}
