/* Kept model files: of each version of the format, which every library must read for ever, and files that break one rule
 * each, which it must refuse and say so. tests/golden/make.py made them. */
#include "unit.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <tenon/tenon.h>
#include "model/manifest.h"

#define FOLDER "tests/golden"

static bool is_model(const char *name) {
    size_t n = strlen(name);
    return n > 6 && strcmp(name + n - 6, ".tenon") == 0;
}

static tn_status load(const char *path, tn_model **model) {
    tn_model_options options = {sizeof options, .verify_weights = true};
    return tn_model_load(path, &options, model);
}

static void check_results(const char *path, tn_model *model) {
    float in[8] = {1, 2, 3, 4, 5, 6, 7, 8}, expected[3];
    tn_session *session;
    tn_tensor *x;
    const tn_tensor *z;
    for (int c = 0; c < 3; c++) {
        float sum = (float)c;
        for (int i = 0; i < 8; i++) sum += in[i] * (float)(3 * i + c - 12) / 4;
        expected[c] = (sum > 0 ? sum : 0) + 27 * 300 - 200;
    }
    assert_ok(tn_session_create(model, NULL, &session));
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){1, 8}, NULL, in, sizeof in, &x));
    assert_ok(tn_session_set_input(session, 0, x));
    assert_ok(tn_session_run(session));
    assert_ok(tn_session_output(session, 0, &z));
    for (int c = 0; c < 3; c++)
        if (((const float *)tn_tensor_const_data(z))[c] != expected[c])
            fail_msg("%s: output %d is %g, not %g", path, c, (double)((const float *)tn_tensor_const_data(z))[c],
                     (double)expected[c]);
    tn_session_destroy(session);
    tn_tensor_destroy(x);
}

static void files_of_every_version_are_read(void **state) {
    (void)state;
    DIR *folder = opendir(FOLDER);
    int count = 0;
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[400];
        tn_model *model;
        if (!is_model(entry->d_name) || (!TN_WITH_ZLIB && strstr(entry->d_name, "deflated"))) continue;
        snprintf(path, sizeof path, "%s/%s", FOLDER, entry->d_name);
        assert_ok(load(path, &model));
        check_results(path, model);
        assert_true(strstr(path, "bare") ? !tn_model_manifest(model)
                                         : strncmp(tn_model_manifest(model), "name: golden\n", 13) == 0);
        tn_model_destroy(model);
        count++;
    }
    closedir(folder);
    assert_true(count >= 4);
}

static void files_that_break_a_rule_are_refused_for_that_rule(void **state) {
    (void)state;
    FILE *list = fopen(FOLDER "/rejected/expected.txt", "r");
    char line[300], path[400];
    int count = 0;
    assert_non_null(list);
    while (fgets(line, sizeof line, list)) {
        char *words = strchr(line, ':');
        tn_model *model;
        assert_non_null(words);
        *words = 0;
        words += 2;
        words[strcspn(words, "\n")] = 0;
        bool needs_yaml = strstr(line, "manifest-") || strcmp(line, "newer-library") == 0;
        if ((needs_yaml && !TN_WITH_YAML) || (!TN_WITH_ZLIB && strcmp(line, "short-bomb") == 0)) continue;
        snprintf(path, sizeof path, "%s/rejected/%s.tenon", FOLDER, line);
        if (load(path, &model) == TN_OK) fail_msg("%s was read", path);
        if (!strstr(tn_last_error(), words)) fail_msg("%s: '%s' is not in '%s'", path, words, tn_last_error());
        count++;
    }
    fclose(list);
    assert_true(count > 15);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_every_version_are_read),
        cmocka_unit_test(files_that_break_a_rule_are_refused_for_that_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
