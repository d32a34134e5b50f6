/* Choosing a decoder by what a file begins with. Formats whose library is not in this build are known all the same. */
#include "image/image.h"

#if TN_WITH_PNG
#define PNG tn_image_png
#else
#define PNG NULL
#endif
#if TN_WITH_JPEG
#define JPEG tn_image_jpeg
#else
#define JPEG NULL
#endif
#if TN_WITH_JPEG2000
#define JPEG2000 tn_image_jpeg2000
#else
#define JPEG2000 NULL
#endif
#if TN_WITH_WEBP
#define WEBP tn_image_webp
#else
#define WEBP NULL
#endif

static const struct {
    const char *start; /* '.' stands for any byte */
    size_t size;
    bool (*decode)(tn_string file, const tn_image_memory *memory, tn_image *out);
    const char *name, *library;
} formats[] = {
    {"BM", 2, tn_image_bmp, "BMP", NULL},
    {"\xff\xd8\xff", 3, JPEG, "JPEG", "libjpeg-turbo (WITH_JPEG=1)"},
    {"\x89PNG\r\n\x1a\n", 8, PNG, "PNG", "libpng (WITH_PNG=1)"},
    {"\0\0\0\x0cjP  \r\n\x87\n", 12, JPEG2000, "JPEG 2000", "OpenJPEG (WITH_JPEG2000=1)"},
    {"\xff\x4f\xff\x51", 4, JPEG2000, "JPEG 2000", "OpenJPEG (WITH_JPEG2000=1)"},
    {"RIFF....WEBP", 12, WEBP, "WebP", "libwebp (WITH_WEBP=1)"},
    {"II*\0", 4, tn_image_tiff, "TIFF", NULL},
    {"MM\0*", 4, tn_image_tiff, "TIFF", NULL},
    {"P", 1, tn_image_pnm, "PNM", NULL},
};

static bool begins(tn_string file, const char *start, size_t size) {
    if (file.size <= size) return false;
    for (size_t i = 0; i < size; i++)
        if (file.data[i] != start[i] && start[i] != '.') return false;
    return true;
}

tn_status tn_image_decode(tn_string file, const tn_image_memory *memory, tn_image *out) {
    for (size_t i = 0; i < TN_COUNT(formats); i++) {
        if (!begins(file, formats[i].start, formats[i].size)) continue;
        if (!formats[i].decode)
            return tn_fail(TN_E_UNSUPPORTED, "this build decodes no %s: it was made without %s", formats[i].name,
                           formats[i].library);
        if (formats[i].decode(file, memory, out)) return TN_OK;
        return tn_fail(TN_E_FORMAT, "the %s file is broken, or of a kind that is not read", formats[i].name);
    }
    return tn_fail(TN_E_FORMAT, "the bytes are no image file of a known kind");
}
