/* Arrays, sound and pictures from bytes: each kind of element, hostile files, values of SciPy, librosa and
 * Pillow. */
#include "unit.h"
#include <math.h>
#include <tenon/media.h>
#include "media_files.h"

/* ---- arrays ---- */

static void arrays_of_all_versions_and_orders_are_read(void **state) {
    (void)state;
    static const struct {
        int version;
        const char *header, *data;
        size_t size;
        tn_dtype dtype;
        int64_t dims[2];
        float expected[6];
    } cases[] = {
        {1,
         "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }\n",
         "\1\0\2\0\3\0\4\0\5\0\xff\xff",
         12,
         TN_INT16,
         {2, 3},
         {1, 2, 3, 4, 5, -1}},
        {2,
         "{'descr': '>i2', 'fortran_order': False, 'shape': (2, 3), }\n",
         "\0\1\0\2\0\3\0\4\0\5\xff\xff",
         12,
         TN_INT16,
         {2, 3},
         {1, 2, 3, 4, 5, -1}},
        {3,
         "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }\n",
         "\1\0\4\0\2\0\5\0\3\0\xff\xff",
         12,
         TN_INT16,
         {2, 3},
         {1, 2, 3, 4, 5, -1}},
        {1,
         "{\"shape\":(3,2),'fortran_order':False,'descr':'|u1'}",
         "\1\2\3\4\5\xff",
         6,
         TN_UINT8,
         {3, 2},
         {1, 2, 3, 4, 5, 255}},
        {1,
         "{'descr': '>f4', 'fortran_order': False, 'shape': (1, 2)}",
         "\x3f\x80\0\0\xc0\0\0\0",
         8,
         TN_FLOAT32,
         {1, 2},
         {1, -2}},
        {1,
         "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 1)}",
         "\0\0\0\0\0\0\xf8\x3f\0\0\0\0\0\0\0\xc0",
         16,
         TN_FLOAT64,
         {2, 1},
         {1.5f, -2}},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        uint8_t file[300];
        tn_tensor *t;
        size_t size = make_npy(file, cases[i].version, cases[i].header, cases[i].data, cases[i].size);
        assert_ok(tn_npy_parse(file, size, "a.npy", TN_UNDEFINED, &t));
        assert_int_equal(tn_tensor_dtype(t), cases[i].dtype);
        assert_memory_equal(tn_tensor_dims(t), cases[i].dims, sizeof cases[i].dims);
        for (int64_t k = 0; k < tn_tensor_count(t); k++) {
            const void *data = tn_tensor_const_data(t);
            double found = cases[i].dtype == TN_INT16     ? ((const int16_t *)data)[k]
                           : cases[i].dtype == TN_UINT8   ? ((const uint8_t *)data)[k]
                           : cases[i].dtype == TN_FLOAT32 ? ((const float *)data)[k]
                                                          : ((const double *)data)[k];
            assert_true(found == cases[i].expected[k]);
        }
        tn_tensor_destroy(t);
        for (size_t cut = 0; cut < size; cut++) /* no end of it is a whole one */
            assert_int_equal(tn_npy_parse(file, cut, "a.npy", TN_UNDEFINED, &t), TN_E_FORMAT);
    }
}

static void hostile_arrays_are_refused(void **state) {
    (void)state;
    static const struct {
        int version;
        const char *header, *sentence;
    } cases[] = {
        {4, "{'descr': '<i2', 'fortran_order': False, 'shape': (2,)}", "its version is newer than 3"},
        {1, "{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", "its header is damaged"},
        {1, "{'descr': '|O8', 'fortran_order': False, 'shape': (2,)}", "of a type that tensors do not have"},
        {1, "{'descr': [('a', '<i2')], 'fortran_order': False, 'shape': (2,)}", "its header is damaged"},
        {1, "{'descr': '<i2', 'fortran_order': False, 'shape': (-2,)}", "its header is damaged"},
        {1, "{'descr': '<i2', 'fortran_order': False, 'shape': (9223372036854775807, 4)}", "its size is not"},
        {1, "{'descr': '<i2', 'fortran_order': False, 'shape': (99999999999999999999,)}", "its header is damaged"},
        {1, "{'descr': '<i2', 'fortran_order': False, 'shape': (3,)}", "its size is not"},
        {1, "{'descr': '<i2', 'fortran_order': False}", "its header is damaged"},
        {1, "{'descr': '<U4611686018427387904', 'fortran_order': False, 'shape': (4,)}", "its size is not"},
        {1, "__import__('os').system('true')", "its header is damaged"},
        {1, "{'descr': '<i2', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,2)}", "its header is damaged"},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        uint8_t file[300];
        tn_tensor *t;
        size_t size = make_npy(file, cases[i].version, cases[i].header, "\1\0\2\0", 4);
        assert_int_equal(tn_npy_parse(file, size, "a.npy", TN_UNDEFINED, &t), TN_E_FORMAT);
        assert_null(t);
        if (!strstr(tn_last_error(), cases[i].sentence)) fail_msg("%zu: %s", i, tn_last_error());
        assert_memory_equal(tn_last_error(), "a.npy: ", 7);
    }
}

static void texts_become_utf8(void **state) {
    (void)state;
    uint8_t file[300];
    tn_tensor *t;
    const char *header = "{'descr': '<U2', 'fortran_order': False, 'shape': (2,)}";
    size_t size = make_npy(file, 1, header, "\xe9\0\0\0x\0\0\0\x1f\xf6\1\0\0\0\0\0", 16);
    assert_ok(tn_npy_parse(file, size, "a.npy", TN_UNDEFINED, &t));
    const tn_string *texts = tn_tensor_const_data(t);
    assert_true(tn_string_equal(texts[0], tn_string_of("\xc3\xa9x")));
    assert_true(tn_string_equal(texts[1], tn_string_of("\xf0\x9f\x98\x9f")));
    tn_tensor_destroy(t);
}

/* ---- sound ---- */

static void samples_of_all_kinds_are_read(void **state) {
    (void)state;
    static const struct {
        unsigned format, bits;
        const char *data;
        size_t size;
    } cases[] = {
        /* 0.5 and -1 to the left, -0.25 and 0 to the right */
        {1, 8, "\xc0\x60\0\x80", 4},
        {1, 16, "\0\x40\0\xe0\0\x80\0\0", 8},
        {1, 24, "\0\0\x40\0\0\xe0\0\0\x80\0\0\0", 12},
        {1, 32, "\0\0\0\x40\0\0\0\xe0\0\0\0\x80\0\0\0\0", 16},
        {3, 32, "\0\0\0\x3f\0\0\x80\xbe\0\0\x80\xbf\0\0\0\0", 16},
        {3, 64, "\0\0\0\0\0\0\xe0\x3f\0\0\0\0\0\0\xd0\xbf\0\0\0\0\0\0\xf0\xbf\0\0\0\0\0\0\0\0", 32},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        uint8_t file[100];
        tn_tensor *t;
        int rate;
        size_t size = make_wav(file, cases[i].format, 2, 44100, cases[i].bits, cases[i].data, cases[i].size);
        assert_ok(tn_sound_parse(file, size, "a.wav", &rate, &t));
        assert_int_equal(rate, 44100);
        assert_memory_equal(tn_tensor_dims(t), ((int64_t[]){2, 2}), 16);
        assert_memory_equal(tn_tensor_const_data(t), ((float[]){0.5f, -1, -0.25f, 0}), 16);
        tn_tensor_destroy(t);
        for (size_t cut = 0; cut < size; cut++)
            assert_int_equal(tn_sound_parse(file, cut, "a.wav", &rate, &t), TN_E_FORMAT);
    }
}

static void hostile_sounds_are_refused(void **state) {
    (void)state;
    static const struct {
        size_t at;
        uint8_t byte;
        const char *sentence;
    } cases[] = {
        {0, 'X', "it is no WAV file"},  {20, 2, "its samples are neither"},
        {22, 0, "no channel"},          {26, 0x7f, "its rate is not from"},
        {32, 3, "frames are not of"},   {34, 12, "its samples are neither"},
        {42, 1, "it is cut short"},     {40, 3, "its last frame is cut"},
        {36, 'x', "it has no samples"}, {12, 'x', "come before their format"},
        {16, 8, "'fmt ' is too short"}, {40, 0, "it has no samples"},
    };
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        uint8_t file[100];
        tn_tensor *t;
        int rate;
        size_t size = make_wav(file, 1, 1, 8000, 16, "\0\1\2\3", 4);
        file[cases[i].at] = cases[i].byte;
        assert_int_equal(tn_sound_parse(file, size, "a.wav", &rate, &t), TN_E_FORMAT);
        if (!strstr(tn_last_error(), cases[i].sentence)) fail_msg("%zu: %s", i, tn_last_error());
    }
}

static tn_tensor *tone(void) {
    tn_tensor *t;
    assert_ok(tn_tensor_create(TN_FLOAT32, 1, (int64_t[]){2000}, NULL, &t));
    float *x = tn_tensor_data(t);
    for (int i = 0; i < 2000; i++) x[i] = (float)(0.5 * sin(0.05 * i) + 0.25 * sin(0.9 * i + 1) + 0.01 * (i % 7));
    return t;
}

static void other_rates_are_those_of_scipy(void **state) {
    (void)state;
    static const struct {
        int from, to;
        int64_t count, at[3];
        double expected[3];
    } cases[] = {
        {8000, 16000, 4000, {1, 100, 3999}, {0.2754927528490166, 0.5349598507520321, -0.13211393274296604}},
        {44100, 16000, 726, {1, 100, 725}, {0.029244167222675654, 0.298894967266618, -0.07138344167599966}},
        {16000, 11025, 1379, {1, 100, 1378}, {0.24544955272343896, 0.3909402620311611, -0.07757838036642765}},
    };
    tn_tensor *x = tone(), *y;
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        assert_ok(tn_sound_resample(x, cases[i].from, cases[i].to, &y));
        assert_int_equal(tn_tensor_count(y), cases[i].count);
        for (int k = 0; k < 3; k++)
            assert_float_equal(((const float *)tn_tensor_const_data(y))[cases[i].at[k]], cases[i].expected[k], 1e-6);
        tn_tensor_destroy(y);
    }
    assert_int_equal(tn_sound_resample(x, 0, 8000, &y), TN_E_INVALID);
    tn_tensor_destroy(x);
}

static void spectra_are_those_of_librosa(void **state) {
    (void)state;
    static const struct {
        int window, hop, bands;
        double least, greatest;
        int64_t rows, frames, at[3][2];
        double expected[3];
    } cases[] = {
        {256,
         100,
         20,
         0,
         0,
         20,
         18,
         {{0, 0}, {10, 9}, {19, 17}},
         {8.961532822137894, -3.5578670398166743, -29.920946572453214}},
        {250,
         125,
         10,
         200,
         3000,
         10,
         15,
         {{0, 0}, {3, 5}, {9, 14}},
         {-76.35077404498125, -51.84752733621073, -30.3765942561688}},
        {256,
         100,
         0,
         0,
         0,
         129,
         18,
         {{0, 0}, {37, 9}, {128, 17}},
         {11.588553096045874, 24.191651816815252, -87.5005125941796}},
    };
    tn_tensor *x = tone(), *y;
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        const tn_spectrum_options o = {sizeof o,       8000,           cases[i].window,  cases[i].hop,
                                       cases[i].bands, cases[i].least, cases[i].greatest};
        assert_ok(tn_spectrum(x, &o, &y));
        assert_memory_equal(tn_tensor_dims(y), ((int64_t[]){cases[i].rows, cases[i].frames}), 16);
        for (int k = 0; k < 3; k++) {
            int64_t at = cases[i].at[k][0] * cases[i].frames + cases[i].at[k][1];
            assert_float_equal(((const float *)tn_tensor_const_data(y))[at], cases[i].expected[k], 1e-4);
        }
        tn_tensor_destroy(y);
    }
    assert_int_equal(tn_spectrum(x, &(tn_spectrum_options){sizeof(tn_spectrum_options), 8000, 4096, 1, 0, 0, 0}, &y),
                     TN_E_SHAPE);
    assert_int_equal(tn_spectrum(x, &(tn_spectrum_options){sizeof(tn_spectrum_options), 8000, 64, 65, 0, 0, 0}, &y),
                     TN_E_INVALID);
    assert_int_equal(tn_spectrum(x, &(tn_spectrum_options){sizeof(tn_spectrum_options), 8000, 64, 8, 4, 0, 4001}, &y),
                     TN_E_INVALID);
    tn_tensor_destroy(x);
}

/* ---- pictures ---- */

static void pictures_of_other_sizes_are_those_of_pillow(void **state) {
    (void)state;
    static const struct {
        int height, width, at[3][2];
        double expected[3];
    } cases[] = {
        {5, 4, {{0, 0}, {1, 2}, {4, 3}}, {0.4032212793827057, 0.4605664312839508, 0.37044817209243774}},
        {20, 18, {{0, 0}, {1, 2}, {10, 9}}, {0, 0.3117647171020508, 0.5836601257324219}},
        {10, 12, {{1, 2}, {9, 11}, {5, 6}}, {0.0235294122248888, 0.20000000298023224, 0.5411764979362488}},
        {7, 12, {{0, 0}, {6, 11}, {3, 6}}, {0.25520360469818115, 0.29230767488479614, 0.6745098233222961}},
    };
    uint8_t file[200] = "P5 12 10 255\n";
    tn_tensor *t;
    for (int i = 0; i < 120; i++) file[13 + i] = (uint8_t)(i * 37 % 256);
    for (size_t i = 0; i < TN_COUNT(cases); i++)
        for (int channels = 1; channels <= 3; channels += 2) {
            assert_ok(tn_picture_parse(file, 133, "a.pgm", channels, cases[i].height, cases[i].width, &t));
            assert_memory_equal(tn_tensor_dims(t), ((int64_t[]){channels, cases[i].height, cases[i].width}), 24);
            const float *plane = (const float *)tn_tensor_const_data(t) +
                                 (channels - 1) * (int64_t)cases[i].height * cases[i].width; /* the last */
            for (int k = 0; k < 3; k++)
                assert_float_equal(plane[cases[i].at[k][0] * cases[i].width + cases[i].at[k][1]], cases[i].expected[k],
                                   1e-6);
            tn_tensor_destroy(t);
        }
    assert_int_equal(tn_picture_parse(file, 132, "a.pgm", 1, 5, 5, &t), TN_E_FORMAT);
    assert_memory_equal(tn_last_error(), "a.pgm: ", 7);
    assert_int_equal(tn_picture_parse(file, 133, "a.pgm", 2, 5, 5, &t), TN_E_INVALID);
    assert_int_equal(tn_picture_parse(file, 133, "a.pgm", 1, 0, 5, &t), TN_E_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_of_all_versions_and_orders_are_read),
        cmocka_unit_test(hostile_arrays_are_refused),
        cmocka_unit_test(texts_become_utf8),
        cmocka_unit_test(samples_of_all_kinds_are_read),
        cmocka_unit_test(hostile_sounds_are_refused),
        cmocka_unit_test(other_rates_are_those_of_scipy),
        cmocka_unit_test(spectra_are_those_of_librosa),
        cmocka_unit_test(pictures_of_other_sizes_are_those_of_pillow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
