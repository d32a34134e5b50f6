/* JPEG, by libjpeg-turbo. Its errors come back by longjmp to the function below and nothing is printed. A file that ends
 * before its picture does is refused; so are CMYK, progressive files of very many scans, which take long to decode, and
 * what would take much memory. */
#include "image/image.h"
#if TN_WITH_JPEG
#include <setjmp.h>
#include <stdio.h>

#include <jerror.h>
#include <jpeglib.h>

#define MOST_SCANS 200
#define MOST_BYTES (256l << 20) /* of the library's own */

typedef struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf refuse;
} decoder;

static void on_error(j_common_ptr jpeg) {
    longjmp(((decoder *)jpeg->client_data)->refuse, 1);
}

static void on_message(j_common_ptr jpeg, int level) {
    if (level < 0 && jpeg->err->msg_code == JWRN_JPEG_EOF) on_error(jpeg);
}

static void on_progress(j_common_ptr jpeg) {
    if (((j_decompress_ptr)jpeg)->input_scan_number > MOST_SCANS) on_error(jpeg);
}

bool tn_image_jpeg(tn_string file, const tn_image_memory *memory, tn_image *out) {
    decoder d = {.progress = {.progress_monitor = on_progress}};
    d.jpeg.err = jpeg_std_error(&d.errors);
    d.errors.error_exit = on_error;
    d.errors.emit_message = on_message;
    d.jpeg.client_data = &d;
    if (setjmp(d.refuse) != 0) {
        jpeg_destroy_decompress(&d.jpeg);
        return false;
    }
    jpeg_create_decompress(&d.jpeg);
    d.jpeg.progress = &d.progress;
    d.jpeg.mem->max_memory_to_use = MOST_BYTES;
    jpeg_mem_src(&d.jpeg, (const unsigned char *)file.data, file.size);
    jpeg_read_header(&d.jpeg, TRUE);
    int channels = d.jpeg.num_components;
    if ((channels != 1 && channels != 3) ||
        !tn_image_alloc(memory, d.jpeg.image_width, d.jpeg.image_height, channels, out))
        on_error((j_common_ptr)&d.jpeg);
    d.jpeg.out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(&d.jpeg);
    while (d.jpeg.output_scanline < d.jpeg.output_height) {
        JSAMPROW row = out->pixels + (size_t)d.jpeg.output_scanline * out->width * (size_t)channels;
        jpeg_read_scanlines(&d.jpeg, &row, 1);
    }
    jpeg_finish_decompress(&d.jpeg);
    jpeg_destroy_decompress(&d.jpeg);
    return true;
}
#endif
