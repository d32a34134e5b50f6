/* A program that follows a model in a store and changes over to each new version while it runs; a thread of its own looks
 * for them.
 *
 *     follow_model STORE REFERENCE CYCLES [MIRROR REPOSITORY [BROKER TOPIC]]
 *
 * Each cycle runs the model on zeros. Put a new version into the store meanwhile:
 *     tenon store put STORE press.onnx press:1.1.0
 *
 * With MIRROR (a folder or a URL with what is trusted) and REPOSITORY (of a registry) the reference is a channel such as
 * press@stable, and new versions come over the network. With BROKER (mqtts://...) and TOPIC it looks for them when they are
 * announced there, or else once in ten minutes. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/tenon.h>
#include <time.h>

static atomic_bool done;

static void wait_ms(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

typedef struct follower {
    tn_subscription *sub;
    tn_store *store; /* NULL: versions come into it by other ways */
    const char *channel, *mirror, *repository;
    int every_ms;
} follower;

static void *look(void *context) {
    follower *f = context;
    bool changed;
    while (!atomic_load(&done)) {
        if (f->store && tn_store_follow(f->store, f->channel, f->mirror, f->repository, NULL, NULL) != TN_OK)
            printf("no news: %s\n", tn_last_error());
        if (tn_subscription_poll(f->sub, &changed) != TN_OK) printf("goes on with what it has: %s\n", tn_last_error());
        if (tn_subscription_wait(f->sub, f->every_ms, NULL) != TN_OK) printf("hears of nothing: %s\n", tn_last_error());
    }
    return NULL;
}

int main(int count, char **arguments) {
    if (count != 4 && count != 6 && count != 8) {
        fprintf(stderr, "usage: follow_model STORE REFERENCE CYCLES [MIRROR REPOSITORY [BROKER TOPIC]]\n");
        return 2;
    }
    tn_subscription *sub;
    tn_subscription_options options = {.struct_size = sizeof options, .trial_requests = 20};
    tn_mqtt_options mqtt = {.struct_size = sizeof mqtt};
    follower f = {.channel = arguments[2], .every_ms = 50};
    if (count == 8) {
        mqtt.broker = arguments[6];
        mqtt.topic = arguments[7];
        options.mqtt = &mqtt;
        f.every_ms = 600000;
    }
    if (count > 4) {
        f.mirror = arguments[4];
        f.repository = arguments[5];
        if (tn_store_open(arguments[1], &f.store) != TN_OK ||
            tn_store_follow(f.store, f.channel, f.mirror, f.repository, NULL, NULL) != TN_OK) {
            fprintf(stderr, "follow_model: %s\n", tn_last_error());
            return 1;
        }
    }
    if (tn_subscription_open(arguments[1], arguments[2], &options, &sub) != TN_OK) {
        fprintf(stderr, "follow_model: %s\n", tn_last_error());
        return 1;
    }
    f.sub = sub;
    pthread_t thread;
    if (pthread_create(&thread, NULL, look, &f) != 0) return 1;
    char version[TN_STORE_NAME] = "";
    int failures = 0;
    for (long cycle = 0, cycles = atol(arguments[3]); cycle < cycles; cycle++) {
        tn_lease lease;
        tn_status status = tn_subscription_acquire(sub, &lease);
        if (status == TN_OK) {
            status = tn_session_run(lease.session); /* on the zeros that it was warmed with */
            if (strcmp(version, lease.version.version) != 0) {
                memcpy(version, lease.version.version, sizeof version);
                printf("cycle %ld: version %s\n", cycle, version);
                fflush(stdout);
            }
            tn_subscription_release(sub, &lease, status != TN_OK);
        }
        failures += status != TN_OK;
        wait_ms(10);
    }
    atomic_store(&done, true);
    tn_subscription_wake(sub);
    pthread_join(thread, NULL);
    tn_subscription_state state = {.struct_size = sizeof state};
    if (tn_subscription_info(sub, &state) == TN_OK)
        printf("%llu changes, %d failures\n", (unsigned long long)state.changes, failures);
    tn_subscription_close(sub);
    tn_store_close(f.store);
    return failures != 0;
}
