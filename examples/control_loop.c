/* A control loop: every 10 ms it reads its sensors, runs a model and has an answer, on one thread that neither waits
 * nor allocates. Meanwhile another thread watches the model's file: a new model is loaded and prepared there and taken
 * over between two cycles; a bad one is reported, and the loop goes on with the one that it has.
 *
 *     control_loop model.onnx [CYCLES]
 *
 * Put new models in place by renaming (mv new.onnx model.onnx): the file in use stays as it is until it is closed. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include <sys/stat.h>
#include <time.h>
#include <tenon/tenon.h>

enum { PERIOD_NS = 10000000, BUCKETS = 24 };

/* A model ready for its next cycle. */
typedef struct controller {
    tn_model *model;
    tn_session *session;
    tn_tensor *sensors;
} controller;

typedef struct plant {
    const char *path;
    _Atomic(controller *) next; /* made by the watcher, taken by the loop */
    _Atomic(controller *) old;  /* handed back by the loop, destroyed by the watcher */
    atomic_bool stop;
} plant;

static void controller_destroy(controller *c) {
    if (!c) return;
    tn_session_destroy(c->session);
    tn_tensor_destroy(c->sensors);
    tn_model_destroy(c->model);
    free(c);
}

/* Loads, prepares and tries out; NULL, and a sentence on stderr, if the model is not fit for the loop. */
static controller *controller_create(const char *path) {
    controller *c = calloc(1, sizeof *c);
    tn_value_info info;
    if (!c || tn_model_load(path, NULL, &c->model) != TN_OK) goto fail;
    if (tn_model_input_info(c->model, 0, &info) != TN_OK) goto fail;
    for (int i = 0; i < info.rank; i++)
        if (info.dims[i] < 0) info.dims[i] = 1;
    if (tn_tensor_create(TN_FLOAT32, info.rank, info.dims, NULL, &c->sensors) != TN_OK) goto fail;
    if (tn_session_create(c->model, NULL, &c->session) != TN_OK) goto fail;
    if (tn_session_set_input(c->session, 0, c->sensors) != TN_OK) goto fail;
    if (tn_session_run(c->session) != TN_OK) goto fail; /* the first run prepares; the loop's own never do */
    return c;
fail:
    fprintf(stderr, "control_loop: %s\n", tn_last_error());
    controller_destroy(c);
    return NULL;
}

static void *watch(void *context) {
    plant *p = context;
    struct stat seen, now;
    if (stat(p->path, &seen) != 0) seen = (struct stat){0};
    while (!atomic_load(&p->stop)) {
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        controller_destroy(atomic_exchange(&p->old, NULL));
        if (stat(p->path, &now) != 0 || (now.st_ino == seen.st_ino && now.st_mtime == seen.st_mtime)) continue;
        seen = now;
        controller *c = controller_create(p->path);
        puts(c ? "a new model is ready" : "the new file is bad: the old model stays");
        if (c) controller_destroy(atomic_exchange(&p->next, c));
    }
    return NULL;
}

static long long since(const struct timespec *start) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - start->tv_sec) * 1000000000ll + now.tv_nsec - start->tv_nsec;
}

/* The cycles; counts how many took up to 2^i microseconds. */
static controller *loop(plant *p, controller *c, int cycles, long *histogram) {
    struct timespec due, start;
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (int cycle = 0; cycle < cycles; cycle++) {
        due.tv_nsec += PERIOD_NS;
        if (due.tv_nsec >= 1000000000) due.tv_nsec -= 1000000000, due.tv_sec++;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        clock_gettime(CLOCK_MONOTONIC, &start);
        /* The watcher has emptied p->old before it makes another one ready, so that nothing is lost here. */
        controller *fresh = atomic_load(&p->old) ? NULL : atomic_exchange(&p->next, NULL);
        if (fresh) {
            atomic_store(&p->old, c);
            c = fresh;
        }
        float *sensors = tn_tensor_data(c->sensors);
        for (int64_t i = 0; i < tn_tensor_count(c->sensors); i++) sensors[i] = sinf(0.1f * (float)(cycle + i));
        if (tn_session_run(c->session) != TN_OK) fprintf(stderr, "control_loop: %s\n", tn_last_error());
        int bucket = 0;
        for (long long us = since(&start) / 1000; us > 0 && bucket < BUCKETS - 1; us >>= 1) bucket++;
        histogram[bucket]++;
    }
    return c;
}

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "usage: control_loop MODEL.onnx [CYCLES]\n"), 2;
    int cycles = argc > 2 ? atoi(argv[2]) : 500;
    long histogram[BUCKETS] = {0};
    plant p = {.path = argv[1]};
    pthread_t watcher;
    setvbuf(stdout, NULL, _IOLBF, 0);
    controller *c = controller_create(p.path);
    if (!c || pthread_create(&watcher, NULL, watch, &p) != 0) return 1;
    c = loop(&p, c, cycles, histogram);
    atomic_store(&p.stop, true);
    pthread_join(watcher, NULL);
    for (int i = 0; i < BUCKETS; i++)
        if (histogram[i]) printf("under %8ld us: %ld\n", 1l << i, histogram[i]);
    printf("%d cycles\n", cycles);
    controller_destroy(c);
    controller_destroy(p.next);
    controller_destroy(p.old);
    return 0;
}
