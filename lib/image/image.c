/* Choosing a decoder. */
#include "image/image.h"

bool tn_image_decode(tn_string file, const tn_image_memory *memory, tn_image *out) {
    static const struct {
        const char *start;
        size_t size;
        bool (*decode)(tn_string file, const tn_image_memory *memory, tn_image *out);
    } formats[] = {
        {"BM", 2, tn_image_bmp},     {"\xff\xd8\xff", 3, tn_image_jpeg}, {"\x89PNG\r\n\x1a\n", 8, tn_image_png},
        {"II*\0", 4, tn_image_tiff}, {"MM\0*", 4, tn_image_tiff},        {"P", 1, tn_image_pnm}};
    for (size_t i = 0; i < TN_COUNT(formats); i++)
        if (file.size > formats[i].size && memcmp(file.data, formats[i].start, formats[i].size) == 0)
            return formats[i].decode(file, memory, out);
    return false;
}
