/* Image decoding: small files written out by hand; broken ones are refused. Whole pictures are in ONNX's own tests. */
#include "unit.h"
#include <stdlib.h>
#include "base/deflate.h"
#include "image/image.h"

static uint8_t memory_for_all[1 << 12];
static size_t used;

static void *take(void *context, size_t size) {
    (void)context;
    if (size > sizeof memory_for_all - used) return NULL;
    used += size;
    return memory_for_all + used - size;
}

static bool decode(const void *file, size_t size, tn_image *out) {
    used = 0;
    return tn_image_decode((tn_string){file, size}, &(tn_image_memory){take, NULL}, out) == TN_OK;
}

static void portable_maps_are_read_in_digits_bits_and_bytes(void **state) {
    (void)state;
    tn_image image;
    const char grey[] = "P2 # levels\n3 1\n7\n0 3 7\n";
    assert_true(decode(grey, sizeof grey - 1, &image));
    assert_int_equal(image.channels, 1);
    assert_memory_equal(image.pixels, "\0\x6d\xff", 3);
    assert_true(decode("P4\n9 1\n\x7f\x80", 9, &image)); /* 1 is black */
    assert_memory_equal(image.pixels, "\xff\0\0\0\0\0\0\0\0", 9);
    assert_true(decode("P6 1 2 255\nabcdef", 17, &image));
    assert_int_equal(image.channels, 3);
    assert_memory_equal(image.pixels, "abcdef", 6);
    assert_false(decode("P6 1 2 255\nabcde", 16, &image));
    assert_false(decode("P6 1 99999999999999999999 255\nabcde", 35, &image));
}

static void bitmaps_stand_on_their_heads(void **state) {
    (void)state;
    uint8_t file[54 + 8] = "BM";
    tn_image image;
    file[10] = 54, file[14] = 40, file[18] = 1, file[22] = 2, file[26] = 1, file[28] = 24;
    memcpy(file + 54, "cba.fed.", 8); /* blue, green, red, padding */
    assert_true(decode(file, sizeof file, &image));
    assert_memory_equal(image.pixels, "defabc", 6);
    memset(file + 22, 0xff, 4); /* height -1: from the top */
    assert_true(decode(file, sizeof file, &image));
    assert_int_equal(image.height, 1);
    file[18] = 3; /* wider than there are bytes for it */
    assert_false(decode(file, sizeof file, &image));
}

/* Three pixels, 2 bits each, of a palette of three colours. */
static void png_of_a_palette_is_red_green_and_blue_and_damage_is_refused(void **state) {
    (void)state;
    if (!TN_WITH_PNG) skip();
    uint8_t file[] = {0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44,
                      0x52, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x01, 0x02, 0x03, 0x00, 0x00, 0x00, 0x66,
                      0x8e, 0xfc, 0x27, 0x00, 0x00, 0x00, 0x09, 0x50, 0x4c, 0x54, 0x45, 0x61, 0x62, 0x63, 0x64,
                      0x65, 0x66, 0x67, 0x68, 0x69, 0xe8, 0xc3, 0x75, 0xc1, 0x00, 0x00, 0x00, 0x0a, 0x49, 0x44,
                      0x41, 0x54, 0x78, 0x9c, 0x63, 0x90, 0x00, 0x00, 0x00, 0x1a, 0x00, 0x19, 0x2d, 0x88, 0xf4,
                      0x36, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
    const size_t pixels_end = sizeof file - 12;
    tn_image image;
    assert_true(decode(file, sizeof file, &image));
    assert_int_equal(image.width, 3);
    assert_int_equal(image.height, 1);
    assert_int_equal(image.channels, 3);
    assert_memory_equal(image.pixels, "abcdefghi", 9);
    for (size_t size = 8; size < pixels_end; size++) assert_false(decode(file, size, &image));
    for (size_t i = 8; i < pixels_end; i++) { /* each chunk has a check sum */
        file[i] ^= 1;
        assert_false(decode(file, sizeof file, &image));
        file[i] ^= 1;
    }
}

/* 65,536 by 4,096 pixels of 48 bits are promised by 46 bytes, with sums that are right. */
static void png_that_promises_much_is_refused_before_memory_is_taken(void **state) {
    (void)state;
    if (!TN_WITH_PNG) skip();
    const uint8_t file[] = {0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d,
                            0x49, 0x48, 0x44, 0x52, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00,
                            0x10, 0x02, 0x00, 0x00, 0x00, 0x18, 0x02, 0xe7, 0xa7, 0x00, 0x00, 0x00,
                            0x01, 0x49, 0x44, 0x41, 0x54, 0x78, 0x76, 0xe6, 0x84, 0xe6};
    tn_image image;
    assert_false(decode(file, sizeof file, &image));
    assert_int_equal(used, 0);
}

static void deflated_data_are_inflated_to_their_size(void **state) {
    (void)state;
    if (!TN_WITH_ZLIB) skip();
    uint8_t out[12];
    uint8_t repeated[] = {0x78, 0x9c, 0x4b, 0x4c, 0x84, 0x01, 0x00, 0x14, 0xe1, 0x03, 0xcb}; /* ten times 'a' */
    assert_true(tn_inflate(repeated, sizeof repeated, out, 10));
    assert_memory_equal(out, "aaaaaaaaaa", 10);
    assert_false(tn_inflate(repeated, sizeof repeated, out, 9));
    assert_false(tn_inflate(repeated, sizeof repeated, out, 11));
    assert_false(tn_inflate(repeated, sizeof repeated - 5, out, 10));
    repeated[sizeof repeated - 1] ^= 1;
    assert_false(tn_inflate(repeated, sizeof repeated, out, 10));
}

static void other_bytes_are_no_image(void **state) {
    (void)state;
    tn_image image;
    assert_false(decode("", 0, &image));
    assert_false(decode("GIF89a......", 12, &image));
    assert_false(decode("\xff\xd8\xff\xd9", 4, &image));
    assert_false(decode("\x89PNG\r\n\x1a\n....", 12, &image));
    assert_false(decode("II*\0\xff\xff\xff\xff", 8, &image));
}

static void formats_that_are_left_out_of_the_build_are_named(void **state) {
    (void)state;
    static const struct {
        int here;
        const char *start;
        size_t size;
        const char *library;
    } cases[] = {{TN_WITH_PNG, "\x89PNG\r\n\x1a\n....", 12, "libpng"},
                 {TN_WITH_JPEG, "\xff\xd8\xff\xd9....", 8, "libjpeg"},
                 {TN_WITH_JPEG2000, "\xff\x4f\xff\x51....", 8, "OpenJPEG"},
                 {TN_WITH_JPEG2000, "\0\0\0\x0cjP  \r\n\x87\n....", 16, "OpenJPEG"},
                 {TN_WITH_WEBP, "RIFF\4\0\0\0WEBP....", 16, "libwebp"}};
    for (size_t i = 0; i < TN_COUNT(cases); i++) {
        tn_image image;
        tn_status status =
            tn_image_decode((tn_string){cases[i].start, cases[i].size}, &(tn_image_memory){take, NULL}, &image);
        assert_int_equal(status, cases[i].here ? TN_E_FORMAT : TN_E_UNSUPPORTED);
        if (!cases[i].here) assert_non_null(strstr(tn_last_error(), cases[i].library));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(portable_maps_are_read_in_digits_bits_and_bytes),
        cmocka_unit_test(bitmaps_stand_on_their_heads),
        cmocka_unit_test(png_of_a_palette_is_red_green_and_blue_and_damage_is_refused),
        cmocka_unit_test(png_that_promises_much_is_refused_before_memory_is_taken),
        cmocka_unit_test(deflated_data_are_inflated_to_their_size),
        cmocka_unit_test(other_bytes_are_no_image),
        cmocka_unit_test(formats_that_are_left_out_of_the_build_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
