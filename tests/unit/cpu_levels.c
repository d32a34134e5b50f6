/* Levels: which there are, and how AMX's tiles are asked for. Each case runs in a child of its own, since a process asks
 * once. */
#include "unit.h"
#include "kernels/tiles.h"
#include "kernels/kernels.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <tenon/tenon.h>
#include <unistd.h>

static void in_child(int (*work)(void)) {
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(work());
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Whether this process may use tiles, by the system's word. */
static bool has_tiles(void) {
#ifdef __x86_64__
    uint64_t features = 0;
    return syscall(SYS_arch_prctl, 0x1022, &features) == 0 && (features >> 18 & 1);
#else
    return false;
#endif
}

static int wish_for_scalar(void) {
    setenv("TENON_CPU", "scalar", 1);
    if (tn_kernels_best() != tn_kernels_at(TN_CPU_SCALAR)) return 1;
    return has_tiles() ? 2 : 0;
}

static int lower_level_by_option(void) {
    tn_graph *graph;
    tn_model *model;
    int x, y;
    tn_model_options options = {.struct_size = sizeof options, .cpu = "scalar"};
    if (tn_graph_create(NULL, &graph) != TN_OK) return 1;
    if (tn_graph_input(graph, "x", TN_FLOAT32, 1, (int64_t[]){4}, &x) != TN_OK) return 1;
    if (tn_graph_node(graph, "Relu", NULL, 1, &x, 1, &y, NULL) != TN_OK) return 1;
    if (tn_graph_output(graph, y, "y") != TN_OK) return 1;
    if (tn_model_from_graph(graph, &options, &model) != TN_OK) return 1;
    bool scalar = strcmp(tn_model_cpu(model), "scalar") == 0;
    tn_model_destroy(model);
    return !scalar ? 2 : has_tiles() ? 3 : 0;
}

static int best_level(void) {
    unsetenv("TENON_CPU");
    tn_cpu_level level = tn_kernels_best()->level;
    return has_tiles() == (level == TN_CPU_AMX) ? 0 : 1;
}

static int small_signal_stack(void) {
    static char stack[8192];
    unsetenv("TENON_CPU");
    const stack_t small = {.ss_sp = stack, .ss_size = sizeof stack};
    if (getauxval(AT_MINSIGSTKSZ) <= sizeof stack || sigaltstack(&small, NULL) != 0) return 0; /* it is large enough */
    if (tn_kernels_best() == NULL || tn_kernels_best()->level == TN_CPU_AMX) return 1;
    return tn_kernels_at(TN_CPU_AMX) ? 2 : 0;
}

static void lower_levels_ask_for_no_tiles(void **state) {
    (void)state;
    in_child(wish_for_scalar);
    in_child(lower_level_by_option);
}

static void the_best_level_asks_for_tiles(void **state) {
    (void)state;
    in_child(best_level);
}

static void a_signal_stack_too_small_for_tiles_leaves_the_next_level(void **state) {
    (void)state;
    in_child(small_signal_stack);
}

static void levels_are_listed_lowest_first(void **state) {
    (void)state;
    int listed = 0;
    for (int level = 0; level < TN_CPU_LEVELS; level++) {
        const char *name = tn_cpu_level_name((tn_cpu_level)level);
        if (tn_kernels_at((tn_cpu_level)level)) {
            assert_string_equal(tn_cpu_level_at(listed++), name);
            assert_int_equal(tn_kernels_at((tn_cpu_level)level)->level, level);
        } else {
            print_message("this machine or build has no %s: not tested\n", name);
        }
    }
    assert_true(listed >= 1);
    assert_null(tn_cpu_level_at(listed));
    assert_null(tn_cpu_level_at(-1));
    assert_string_equal(tn_cpu_level_name(TN_CPU_LEVELS), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lower_levels_ask_for_no_tiles),
        cmocka_unit_test(the_best_level_asks_for_tiles),
        cmocka_unit_test(a_signal_stack_too_small_for_tiles_leaves_the_next_level),
        cmocka_unit_test(levels_are_listed_lowest_first),
    };
    return cmocka_run_group_tests_name("cpu_levels", tests, NULL, NULL);
}
