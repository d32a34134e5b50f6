/* Trainers of a group, here of threads, make the steps of one that has all rows; plans train so, stop together, and go on
 * with another number. */
#include <pthread.h>
#include <stdio.h>
#include "gradient.h"
#include "train/train.h"
#include "tree.h"

enum { MOST = 4, FEATURES = 3, STEPS = 20 };

/* ---- a group of threads ---- */

typedef struct meeting {
    pthread_barrier_t barrier;
    int count;
    void *data[MOST];
    double sum[4096];
} meeting;

typedef struct member {
    meeting *at;
    int rank;
} member;

static tn_status sum(void *context, tn_dtype dtype, int64_t count, void *data) {
    const member *m = context;
    assert_true(count <= (int64_t)TN_COUNT(m->at->sum));
    m->at->data[m->rank] = data;
    pthread_barrier_wait(&m->at->barrier);
    if (m->rank == 0)
        for (int64_t i = 0; i < count; i++) {
            m->at->sum[i] = 0;
            for (int r = 0; r < m->at->count; r++) m->at->sum[i] += tn_get_double(dtype, m->at->data[r], i);
        }
    pthread_barrier_wait(&m->at->barrier);
    for (int64_t i = 0; i < count; i++) tn_set_double(dtype, data, i, m->at->sum[i]);
    pthread_barrier_wait(&m->at->barrier);
    return TN_OK;
}

/* Sums that begin while the backward pass goes on: here they are over when `begin` comes back. */
static _Thread_local int begun;
static _Thread_local const double *later; /* what the backward pass writes last, where it has not been written */
static _Thread_local bool was_early;

static tn_status begin(void *context, tn_dtype dtype, int64_t count, void *data) {
    if (later && *later == 12345) was_early = true;
    begun++;
    return sum(context, dtype, count, data);
}
static tn_status finish(void *context) {
    (void)context;
    begun = 0;
    return TN_OK;
}

typedef struct worker {
    pthread_t thread;
    member member;
    tn_group group;
    void *context;
} worker;

/* Runs `work` as each of so many; the group's `context` of each is its worker's. */
static void together(int count, void *(*work)(void *), worker *workers, void *context) {
    meeting at = {.count = count};
    pthread_barrier_init(&at.barrier, NULL, (unsigned)count);
    for (int r = 0; r < count; r++) {
        workers[r] = (worker){.member = {&at, r}, .context = context};
        workers[r].group = (tn_group){
            .struct_size = sizeof(tn_group), .context = &workers[r].member, .rank = r, .count = count, .sum = sum};
        assert_int_equal(pthread_create(&workers[r].thread, NULL, work, &workers[r]), 0);
    }
    for (int r = 0; r < count; r++) pthread_join(workers[r].thread, NULL);
    pthread_barrier_destroy(&at.barrier);
}

/* ---- trainers ---- */

typedef struct traces {
    int64_t accumulate;
    double losses[MOST][STEPS], weights[MOST][FEATURES + 1];
} traces;

/* x -> Gemm 1 -> Tanh, in float64 */
static tn_graph *network(void) {
    tn_graph *g;
    int in[3], y;
    tn_tensor *w = make(TN_FLOAT64, DIMS(1, FEATURES), VALUES(0.5, 0.2, -0.1)),
              *b = make(TN_FLOAT64, DIMS(1), VALUES(0.1));
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT64, 2, (int64_t[]){tn_graph_symbol(g, "batch"), FEATURES}, &in[0]));
    assert_ok(tn_graph_constant(g, "w", w, &in[1]));
    assert_ok(tn_graph_constant(g, "b", b, &in[2]));
    assert_ok(tn_graph_node(g, "Gemm", NULL, 3, in, 1, &y, ATTRIBUTES(INT("transB", 1))));
    assert_ok(tn_graph_node(g, "Tanh", NULL, 1, &y, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    tn_tensor_destroy(w);
    tn_tensor_destroy(b);
    return g;
}

/* Batches of 7 rows and, each third, of 2, of which one of three has none. */
static void *train(void *argument) {
    const worker *w = argument;
    traces *out = w->context;
    const int rank = w->group.rank, count = w->group.count;
    const tn_trainer_options o = {.struct_size = sizeof o,
                                  .optimizer = {.kind = TN_ADAM, .rate = 0.05, .clip_norm = 0.4},
                                  .average = {.kind = TN_AVERAGE_EMA},
                                  .accumulate = out->accumulate,
                                  .group = &w->group};
    tn_trainer *t;
    assert_ok(tn_trainer_create(network(), &o, &t));
    for (int k = 0; k < STEPS; k++) {
        const int rows = k % 3 == 2 ? 2 : 7, first = rows * rank / count, last = rows * (rank + 1) / count;
        tn_tensor *x = NULL, *y = NULL;
        if (last > first) {
            x = make(TN_FLOAT64, DIMS(last - first, FEATURES), NULL);
            y = make(TN_FLOAT64, DIMS(last - first, 1), NULL);
        }
        for (int r = first; r < last; r++) {
            for (int c = 0; c < FEATURES; c++)
                ((double *)x->data)[(r - first) * FEATURES + c] = cos(0.7 * (FEATURES * r + c) + k);
            ((double *)y->data)[r - first] = sin(r + k);
        }
        const tn_tensor *inputs[] = {x};
        assert_ok(tn_trainer_step(t, x ? inputs : NULL, y, &out->losses[rank][k]));
        tn_tensor_destroy(x);
        tn_tensor_destroy(y);
    }
    for (int p = 0; p < 2; p++) {
        const tn_tensor *parameter;
        assert_ok(tn_trainer_parameter(t, p, NULL, &parameter));
        memcpy(out->weights[rank] + (p ? FEATURES : 0), parameter->data, tn_tensor_bytes(parameter));
    }
    tn_trainer_destroy(t);
    return NULL;
}

/* Three products, one behind the other: the gradient of the last is there first. */
static tn_graph *chain(void) {
    tn_graph *g;
    int in[2];
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT64, 2, (int64_t[]){tn_graph_symbol(g, "batch"), FEATURES}, &in[0]));
    for (int l = 0; l < 3; l++) {
        char name[16];
        tn_tensor *w = make(TN_FLOAT64, DIMS(FEATURES, FEATURES), VALUES(0.5, 0.2, -0.1, 0.3, 0.7, 0, -0.2, 0.1, 0.9));
        snprintf(name, sizeof name, "w%d", l);
        assert_ok(tn_graph_constant(g, name, w, &in[1]));
        tn_tensor_destroy(w);
        assert_ok(tn_graph_node(g, "MatMul", NULL, 2, in, 1, &in[0], NULL));
        assert_ok(tn_graph_node(g, "Tanh", NULL, 1, in, 1, &in[0], NULL));
    }
    assert_ok(tn_graph_output(g, in[0], "y"));
    return g;
}

typedef struct chained {
    bool overlaps;
    double losses[MOST][STEPS];
    bool early[MOST];
} chained;

static void *train_chain(void *argument) {
    worker *w = argument;
    chained *out = w->context;
    const int rank = w->group.rank, rows[] = {5, 5, 1};
    const tn_trainer_options o = {.struct_size = sizeof o, .optimizer = {.rate = 0.05}, .group = &w->group};
    tn_trainer *t;
    w->group.begin = out->overlaps ? begin : NULL;
    w->group.finish = out->overlaps ? finish : NULL;
    assert_ok(tn_trainer_create(chain(), &o, &t));
    for (int k = 0; k < STEPS; k++) {
        const int count = rows[k % 3], first = rank * count / 2, last = (rank + 1) * count / 2;
        tn_tensor *x = NULL, *y = NULL;
        if (last > first) {
            x = make(TN_FLOAT64, DIMS(last - first, FEATURES), NULL);
            y = make(TN_FLOAT64, DIMS(last - first, FEATURES), NULL);
        }
        for (int i = 0; i < (last - first) * FEATURES; i++) {
            ((double *)x->data)[i] = cos(first * FEATURES + i + k);
            ((double *)y->data)[i] = 0.5 * sin(first * FEATURES + i);
        }
        double *const first_gradient = t->states.all[t->states.predicting].next->data;
        later = first_gradient;
        *first_gradient = 12345;
        const tn_tensor *inputs[] = {x};
        assert_ok(tn_trainer_step(t, x ? inputs : NULL, y, &out->losses[rank][k]));
        assert_int_equal(begun, 0);
        tn_tensor_destroy(x);
        tn_tensor_destroy(y);
    }
    out->early[rank] = was_early;
    later = NULL;
    tn_trainer_destroy(t);
    return NULL;
}

static void sums_begin_while_gradients_are_computed_and_are_the_same(void **state) {
    (void)state;
    static chained plain, overlapped = {.overlaps = true};
    worker workers[MOST];
    together(2, train_chain, workers, &plain);
    together(2, train_chain, workers, &overlapped);
    for (int r = 0; r < 2; r++) {
        assert_memory_equal(plain.losses[r], overlapped.losses[r], sizeof plain.losses[r]);
        assert_false(plain.early[r]);
        assert_true(overlapped.early[r]);
    }
    assert_true(plain.losses[0][STEPS - 1] < plain.losses[0][0]);
}

static void a_group_makes_the_steps_of_one(void **state) {
    (void)state;
    static traces one, all;
    worker workers[MOST];
    for (int accumulate = 1; accumulate < 4; accumulate += 2) {
        one.accumulate = all.accumulate = accumulate;
        together(1, train, workers, &one);
        for (int count = 2; count <= MOST; count++) {
            together(count, train, workers, &all);
            for (int r = 0; r < count; r++) {
                for (int k = 0; k < STEPS; k++)
                    if (!(fabs(all.losses[r][k] - one.losses[0][k]) < 1e-12))
                        fail_msg("%d of %d, step %d: %.15g, not %.15g", r, count, k, all.losses[r][k],
                                 one.losses[0][k]);
                for (int i = 0; i <= FEATURES; i++) assert_true(fabs(all.weights[r][i] - one.weights[0][i]) < 1e-12);
                assert_memory_equal(all.weights[r], all.weights[0], sizeof all.weights[r]);
            }
        }
    }
}

/* ---- plans ---- */

TREE_ROOT("group")

static const char text[] =
    "name: ring\ndata: {train: ring.csv}\n"
    "pipeline: {features: [{column: a}, {column: b}], target: {column: kind, encode: ordinal}}\n"
    "model: {layers: [{dense: 16, activation: tanh}, {dense: 8, activation: relu}]}\n"
    "train: {epochs: 6, batch: 16, accumulate: 2, optimizer: {rate: 0.02}, seed: 5, validation: 0.2}\n";

typedef struct planned {
    bool resume;
    int stop_rank, stop_after; /* batches; -1: nobody stops */
    tn_status status[MOST];
    double losses[MOST];
    bool resumed[MOST];
} planned;

typedef struct stopper {
    int left; /* batches; below 0: it goes on */
} stopper;

static bool on_progress(void *context, const tn_plan_progress *progress) {
    stopper *s = context;
    (void)progress;
    return s->left-- != 0;
}

static void *train_plan(void *argument) {
    const worker *w = argument;
    planned *out = w->context;
    const int rank = w->group.rank;
    tn_plan *plan;
    stopper s = {rank == out->stop_rank ? out->stop_after : -1};
    tn_plan_result result = {.struct_size = sizeof result};
    const tn_plan_options o = {.struct_size = sizeof o,
                               .resume = out->resume,
                               .threads = 1,
                               .progress = on_progress,
                               .context = &s,
                               .group = &w->group};
    assert_ok(tn_plan_parse(text, strlen(text), root, &plan));
    out->status[rank] = tn_plan_train(plan, &o, &result);
    out->losses[rank] = result.loss;
    out->resumed[rank] = result.resumed;
    tn_plan_destroy(plan);
    return NULL;
}

static void plans_train_stop_and_go_on_in_groups(void **state) {
    (void)state;
    worker workers[MOST];
    if (!TN_WITH_YAML) skip();
    FILE *file = fopen(tree_at(root, "ring.csv"), "w");
    fputs("a,b,kind\n", file);
    for (int i = 0; i < 131; i++)
        fprintf(file, "%.6f,%.6f,%d\n", (1 + i % 2) * cos(2.399 * i), (1 + i % 2) * sin(2.399 * i), i % 2);
    fclose(file);
    planned one = {.stop_rank = -1}, all = {.stop_rank = -1};
    together(1, train_plan, workers, &one);
    assert_int_equal(one.status[0], TN_OK);
    together(3, train_plan, workers, &all);
    for (int r = 0; r < 3; r++) {
        assert_int_equal(all.status[r], TN_OK);
        assert_true(fabs(all.losses[r] - one.losses[0]) < 1e-5);
    }
    /* One of three wants to stop, two go on, one ends it. */
    unlink(tree_at(root, "ring.tenon"));
    all = (planned){.stop_rank = 1, .stop_after = 10};
    together(3, train_plan, workers, &all);
    for (int r = 0; r < 3; r++) assert_int_equal(all.status[r], TN_E_INTERRUPTED);
    all = (planned){.resume = true, .stop_rank = 0, .stop_after = 8};
    together(2, train_plan, workers, &all);
    for (int r = 0; r < 2; r++) assert_int_equal(all.status[r], TN_E_INTERRUPTED);
    assert_int_equal(access(tree_at(root, "ring.tenon"), F_OK), -1);
    all = (planned){.resume = true, .stop_rank = -1};
    together(1, train_plan, workers, &all);
    assert_int_equal(all.status[0], TN_OK);
    assert_true(all.resumed[0]);
    assert_true(fabs(all.losses[0] - one.losses[0]) < 1e-5);
    assert_int_equal(access(tree_at(root, "ring.tenon"), F_OK), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_makes_the_steps_of_one),
        cmocka_unit_test(sums_begin_while_gradients_are_computed_and_are_the_same),
        cmocka_unit_test(plans_train_stop_and_go_on_in_groups),
    };
    return cmocka_run_group_tests_name("trainer_group", tests, setup, teardown);
}
