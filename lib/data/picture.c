/* Pictures as planes of numbers, brought to one size by a triangle filter: its support is a pixel of the larger of both
 * pictures, so that a smaller one is a mean of all pixels, not a choice of some. Lines first, columns then. */
#include <math.h>
#include <tenon/media.h>
#include "data/source.h"
#include "image/image.h"

static void *from_region(void *region, size_t size) {
    return tn_region_alloc(region, size);
}

/* Along one axis: value i of `count` is a sum over pixels of `size`, whose weights add up to 1. */
static void resize_line(const float *x, int64_t size, int64_t step, float *y, int64_t count, int64_t y_step) {
    double scale = (double)size / (double)count, support = fmax(scale, 1);
    for (int64_t i = 0; i < count; i++) {
        double centre = ((double)i + 0.5) * scale, sum = 0, weights = 0;
        int64_t first = (int64_t)fmax(floor(centre - support + 0.5), 0),
                last = TN_MIN((int64_t)floor(centre + support + 0.5), size);
        for (int64_t k = first; k < last; k++) {
            double weight = fmax(1 - fabs((double)k + 0.5 - centre) / support, 0);
            sum += weight * (double)x[k * step];
            weights += weight;
        }
        y[i * y_step] = (float)(sum / weights);
    }
}

/* A plane of a picture, 0 to 1. */
static void take_plane(const tn_image *image, int channels, int channel, float *out) {
    const uint8_t *p = image->pixels;
    for (size_t i = 0; i < image->width * image->height; i++, p += image->channels) {
        float grey = image->channels == 1 ? (float)p[0] : 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2];
        out[i] = (channels == 1 || image->channels == 1 ? grey : (float)p[channel]) / 255;
    }
}

static tn_status make(tn_region *region, const tn_image *image, int channels, int64_t height, int64_t width,
                      tn_tensor **out) {
    int64_t h = (int64_t)image->height, w = (int64_t)image->width;
    bool same = h == height && w == width;
    float *plane = same ? NULL : tn_region_array(region, (size_t)h * (size_t)w, sizeof *plane);
    float *narrow = same ? NULL : tn_region_array(region, (size_t)h * (size_t)width, sizeof *narrow);
    if (!same && (!plane || !narrow)) return TN_E_MEMORY;
    TN_TRY(tn_tensor_create(TN_FLOAT32, 3, (int64_t[]){channels, height, width}, NULL, out));
    float *to = tn_tensor_data(*out);
    for (int c = 0; c < channels; c++, to += height * width) {
        take_plane(image, channels, c, same ? to : plane);
        if (same) continue;
        for (int64_t y = 0; y < h; y++) resize_line(plane + y * w, w, 1, narrow + y * width, width, 1);
        for (int64_t x = 0; x < width; x++) resize_line(narrow + x, h, width, to + x, height, width);
    }
    return TN_OK;
}

tn_status tn_picture_parse(const void *data, size_t size, const char *name, int channels, int height, int width,
                           tn_tensor **out) {
    tn_image image = {0};
    *out = NULL;
    if (channels != 1 && channels != 3)
        return tn_fail(TN_E_INVALID, "a picture has 1 channel (grey) or 3 (red, green, blue), not %d", channels);
    if (height < 0 || width < 0 || height > 1 << 14 || width > 1 << 14 || !height != !width)
        return tn_fail(TN_E_INVALID, "a picture of %d x %d pixels: 1 to 16384 each can be, or 0 for both", height,
                       width);
    tn_region *region = tn_region_create(NULL);
    if (!region) return TN_E_MEMORY;
    tn_image_memory memory = {from_region, region};
    tn_status status = tn_image_decode((tn_string){data, size}, &memory, &image);
    if (status == TN_OK && !height) height = (int)image.height, width = (int)image.width;
    if (status == TN_OK) status = make(region, &image, channels, height, width, out);
    tn_region_destroy(region);
    return status == TN_OK ? status : tn_fail_context(status, "%s", name);
}

tn_status tn_picture_load(const char *path, int channels, int height, int width, tn_tensor **out) {
    tn_string bytes;
    *out = NULL;
    TN_TRY(tn_file_whole(path, NULL, &bytes));
    tn_status status = tn_picture_parse(bytes.data, bytes.size, path, channels, height, width, out);
    tn_free(NULL, (void *)bytes.data, bytes.size);
    return status;
}
