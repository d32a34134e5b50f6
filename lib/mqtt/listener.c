/* Listening: a thread that holds a connection to the broker, one after the other, and a wait that its messages end.
 *
 * What both share is under the mutex; `changed` tells of it. */
#include "mqtt/mqtt.h"
#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

enum { MOST_DOUBLINGS = 6 };

struct tn_listener {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool asked, heard, end; /* the host wants it to wake; a message came; close has begun */
    bool listening;
    tn_status status; /* why it does not */
    char why[512];
    tn_broker broker;
    tn_mqtt_task task;
    tn_mqtt_client *client;
    pthread_t thread;
    bool runs; /* the thread */
};

/* With the mutex held: until something changed, or that time. */
static void sleep_until(tn_listener *l, int64_t until) {
    struct timespec t = {(time_t)(until / 1000), (long)(until % 1000) * 1000000};
    pthread_cond_timedwait(&l->changed, &l->mutex, &t);
}

/* Between half of it and all. */
static int64_t around(int64_t milliseconds) {
    uint32_t r = 0;
    if (getrandom(&r, sizeof r, GRND_NONBLOCK) < 0) r = (uint32_t)tn_mqtt_now();
    return milliseconds - (int64_t)(r % (uint64_t)(milliseconds / 2 + 1));
}

/* ---- the thread ---- */

static void message(void *context) {
    tn_listener *l = context;
    pthread_mutex_lock(&l->mutex);
    l->heard = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->mutex);
}

static void ready(void *context) {
    tn_listener *l = context;
    pthread_mutex_lock(&l->mutex);
    l->listening = true;
    l->status = TN_OK;
    pthread_mutex_unlock(&l->mutex);
    message(l);
}

static bool go_on(void *context) {
    tn_listener *l = context;
    pthread_mutex_lock(&l->mutex);
    bool on = !l->end;
    pthread_mutex_unlock(&l->mutex);
    return on;
}

static void *run(void *context) {
    tn_listener *l = context;
    int failures = 0;
    while (go_on(l)) {
        tn_status status = tn_mqtt_client_run(l->client);
        pthread_mutex_lock(&l->mutex);
        failures = l->listening ? 1 : TN_MIN(failures + 1, MOST_DOUBLINGS + 1);
        l->listening = false;
        if (status != TN_OK) {
            l->status = status;
            snprintf(l->why, sizeof l->why, "%s", tn_last_error());
        }
        int64_t until = tn_mqtt_now() + around((int64_t)l->broker.wait_ms << (failures - 1));
        while (!l->end && tn_mqtt_now() < until) sleep_until(l, until);
        pthread_mutex_unlock(&l->mutex);
    }
    return NULL;
}

/* ---- the host ---- */

static tn_status start(tn_listener *l, const tn_mqtt_options *options) {
    TN_TRY(tn_broker_open(options, &l->broker));
    l->task = (tn_mqtt_task){NULL, ready, message, go_on, l};
    l->status = tn_mqtt_client_create(&l->broker, &l->task, &l->client);
    snprintf(l->why, sizeof l->why, "%s", l->status == TN_OK ? "" : tn_last_error());
    if (l->status == TN_E_UNSUPPORTED) return TN_OK; /* it waits all the same */
    if (l->status != TN_OK) return l->status;
    l->status = TN_E_IO;
    snprintf(l->why, sizeof l->why, "the broker '%s' has not answered yet", l->broker.url);
    l->runs = pthread_create(&l->thread, NULL, run, l) == 0;
    return l->runs ? TN_OK : tn_fail(TN_E_MEMORY, "no thread to listen with");
}

tn_status tn_listener_open(const tn_mqtt_options *options, tn_listener **out_listener) {
    pthread_condattr_t monotonic;
    *out_listener = NULL;
    tn_listener *l = tn_alloc_zero(NULL, sizeof *l);
    if (!l) return TN_E_MEMORY;
    pthread_mutex_init(&l->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    tn_status status = options ? start(l, options) : TN_OK;
    if (status == TN_OK)
        *out_listener = l;
    else
        tn_listener_close(l);
    return status;
}

void tn_listener_close(tn_listener *l) {
    if (!l) return;
    if (l->runs) {
        pthread_mutex_lock(&l->mutex);
        l->end = true;
        pthread_cond_broadcast(&l->changed);
        bool listening = l->listening;
        pthread_mutex_unlock(&l->mutex);
        if (listening) tn_mqtt_client_stir(l->client);
        pthread_join(l->thread, NULL);
    }
    tn_mqtt_client_destroy(l->client);
    tn_broker_close(&l->broker);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->mutex);
    tn_free(NULL, l, sizeof *l);
}

tn_status tn_listener_wait(tn_listener *l, int milliseconds, bool *out_woken) {
    int64_t until = tn_mqtt_now() + TN_MAX(milliseconds, 0);
    bool spread = false;
    char why[sizeof l->why];
    pthread_mutex_lock(&l->mutex);
    while (!l->asked && tn_mqtt_now() < until) {
        if (l->heard && !spread) {
            until = TN_MIN(until, tn_mqtt_now() + around(l->broker.spread_ms));
            spread = true;
        }
        sleep_until(l, until);
    }
    bool woken = l->asked || l->heard;
    l->asked = l->heard = false;
    tn_status status = l->status;
    memcpy(why, l->why, sizeof why);
    pthread_mutex_unlock(&l->mutex);
    if (out_woken) *out_woken = woken;
    return status == TN_OK ? TN_OK : tn_fail(status, "%s", why);
}

void tn_listener_wake(tn_listener *l) {
    pthread_mutex_lock(&l->mutex);
    l->asked = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->mutex);
}
