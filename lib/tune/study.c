/* Studies: asking for trials and telling how they ended. See tenon/tune.h.
 *
 * Idea: what is drawn for trial number n hangs on the seed, on n and on what was told before, and on nothing else, so that a
 * study that goes on from its file draws what it would have drawn. Everything public that touches trials holds the lock;
 * trials are never moved, so that what it gave out stays. */
#include "tune/study.h"
#include "base/random.h"
#include "base/unicode.h"

tn_status tn_study_create(const tn_study_options *options, tn_study **out_study) {
    tn_study_options o = {.struct_size = sizeof o};
    if (options) memcpy(&o, options, TN_MIN(options->struct_size, sizeof o));
    *out_study = NULL;
    if (o.startup < 0 || o.candidates < 0 || o.candidates > 10000 || o.first < 0 || o.reduction < 0 ||
        o.reduction == 1 || o.first > INT32_MAX || o.reduction > INT32_MAX || (unsigned)o.sampler > TN_SAMPLER_RANDOM ||
        (unsigned)o.joint > TN_JOINT_EACH)
        return tn_fail(TN_E_INVALID,
                       "options of a study: startup %d, candidates %d (up to 10000), first %lld, reduction "
                       "%lld (2 or more)",
                       o.startup, o.candidates, (long long)o.first, (long long)o.reduction);
    if (!o.startup) o.startup = 10;
    if (!o.candidates) o.candidates = 24;
    if (!o.reduction) o.reduction = 4;
    tn_region *region = tn_region_create(NULL);
    tn_study *s = region ? tn_region_alloc(region, sizeof *s) : NULL;
    if (s) o.subject = tn_region_strdup(region, o.subject ? o.subject : "");
    if (!s || !o.subject) {
        tn_region_destroy(region);
        return TN_E_MEMORY;
    }
    s->region = region;
    s->options = o;
    s->file = -1;
    pthread_mutex_init(&s->lock, NULL);
    *out_study = s;
    return TN_OK;
}

void tn_study_destroy(tn_study *s) {
    if (!s) return;
    tn_study_file_close(s);
    pthread_mutex_destroy(&s->lock);
    tn_free(NULL, s->tries, (size_t)s->capacity * sizeof(tn_try *));
    tn_region_destroy(s->region);
}

tn_status tn_study_open(tn_study *s, const char *path) {
    if (s->open) return tn_fail(TN_E_STATE, "the study is open");
    if (!s->dimension_count) return tn_fail(TN_E_STATE, "a study needs a parameter");
    if (!s->objective_count) TN_TRY(tn_study_add_objective(s, "value", false));
    if (path) TN_TRY(tn_study_file_open(s, path));
    s->open = true;
    return TN_OK;
}

tn_status tn_study_place(tn_study *s, int64_t number, tn_try **out) {
    if (number >= s->capacity) {
        int64_t capacity = TN_MIN(TN_MAX(number + 1, 2 * s->capacity + 64), TN_MOST_TRIALS);
        tn_try **tries = tn_alloc_zero(NULL, (size_t)capacity * sizeof(tn_try *));
        if (!tries) return TN_E_MEMORY;
        if (s->end) memcpy(tries, s->tries, (size_t)s->end * sizeof(tn_try *));
        tn_free(NULL, s->tries, (size_t)s->capacity * sizeof(tn_try *));
        s->tries = tries;
        s->capacity = capacity;
    }
    tn_try *t = tn_region_alloc(s->region, sizeof *t);
    if (t) t->x = tn_region_array(s->region, (size_t)s->dimension_count, sizeof *t->x);
    if (!t || !t->x) return TN_E_MEMORY;
    t->number = number;
    for (int d = 0; d < s->dimension_count; d++) t->x[d] = NAN;
    *out = s->tries[number] = t;
    s->end = TN_MAX(s->end, number + 1);
    return TN_OK;
}

/* Numbers that a killed process had asked for come first. */
static tn_status ask(tn_study *s, int64_t *out_number) {
    tn_try *t;
    int64_t number = 0;
    while (number < s->end && s->tries[number]) number++;
    if (number == TN_MOST_TRIALS) return tn_fail(TN_E_LIMIT, "a study has up to %d trials", TN_MOST_TRIALS);
    TN_TRY(tn_study_place(s, number, &t));
    uint64_t random = s->options.seed + TN_RANDOM_STEP * (uint64_t)(number + 1);
    random = tn_random_next(&random);
    tn_status status = tn_draw(s, t, &random);
    if (status == TN_OK)
        *out_number = number;
    else
        s->tries[number] = NULL;
    return status;
}

static tn_status need_open(const tn_study *s) {
    return s->open ? TN_OK : tn_fail(TN_E_STATE, "the study is not open: tn_study_open comes first");
}

tn_status tn_study_ask(tn_study *s, int64_t *out_number) {
    TN_TRY(need_open(s));
    pthread_mutex_lock(&s->lock);
    tn_status status = ask(s, out_number);
    pthread_mutex_unlock(&s->lock);
    return status;
}

static tn_status find(const tn_study *s, int64_t number, tn_try **out) {
    if (number < 0 || number >= s->end || !s->tries[number])
        return tn_fail(TN_E_NOT_FOUND, "the study has no trial %lld", (long long)number);
    *out = s->tries[number];
    return TN_OK;
}

static tn_status find_running(const tn_study *s, int64_t number, tn_try **out) {
    TN_TRY(find(s, number, out));
    if ((*out)->state == TN_TRIAL_RUNNING) return TN_OK;
    return tn_fail(TN_E_STATE, "trial %lld has ended", (long long)number);
}

/* The line is on the disk before anybody learns of it. */
static tn_status end(tn_study *s, tn_try *t, tn_trial_state state) {
    t->state = state;
    tn_status status = tn_study_file_add(s, t);
    if (status == TN_OK)
        s->ended++;
    else
        t->state = TN_TRIAL_RUNNING;
    return status;
}

static tn_status tell(tn_study *s, int64_t number, const double *values, int count) {
    tn_try *t;
    TN_TRY(find_running(s, number, &t));
    if (count != s->objective_count)
        return tn_fail(TN_E_INVALID, "%d values were told, the study has %d objectives", count, s->objective_count);
    for (int i = 0; i < count; i++)
        if (!isfinite(values[i])) {
            t->sentence = tn_region_printf(s->region, "'%.80s' is %g", s->objectives[i], values[i]);
            return t->sentence ? end(s, t, TN_TRIAL_FAILED) : TN_E_MEMORY;
        }
    double *own = tn_region_array(s->region, (size_t)count, sizeof *own);
    if (!own) return TN_E_MEMORY;
    memcpy(own, values, (size_t)count * sizeof *own);
    t->values = own;
    tn_status status = end(s, t, TN_TRIAL_COMPLETE);
    if (status != TN_OK) t->values = NULL;
    return status;
}

tn_status tn_study_tell(tn_study *s, int64_t number, const double *values, int count) {
    TN_TRY(need_open(s));
    pthread_mutex_lock(&s->lock);
    tn_status status = tell(s, number, values, count);
    pthread_mutex_unlock(&s->lock);
    return status;
}

static tn_status fail(tn_study *s, int64_t number, const char *sentence) {
    tn_try *t;
    TN_TRY(find_running(s, number, &t));
    char own[512];
    size_t used = 0, size = sentence ? strlen(sentence) : 0;
    for (size_t i = 0, n; i < size && used < 500; i += n) {
        uint32_t code;
        n = tn_utf8_decode(sentence + i, size - i, &code);
        used += tn_utf8_encode(tn_study_takes(code) ? code : '?', own + used);
    }
    t->sentence = tn_region_strndup(s->region, used ? own : "failed", used ? used : 6);
    return t->sentence ? end(s, t, TN_TRIAL_FAILED) : TN_E_MEMORY;
}

tn_status tn_study_fail(tn_study *s, int64_t number, const char *sentence) {
    TN_TRY(need_open(s));
    pthread_mutex_lock(&s->lock);
    tn_status status = fail(s, number, sentence);
    pthread_mutex_unlock(&s->lock);
    return status;
}

static void go_on(tn_study *s, tn_try *t) {
    t->state = TN_TRIAL_RUNNING;
    s->ended--;
}

/* One that waits at a rung has a line as one that ended there has, also where it is the next to go on: who is killed finds it
 * waiting, and what goes on then is what would have gone on. */
static tn_status reach(tn_study *s, tn_try *t, bool *out_prune) {
    const bool waits = s->options.promote;
    *out_prune = waits || !tn_halving_goes_on(s, t);
    if (*out_prune) TN_TRY(end(s, t, TN_TRIAL_PRUNED));
    if (!waits || tn_halving_next(s) != t) return TN_OK;
    go_on(s, t);
    *out_prune = false;
    return TN_OK;
}

tn_status tn_study_report(tn_study *s, int64_t number, int64_t resource, double value, bool maximize, bool *out_prune) {
    tn_try *t = NULL;
    TN_TRY(need_open(s));
    *out_prune = false;
    pthread_mutex_lock(&s->lock);
    tn_status status = find_running(s, number, &t);
    if (status == TN_OK) t->maximize = maximize;
    while (status == TN_OK && !*out_prune && tn_halving_reach(s, t, resource, maximize ? -value : value))
        status = reach(s, t, out_prune);
    pthread_mutex_unlock(&s->lock);
    return status;
}

tn_status tn_study_promote(tn_study *s, int64_t *out_number) {
    TN_TRY(need_open(s));
    pthread_mutex_lock(&s->lock);
    tn_try *t = tn_halving_next(s);
    if (t) {
        *out_number = t->number;
        go_on(s, t);
    }
    pthread_mutex_unlock(&s->lock);
    return t ? TN_OK : tn_fail(TN_E_NOT_FOUND, "no trial that waits at a rung may go on");
}

/* ---- looking ---- */

static tn_status value_of(tn_study *s, int64_t number, const char *name, int *out_dimension, double *out) {
    tn_try *t = NULL;
    int d = 0;
    while (d < s->dimension_count && strcmp(s->dimensions[d].name, name) != 0) d++;
    if (d == s->dimension_count) return tn_fail(TN_E_NOT_FOUND, "the study has no parameter '%.80s'", name);
    pthread_mutex_lock(&s->lock);
    tn_status status = find(s, number, &t);
    pthread_mutex_unlock(&s->lock);
    if (status != TN_OK) return status;
    if (isnan(t->x[d])) return tn_fail(TN_E_NOT_FOUND, "'%.80s' takes no part in trial %lld", name, (long long)number);
    *out_dimension = d;
    *out = t->x[d];
    return TN_OK;
}

tn_status tn_study_value(tn_study *s, int64_t number, const char *name, double *out_value) {
    int d;
    return value_of(s, number, name, &d, out_value);
}

tn_status tn_study_text(tn_study *s, int64_t number, const char *name, const char **out_text) {
    int d;
    double x;
    TN_TRY(value_of(s, number, name, &d, &x));
    if (s->dimensions[d].kind != TN_PARAMETER_CHOICE)
        return tn_fail(TN_E_TYPE, "the parameter '%.80s' is a number, not a choice", name);
    *out_text = s->dimensions[d].choices[(int)x];
    return TN_OK;
}

tn_status tn_study_trial(tn_study *s, int64_t number, tn_trial *out_trial) {
    tn_try *t = NULL;
    pthread_mutex_lock(&s->lock);
    tn_status status = find(s, number, &t);
    if (status == TN_OK) {
        double last = t->rungs ? t->reached[t->rungs - 1] : NAN;
        const tn_trial found = {.struct_size = out_trial->struct_size,
                                .state = t->state,
                                .parameters = t->x,
                                .values = t->values,
                                .rungs = t->rungs,
                                .reported = t->maximize ? -last : last,
                                .sentence = t->sentence};
        memcpy(out_trial, &found, TN_MIN(out_trial->struct_size, sizeof found));
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

int64_t tn_study_count(tn_study *s) {
    pthread_mutex_lock(&s->lock);
    int64_t count = s->ended;
    pthread_mutex_unlock(&s->lock);
    return count;
}

int64_t tn_study_end(tn_study *s) {
    pthread_mutex_lock(&s->lock);
    int64_t count = s->end;
    pthread_mutex_unlock(&s->lock);
    return count;
}
