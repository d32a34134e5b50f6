/* Image files to pixels, as ImageDecoder meets them: BMP, PNM and TIFF by code of our own; PNG, JPEG, JPEG 2000 and WebP
 * by their libraries, if the build has them.
 *
 * A decoder returns false for a file that it does not understand, that is broken, or for which there is no memory; it
 * reads nothing outside of the file. Pixels lie in the caller's memory, asked for in one piece; libraries take what they
 * need in between from the heap. */
#ifndef TN_IMAGE_H
#define TN_IMAGE_H

#include "base/base.h"

typedef struct tn_image_memory {
    void *(*alloc)(void *context, size_t size); /* zeroed or not; NULL: there is none */
    void *context;
} tn_image_memory;

/* [height, width, channels], a byte each; channels is 1 (grey) or 3 (red, green, blue). */
typedef struct tn_image {
    size_t width, height;
    int channels;
    uint8_t *pixels;
} tn_image;

/* By what the file begins with. TN_E_FORMAT: it cannot be decoded; TN_E_UNSUPPORTED: not by this build. */
tn_status tn_image_decode(tn_string file, const tn_image_memory *memory, tn_image *out);

bool tn_image_bmp(tn_string file, const tn_image_memory *memory, tn_image *out);
bool tn_image_jpeg(tn_string file, const tn_image_memory *memory, tn_image *out);     /* WITH_JPEG */
bool tn_image_jpeg2000(tn_string file, const tn_image_memory *memory, tn_image *out); /* WITH_JPEG2000 */
bool tn_image_webp(tn_string file, const tn_image_memory *memory, tn_image *out);     /* WITH_WEBP */
bool tn_image_png(tn_string file, const tn_image_memory *memory, tn_image *out);      /* WITH_PNG */
bool tn_image_pnm(tn_string file, const tn_image_memory *memory, tn_image *out);
bool tn_image_tiff(tn_string file, const tn_image_memory *memory, tn_image *out);

#define TN_IMAGE_PIXELS ((size_t)1 << 28)

/* Sizes that are sane, and memory for the pixels. */
static inline bool tn_image_alloc(const tn_image_memory *memory, size_t width, size_t height, int channels,
                                  tn_image *out) {
    if (!width || !height || width > 1 << 16 || height > 1 << 16 || width * height > TN_IMAGE_PIXELS) return false;
    *out = (tn_image){width, height, channels, memory->alloc(memory->context, width * height * (size_t)channels)};
    return out->pixels != NULL;
}
static inline uint32_t tn_get16(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8;
}
static inline uint32_t tn_get32(const uint8_t *p) {
    return tn_get16(p) | tn_get16(p + 2) << 16;
}
static inline uint32_t tn_get16_big(const uint8_t *p) {
    return p[1] | (uint32_t)p[0] << 8;
}
static inline uint32_t tn_get32_big(const uint8_t *p) {
    return tn_get16_big(p + 2) | tn_get16_big(p) << 16;
}

#endif
