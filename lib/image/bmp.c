/* BMP: uncompressed, with 8 (palette), 24 or 32 bits a pixel. Rows are padded to four bytes, the lowest first unless the
 * height is negative; a pixel is blue, green, red. */
#include "image/image.h"

bool tn_image_bmp(tn_string file, const tn_image_memory *memory, tn_image *out) {
    const uint8_t *p = (const uint8_t *)file.data;
    if (file.size < 54) return false;
    size_t start = tn_get32(p + 10), header = tn_get32(p + 14), bits = tn_get16(p + 28), compression = tn_get32(p + 30);
    int64_t height = (int32_t)tn_get32(p + 22);
    size_t width = tn_get32(p + 18), rows = (size_t)(height < 0 ? -height : height);
    bool masks = compression == 3 && bits == 32; /* the usual masks are taken for granted */
    if (header < 40 || header > file.size - 14 || (compression && !masks) || width > 1 << 16 || rows > 1 << 16)
        return false;
    if (bits != 8 && bits != 24 && bits != 32) return false;
    size_t row = (width * bits / 8 + 3) / 4 * 4, colours = tn_get32(p + 46);
    if (start > file.size || row * rows > file.size - start) return false;
    const uint8_t *palette = p + 14 + header;
    if (bits == 8 && !colours) colours = 256;
    if (bits == 8 && (colours > 256 || colours * 4 > file.size - 14 - header)) return false;
    if (!tn_image_alloc(memory, width, rows, 3, out)) return false;
    for (size_t y = 0; y < rows; y++) {
        const uint8_t *from = p + start + (height < 0 ? y : rows - 1 - y) * row;
        uint8_t *to = out->pixels + y * width * 3;
        for (size_t x = 0; x < width; x++, to += 3) {
            const uint8_t *pixel = from + x * (bits / 8);
            if (bits == 8) {
                if (*pixel >= colours) return false;
                pixel = palette + *pixel * 4u;
            }
            to[0] = pixel[2];
            to[1] = pixel[1];
            to[2] = pixel[0];
        }
    }
    return true;
}
