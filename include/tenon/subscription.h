/* Subscriptions: a program follows a model in a store, and changes over to a new version while it runs.
 *
 *     tn_subscription *sub;  tn_lease lease;  bool changed;
 *     tn_subscription_options o = {.struct_size = sizeof o, .sessions = 4};
 *     tn_subscription_open("models", "press:^1.0", &o, &sub);
 *     // each request, on any of up to four threads
 *     tn_subscription_acquire(sub, &lease);
 *     tn_session_set_input(lease.session, 0, x);
 *     tn_status status = tn_session_run(lease.session);       // use the outputs before the release
 *     tn_subscription_release(sub, &lease, status != TN_OK);
 *     // now and then, on a thread of low priority
 *     tn_subscription_poll(sub, &changed);
 *
 * A version is loaded, the self-test of its file (tenon/self_test.h) is run if it has one, its sessions are prepared and run
 * once, and the host's own check has its say, all beside the
 * version that serves; then requests that begin get the new one. A request keeps the version that it began with, so that
 * no answer is made by two. The version before is kept, ready, until the next change; the one before that, and one that
 * failed, is given back, all its memory, by the poll that changes or by the first one after its last request.
 *
 * A version that does not load, fails its self-test or the check, or fails too often on trial is blocked for this
 * subscription: it goes on with, or back to, the version before, and waits for another. The states and their names follow
 * RAUC's and MCUboot's: trial, then confirmed.
 *
 * Thread-safety: acquire, release and wake may be called by any threads at once, also while another polls or waits; they
 * hold a lock for some nanoseconds and allocate nothing. Poll, follow and rollback wait for each other. A lease belongs to
 * one thread.
 *
 * Versions may come from elsewhere: call tn_store_follow (tenon/registry.h) before a poll, and the store gets what a signed
 * channel points at, from a registry. examples/follow_model.c does.
 *
 * A thread that has nothing else to do polls in a loop of tn_subscription_wait and tn_subscription_poll: the wait takes the
 * time between two polls, or ends sooner, where options.mqtt names a broker and something is announced there
 * (tenon/mqtt.h). What is announced is not trusted: it only wakes.
 *
 * A library built without stores answers TN_E_UNSUPPORTED. */
#ifndef TENON_SUBSCRIPTION_H
#define TENON_SUBSCRIPTION_H

#include <stdbool.h>
#include <tenon/mqtt.h>
#include <tenon/session.h>
#include <tenon/store.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_subscription tn_subscription;

/* All zero but struct_size is the default. */
typedef struct tn_subscription_options {
    size_t struct_size;
    const tn_model_options *model;     /* copied, but for what it points to, which must stay */
    const tn_session_options *session; /* likewise */
    int sessions;                      /* requests that may run at once; 0: 1 */
    /* Sets the inputs of a new session before its first run, which prepares it for their shapes. NULL: zeros, in shapes
     * whose symbols are 1. The tensors must stay until the subscription is closed or the inputs are set anew. */
    tn_status (*warm)(void *context, tn_session *session);
    /* Looks at a version after the first run of one of its sessions; anything but TN_OK refuses it. */
    tn_status (*check)(void *context, const tn_store_version *version, tn_session *session);
    void *context;
    /* A new version is on trial for so many requests (0: 100); if more than `most_failures` of them fail, the version
     * before comes back. The first version that is opened has none before it, and no trial. */
    int trial_requests, most_failures;
    bool require_self_test; /* refuse versions that have none */
    /* Another store's folder, such as a USB stick's, that open and each poll look into first: what the reference names there
     * is fetched (tenon/fetch.h), by what changed where that is there, and never more than most_fetched bytes (0: no limit)
     * at a time. For a channel, what is trusted is brought up to date from its folder trust/ before. The text must stay. */
    const char *from;
    uint64_t most_fetched;
    const tn_mqtt_options *mqtt; /* what wakes a wait; copied */
    /* The times of the week at which versions may change, as tn_window_look reads them; NULL: at any. At others a poll
     * fetches, but what is new waits. The first version does not, nor does going back from a version that fails. Copied. */
    const char *window;
    int64_t (*clock)(void *context); /* what time it is, in seconds since 1970; NULL: the system's clock */
} tn_subscription_options;

typedef struct tn_lease {
    tn_session *session;
    tn_store_version version; /* that the session is of */
    void *owner;              /* the library's */
} tn_lease;

/* Opens the store and loads what the reference (see tenon/store.h) names. */
TN_API tn_status tn_subscription_open(const char *store, const char *reference, const tn_subscription_options *options,
                                      tn_subscription **out_subscription);
/* Accepts NULL. All leases must be back. */
TN_API void tn_subscription_close(tn_subscription *subscription);

/* Looks whether the reference names another version now, and changes over to it. Fails, and goes on with the version that
 * serves, if the store cannot be read or the new version is refused; a refused one is not tried again.
 * Where options.from cannot be followed, it does the rest and fails then. *out_changed may be NULL. */
TN_API tn_status tn_subscription_poll(tn_subscription *subscription, bool *out_changed);
/* Waits for so long, or until something is announced, or the window opens that a version waits for. Not TN_OK, when the wait
 * is over, while nothing can be heard: see tn_listener_wait (tenon/mqtt.h). *out_woken may be NULL. */
TN_API tn_status tn_subscription_wait(tn_subscription *subscription, int milliseconds, bool *out_woken);
/* Ends the wait that is under way, or else the next one, at once. */
TN_API void tn_subscription_wake(tn_subscription *subscription);
/* Follows another reference from the next poll on: a pinned version "press:1.2.0", a range, a channel, another name. Forgets
 * what is blocked. */
TN_API tn_status tn_subscription_follow(tn_subscription *subscription, const char *reference);
/* Back to the version before, whatever the trial says; the one that served is blocked. TN_E_STATE if there is none. */
TN_API tn_status tn_subscription_rollback(tn_subscription *subscription);

/* A session for one request. TN_E_LIMIT if options.sessions requests are under way. */
TN_API tn_status tn_subscription_acquire(tn_subscription *subscription, tn_lease *out_lease);
/* Gives the session back; `failed` counts against a version on trial. */
TN_API void tn_subscription_release(tn_subscription *subscription, tn_lease *lease, bool failed);

typedef struct tn_subscription_state {
    size_t struct_size;       /* set by the caller */
    tn_store_version version; /* that serves */
    bool on_trial;
    bool can_roll_back;
    int blocked;       /* versions that were refused or rolled back */
    uint64_t requests; /* of the version that serves */
    uint64_t failures; /* likewise */
    uint64_t changes;  /* since the start, rollbacks included */
    uint64_t rollbacks;
    bool waiting; /* the last poll found a version that waits for the window */
} tn_subscription_state;
TN_API tn_status tn_subscription_info(tn_subscription *subscription, tn_subscription_state *out_state);

/* Times of the week, with semicolons between: the days, every day if there are none, from one minute to before another, which is
 * of the next day if it is earlier, by the clock where the machine is (TZ), or by UTC:
 *
 *     "22:00-05:00"      "Mon-Fri 02:00-04:30; Sat,Sun 00:00-24:00"      "Sun 01:00-03:00 UTC"
 *
 * Whether it is open at `time` (seconds since 1970), and when it is next, from then on; out_opens may be NULL. NULL is
 * always open. */
TN_API tn_status tn_window_look(const char *window, int64_t time, bool *out_open, int64_t *out_opens);

#ifdef __cplusplus
}
#endif
#endif
