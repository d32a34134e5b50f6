/* WebP, by libwebp: still pictures; what is transparent in them is dropped. */
#include "image/image.h"
#if TN_WITH_WEBP
#include <webp/decode.h>

bool tn_image_webp(tn_string file, const tn_image_memory *memory, tn_image *out) {
    const uint8_t *data = (const uint8_t *)file.data;
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(data, file.size, &features) != VP8_STATUS_OK || features.has_animation) return false;
    size_t width = (size_t)features.width, height = (size_t)features.height;
    if (!tn_image_alloc(memory, width, height, 3, out)) return false;
    return WebPDecodeRGBInto(data, file.size, out->pixels, width * height * 3, (int)width * 3) != NULL;
}
#endif
