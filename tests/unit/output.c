/* Files written whole or not at all: whatever fails, and wherever, the old file is there or the new one, and nothing else. */
#include "unit.h"
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "base/output.h"
#include "faults.h"

static char folder[64], path[96];
#define NEW_BYTES 200000

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/tenon-output-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int drop_folder(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails if anything else was left in it */
}

static tn_status write_new(void) {
    tn_output o;
    char data[1000];
    memset(data, 'n', sizeof data);
    TN_TRY(tn_output_open(&o, path));
    for (int i = 0; i < NEW_BYTES / 1000; i++) tn_output_write(&o, data, sizeof data);
    tn_output_patch(&o, 0, "N", 1);
    return tn_output_commit(&o);
}

static void write_old(void) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("old", file);
    fclose(file);
}

/* 'o' or 'n': which of the two is there, whole. */
static char what_is_there(void) {
    static char data[NEW_BYTES + 1];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    if (size == 3 && memcmp(data, "old", 3) == 0) return 'o';
    assert_int_equal(size, NEW_BYTES);
    assert_int_equal(data[0], 'N');
    for (size_t i = 1; i < size; i++) assert_int_equal(data[i], 'n');
    return 'n';
}

static int entries(void) {
    DIR *d = opendir(folder);
    int count = 0;
    while (readdir(d)) count++;
    closedir(d);
    return count - 2;
}

static void a_file_is_written_and_replaced(void **state) {
    (void)state;
    assert_ok(write_new());
    assert_int_equal(what_is_there(), 'n');
    write_old();
    assert_int_equal(chmod(path, 0640), 0);
    assert_ok(write_new());
    assert_int_equal(what_is_there(), 'n');
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    assert_int_equal(entries(), 1);
}

static void whatever_operation_fails_the_file_is_the_old_or_the_new_one(void **state) {
    (void)state;
    static const int errors[] = {ENOSPC, EIO};
    int operations = 0;
    for (size_t e = 0; e < TN_COUNT(errors); e++)
        for (int n = 1;; n++) {
            write_old();
            faults_from(n, errors[e]);
            tn_status status = write_new();
            operations = fault_count;
            faults_from(0, 0);
            char found = what_is_there();
            if (status == TN_OK) {
                assert_int_equal(found, 'n');
                break;
            }
            assert_int_equal(status, TN_E_IO);
            assert_non_null(strstr(tn_last_error(), strerror(errors[e])));
            assert_int_equal(entries(), 1);
        }
    assert_true(operations > 5);
}

static void a_file_that_may_not_grow_leaves_the_old_one(void **state) {
    (void)state;
    struct rlimit before, small;
    signal(SIGXFSZ, SIG_IGN);
    write_old();
    getrlimit(RLIMIT_FSIZE, &before);
    for (rlim_t size = 0; size < NEW_BYTES; size += 30011) {
        small = (struct rlimit){size, before.rlim_max};
        setrlimit(RLIMIT_FSIZE, &small);
        tn_status status = write_new();
        setrlimit(RLIMIT_FSIZE, &before);
        assert_int_equal(status, TN_E_IO);
        assert_int_equal(what_is_there(), 'o');
        assert_int_equal(entries(), 1);
    }
}

static void what_is_no_file_is_not_replaced(void **state) {
    (void)state;
    tn_output o;
    assert_int_equal(tn_output_open(&o, "/dev/null"), TN_E_IO);
    assert_non_null(strstr(tn_last_error(), "no regular file"));
    assert_int_equal(tn_output_open(&o, "/nowhere/at/all"), TN_E_IO);
    assert_non_null(strstr(tn_last_error(), "/nowhere/at/all"));
}

static void make_empty(const char *ending) {
    char name[160];
    snprintf(name, sizeof name, "%s%s", path, ending);
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    fclose(file);
}

static void what_processes_that_are_gone_left_is_removed_and_nothing_else(void **state) {
    (void)state;
    char own[40], name[160];
    snprintf(own, sizeof own, ".%ld-7.tmp", (long)getpid());
    const char *const stay[] = {"", own, ".999999999-x.tmp", ".999999999-1.tmp2", ".999999999-1", "s.999999999-1.tmp"};
    for (size_t i = 0; i < TN_COUNT(stay); i++) make_empty(stay[i]);
    make_empty(".999999999-0.tmp");
    make_empty(".999999998-12.tmp");
    tn_output_sweep(path);
    assert_int_equal(entries(), TN_COUNT(stay));
    for (size_t i = 0; i < TN_COUNT(stay); i++) {
        snprintf(name, sizeof name, "%s%s", path, stay[i]);
        assert_int_equal(unlink(name), 0);
    }
    tn_output_sweep("/nowhere/at/all");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_written_and_replaced, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(whatever_operation_fails_the_file_is_the_old_or_the_new_one, make_folder,
                                        drop_folder),
        cmocka_unit_test_setup_teardown(a_file_that_may_not_grow_leaves_the_old_one, make_folder, drop_folder),
        cmocka_unit_test(what_is_no_file_is_not_replaced),
        cmocka_unit_test_setup_teardown(what_processes_that_are_gone_left_is_removed_and_nothing_else, make_folder,
                                        drop_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
