/* Packed weights in a file: later models and other processes read what the first one packed, results are the same bits, and
 * whatever is wrong with the file, it is passed by and made anew. */
#include "unit.h"
#include "kernels/kernels.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tenon/tenon.h>
#include <unistd.h>
#include "base/checksum.h"
#include "exec/pack_file.h"
#include "tree.h"

/* Matrices of fewer units are not packed for one row on Arm; FEW are for the test that runs a thousand times. */
enum { UNITS = 460, FEW = 120, MOST = 8 };

static char root[64], folder[80], file[160];
static int units; /* columns of the model's product */

/* Some of -1 to 1. */
static void constant(tn_graph *g, const char *name, int rank, const int64_t *dims, int *out) {
    tn_tensor *t;
    uint32_t state = (uint32_t)strlen(name) * 2654435761u + (uint32_t)name[0];
    assert_ok(tn_tensor_create(TN_FLOAT32, rank, dims, NULL, &t));
    float *to = tn_tensor_data(t);
    for (size_t i = 0; i < tn_tensor_bytes(t) / sizeof *to; i++) {
        state = state * 1664525u + 1013904223u;
        to[i] = (float)(state >> 8) / (1 << 23) - 1;
    }
    assert_ok(tn_graph_constant(g, name, t, out));
    tn_tensor_destroy(t);
}

/* Two products and a scale that a pass puts into weights: packed from the file, and from what was computed. */
static void make_model(const char *path) {
    tn_graph *g;
    int x, w, scale, v, a, b, c, y;
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 4, (int64_t[]){tn_graph_symbol(g, "batch"), 8, 8, 8}, &x));
    constant(g, "kernels", 4, (int64_t[]){16, 8, 3, 3}, &w);
    constant(g, "scale", 4, (int64_t[]){1, 16, 1, 1}, &scale);
    constant(g, "matrix", 2, (int64_t[]){16 * 36, units}, &v);
    assert_ok(tn_graph_node(g, "Conv", "conv", 2, (int[]){x, w}, 1, &a, NULL));
    assert_ok(tn_graph_node(g, "Mul", "scaled", 2, (int[]){a, scale}, 1, &b, NULL));
    assert_ok(tn_graph_node(g, "Flatten", "flat", 1, &b, 1, &c, NULL));
    assert_ok(tn_graph_node(g, "MatMul", "product", 2, (int[]){c, v}, 1, &y, NULL));
    assert_ok(tn_graph_output(g, y, "y"));
    assert_ok(tn_graph_save(g, path, NULL));
    tn_graph_destroy(g);
}

static char *model_path(void) {
    return tree_at(root, "m.tenon");
}

static tn_status load(const char *cpu, bool shared, tn_model **out) {
    tn_model_options options = {sizeof options, .cpu = cpu, .packed_folder = shared ? folder : NULL};
    return tn_model_load(model_path(), &options, out);
}

typedef struct runner {
    tn_session *session;
    tn_tensor *x;
    float in[MOST * 512];
} runner;

static void start(runner *r, const tn_model *model, int batch) {
    assert_true(batch <= MOST);
    for (int i = 0; i < batch * 512; i++) r->in[i] = (float)(i % 29) / 16 - 0.5f;
    assert_ok(tn_session_create(model, NULL, &r->session));
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 4, (int64_t[]){batch, 8, 8, 8}, NULL, r->in, sizeof r->in, &r->x));
    assert_ok(tn_session_set_input(r->session, 0, r->x));
}

static void stop(runner *r) {
    tn_session_destroy(r->session);
    tn_tensor_destroy(r->x);
}

static void run(runner *r, int batch, float *y) {
    const tn_tensor *out;
    assert_ok(tn_session_run(r->session));
    assert_ok(tn_session_output(r->session, 0, &out));
    assert_int_equal(tn_tensor_bytes(out), (size_t)batch * (size_t)units * sizeof *y);
    memcpy(y, tn_tensor_const_data(out), tn_tensor_bytes(out));
}

/* Loads and runs; returns the bytes of packed weights that came from a file. */
static size_t run_loaded(const char *cpu, bool shared, int batch, float *y) {
    static runner r;
    tn_model *model;
    tn_session_memory memory = {.struct_size = sizeof memory};
    assert_ok(load(cpu, shared, &model));
    start(&r, model, batch);
    run(&r, batch, y);
    assert_ok(tn_session_memory_info(r.session, &memory));
    if (!shared) assert_int_equal(memory.mapped, 0);
    stop(&r);
    tn_model_destroy(model);
    return memory.mapped;
}

static float expected[MOST * UNITS], found[MOST * UNITS];

/* As `expected` is already. */
static size_t check_again(const char *cpu, int batch) {
    size_t mapped = run_loaded(cpu, true, batch, found);
    assert_memory_equal(found, expected, (size_t)batch * (size_t)units * sizeof *found);
    return mapped;
}

/* Compares with a model that shares nothing. */
static size_t check_at(const char *cpu, int batch) {
    run_loaded(cpu, false, batch, expected);
    return check_again(cpu, batch);
}

static size_t check(int batch) {
    return check_at(NULL, batch);
}

/* The one file in the folder. */
static int find_file(const char *path, bool is_folder, void *context) {
    assert_false(is_folder);
    assert_non_null(strstr(path, ".packed"));
    assert_null(strstr(path, ".tmp"));
    assert_int_equal(*(int *)context, 0);
    *(int *)context = 1;
    snprintf(file, sizeof file, "%s", path);
    return 0;
}

static struct stat look(void) {
    struct stat info;
    int count = 0;
    assert_int_equal(tree_walk(folder, find_file, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(stat(file, &info), 0);
    return info;
}

/* Damaged contents in the place of the file, of the same mode. */
static void put(const char *data, size_t size, mode_t mode) {
    assert_int_equal(unlink(file), 0);
    tree_write(file, data, size);
    assert_int_equal(chmod(file, mode), 0);
}

static int setup_with(int columns) {
    units = columns;
    if (!tree_make(root, "packs")) return -1;
    snprintf(folder, sizeof folder, "%s/packed", root);
    make_model(model_path());
    return mkdir(folder, 0700);
}
static int setup(void **state) {
    (void)state;
    return setup_with(UNITS);
}
/* For a test that runs it a thousand times. */
static int setup_small(void **state) {
    (void)state;
    return setup_with(FEW);
}
static int teardown(void **state) {
    (void)state;
    return tree_remove(root);
}

static void checksums_are_those_of_the_specification(void **state) {
    (void)state;
    const char *text = "Nobody inspects the spammish repetition";
    assert_true(tn_checksum("", 0) == 0xef46db3751d8e999u);
    assert_true(tn_checksum("a", 1) == 0xd24ec4f1a98c6e5bu);
    assert_true(tn_checksum("abc", 3) == 0x44bc2cf5ad770999u);
    assert_true(tn_checksum(text, strlen(text)) == 0xfbcea83c8a378bf1u);
}

static void what_one_packed_others_map(void **state) {
    (void)state;
    check(4);
    struct stat first = look();
    assert_int_equal(first.st_mode & 0222, 0);
    assert_true(check(4) > 16 * 36 * UNITS * sizeof(float) / 2);
    struct stat second = look();
    assert_int_equal(first.st_ino, second.st_ino);
    /* Both kinds of origin; plain C packs too little to have them. */
    if (tn_kernels_best()->level == TN_CPU_SCALAR) return;
    size_t size;
    uint8_t *data = (uint8_t *)tree_read(file, &size);
    bool kinds[2] = {false};
    for (size_t i = 0; i < data[12]; i++) kinds[data[128 + 64 * i + 16] & 1] = true;
    assert_true(kinds[TN_PACK_OF_WEIGHTS] && kinds[TN_PACK_OF_CONTENTS]);
    free(data);
}

static void other_shapes_are_added(void **state) {
    (void)state;
    check(1);
    size_t rows[2];
    for (int i = 0; i < 2; i++) {
        size_t size;
        look();
        uint8_t *data = (uint8_t *)tree_read(file, &size);
        rows[i] = data[12];
        free(data);
        check(i ? 1 : 6);
    }
    assert_true(rows[1] > rows[0]);
    struct stat before = look();
    assert_true(check(1) + check(6) > 0);
    assert_int_equal(before.st_ino, look().st_ino);
}

/* A kernel that reaches over the edges is packed for each size anew. */
static void of_what_is_packed_for_ever_new_shapes_there_is_an_end(void **state) {
    (void)state;
    if (tn_kernels_best()->level == TN_CPU_SCALAR) skip(); /* packs for no size anew */
    tn_graph *g;
    tn_model *model;
    tn_session *session;
    static float in[8 * 40];
    int x, w, y, files = 0;
    ino_t last = 0;
    tn_attribute pads[] = {{.name = "pads", .kind = TN_ATTR_INTS, .count = 4, .ints = (int64_t[]){1, 1, 1, 1}}, {0}};
    assert_ok(tn_graph_create(NULL, &g));
    assert_ok(tn_graph_input(g, "x", TN_FLOAT32, 4, (int64_t[]){1, 8, tn_graph_symbol(g, "rows"), 1}, &x));
    constant(g, "kernels", 4, (int64_t[]){16, 8, 3, 3}, &w);
    assert_ok(tn_graph_node(g, "Conv", "conv", 2, (int[]){x, w}, 1, &y, pads));
    assert_ok(tn_graph_output(g, y, "y"));
    assert_ok(tn_graph_save(g, model_path(), NULL));
    tn_graph_destroy(g);
    assert_ok(load(NULL, true, &model));
    assert_ok(tn_session_create(model, NULL, &session));
    for (int rows = 1; rows <= 40; rows++) {
        tn_tensor *t;
        assert_ok(tn_tensor_wrap(TN_FLOAT32, 4, (int64_t[]){1, 8, rows, 1}, NULL, in, sizeof in, &t));
        assert_ok(tn_session_set_input(session, 0, t));
        assert_ok(tn_session_run(session));
        tn_tensor_destroy(t);
        struct stat info = look();
        files += info.st_ino != last;
        last = info.st_ino;
    }
    assert_in_range(files, 2, 8);
    tn_session_destroy(session);
    tn_model_destroy(model);
}

static void any_damage_is_passed_by_and_mended(void **state) {
    (void)state;
    size_t size;
    check(4);
    struct stat right = look();
    char *data = tree_read(file, &size), *changed = malloc(size);
    assert_non_null(changed);
    size_t table = TN_PACK_FILE_HEADER + (size_t)data[12] * TN_PACK_FILE_ROW + (size_t)(uint8_t)data[24];
    for (size_t i = 0; i < size; i += i < table ? 1 : size / 50) {
        memcpy(changed, data, size);
        changed[i] = (char)(changed[i] ^ 1 << i % 8);
        put(changed, size, 0444);
        check_again(NULL, 4);
    }
    for (size_t cut = 0; cut < size; cut += 1 + size / 40) {
        put(data, cut, 0444);
        check_again(NULL, 4);
        assert_int_equal(look().st_size, right.st_size);
    }
    size_t again;
    char *mended = tree_read(file, &again);
    assert_int_equal(again, size);
    assert_memory_equal(mended, data, size);
    free(mended);
    free(changed);
    free(data);
}

static void what_is_not_ours_does_not_count(void **state) {
    (void)state;
    size_t size;
    check(4);
    look();
    char *data = tree_read(file, &size);
    put(data, size, 0464); /* a group may write */
    ino_t before = look().st_ino;
    check(4);
    assert_int_not_equal(look().st_ino, before);
    /* Nor does a link, or what is no file; they stay, or give way, but harm nobody. */
    char *elsewhere = tree_at(root, "elsewhere");
    tree_write(elsewhere, data, size);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(symlink(elsewhere, file), 0);
    check(4);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkfifo(file, 0600), 0);
    check(4);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkdir(file, 0700), 0);
    check(4);
    assert_int_equal(rmdir(file), 0);
    free(data);
}

static void another_level_has_another_file(void **state) {
    (void)state;
    size_t size;
    if (!tn_cpu_level_at(1)) skip();
    check_at("scalar", 4);
    look();
    char *data = tree_read(file, &size), scalar[160];
    snprintf(scalar, sizeof scalar, "%s", file);
    assert_int_equal(unlink(file), 0);
    check(4);
    look();
    assert_string_not_equal(file, scalar);
    put(data, size, 0444); /* under the name of the better one */
    check(4);
    char *mended = tree_read(file, &size);
    assert_memory_not_equal(mended + 32, data + 32, 32);
    free(mended);
    free(data);
}

static void damaged_weights_are_not_packed_for_others(void **state) {
    (void)state;
    size_t size;
    char *data = tree_read(model_path(), &size);
    data[size - 4] ^= 1; /* of the last weight */
    tree_write(model_path(), data, size);
    check(4);
    assert_int_equal(tree_count(folder), 0);
    data[size - 4] ^= 1;
    tree_write(model_path(), data, size);
    check(4);
    assert_true(check(4) > 0);
    free(data);
}

static void without_its_folder_it_runs_all_the_same(void **state) {
    (void)state;
    tn_model *model;
    static runner r;
    float y[4 * UNITS];
    assert_ok(load(NULL, true, &model));
    assert_int_equal(rmdir(folder), 0);
    start(&r, model, 4);
    run(&r, 4, y);
    stop(&r);
    tn_model_destroy(model);
    assert_int_equal(load(NULL, true, &model), TN_E_IO);
    assert_non_null(strstr(tn_last_error(), "packed_folder"));
    tn_graph *g;
    tn_model_options options = {sizeof options, .packed_folder = root};
    assert_ok(tn_graph_load(model_path(), NULL, &g));
    assert_ok(tn_graph_save_onnx(g, tree_at(root, "m.onnx"), NULL));
    tn_graph_destroy(g);
    assert_int_equal(tn_model_load(tree_at(root, "m.onnx"), &options, &model), TN_E_UNSUPPORTED);
}

typedef struct loop {
    runner r;
    atomic_bool end;
    float expected[4 * UNITS], found[4 * UNITS];
    int runs;
} loop;

static void *run_on(void *context) {
    loop *l = context;
    while (!atomic_load(&l->end) || l->runs < 3) {
        run(&l->r, 4, l->found);
        assert_memory_equal(l->found, l->expected, sizeof l->expected);
        l->runs++;
    }
    return NULL;
}

/* Weights of a session that runs move to the file as soon as another's plan is ready. */
static void a_session_that_runs_notices_nothing(void **state) {
    (void)state;
    static loop l;
    static runner other;
    static float y[6 * UNITS];
    tn_model *model;
    pthread_t thread;
    tn_session_memory memory = {.struct_size = sizeof memory};
    assert_ok(load(NULL, true, &model));
    int lock = open(folder, O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(lock, LOCK_EX), 0); /* so that nobody can write */
    start(&l.r, model, 4);
    run(&l.r, 4, l.expected);
    assert_ok(tn_session_memory_info(l.r.session, &memory));
    assert_int_equal(memory.mapped, 0);
    close(lock);
    assert_int_equal(pthread_create(&thread, NULL, run_on, &l), 0);
    start(&other, model, 6);
    run(&other, 6, y);
    assert_ok(tn_session_memory_info(other.session, &memory));
    assert_true(memory.mapped > 0);
    atomic_store(&l.end, true);
    pthread_join(thread, NULL);
    assert_true(l.runs >= 3);
    stop(&other);
    stop(&l.r);
    tn_model_destroy(model);
}

/* Who waits for its turn in vain, as on a busy machine, has its own, and finds them in the file another time. */
static bool runs_from_the_file(int batch) {
    for (int tries = 0; tries < 10; tries++)
        if (check(batch) > 0) return true;
    return false;
}

static void many_processes_start_at_once(void **state) {
    (void)state;
    enum { PROCESSES = 12 };
    pid_t children[PROCESSES];
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i]) continue;
        char byte;
        close(gate[1]);
        _exit(read(gate[0], &byte, 1) != 0 || !runs_from_the_file(2 + i % 3)); /* until all are there */
    }
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    ino_t number = look().st_ino;
    for (int batch = 1; batch < 4; batch++) assert_true(check(batch) > 0);
    assert_int_equal(look().st_ino, number);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums_are_those_of_the_specification),
        cmocka_unit_test_setup_teardown(what_one_packed_others_map, setup, teardown),
        cmocka_unit_test_setup_teardown(other_shapes_are_added, setup, teardown),
        cmocka_unit_test_setup_teardown(of_what_is_packed_for_ever_new_shapes_there_is_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(any_damage_is_passed_by_and_mended, setup_small, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_ours_does_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(another_level_has_another_file, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_weights_are_not_packed_for_others, setup, teardown),
        cmocka_unit_test_setup_teardown(without_its_folder_it_runs_all_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(a_session_that_runs_notices_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(many_processes_start_at_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
