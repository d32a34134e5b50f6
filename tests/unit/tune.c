/* Studies: the same seed gives the same trials, also when they go on from a file; the samplers find what random draws do not;
 * rungs and fronts are what they say; what is wrong is named. */
#include "unit.h"
#include <math.h>
#include <tenon/tenon.h>
#include "tree.h"

TREE_ROOT("tune")

/* Of every kind: x and y, whole n, a choice, and a number that only one of the choices has. */
static tn_study *mixed(tn_sampler sampler, uint64_t seed, const char *path) {
    tn_study *s;
    const tn_study_options o = {.struct_size = sizeof o, .seed = seed, .sampler = sampler};
    assert_ok(tn_study_create(&o, &s));
    assert_ok(tn_study_add_float(s, "x", -5, 5, 0, false));
    assert_ok(tn_study_add_float(s, "rate", 1e-4, 1, 0, true));
    assert_ok(tn_study_add_int(s, "n", 16, 100, 16, false));
    assert_ok(tn_study_add_choice(s, "kind", (const char *[]){"a \"quoted\"", "b", "c"}, 3));
    assert_ok(tn_study_add_int(s, "depth", 1, 1000, 0, true));
    assert_ok(tn_study_add_float(s, "share", 0, 1, 0.25, false));
    assert_ok(tn_study_add_condition(s, "share", "kind", "b"));
    assert_ok(tn_study_open(s, path));
    return s;
}

static double try_mixed(tn_study *s, int64_t number) {
    double x, rate, n, depth, share = 0;
    const char *kind;
    assert_ok(tn_study_value(s, number, "x", &x));
    assert_ok(tn_study_value(s, number, "rate", &rate));
    assert_ok(tn_study_value(s, number, "n", &n));
    assert_ok(tn_study_value(s, number, "depth", &depth));
    assert_ok(tn_study_text(s, number, "kind", &kind));
    assert_true(x >= -5 && x <= 5 && rate >= 1e-4 && rate <= 1 && depth >= 1 && depth <= 1000 && depth == floor(depth));
    assert_true(n >= 16 && n <= 96 && fmod(n, 16) == 0);
    tn_status status = tn_study_value(s, number, "share", &share);
    assert_int_equal(status, strcmp(kind, "b") == 0 ? TN_OK : TN_E_NOT_FOUND);
    assert_true(share >= 0 && share <= 1 && fmod(share, 0.25) == 0);
    return (x - 1) * (x - 1) + pow(log10(rate) + 2, 2) + fabs(n - 48) / 16 + (strcmp(kind, "b") == 0 ? share : 2) +
           fabs(log(depth / 30)) / 2;
}

/* The best of so many trials. */
static double run(tn_study *s, int trials) {
    int64_t number, best;
    while (tn_study_count(s) < trials) {
        assert_ok(tn_study_ask(s, &number));
        assert_ok(tn_study_tell(s, number, &(double){try_mixed(s, number)}, 1));
    }
    assert_ok(tn_study_best(s, &best));
    return try_mixed(s, best);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void tpe_finds_better_than_random_draws(void **state) {
    (void)state;
    double best[2][21];
    for (int i = 0; i < 21; i++)
        for (int sampler = 0; sampler < 2; sampler++) {
            tn_study *s = mixed((tn_sampler)sampler, (uint64_t)i, NULL);
            best[sampler][i] = run(s, 60);
            tn_study_destroy(s);
        }
    for (int sampler = 0; sampler < 2; sampler++) qsort(best[sampler], 21, sizeof(double), by_value);
    assert_true(best[TN_SAMPLER_TPE][10] < 0.6 * best[TN_SAMPLER_RANDOM][10]); /* medians */
}

static void a_study_goes_on_from_its_file_as_if_it_had_not_stopped(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    size_t size, part_size;
    tn_study *s = mixed(TN_SAMPLER_TPE, 3, tree_at(root, "whole"));
    run(s, 30);
    tn_study_destroy(s);
    char *whole = tree_read(tree_at(root, "whole"), &size);
    /* Cut anywhere: in a line, between lines, in the first one. */
    for (size_t cut = 0; cut <= size; cut += cut < 1200 ? 1 + size / 40 : size / 11) {
        tree_write(tree_at(root, "part"), whole, cut);
        s = mixed(TN_SAMPLER_TPE, 3, tree_at(root, "part"));
        int64_t unfinished;
        assert_ok(tn_study_ask(s, &unfinished)); /* and is lost, as when the process is killed */
        tn_study_destroy(s);
        s = mixed(TN_SAMPLER_TPE, 3, tree_at(root, "part"));
        run(s, 30);
        tn_study_destroy(s);
        char *part = tree_read(tree_at(root, "part"), &part_size);
        assert_int_equal(part_size, size);
        assert_memory_equal(part, whole, size);
        free(part);
    }
    free(whole);
}

static void files_of_other_studies_and_damaged_ones_are_refused(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    static const struct {
        const char *line, *sentence;
    } bad[] = {
        {"{\"trial\": -1, \"state\": \"failed\", \"parameters\": {}}", "'trial' is not a whole number"},
        {"{\"trial\": 1e300, \"state\": \"failed\", \"parameters\": {}}", "'trial' is not a whole number"},
        {"{\"trial\": 0, \"state\": \"failed\", \"parameters\": {\"x\": 0.5}}", "trial 0 stands twice"},
        {"{\"trial\": 2, \"state\": \"running\", \"parameters\": {\"x\": 0.5}}", "'state' is not"},
        {"{\"trial\": 2, \"state\": \"failed\"}", "'parameters' is no map"},
        {"{\"trial\": 2, \"state\": \"failed\", \"parameters\": {\"x\": 1.5}}", "'x' is not what it can be"},
        {"{\"trial\": 2, \"state\": \"failed\", \"parameters\": {\"x\": nan}}", "'x' is not what it can be"},
        {"{\"trial\": 2, \"state\": \"complete\", \"parameters\": {\"x\": 1}}", "'values' is not a list"},
        {"{\"trial\": 2, \"state\": \"complete\", \"parameters\": {\"x\": 1}, \"values\": [1, 2]}", "'values' is not"},
        {"{\"trial\": 2, \"state\": \"pruned\", \"parameters\": {\"x\": 1}, \"rungs\": []}", "'rungs' is not"},
        {"{{{", "trial of line 4"},
    };
    for (size_t i = 0; i < TN_COUNT(bad); i++) {
        int64_t number;
        for (int again = 0; again < 2; again++) {
            tn_study *s;
            assert_ok(tn_study_create(NULL, &s));
            assert_ok(tn_study_add_float(s, "x", 0, 1, 0, false));
            const char *path = tree_at(root, "study");
            if (again) {
                assert_int_equal(tn_study_open(s, path), TN_E_FORMAT);
                if (!strstr(tn_last_error(), bad[i].sentence)) fail_msg("%zu: %s", i, tn_last_error());
                assert_ok(tn_study_open(s, NULL)); /* nothing of it stayed */
                assert_int_equal(tn_study_end(s), 0);
            } else {
                unlink(path);
                assert_ok(tn_study_open(s, path));
                for (int k = 0; k < 2; k++) {
                    assert_ok(tn_study_ask(s, &number));
                    assert_ok(tn_study_tell(s, number, &(double){k}, 1));
                }
                tn_study *second;
                assert_ok(tn_study_create(NULL, &second));
                assert_ok(tn_study_add_float(second, "x", 0, 1, 0, false));
                assert_int_equal(tn_study_open(second, path), TN_E_STATE);
                assert_non_null(strstr(tn_last_error(), "another process has this study open"));
                tn_study_destroy(second);
                FILE *file = fopen(path, "a");
                fprintf(file, "%s\n{\"trial\": 7}\n", bad[i].line);
                fclose(file);
            }
            tn_study_destroy(s);
        }
    }
    tn_study *s;
    assert_ok(tn_study_create(NULL, &s));
    assert_ok(tn_study_add_float(s, "x", 0, 2, 0, false));
    assert_int_equal(tn_study_open(s, tree_at(root, "study")), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "no file of this study"));
    assert_int_equal(tn_study_open(s, root), TN_E_IO);
    tn_study_destroy(s);
}

static void what_was_said_of_a_failure_is_read_again(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    static const char said[] = "a \"quoted\"\ttab, \xff no UTF-8, \x7f, \xc2\x85, \xe2\x82\xac",
                      *const read = "a \"quoted\"?tab, ? no UTF-8, ?, ?, \xe2\x82\xac";
    tn_trial t = {.struct_size = sizeof t};
    char text[1200];
    int64_t number;
    for (int again = 0; again < 2; again++) {
        tn_study *s;
        assert_ok(tn_study_create(NULL, &s));
        assert_int_equal(tn_study_add_float(s, "a\nb", 0, 1, 0, false), TN_E_INVALID);
        assert_ok(tn_study_add_float(s, "x: \"\xc3\xa4\"", 0, 1, 0, false));
        assert_ok(tn_study_open(s, tree_at(root, "failures")));
        for (int i = 0; i < 2 && !again; i++) {
            for (size_t k = 0; k + 1 < sizeof text; k++) text[k] = "\xe2\x82\xac"[k % 3];
            text[sizeof text - 1] = 0;
            assert_ok(tn_study_ask(s, &number));
            assert_ok(tn_study_fail(s, number, i ? text : said));
        }
        assert_int_equal(tn_study_count(s), 2);
        assert_ok(tn_study_trial(s, 0, &t));
        assert_string_equal(t.sentence, read);
        assert_ok(tn_study_trial(s, 1, &t));
        assert_int_equal(strlen(t.sentence) % 3, 0);
        tn_study_destroy(s);
    }
}

static void a_rung_lets_the_best_part_of_the_trials_go_on(void **state) {
    (void)state;
    tn_study *s;
    int64_t number;
    bool prune;
    const tn_study_options o = {.struct_size = sizeof o, .first = 1, .reduction = 3};
    assert_ok(tn_study_create(&o, &s));
    assert_ok(tn_study_add_float(s, "x", 0, 1, 0, false));
    assert_ok(tn_study_open(s, NULL));
    /* Accuracies at resource 1; who goes on is the best of 1, 2, 3 and so on, then of 6 the best two. */
    static const double reached[] = {0.5, 0.4, 0.6, 0.55, 0.2, 0.58, NAN};
    static const bool goes_on[] = {true, false, true, false, false, true, false};
    for (int i = 0; i < 7; i++) {
        tn_trial t = {.struct_size = sizeof t};
        assert_ok(tn_study_ask(s, &number));
        assert_ok(tn_study_report(s, number, 0, reached[i], true, &prune));
        assert_false(prune); /* there is no rung yet */
        assert_ok(tn_study_report(s, number, 1, reached[i], true, &prune));
        assert_int_equal(prune, !goes_on[i]);
        assert_ok(tn_study_trial(s, number, &t));
        assert_int_equal(t.state, prune ? TN_TRIAL_PRUNED : TN_TRIAL_RUNNING);
        assert_int_equal(t.rungs, 1);
        if (i < 6) assert_true(t.reported == reached[i]);
        assert_int_equal(tn_study_report(s, number, 2, 0, true, &prune), goes_on[i] ? TN_OK : TN_E_STATE);
        assert_false(prune); /* the second rung is at 3 */
    }
    assert_int_equal(tn_study_count(s), 4);
    tn_study_destroy(s);
}

static void open_waiting(tn_study **s, const char *path) {
    const tn_study_options o = {.struct_size = sizeof o, .first = 1, .reduction = 2, .promote = true};
    tn_study_destroy(*s);
    assert_ok(tn_study_create(&o, s));
    assert_ok(tn_study_add_float(*s, "x", 0, 1, 0, false));
    assert_ok(tn_study_open(*s, path));
}

/* A row is what one trial does at the next rung. Trials that end or wait there have their lines, so that a study that is
 * opened again after each row asks and promotes as one that stays open. */
static void what_waits_at_a_rung_goes_on_once_it_is_among_the_best(void **state) {
    (void)state;
    static const struct {
        int64_t promoted, trial; /* -1: none, a new trial is asked for; else the one that goes on */
        int64_t resource;
        double value;
        bool prune;
    } rows[] = {
        {-1, 0, 1, 0.5, false},                        /* the best of one */
        {0, 0, 2, 0.45, false}, {-1, 1, 1, 0.6, true}, /* one of two goes on, and it is not this one */
        {-1, 2, 1, 0.7, true},                         /* one of three */
        {-1, 3, 1, 0.8, true},                         /* two of four: 0 and 1 */
        {1, 1, 2, 0.5, true},                          /* one of two at the second rung */
        {-1, 4, 1, 0.1, false},                        /* two of five, and 4 is the better one */
        {4, 4, 2, 0.3, false},  {-1, 5, 1, NAN, true}, /* three of six: 0, 1 and 4 are beyond */
        {-1, 6, 1, 0.65, true}, {-1, 7, 1, 0.9, true}, /* four of eight: 6 is one of them */
        {6, 6, 2, 0.35, false},                        /* two of four there: 4 and 6 */
    };
    for (int again = 0; again < (TN_WITH_YAML ? 2 : 1); again++) {
        const char *path = again ? tree_at(root, "waiting") : NULL;
        tn_study *s = NULL;
        int64_t number = -1;
        bool prune = true;
        open_waiting(&s, path);
        for (size_t i = 0; i < TN_COUNT(rows); i++) {
            tn_trial t = {.struct_size = sizeof t};
            if (again) open_waiting(&s, path);
            if (again || prune) {
                tn_status status = tn_study_promote(s, &number);
                assert_int_equal(status, rows[i].promoted < 0 ? TN_E_NOT_FOUND : TN_OK);
                if (status != TN_OK) assert_ok(tn_study_ask(s, &number));
            }
            assert_int_equal(number, rows[i].trial);
            assert_ok(tn_study_report(s, number, rows[i].resource, rows[i].value, false, &prune));
            assert_int_equal(prune, rows[i].prune);
            if (i == 1 || i == 7) { /* what is complete waits no more */
                assert_ok(tn_study_tell(s, number, &(double){rows[i].value}, 1));
                prune = true;
            }
            assert_ok(tn_study_trial(s, number, &t));
            assert_int_equal(t.rungs, rows[i].resource);
        }
        if (again) { /* what went on and was lost waits where it was last */
            open_waiting(&s, path);
            assert_ok(tn_study_promote(s, &number));
            assert_int_equal(number, 6);
        }
        assert_int_equal(tn_study_promote(s, &number), TN_E_NOT_FOUND);
        assert_int_equal(tn_study_end(s), 8);
        assert_int_equal(tn_study_count(s), 7);
        tn_study_destroy(s);
    }
}

static void the_front_is_what_nothing_dominates(void **state) {
    (void)state;
    tn_study *s;
    const tn_study_options o = {.struct_size = sizeof o, .seed = 1};
    assert_ok(tn_study_create(&o, &s));
    assert_ok(tn_study_add_float(s, "x", 0, 3, 0, false));
    assert_ok(tn_study_add_float(s, "y", 0, 3, 0, false));
    assert_ok(tn_study_add_objective(s, "gain", true));
    assert_ok(tn_study_add_objective(s, "cost", false));
    assert_ok(tn_study_open(s, NULL));
    for (int i = 0; i < 80; i++) { /* y is waste: the front is where it is 0 */
        int64_t number;
        double x, y;
        assert_ok(tn_study_ask(s, &number));
        assert_ok(tn_study_value(s, number, "x", &x));
        assert_ok(tn_study_value(s, number, "y", &y));
        assert_ok(tn_study_tell(s, number, (double[]){x - y, x * x + y}, 2));
    }
    int64_t front[80];
    size_t count;
    tn_trial a = {.struct_size = sizeof a}, b = a;
    assert_ok(tn_study_pareto(s, 80, front, &count));
    assert_true(count > 3 && count < 80);
    size_t next = 0;
    for (int64_t i = 0; i < 80; i++) {
        bool dominated = false;
        assert_ok(tn_study_trial(s, i, &a));
        for (int64_t k = 0; k < 80; k++) {
            assert_ok(tn_study_trial(s, k, &b));
            dominated = dominated || (b.values[0] >= a.values[0] && b.values[1] <= a.values[1] &&
                                      (b.values[0] > a.values[0] || b.values[1] < a.values[1]));
        }
        assert_int_equal(!dominated, next < count && front[next] == i);
        next += !dominated;
    }
    double early = 0, late = 0, shares[2];
    for (int i = 0; i < 10; i++) {
        assert_ok(tn_study_trial(s, i, &a));
        early += a.parameters[1];
        assert_ok(tn_study_trial(s, 70 + i, &a));
        late += a.parameters[1];
    }
    assert_true(late < 0.5 * early);
    assert_ok(tn_study_importance(s, 1, shares));
    assert_true(fabs(shares[0] + shares[1] - 1) < 1e-12 && shares[0] > shares[1]);
    assert_int_equal(tn_study_importance(s, 2, shares), TN_E_NOT_FOUND);
    tn_study_destroy(s);
}

static void what_is_wrong_is_named(void **state) {
    (void)state;
    tn_study *s;
    int64_t number;
    const char *text;
    double value;
    assert_int_equal(tn_study_create(&(tn_study_options){.struct_size = sizeof(tn_study_options), .reduction = 1}, &s),
                     TN_E_INVALID);
    assert_null(s);
    assert_ok(tn_study_create(NULL, &s));
    assert_int_equal(tn_study_open(s, NULL), TN_E_STATE);
    assert_int_equal(tn_study_ask(s, &number), TN_E_STATE);
    assert_int_equal(tn_study_add_float(s, "x", 1, 0, 0, false), TN_E_INVALID);
    assert_int_equal(tn_study_add_float(s, "x", 0, 1, 0, true), TN_E_INVALID);
    assert_int_equal(tn_study_add_float(s, "x", NAN, 1, 0, false), TN_E_INVALID);
    assert_int_equal(tn_study_add_float(s, "", 0, 1, 0, false), TN_E_INVALID);
    assert_int_equal(tn_study_add_float(s, "\xff", 0, 1, 0, false), TN_E_INVALID);
    assert_int_equal(tn_study_add_int(s, "x", 0, 9, -1, false), TN_E_INVALID);
    assert_int_equal(tn_study_add_choice(s, "x", (const char *[]){"a", "a"}, 2), TN_E_INVALID);
    assert_int_equal(tn_study_add_choice(s, "x", NULL, 0), TN_E_INVALID);
    assert_ok(tn_study_add_float(s, "x", 2, 2, 0, false));
    assert_int_equal(tn_study_add_float(s, "x", 0, 1, 0, false), TN_E_INVALID);
    assert_int_equal(tn_study_add_condition(s, "x", "x", "a"), TN_E_NOT_FOUND);
    assert_ok(tn_study_open(s, NULL));
    assert_int_equal(tn_study_best(s, &number), TN_E_NOT_FOUND);
    for (int i = 0; i < 30; i++) { /* a range of one number */
        assert_ok(tn_study_ask(s, &number));
        assert_ok(tn_study_value(s, number, "x", &value));
        assert_true(value == 2);
        if (i < 20)
            assert_ok(tn_study_tell(s, number, &(double){i == 5 ? NAN : 1.0}, 1));
        else
            assert_ok(tn_study_fail(s, number, "no luck"));
    }
    tn_trial t = {.struct_size = sizeof t};
    assert_ok(tn_study_trial(s, 5, &t));
    assert_int_equal(t.state, TN_TRIAL_FAILED);
    assert_string_equal(t.sentence, "'value' is nan");
    assert_int_equal(tn_study_tell(s, 5, &(double){1}, 1), TN_E_STATE);
    assert_int_equal(tn_study_value(s, 5, "y", &value), TN_E_NOT_FOUND);
    assert_int_equal(tn_study_text(s, 5, "x", &text), TN_E_TYPE);
    assert_int_equal(tn_study_trial(s, 99, &t), TN_E_NOT_FOUND);
    assert_ok(tn_study_ask(s, &number));
    assert_int_equal(tn_study_tell(s, number, (double[]){1, 2}, 2), TN_E_INVALID);
    tn_study_destroy(s);
    tn_study_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tpe_finds_better_than_random_draws),
        cmocka_unit_test(a_study_goes_on_from_its_file_as_if_it_had_not_stopped),
        cmocka_unit_test(files_of_other_studies_and_damaged_ones_are_refused),
        cmocka_unit_test(what_was_said_of_a_failure_is_read_again),
        cmocka_unit_test(a_rung_lets_the_best_part_of_the_trials_go_on),
        cmocka_unit_test(what_waits_at_a_rung_goes_on_once_it_is_among_the_best),
        cmocka_unit_test(the_front_is_what_nothing_dominates),
        cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
