/* Studies of plans: trials are plans that train, the best stay, and a study that is stopped or killed goes on to the same end;
 * what is wrong in a study is named. */
#include "unit.h"
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <tenon/tenon.h>
#include "tree.h"

static char root[64];

static int setup(void **state) {
    (void)state;
    if (!tree_make(root, "tuning")) return -1;
    FILE *file = fopen(tree_at(root, "rows.csv"), "w");
    if (!file) return -1;
    fputs("a,b,kind\n", file);
    for (int i = 0; i < 160; i++) {
        double angle = 2.399 * i, r = i % 2 ? 1.0 : 2.2;
        fprintf(file, "%.4f,%.4f,%s\n", r * cos(angle) + 0.1 * sin(7.7 * i), r * sin(angle) + 0.1 * cos(5.3 * i),
                i % 2 ? "inner" : "outer");
    }
    return fclose(file);
}
static int teardown(void **state) {
    (void)state;
    return tree_remove(root);
}

#define PLAN(train)                                                                                                    \
    "plan:\n  name: circles\n  data: {train: rows.csv}\n"                                                              \
    "  pipeline: {features: [{column: a}, {column: b}], target: {column: kind, encode: ordinal}}\n"                    \
    "  model: {layers: [{dense: 8, activation: relu}, {dropout: 0.1}]}\n  train: {" train "}\n"
#define SPACE                                                                                                          \
    "space:\n  train.optimizer.rate: {log: [1e-4, 1e-1]}\n  train.batch: {log_int: [8, 64]}\n"                         \
    "  model.layers.0.dense: {int: [2, 26], step: 8}\n  train.schedule.kind: {choose: [constant, cosine]}\n"           \
    "  train.schedule.floor: {float: [0, 0.5], where: {train.schedule.kind: cosine}}\n"                                \
    "  model.layers.1: {choose: [{dropout: 0.1}, {norm: batch}]}\n"

static tn_tuning *tuning_of(const char *text) {
    tn_tuning *t;
    assert_ok(tn_tuning_parse(text, strlen(text), root, &t));
    return t;
}

static char *read_and_remove(const char *name, size_t *out_size) {
    char *text = tree_read(tree_at(root, name), out_size);
    unlink(tree_at(root, name));
    return text;
}

static bool there(tn_tuning *t, int64_t number, const char *kind) {
    return access(tn_tuning_path(t, number, kind), F_OK) == 0;
}

static void the_best_plan_and_its_model_stay(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    size_t a_size, b_size;
    int64_t best;
    tn_tuning *t = tuning_of(
        "study: one\nname: one\ntrials: 14\nobjectives: [accuracy]\n" PLAN("epochs: 4, validation: 0.25") SPACE);
    assert_ok(tn_tuning_run(t, NULL));
    tn_study *s = tn_tuning_study(t);
    assert_int_equal(tn_study_count(s), 14);
    assert_ok(tn_study_best(s, &best));
    for (int64_t i = 0; i < 14; i++) {
        tn_trial trial = {.struct_size = sizeof trial};
        assert_ok(tn_study_trial(s, i, &trial));
        assert_int_equal(trial.state, TN_TRIAL_COMPLETE);
        assert_true(trial.values[0] >= 0 && trial.values[0] <= 1);
        assert_int_equal(there(t, i, "tenon"), i == best);
        assert_int_equal(there(t, i, "yaml"), i == best);
    }
    /* The plan that stayed makes the model that stayed. */
    tn_plan *plan;
    assert_ok(tn_plan_load(tn_tuning_path(t, best, "yaml"), &plan));
    assert_ok(tn_plan_train(plan, NULL, NULL));
    char *a = tree_read(tn_tuning_path(t, best, "tenon"), &a_size), *b = tree_read(tn_plan_output(plan), &b_size);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a, b, a_size);
    free(a);
    free(b);
    tn_plan_destroy(plan);
    tn_tuning_destroy(t);
}

#define HALVED(promote)                                                                                                \
    "study: halved\nname: halved\ntrials: 16\nseed: 5\nhalving: {first: 1, reduction: 3, promote: " promote            \
    "}\n" PLAN("epochs: 9, validation: 0.25") SPACE
static const char *const halved[] = {HALVED("false"), HALVED("true")};

static bool stop_after(void *context, const tn_tuning_progress *p) {
    int *left = context;
    assert_true(p->done <= p->trials && p->epoch <= p->epochs);
    return --*left > 0;
}

/* Nothing to go on from: trials that waited are trained anew. */
static bool remove_checkpoints(void *context, const tn_tuning_progress *p) {
    (void)p;
    for (int64_t i = 0; i < 16; i++) unlink(tn_tuning_path(context, i, "tenon.checkpoint"));
    return true;
}

static void study_goes_on(const char *text, bool promotes) {
    size_t whole_size, size;
    int64_t pruned = 0;
    tn_tuning *t = tuning_of(text);
    assert_ok(tn_tuning_run(t, NULL));
    for (int64_t i = 0; i < 16; i++) {
        tn_trial trial = {.struct_size = sizeof trial};
        assert_ok(tn_study_trial(tn_tuning_study(t), i, &trial));
        pruned += trial.state == TN_TRIAL_PRUNED;
        if (trial.state == TN_TRIAL_PRUNED) assert_false(there(t, i, "tenon") || there(t, i, "tenon.checkpoint"));
    }
    assert_true(pruned >= 6 && pruned < 16);
    int64_t number;
    assert_int_equal(tn_study_promote(tn_tuning_study(t), &number), TN_E_NOT_FOUND);
    tn_tuning_destroy(t);
    char *whole = read_and_remove("halved", &whole_size);
    static const int stops[] = {1, 60, 100, 100000};
    for (size_t i = 0; i < TN_COUNT(stops); i++) {
        int left = stops[i];
        const tn_tuning_options o = {.struct_size = sizeof o, .progress = stop_after, .context = &left};
        t = tuning_of(text);
        bool last = i + 1 == TN_COUNT(stops);
        assert_int_equal(tn_tuning_run(t, &o), last ? TN_OK : TN_E_INTERRUPTED);
        if (!last) assert_non_null(strstr(tn_last_error(), "run again"));
        tn_tuning_destroy(t);
    }
    char *pieces = read_and_remove("halved", &size);
    assert_int_equal(size, whole_size);
    assert_memory_equal(pieces, whole, size);
    free(pieces);
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0) {
            t = tuning_of(text);
            tn_tuning_run(t, NULL);
            _exit(0);
        }
        usleep(20000u * (unsigned)(i + 1));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    t = tuning_of(text);
    assert_ok(tn_tuning_run(t, NULL));
    tn_tuning_destroy(t);
    pieces = read_and_remove("halved", &size);
    assert_int_equal(size, whole_size);
    assert_memory_equal(pieces, whole, size);
    free(pieces);
    if (promotes) {
        t = tuning_of(text);
        const tn_tuning_options o = {.struct_size = sizeof o, .progress = remove_checkpoints, .context = t};
        assert_ok(tn_tuning_run(t, &o));
        tn_tuning_destroy(t);
        pieces = read_and_remove("halved", &size);
        assert_int_equal(size, whole_size);
        assert_memory_equal(pieces, whole, size);
        free(pieces);
    }
    free(whole);
}

static void a_study_that_stops_or_is_killed_goes_on_to_the_same_lines(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    study_goes_on(halved[0], false);
}

static void so_does_one_whose_trials_wait_at_rungs(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    study_goes_on(halved[1], true);
}

/* Whatever the order in which jobs come to rungs. */
static void jobs_leave_none_waiting_that_may_go_on(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    int64_t number, states[4] = {0};
    tn_tuning *t = tuning_of(halved[1]);
    assert_ok(tn_tuning_run(t, &(tn_tuning_options){.struct_size = sizeof(tn_tuning_options), .jobs = 4}));
    for (int64_t i = 0; i < 16; i++) {
        tn_trial trial = {.struct_size = sizeof trial};
        assert_ok(tn_study_trial(tn_tuning_study(t), i, &trial));
        states[trial.state]++;
        assert_false(there(t, i, "tenon.checkpoint"));
    }
    assert_int_equal(states[TN_TRIAL_COMPLETE] + states[TN_TRIAL_PRUNED], 16);
    assert_true(states[TN_TRIAL_COMPLETE] > 0);
    assert_int_equal(tn_study_count(tn_tuning_study(t)), 16);
    assert_int_equal(tn_study_promote(tn_tuning_study(t), &number), TN_E_NOT_FOUND);
    tn_tuning_destroy(t);
    unlink(tree_at(root, "halved"));
}

static void nothing_stays_of_trials_that_are_pruned(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    for (int promotes = 0; promotes < 2; promotes++) {
        char text[1000];
        int64_t pruned = 0;
        snprintf(
            text, sizeof text,
            "study: rest\nname: rest\ntrials: 9\nseed: 5\nhalving: {first: 3, reduction: 3, promote: %s}\n%s",
            promotes ? "true" : "false",
            PLAN("epochs: 6, validation: 0.25, snapshots: 3, schedule: {kind: cosine, period: 2}") "space:\n  "
                                                                                                   "train.optimizer."
                                                                                                   "rate: {log: [1e-4, "
                                                                                                   "1e-1]}\n");
        tn_tuning *t = tuning_of(text);
        assert_ok(tn_tuning_run(t, NULL));
        for (int64_t i = 0; i < 9; i++) {
            tn_trial trial = {.struct_size = sizeof trial};
            assert_ok(tn_study_trial(tn_tuning_study(t), i, &trial));
            if (trial.state != TN_TRIAL_PRUNED) continue;
            pruned++;
            static const char *const kinds[] = {"tenon", "tenon.checkpoint", "tenon.snapshot-1"};
            for (size_t k = 0; k < TN_COUNT(kinds); k++) assert_false(there(t, i, kinds[k]));
        }
        assert_true(pruned > 2);
        tn_tuning_destroy(t);
        unlink(tree_at(root, "rest"));
    }
}

static void jobs_share_the_trials_and_the_front_stays(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    int64_t front[20];
    size_t count, next = 0;
    tn_tuning *t =
        tuning_of("study: many\nname: many\ntrials: 20\njobs: 3\nobjectives: [log_loss, size, latency]\n" PLAN(
            "epochs: 3, validation: 0.25") SPACE);
    assert_ok(tn_tuning_run(t, NULL));
    tn_study *s = tn_tuning_study(t);
    assert_int_equal(tn_study_count(s), 20);
    assert_ok(tn_study_pareto(s, 20, front, &count));
    assert_true(count >= 1);
    for (int64_t i = 0; i < 20; i++) {
        tn_trial trial = {.struct_size = sizeof trial};
        bool stays = next < count && front[next] == i;
        next += stays;
        assert_ok(tn_study_trial(s, i, &trial));
        assert_int_equal(trial.state, TN_TRIAL_COMPLETE);
        assert_true(trial.values[0] > 0 && trial.values[1] > 1000 && trial.values[2] > 0);
        assert_int_equal(there(t, i, "tenon"), stays);
        struct stat info;
        if (stays) assert_int_equal(stat(tn_tuning_path(t, i, "tenon"), &info), 0);
        if (stays) assert_true(info.st_size == (off_t)trial.values[1]);
    }
    /* More trials go on from there. */
    assert_ok(tn_tuning_run(t, &(tn_tuning_options){.struct_size = sizeof(tn_tuning_options), .trials = 23}));
    assert_int_equal(tn_study_count(s), 23);
    tn_tuning_destroy(t);
}

static void trials_that_compress_are_measured_as_they_come_out(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    static const char text[] =
        "study: small\nname: small\ntrials: 9\nsampler: {kind: random}\nseed: 2\nobjectives: [log_loss, size, "
        "latency]\n"
        "plan:\n  name: circles\n  data: {train: rows.csv}\n"
        "  pipeline: {features: [{column: a}, {column: b}], target: {column: kind, encode: ordinal}}\n"
        "  model: {layers: [{dense: 64, activation: relu}, {dense: 64, activation: relu}]}\n"
        "  train: {epochs: 2, validation: 0.25}\n"
        "space:\n  compress: {choose: [[], [{quantize: {calibration: best}}], [{half: {type: float16}}]]}\n";
    tn_tuning *t = tuning_of(text);
    assert_ok(tn_tuning_run(t, NULL));
    double sizes[3] = {0}, losses[3] = {0};
    for (int64_t i = 0; i < 9; i++) {
        tn_trial trial = {.struct_size = sizeof trial};
        assert_ok(tn_study_trial(tn_tuning_study(t), i, &trial));
        assert_int_equal(trial.state, TN_TRIAL_COMPLETE);
        int way = (int)trial.parameters[0];
        assert_true(!sizes[way] || sizes[way] == trial.values[1]); /* the same plan is the same file */
        sizes[way] = trial.values[1];
        losses[way] = trial.values[0];
    }
    assert_true(sizes[1] > 0 && sizes[2] > 0); /* each way was tried */
    assert_true(sizes[0] > sizes[1] + 8000 && sizes[0] > sizes[2] + 8000);
    assert_true(losses[0] != losses[1] && fabs(losses[0] - losses[1]) < 0.05 && fabs(losses[0] - losses[2]) < 0.01);
    tn_tuning_destroy(t);
}

static void trials_that_cannot_be_trained_fail_alone(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    static const char form[] = "study: %s\nname: %s\ntrials: 12\nobjectives: [loss]\n" PLAN(
        "epochs: 1, validation: 0.25") "space:\n  model.shape: {choose: [%s[7]]}\n  train.optimizer.rate: {log: [1e-3, "
                                       "1e-1]}\n";
    char text[1000];
    snprintf(text, sizeof text, form, "some", "some", "[2], ");
    tn_tuning *t = tuning_of(text);
    assert_ok(tn_tuning_run(t, NULL));
    int failed = 0;
    for (int64_t i = 0; i < 12; i++) {
        tn_trial trial = {.struct_size = sizeof trial};
        assert_ok(tn_study_trial(tn_tuning_study(t), i, &trial));
        failed += trial.state == TN_TRIAL_FAILED;
        if (trial.state == TN_TRIAL_FAILED) assert_non_null(strstr(trial.sentence, "7"));
    }
    assert_true(failed > 0 && failed < 12);
    tn_tuning_destroy(t);
    snprintf(text, sizeof text, form, "none", "none", "");
    t = tuning_of(text);
    assert_int_equal(tn_tuning_run(t, NULL), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "all of 10 trials failed"));
    tn_tuning_destroy(t);
}

#define GOOD PLAN("epochs: 1, validation: 0.25")

static void what_is_wrong_in_a_study_is_named(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    static const struct {
        const char *text, *sentence;
    } bad[] = {
        {"space: {a: {int: [1, 2]}}\n", "the key 'plan' is missing"},
        {GOOD, "the key 'space' is missing"},
        {"plan: nowhere.yaml\nspace: {a: {int: [1, 2]}}\n", "cannot open '"},
        {GOOD "space: {}\n", "'space' is a map"},
        {GOOD "space: {train.batch: {int: [1]}}\n", "goes from a number to another"},
        {GOOD "space: {train.batch: {int: [1, 2.5]}}\n", "'train.batch' is whole"},
        {GOOD "space: {train.batch: {int: [9, 2]}}\n", "line 7: the parameter 'train.batch' is from 9 to 2"},
        {GOOD "space: {train.optimizer.rate: {log: [0, 1]}}\n", "a logarithm needs more than 0"},
        {GOOD "space: {train.batch: {int: [1, 2], log: [1, 2]}}\n", "is one of float, log, int"},
        {GOOD "space: {train.batch: {choose: []}}\n", "'choose' is a list"},
        {GOOD "space: {train.batch: {choose: [1, 1]}}\n", "twice"},
        {GOOD "space: {train.batch: {int: [1, 2], where: {train.epochs: 1}}}\n", "no parameter of choices before it"},
        {GOOD "space: {model.layers.2.dense: {int: [1, 2]}}\n", "'2' is no entry of a list of 2"},
        {GOOD "space: {model.layers.x: {int: [1, 2]}}\n", "'x' is no entry of a list"},
        {GOOD "space: {train.epochs.x: {int: [1, 2]}}\n", "nothing below the value"},
        {GOOD "space: {train..x: {int: [1, 2]}}\n", "is no path"},
        {GOOD "space: {train.butch: {int: [1, 2]}}\n", "there is no key 'butch'"},
        {GOOD "space: {train.batch: {int: [0, 2]}}\n", "the plan with parameters from the space"},
        {GOOD "space: {train.batch: {choose: [8, many]}}\n", "'batch' is a whole number"},
        {GOOD "space: {train.batch: {int: [1, 2]}}\nobjectives: [speed]\n", "there is no objective 'speed'"},
        {GOOD "space: {train.batch: {int: [1, 2]}}\nobjectives: [size, size]\n", "is there already"},
        {GOOD "space: {train.batch: {int: [1, 2]}}\nsampler: {kind: grid}\n", "'kind' is one of tpe, random"},
        {GOOD "space: {train.batch: {int: [1, 2]}}\nhalving: {reduction: 1}\n", "'reduction' is a whole number from 2"},
        {GOOD "space: {train.batch: {int: [1, 2]}}\nname: a/b\n", "no slash"},
        {PLAN("epochs: 1") "space: {train.batch: {int: [1, 2]}}\n", "it has no rows for validation"},
    };
    for (size_t i = 0; i < TN_COUNT(bad); i++) {
        tn_tuning *t;
        assert_true(tn_tuning_parse(bad[i].text, strlen(bad[i].text), root, &t) != TN_OK);
        assert_null(t);
        if (!strstr(tn_last_error(), bad[i].sentence)) fail_msg("%zu: %s", i, tn_last_error());
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_plan_and_its_model_stay),
        cmocka_unit_test(a_study_that_stops_or_is_killed_goes_on_to_the_same_lines),
        cmocka_unit_test(so_does_one_whose_trials_wait_at_rungs),
        cmocka_unit_test(jobs_leave_none_waiting_that_may_go_on),
        cmocka_unit_test(nothing_stays_of_trials_that_are_pruned),
        cmocka_unit_test(jobs_share_the_trials_and_the_front_stays),
        cmocka_unit_test(trials_that_compress_are_measured_as_they_come_out),
        cmocka_unit_test(trials_that_cannot_be_trained_fail_alone),
        cmocka_unit_test(what_is_wrong_in_a_study_is_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
