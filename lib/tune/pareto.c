/* Which trials are best, where there are several objectives: fronts that nothing dominates, and crowding distance (Deb, Pratap,
 * Agarwal, Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002). */
#include <stdlib.h>
#include "tune/study.h"

bool tn_dominates(const tn_study *s, const tn_try *a, const tn_try *b) {
    bool better = false;
    for (int i = 0; i < s->objective_count; i++) {
        double x = tn_loss_of(s, a, i), y = tn_loss_of(s, b, i);
        if (x > y) return false;
        better = better || x < y;
    }
    return better;
}

typedef struct place {
    const tn_try *t;
    int front, by;     /* by how many of those left it is dominated */
    double key, crowd; /* what is sorted by within a front */
} place;

static int by_key(const void *a, const void *b) {
    const place *x = a, *y = b;
    return x->key != y->key ? (x->key < y->key ? -1 : 1)
                            : (x->t->number > y->t->number) - (x->t->number < y->t->number);
}

static int by_front(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->front != y->front) return x->front < y->front ? -1 : 1;
    if (x->crowd != y->crowd) return x->crowd > y->crowd ? -1 : 1;
    return (x->t->number > y->t->number) - (x->t->number < y->t->number);
}

/* Fronts, one peeled off after the other. */
static void peel(const tn_study *s, place *p, int n) {
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++) p[i].by += tn_dominates(s, p[k].t, p[i].t);
    for (int front = 0, left = n; left > 0; front++) {
        for (int i = 0; i < n; i++)
            if (p[i].front < 0 && p[i].by == 0) p[i].front = front, left--;
        for (int k = 0; k < n; k++)
            for (int i = 0; p[k].front == front && i < n; i++)
                p[i].by -= p[i].front < 0 && tn_dominates(s, p[k].t, p[i].t);
    }
}

/* How far the neighbours of each are apart, summed over the objectives; the ends stay. */
static void crowd(const tn_study *s, place *p, int n) {
    for (int o = 0; o < s->objective_count; o++) {
        for (int i = 0; i < n; i++) p[i].key = tn_loss_of(s, p[i].t, o);
        qsort(p, (size_t)n, sizeof *p, by_key);
        double range = p[n - 1].key - p[0].key;
        p[0].crowd = p[n - 1].crowd = INFINITY;
        for (int i = 1; i + 1 < n && range > 0; i++) p[i].crowd += (p[i + 1].key - p[i - 1].key) / range;
    }
}

tn_status tn_order_by_fronts(const tn_study *s, tn_region *region, const tn_try **tries, int n) {
    place *p = tn_region_array(region, (size_t)n + 1, sizeof *p);
    if (!p) return TN_E_MEMORY;
    for (int i = 0; i < n; i++)
        p[i] = (place){.t = tries[i], .front = -1, .crowd = s->objective_count == 1 ? -tn_loss_of(s, tries[i], 0) : 0};
    if (s->objective_count > 1) {
        peel(s, p, n);
        qsort(p, (size_t)n, sizeof *p, by_front);
        for (int i = 0, from = 0; i <= n; i++) {
            if (i < n && p[i].front == p[from].front) continue;
            if (i > from) crowd(s, p + from, i - from);
            from = i;
        }
    }
    qsort(p, (size_t)n, sizeof *p, by_front);
    for (int i = 0; i < n; i++) tries[i] = p[i].t;
    return TN_OK;
}

tn_status tn_study_best(tn_study *s, int64_t *out_number) {
    const tn_try *best = NULL;
    pthread_mutex_lock(&s->lock);
    for (int64_t i = 0; i < s->end; i++) {
        const tn_try *t = s->tries[i];
        if (t && t->state == TN_TRIAL_COMPLETE && (!best || tn_loss_of(s, t, 0) < tn_loss_of(s, best, 0))) best = t;
    }
    if (best) *out_number = best->number;
    pthread_mutex_unlock(&s->lock);
    return best ? TN_OK : tn_fail(TN_E_NOT_FOUND, "no trial of the study is complete");
}

tn_status tn_study_pareto(tn_study *s, size_t capacity, int64_t *out_numbers, size_t *out_count) {
    pthread_mutex_lock(&s->lock);
    *out_count = 0;
    for (int64_t i = 0; i < s->end; i++) {
        const tn_try *t = s->tries[i];
        bool front = t && t->state == TN_TRIAL_COMPLETE;
        for (int64_t k = 0; front && k < s->end; k++) {
            const tn_try *other = s->tries[k];
            front = !other || other->state != TN_TRIAL_COMPLETE || !tn_dominates(s, other, t);
        }
        if (!front) continue;
        if (*out_count < capacity) out_numbers[*out_count] = i;
        ++*out_count;
    }
    pthread_mutex_unlock(&s->lock);
    return TN_OK;
}
