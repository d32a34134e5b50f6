/* safetensors files: what is written is read, without a copy; what a header may not say is refused. PyPI's safetensors on
 * the same files: tests/command/test_safetensors.py. */
#include "unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <tenon/tenon.h>
#include "model/safetensors.h"
#include "tree.h"

static char root[64];

static char *at(const char *name) {
    return tree_at(root, name);
}

static int setup(void **state) {
    (void)state;
    return tree_make(root, "safetensors") ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    return tree_remove(root);
}

#if TN_WITH_JANSSON && __BYTE_ORDER__ != __ORDER_BIG_ENDIAN__
static void what_is_written_is_read_where_it_lies(void **state) {
    (void)state;
    static float f[6] = {1, 2, 3, 4, 5, 6};
    static int8_t b[3] = {-1, 0, 1};
    static int64_t l[1] = {1ll << 40};
    tn_tensor *plain, *bytes, *scalar, *turned;
    tn_safetensors *file;
    assert_ok(tn_tensor_wrap(TN_FLOAT32, 2, (int64_t[]){2, 3}, NULL, f, sizeof f, &plain));
    assert_ok(tn_tensor_view(plain, 2, (int64_t[]){3, 2}, (int64_t[]){1, 3}, 0, &turned));
    assert_ok(tn_tensor_wrap(TN_INT8, 1, (int64_t[]){3}, NULL, b, sizeof b, &bytes));
    assert_ok(tn_tensor_wrap(TN_INT64, 0, NULL, NULL, l, sizeof l, &scalar));
    const char *names[] = {"bytes", "a \"w\"", "turned", "long"};
    const tn_tensor *tensors[] = {bytes, plain, turned, scalar};
    assert_ok(tn_safetensors_save(at("a.safetensors"), 4, names, tensors));
    assert_ok(tn_safetensors_open(at("a.safetensors"), &file));
    assert_int_equal(tn_safetensors_count(file), 4);
    assert_string_equal(tn_safetensors_name(file, 0), "a \"w\"");
    assert_int_equal(tn_safetensors_find(file, "none"), -1);
    assert_null(tn_safetensors_tensor(file, 4));
    const tn_tensor *t = tn_safetensors_tensor(file, tn_safetensors_find(file, "turned"));
    assert_true(tn_tensor_rank(t) == 2 && tn_tensor_dims(t)[0] == 3);
    assert_memory_equal(tn_tensor_const_data(t), ((float[]){1, 4, 2, 5, 3, 6}), sizeof f);
    t = tn_safetensors_tensor(file, tn_safetensors_find(file, "bytes"));
    assert_memory_equal(tn_tensor_const_data(t), b, sizeof b);
    t = tn_safetensors_tensor(file, tn_safetensors_find(file, "long"));
    assert_true(tn_tensor_rank(t) == 0 && *(const int64_t *)tn_tensor_const_data(t) == l[0]);
    tn_safetensors_close(file);

    assert_int_equal(tn_safetensors_save(at("b"), 2, (const char *[]){"x", "x"}, tensors), TN_E_INVALID);
    assert_int_equal(tn_safetensors_save(at("b"), 1, (const char *[]){"\xff"}, tensors), TN_E_INVALID);
    assert_int_not_equal(access(at("b"), F_OK), 0);
    tn_tensor_destroy(turned);
    tn_tensor_destroy(plain);
    tn_tensor_destroy(bytes);
    tn_tensor_destroy(scalar);
}

/* A file of this header and so many bytes, from memory at an odd or even place. */
static tn_status parse(const char *header, size_t bytes, size_t shift, tn_safetensors **out) {
    static uint64_t memory[64];
    uint64_t length = strlen(header);
    char *place = (char *)memory + shift;
    memset(memory, 1, sizeof memory);
    memcpy(place, &length, 8);
    memcpy(place + 8, header, length);
    return tn_safetensors_parse((tn_string){place, 8 + length + bytes}, out);
}

static void headers_that_lie_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t bytes;
        tn_status status;
        const char *says;
    } rows[] = {
        {"{}", 0, TN_OK, ""},
        {"{\"__metadata__\":{\"format\":\"pt\"}}", 0, TN_OK, ""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TN_OK, ""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0,9],\"data_offsets\":[0,0]}}", 0, TN_OK, ""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9, TN_E_FORMAT, "end at byte 8 of 9"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, TN_E_FORMAT, "not within"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, TN_E_FORMAT, "take 12"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, TN_E_FORMAT, "not within"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, TN_E_FORMAT, "not within"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, TN_E_FORMAT, "no size"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,8]}}", 8, TN_E_SHAPE, "a"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8, TN_E_UNSUPPORTED, "9"},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[16],\"data_offsets\":[0,8]}}", 8, TN_E_UNSUPPORTED, "F4"},
        {"{\"a\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, TN_OK, ""},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[6],"
         "\"data_offsets\":[2,8]}}",
         8, TN_E_FORMAT, "begins at byte 2"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[3],"
         "\"data_offsets\":[5,8]}}",
         8, TN_E_FORMAT, "begins at byte 5"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},\"a\":{\"dtype\":\"U8\",\"shape\":[8],"
         "\"data_offsets\":[0,8]}}",
         8, TN_E_FORMAT, "duplicate"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":8,\"data_offsets\":[0,8]}}", 8, TN_E_FORMAT, "no dtype, shape"},
        {"{\"a\":7}", 0, TN_E_FORMAT, "no dtype, shape"},
        {"{\"__metadata__\":{\"a\":1}}", 0, TN_E_FORMAT, "no text"},
        {"[]", 0, TN_E_FORMAT, "no JSON object"},
        {"{", 0, TN_E_FORMAT, "no JSON object"},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        tn_safetensors *f;
        tn_status status = parse(rows[i].header, rows[i].bytes, 0, &f);
        if (status != rows[i].status || (status != TN_OK && !strstr(tn_last_error(), rows[i].says)))
            fail_msg("%s: %d, '%s'", rows[i].header, (int)status, tn_last_error());
        tn_safetensors_close(f);
    }
    tn_safetensors *f;
    assert_int_equal(tn_safetensors_parse((tn_string){"\xff\xff\xff\xff\xff\xff\xff\xff{}", 10}, &f), TN_E_FORMAT);
    assert_int_equal(tn_safetensors_parse((tn_string){"\2\0\0\0\0\0\0", 7}, &f), TN_E_FORMAT);
    tree_write(at("empty"), "", 0);
    assert_int_equal(tn_safetensors_open(at("empty"), &f), TN_E_FORMAT);
}

static void elements_at_odd_places_are_copied_to_even_ones(void **state) {
    (void)state;
    tn_safetensors *f;
    for (size_t shift = 0; shift < 8; shift++) {
        assert_ok(parse("{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, shift, &f));
        const tn_tensor *t = tn_safetensors_tensor(f, 0);
        assert_int_equal((uintptr_t)tn_tensor_const_data(t) % 8, 0);
        assert_int_equal(*(const uint64_t *)tn_tensor_const_data(t), 0x0101010101010101);
        tn_safetensors_close(f);
        assert_ok(parse("{\"none\":{\"dtype\":\"F64\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, shift, &f));
        assert_int_equal((uintptr_t)tn_tensor_const_data(tn_safetensors_tensor(f, 0)) % 8, 0);
        tn_safetensors_close(f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_where_it_lies),
        cmocka_unit_test(headers_that_lie_are_refused),
        cmocka_unit_test(elements_at_odd_places_are_copied_to_even_ones),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
#else
static void a_library_that_cannot_says_so(void **state) {
    (void)state;
    tn_safetensors *f;
    tree_write(at("file"), "", 0);
    assert_int_equal(tn_safetensors_open(at("file"), &f), TN_E_UNSUPPORTED);
    assert_int_equal(tn_safetensors_save(at("other"), 0, NULL, NULL), TN_E_UNSUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_library_that_cannot_says_so)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
#endif
