/* Pipelines that read files, which must give the same numbers from memory; folders and arrays as tables. */
#include "unit.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <tenon/media.h>
#include <tenon/pipeline.h>
#include <unistd.h>
#include "media_files.h"

static char folder[] = "/tmp/tenon-media-XXXXXX";

static void put(const char *name, const void *data, size_t size) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static int make_folder(void **state) {
    (void)state;
    char path[200];
    uint8_t file[4100];
    int16_t samples[1000];
    if (!mkdtemp(folder)) return 1;
    for (int c = 0; c < 2; c++) {
        snprintf(path, sizeof path, "%s/%s", folder, c ? "hum" : "beep");
        if (mkdir(path, 0700) != 0) return 1;
        for (int k = 0; k < 3; k++) {
            for (int i = 0; i < 1000; i++) samples[i] = (int16_t)(8000 * sin((c ? 0.1 : 0.9) * i + k));
            snprintf(path, sizeof path, "%s/%d.wav", c ? "hum" : "beep", k);
            put(path, file, make_wav(file, 1, 1, 8000, 16, samples, k == 1 ? 900 : 2000));
        }
    }
    put(".hidden", "x", 1);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    char command[200];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

#define SOUND "sound: {rate: 4000, seconds: 0.1, window: 64, hop: 32, bands: 6}"

static void a_folder_is_a_table_of_files_and_classes(void **state) {
    (void)state;
    tn_table *t;
    assert_ok(tn_table_read(folder, NULL, &t));
    assert_int_equal(tn_table_rows(t), 6);
    assert_string_equal(tn_table_column_name(t, 0), "file");
    assert_string_equal(tn_table_column_name(t, 1), "class");
    tn_string file = tn_table_level(t, 0, tn_table_codes(t, 0)[4]);
    assert_true(tn_string_equal(file, tn_string_of("hum/1.wav")));
    assert_int_equal(tn_table_codes(t, 1)[2], 0);
    assert_int_equal(tn_table_codes(t, 1)[3], 1);
    tn_table_destroy(t);
    assert_int_equal(tn_table_read("/tmp/tenon-media-none/", NULL, &t), TN_E_NOT_FOUND);
}

static void check_from_memory(const tn_pipeline *p, const char *name, const float *expected, int width) {
    char path[200];
    tn_tensor *sound, *x;
    int rate;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(tn_sound_load(path, &rate, &sound));
    assert_ok(tn_pipeline_sound(p, sound, rate, &x));
    assert_int_equal(tn_tensor_count(x), width);
    assert_memory_equal(tn_tensor_const_data(x), expected, (size_t)width * sizeof *expected);
    tn_tensor_destroy(x);
    tn_tensor_destroy(sound);
}

static void a_pipeline_reads_files_and_gives_the_same_from_memory(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    const char *text = "features: [{column: file, " SOUND ", scale: standard}]\n"
                       "target: {column: class, encode: ordinal}\nsplit: {by: stratified, test: 0.34}\n";
    tn_pipeline *p, *again;
    tn_table *t;
    tn_tensor *x, *y, *second;
    uint8_t part[6];
    const char *written;
    assert_ok(tn_table_read(folder, NULL, &t));
    assert_ok(tn_pipeline_parse(text, strlen(text), &p));
    assert_ok(tn_pipeline_split(p, t, part));
    assert_ok(tn_pipeline_fit(p, t, part));
    int width = 6 * (1 + (400 - 64) / 32);
    assert_int_equal(tn_pipeline_width(p), width);
    assert_ok(tn_pipeline_apply(p, t, part, 0, &x, NULL));
    const float *values = tn_tensor_const_data(x);
    for (int band = 0; band < 6; band++) { /* of the rows for training: mean 0, deviation 1 */
        double sum = 0, squares = 0, each = width / 6.0, rows = (double)tn_tensor_dims(x)[0];
        for (int64_t r = 0; r < tn_tensor_dims(x)[0]; r++)
            for (int i = 0; i < width / 6; i++) {
                double value = values[r * width + band * (width / 6) + i];
                sum += value;
                squares += value * value;
            }
        assert_float_equal(sum / (each * rows), 0, 1e-5);
        assert_float_equal(squares / (each * rows), 1, 1e-4);
    }
    tn_tensor_destroy(x);
    assert_ok(tn_pipeline_write(p, &written));
    assert_ok(tn_pipeline_parse(written, strlen(written), &again));
    assert_true(tn_pipeline_fitted(again));
    assert_ok(tn_pipeline_apply(again, t, NULL, 0, &x, &y));
    assert_ok(tn_pipeline_apply(p, t, NULL, 0, &second, NULL));
    assert_memory_equal(tn_tensor_const_data(x), tn_tensor_const_data(second), tn_tensor_bytes(x));
    assert_int_equal(((const int64_t *)tn_tensor_const_data(y))[5], 1);
    check_from_memory(again, "hum/1.wav", (const float *)tn_tensor_const_data(x) + (ptrdiff_t)4 * width, width);
    tn_tensor_destroy(x);
    tn_tensor_destroy(y);
    tn_tensor_destroy(second);
    tn_pipeline_destroy(p);
    tn_pipeline_destroy(again);
    tn_table_destroy(t);
}

static void pipelines_of_files_say_what_is_wrong(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    static const char *const cases[][2] = {
        {"{column: file, image: {width: 4}}", "the key 'height' is missing"},
        {"{column: file, image: {width: 4, height: 0}}", "'height' is a whole number from 1 to 4096"},
        {"{column: file, image: {width: 4, height: 4, channels: 2}}", "'channels' is 1 (grey) or 3"},
        {"{column: file, image: {width: 4, height: 4, depth: 2}}", "there is no key like this here"},
        {"{column: file, image: 4}", "a map was expected"},
        {"{column: file, " SOUND ", scale: robust}", "standard or min-max"},
        {"{column: file, " SOUND ", encode: ordinal}", "'encode' does not fit"},
        {"{column: file, " SOUND ", missing: mean}", "only drop can be"},
        {"{column: file, sound: {rate: 8000, seconds: 1, bands: 4}}", "which need 'window'"},
        {"{column: file, sound: {rate: 8000, seconds: 0.01, window: 81}}", "'window' is at most the frames"},
        {"{column: file, sound: {rate: 8000, seconds: 1, window: 64, greatest: 4001}}", "at most half the rate"},
        {"{column: file, sound: {rate: 768000, seconds: 3600}}", "more than 2^24 numbers"},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        char text[300];
        tn_pipeline *p;
        snprintf(text, sizeof text, "features: [%s]\n", cases[i][0]);
        assert_int_not_equal(tn_pipeline_parse(text, strlen(text), &p), TN_OK);
        if (!strstr(tn_last_error(), cases[i][1])) fail_msg("%zu: %s", i, tn_last_error());
    }
}

static void a_broken_file_is_named(void **state) {
    (void)state;
    if (!TN_WITH_YAML) skip();
    const char *text = "features: [{column: path, " SOUND "}]\n";
    const char *rows = "path,n\nhum/0.wav,1\nbroken.wav,2\n";
    char path[200];
    tn_pipeline *p;
    tn_table *t;
    tn_tensor *x;
    put("rows.csv", rows, strlen(rows));
    snprintf(path, sizeof path, "%s/rows.csv", folder);
    assert_ok(tn_table_read(path, NULL, &t)); /* whose paths are beside it */
    assert_ok(tn_pipeline_parse(text, strlen(text), &p));
    assert_ok(tn_pipeline_fit(p, t, NULL));
    assert_int_equal(tn_pipeline_apply(p, t, NULL, 0, &x, NULL), TN_E_NOT_FOUND);
    put("broken.wav", "RIFF", 4);
    assert_int_equal(tn_pipeline_apply(p, t, NULL, 0, &x, NULL), TN_E_FORMAT);
    assert_non_null(strstr(tn_last_error(), "broken.wav: it is no WAV file"));
    uint8_t file[100];
    put("broken.wav", file, make_wav(file, 3, 1, 4000, 32, "\0\0\xc0\x7f", 4));
    assert_int_equal(tn_pipeline_apply(p, t, NULL, 0, &x, NULL), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "a value that is no number"));
    snprintf(path, sizeof path, "%s/broken.wav", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/rows.csv", folder);
    unlink(path);
    tn_pipeline_destroy(p);
    tn_table_destroy(t);
}

static void arrays_are_tables(void **state) {
    (void)state;
    char path[200];
    uint8_t file[300];
    tn_table *t;
    snprintf(path, sizeof path, "%s/rows.npy", folder);
    put("rows.npy", file,
        make_npy(file, 1, "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }\n",
                 "\1\0\2\0\3\0\4\0\5\0\xff\xff", 12));
    assert_ok(tn_table_read(path, NULL, &t));
    assert_int_equal(tn_table_rows(t), 2);
    assert_int_equal(tn_table_column_count(t), 3);
    assert_string_equal(tn_table_column_name(t, 2), "value_2");
    assert_true(tn_table_numbers(t, 2)[1] == -1);
    tn_table_destroy(t);
    put("rows.npy", file,
        make_npy(file, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "\0\0\0\0\0\0\x80\x7f", 8));
    assert_int_equal(tn_table_read(path, NULL, &t), TN_E_INVALID);
    assert_non_null(strstr(tn_last_error(), "infinite in row 2"));
    put("rows.npy", file, make_npy(file, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': ()}", "\0\0\0\0", 4));
    assert_int_equal(tn_table_read(path, NULL, &t), TN_E_SHAPE);
    unlink(path);
}

/* More than is read at a time, so that pieces begin anywhere; value [r, i, k] is 100 r + 10 i + k, as far as 16 bits go. */
static void large_arrays_are_the_same_in_all_orders(void **state) {
    (void)state;
    enum { ROWS = 30000, A = 3, B = 2, COUNT = ROWS * A * B };
    static const char *const headers[] = {
        "{'descr': '<i2', 'fortran_order': False, 'shape': (30000, 3, 2)}",
        "{'descr': '>i2', 'fortran_order': True, 'shape': (30000, 3, 2)}",
    };
    char path[200];
    uint8_t *data = malloc(2 * COUNT), *file = malloc(2 * COUNT + 200);
    assert_true(data && file);
    snprintf(path, sizeof path, "%s/large.npy", folder);
    for (int order = 0; order < 2; order++) {
        for (int at = 0; at < COUNT; at++) {
            const int r = order ? at % ROWS : at / (A * B), i = order ? at / ROWS % A : at / B % A,
                      k = order ? at / ROWS / A : at % B;
            const unsigned value = (unsigned)(100 * r + 10 * i + k);
            data[2 * at + order] = (uint8_t)value;
            data[2 * at + !order] = (uint8_t)(value >> 8);
        }
        put("large.npy", file, make_npy(file, 1, headers[order], data, 2 * COUNT));
        tn_table *t;
        assert_ok(tn_table_read(path, NULL, &t));
        assert_int_equal(tn_table_rows(t), ROWS);
        assert_int_equal(tn_table_column_count(t), A * B);
        for (int c = 0; c < A * B; c++)
            for (int r = 0; r < ROWS; r++)
                assert_true(tn_table_numbers(t, c)[r] == (int16_t)(uint16_t)(100 * r + 10 * (c / B) + c % B));
        tn_table_destroy(t);
    }
    put("large.npy", file, make_npy(file, 1, headers[0], data, 2 * COUNT - 2));
    tn_table *t;
    assert_int_equal(tn_table_read(path, NULL, &t), TN_E_FORMAT);
    assert_non_null(strstr(tn_last_error(), "its size is not what its shape says"));
    unlink(path);
    free(data);
    free(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_a_table_of_files_and_classes),
        cmocka_unit_test(a_pipeline_reads_files_and_gives_the_same_from_memory),
        cmocka_unit_test(pipelines_of_files_say_what_is_wrong),
        cmocka_unit_test(a_broken_file_is_named),
        cmocka_unit_test(arrays_are_tables),
        cmocka_unit_test(large_arrays_are_the_same_in_all_orders),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
