/* PNG, by libpng: all colour types, 1 to 16 bits a sample, interlaced or not. Alpha is dropped; of 16 bits the higher 8
 * count. What a file says beside its pixels, be it text, colour profiles or its gamma, is not looked at. Errors come back
 * by longjmp, and nothing is printed. */
#include "image/image.h"
#if TN_WITH_PNG
#include <setjmp.h>

#include <png.h>

#define MOST_CHUNK ((size_t)1 << 20) /* bytes that libpng may take for one chunk that is not of pixels */
#define MOST_DEFLATED 1040u          /* a byte of a file makes no more than so many */

typedef struct decoder {
    png_structp png;
    png_infop info;
    const char *at;
    size_t left;
    jmp_buf refuse;
} decoder;

static PNG_NORETURN void on_error(png_structp png, png_const_charp text) {
    (void)text;
    longjmp(((decoder *)png_get_error_ptr(png))->refuse, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png, (void)text;
}

static void on_read(png_structp png, png_bytep to, size_t size) {
    decoder *d = png_get_io_ptr(png);
    if (size > d->left) png_error(png, "the file ends early");
    memcpy(to, d->at, size);
    d->at += size, d->left -= size;
}

/* Whatever the file holds becomes 8 bits of grey, or of red, green and blue. */
static void to_bytes(decoder *d) {
    png_set_expand_gray_1_2_4_to_8(d->png);
    png_set_palette_to_rgb(d->png);
    png_set_strip_16(d->png);
    png_set_strip_alpha(d->png);
}

static bool decode(decoder *d, const tn_image_memory *memory, tn_image *out) {
    const size_t size = d->left;
    if (setjmp(d->refuse) != 0) return false;
    d->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, d, on_error, on_warning);
    d->info = d->png ? png_create_info_struct(d->png) : NULL;
    if (!d->info) return false;
    png_set_read_fn(d->png, d, on_read);
    png_set_user_limits(d->png, 1 << 16, 1 << 16);
    png_set_chunk_malloc_max(d->png, MOST_CHUNK);
    png_set_keep_unknown_chunks(d->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(d->png, d->info);
    const size_t width = png_get_image_width(d->png, d->info), height = png_get_image_height(d->png, d->info);
    if (png_get_rowbytes(d->png, d->info) * height / MOST_DEFLATED > size) return false;
    const int colour = png_get_color_type(d->png, d->info) & PNG_COLOR_MASK_COLOR;
    to_bytes(d);
    const int passes = png_set_interlace_handling(d->png);
    png_read_update_info(d->png, d->info);
    if (!tn_image_alloc(memory, width, height, colour ? 3 : 1, out)) return false;
    const size_t row = width * (size_t)out->channels;
    if (png_get_rowbytes(d->png, d->info) != row) return false;
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < height; y++) png_read_row(d->png, out->pixels + y * row, NULL);
    return true;
}

bool tn_image_png(tn_string file, const tn_image_memory *memory, tn_image *out) {
    decoder d = {.at = file.data, .left = file.size};
    bool done = decode(&d, memory, out);
    png_destroy_read_struct(&d.png, &d.info, NULL);
    return done;
}
#endif
