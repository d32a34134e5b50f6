/* Following a model in a store; see tenon/subscription.h.
 *
 * `current` serves and `before` stands ready; both change only with `mutex` held, which acquire and release hold as well,
 * for a few instructions. All that takes time, loading and destroying, happens outside of it, one change at a time
 * (`change`). A deployment that is neither current nor before is retired, and gone when its last lease is back. Whoever makes
 * changes destroys what is gone, and no request: giving memory back takes milliseconds. */
#include "store/deployment.h"
#include <pthread.h>
#include <stdio.h>
#include <tenon/fetch.h>
#include <tenon/trust.h>
#include <time.h>
#include "store/window.h"

enum { MOST_BLOCKED = 64, TRIAL = 100 };

struct tn_subscription {
    pthread_mutex_t change, mutex;
    tn_store *store;
    char *reference;
    tn_subscription_options options;
    tn_model_options model;
    tn_session_options session;
    tn_listener *listener;
    tn_window window;
    tn_deployment *current, *before, *gone;
    bool on_trial, waiting;
    char blocked[MOST_BLOCKED][TN_STORE_DIGEST];
    int blocked_count; /* in all; the newest MOST_BLOCKED are remembered */
    uint64_t changes, rollbacks;
};

static bool is_blocked(const tn_subscription *s, const char *digest) {
    for (int i = 0; i < TN_MIN(s->blocked_count, MOST_BLOCKED); i++)
        if (strcmp(s->blocked[i], digest) == 0) return true;
    return false;
}

static void block(tn_subscription *s, const char *digest) {
    memcpy(s->blocked[s->blocked_count++ % MOST_BLOCKED], digest, TN_STORE_DIGEST);
}

/* With the mutex held. */
static void let_go(tn_subscription *s, tn_deployment *d) {
    if (!d->retired || d->free_count < d->count) return;
    d->next = s->gone;
    s->gone = d;
}

static void retire(tn_subscription *s, tn_deployment *d) {
    if (!d) return;
    d->retired = true;
    let_go(s, d);
}

static void destroy_gone(tn_subscription *s) {
    pthread_mutex_lock(&s->mutex);
    tn_deployment *d = s->gone, *next;
    s->gone = NULL;
    pthread_mutex_unlock(&s->mutex);
    for (; d; d = next) {
        next = d->next;
        tn_deployment_destroy(d);
    }
}

static tn_status copy_reference(tn_subscription *s, const char *reference) {
    size_t size = strlen(reference) + 1;
    char *copy = tn_alloc(NULL, size);
    if (!copy) return TN_E_MEMORY;
    memcpy(copy, reference, size);
    if (s->reference) tn_free(NULL, s->reference, strlen(s->reference) + 1);
    s->reference = copy;
    return TN_OK;
}

static void copy_options(tn_subscription *s, const tn_subscription_options *options) {
    if (options) memcpy(&s->options, options, TN_MIN(options->struct_size, sizeof s->options));
    if (s->options.model) {
        memcpy(&s->model, s->options.model, TN_MIN(s->options.model->struct_size, sizeof s->model));
        s->model.struct_size = sizeof s->model;
        s->options.model = &s->model;
    }
    if (s->options.session) {
        memcpy(&s->session, s->options.session, TN_MIN(s->options.session->struct_size, sizeof s->session));
        s->session.struct_size = sizeof s->session;
        s->options.session = &s->session;
    }
    if (s->options.trial_requests <= 0) s->options.trial_requests = TRIAL;
}

/* What the reference names in the folder that is followed, if there is one, comes into the store. */
static tn_status fetch(tn_subscription *s, const char *reference) {
    char trust[4200];
    const char *from = s->options.from;
    tn_fetch_options o = {.struct_size = sizeof o, .most_bytes = s->options.most_fetched};
    if (!from) return TN_OK;
    if (strlen(from) + sizeof "/trust" > sizeof trust)
        return tn_fail(TN_E_LIMIT, "'%.200s...' is too long a path", from);
    snprintf(trust, sizeof trust, "%s/trust", from);
    if (strchr(reference, '@')) TN_TRY(tn_trust_update(s->store, trust));
    return tn_store_fetch(s->store, from, reference, &o, NULL, NULL);
}

/* Finds the reference after a fetch. What is in the store serves also where nothing can be fetched; *out_fetched tells. */
static tn_status fetch_and_find(tn_subscription *s, const char *reference, tn_store_version *v,
                                tn_status *out_fetched) {
    char why[1024];
    *out_fetched = fetch(s, reference);
    if (*out_fetched != TN_OK) snprintf(why, sizeof why, "%s", tn_last_error());
    tn_status status = tn_store_find(s->store, reference, v);
    if (*out_fetched != TN_OK) tn_fail(*out_fetched, "%s", why);
    return status == TN_OK || *out_fetched == TN_OK ? status : *out_fetched;
}

tn_status tn_subscription_open(const char *store, const char *reference, const tn_subscription_options *options,
                               tn_subscription **out_subscription) {
    *out_subscription = NULL;
    tn_subscription *s = tn_alloc_zero(NULL, sizeof *s);
    if (!s) return TN_E_MEMORY;
    pthread_mutex_init(&s->change, NULL);
    pthread_mutex_init(&s->mutex, NULL);
    copy_options(s, options);
    tn_store_version v;
    tn_status fetched, status = tn_window_read(s->options.window, &s->window);
    if (status == TN_OK) status = tn_store_open(store, &s->store);
    if (status == TN_OK) status = copy_reference(s, reference);
    /* It listens from before it looks, so that no announcement goes by between. */
    if (status == TN_OK) status = tn_listener_open(s->options.mqtt, &s->listener);
    if (status == TN_OK) status = fetch_and_find(s, reference, &v, &fetched);
    if (status == TN_OK) status = tn_deployment_create(s->store, v.digest, &s->options, &s->current);
    if (status == TN_OK)
        *out_subscription = s;
    else
        tn_subscription_close(s);
    return status;
}

void tn_subscription_close(tn_subscription *s) {
    if (!s) return;
    tn_listener_close(s->listener);
    tn_deployment_destroy(s->current);
    tn_deployment_destroy(s->before);
    destroy_gone(s);
    tn_store_close(s->store);
    if (s->reference) tn_free(NULL, s->reference, strlen(s->reference) + 1);
    pthread_mutex_destroy(&s->change);
    pthread_mutex_destroy(&s->mutex);
    tn_free(NULL, s, sizeof *s);
}

/* The version of that digest becomes the one that serves; it may be the one that stands ready. */
static tn_status change_over(tn_subscription *s, const char *digest, bool *out_changed) {
    tn_deployment *next = NULL, *old = NULL;
    pthread_mutex_lock(&s->mutex);
    bool ready = s->before && strcmp(s->before->version.digest, digest) == 0;
    pthread_mutex_unlock(&s->mutex);
    if (!ready) {
        tn_status status = tn_deployment_create(s->store, digest, &s->options, &next);
        if (status != TN_OK) {
            pthread_mutex_lock(&s->mutex);
            /* What lies in the model stays so; memory may be there another time. */
            if (status != TN_E_MEMORY && status != TN_E_IO) block(s, digest);
            pthread_mutex_unlock(&s->mutex);
            return status;
        }
    }
    pthread_mutex_lock(&s->mutex);
    if (ready) {
        next = s->before; /* a rollback meanwhile would have made it the current one, and this change void */
        if (!next || strcmp(next->version.digest, digest) != 0) next = NULL;
    } else {
        old = s->before;
    }
    if (next) {
        s->before = s->current;
        s->current = next;
        next->requests = next->failures = 0;
        s->on_trial = true;
        s->changes++;
        retire(s, old);
    }
    pthread_mutex_unlock(&s->mutex);
    destroy_gone(s);
    *out_changed = next != NULL;
    return TN_OK;
}

static int64_t now(const tn_subscription *s) {
    return s->options.clock ? s->options.clock(s->options.context) : (int64_t)time(NULL);
}

tn_status tn_subscription_poll(tn_subscription *s, bool *out_changed) {
    tn_store_version v;
    bool changed = false;
    pthread_mutex_lock(&s->change);
    destroy_gone(s); /* its memory may be what the next version needs */
    tn_status fetched, status = fetch_and_find(s, s->reference, &v, &fetched);
    if (status == TN_OK) {
        const bool open = tn_window_is_open(&s->window, now(s));
        pthread_mutex_lock(&s->mutex);
        bool same = strcmp(v.digest, s->current->version.digest) == 0 || is_blocked(s, v.digest);
        bool waits = s->waiting = !same && !open;
        pthread_mutex_unlock(&s->mutex);
        if (!same && !waits) status = change_over(s, v.digest, &changed);
    }
    pthread_mutex_unlock(&s->change);
    if (out_changed) *out_changed = changed;
    return status == TN_OK ? fetched : status;
}

tn_status tn_subscription_wait(tn_subscription *s, int milliseconds, bool *out_woken) {
    pthread_mutex_lock(&s->mutex);
    bool waiting = s->waiting, opens = false;
    pthread_mutex_unlock(&s->mutex);
    if (waiting) {
        const int64_t time = now(s), rest = tn_window_opens(&s->window, time) - time;
        opens = rest <= milliseconds / 1000;
        if (opens) milliseconds = (int)rest * 1000;
    }
    bool woken;
    tn_status status = tn_listener_wait(s->listener, milliseconds, &woken);
    if (out_woken) *out_woken = woken || opens;
    return status;
}

void tn_subscription_wake(tn_subscription *s) {
    tn_listener_wake(s->listener);
}

tn_status tn_subscription_follow(tn_subscription *s, const char *reference) {
    tn_store_version v;
    pthread_mutex_lock(&s->change);
    tn_status fetched, status = fetch_and_find(s, reference, &v, &fetched);
    if (status == TN_OK) status = copy_reference(s, reference);
    if (status == TN_OK) {
        pthread_mutex_lock(&s->mutex);
        s->blocked_count = 0;
        pthread_mutex_unlock(&s->mutex);
    }
    pthread_mutex_unlock(&s->change);
    return status;
}

/* With the mutex held, and a version that stands ready. */
static void go_back(tn_subscription *s) {
    tn_deployment *bad = s->current;
    block(s, bad->version.digest);
    s->current = s->before;
    s->before = NULL;
    s->on_trial = false;
    s->changes++;
    s->rollbacks++;
    retire(s, bad);
}

tn_status tn_subscription_rollback(tn_subscription *s) {
    pthread_mutex_lock(&s->change);
    pthread_mutex_lock(&s->mutex);
    bool ready = s->before != NULL;
    if (ready) go_back(s);
    pthread_mutex_unlock(&s->mutex);
    destroy_gone(s);
    pthread_mutex_unlock(&s->change);
    return ready ? TN_OK : tn_fail(TN_E_STATE, "there is no version to go back to");
}

tn_status tn_subscription_acquire(tn_subscription *s, tn_lease *out_lease) {
    *out_lease = (tn_lease){0};
    pthread_mutex_lock(&s->mutex);
    tn_deployment *d = s->current;
    int count = d->count;
    if (d->free_count > 0) {
        out_lease->session = d->free[--d->free_count];
        out_lease->owner = d;
    }
    pthread_mutex_unlock(&s->mutex);
    if (!out_lease->session)
        return tn_fail(TN_E_LIMIT, "%d requests are under way, as many as there are sessions; see options.sessions",
                       count);
    out_lease->version = d->version; /* it stays while the session is away */
    return TN_OK;
}

void tn_subscription_release(tn_subscription *s, tn_lease *lease, bool failed) {
    tn_deployment *d = lease->owner;
    if (!d) return;
    pthread_mutex_lock(&s->mutex);
    d->free[d->free_count++] = lease->session;
    d->requests++;
    d->failures += failed;
    if (d->retired) {
        let_go(s, d);
    } else if (d == s->current && s->on_trial) {
        if (d->failures > (uint64_t)TN_MAX(s->options.most_failures, 0))
            go_back(s);
        else if (d->requests >= (uint64_t)s->options.trial_requests)
            s->on_trial = false;
    }
    pthread_mutex_unlock(&s->mutex);
    *lease = (tn_lease){0};
}

tn_status tn_subscription_info(tn_subscription *s, tn_subscription_state *out_state) {
    if (!out_state->struct_size) return tn_fail(TN_E_INVALID, "set struct_size of the state first");
    tn_subscription_state state = {.struct_size = out_state->struct_size};
    pthread_mutex_lock(&s->mutex);
    state.version = s->current->version;
    state.on_trial = s->on_trial;
    state.can_roll_back = s->before != NULL;
    state.blocked = s->blocked_count;
    state.requests = s->current->requests;
    state.failures = s->current->failures;
    state.changes = s->changes;
    state.rollbacks = s->rollbacks;
    state.waiting = s->waiting;
    pthread_mutex_unlock(&s->mutex);
    memcpy(out_state, &state, TN_MIN(state.struct_size, sizeof state));
    return TN_OK;
}
