/* ImageDecoder: an image file's bytes to pixels. lib/image knows the formats. A file that cannot be decoded gives an empty
 * result, as the operator's description says; one of a format that is not in this build fails. */
#include "graph/op.h"
#include "image/image.h"

typedef enum format { RGB, BGR, GREY } format;

static tn_status infer(tn_infer *call) {
    const char *text = tn_attr_text(call->node, "pixel_format", "RGB");
    TN_TRY(tn_infer_dtype(call, 0, (const tn_dtype[]){TN_UINT8, TN_UNDEFINED}));
    if (call->in[0]->rank >= 0 && call->in[0]->rank != 1)
        return tn_infer_fail(call, 0, TN_E_SHAPE, "expected the bytes of a file in one dimension");
    bool grey = strcmp(text, "Grayscale") == 0;
    if (!grey && strcmp(text, "RGB") != 0 && strcmp(text, "BGR") != 0)
        return tn_fail(TN_E_INVALID, "pixel_format is '%s'; expected RGB, BGR or Grayscale", text);
    return tn_infer_out(call, 0, TN_UINT8, 3, (int64_t[]){-1, -1, grey ? 1 : 3});
}

static tn_status prepare(tn_prepare *call) {
    format *f = call->state = tn_prepare_alloc(call, sizeof *f);
    if (!f) return TN_E_MEMORY;
    const char *text = tn_attr_text(call->node, "pixel_format", "RGB");
    *f = text[0] == 'G' ? GREY : text[0] == 'B' ? BGR : RGB;
    return TN_OK;
}

static void *alloc(void *context, size_t size) {
    return tn_run_string(context, size);
}

static void write_pixels(const tn_image *image, format to, uint8_t *out) {
    const uint8_t *from = image->pixels;
    for (size_t i = 0; i < image->width * image->height; i++, from += image->channels) {
        const uint8_t r = from[0], g = from[image->channels / 2], b = from[image->channels - 1];
        if (to == GREY) {
            *out++ = (uint8_t)((19595u * r + 38470u * g + 7471u * b + 32768u) >> 16); /* BT.601 */
        } else {
            out[0] = to == RGB ? r : b;
            out[1] = g;
            out[2] = to == RGB ? b : r;
            out += 3;
        }
    }
}

static tn_status run(tn_run *call) {
    const tn_tensor *in = tn_in(call, 0);
    format to = *(const format *)call->state;
    tn_image image = {0};
    tn_image_memory memory = {alloc, call};
    tn_status status = tn_image_decode((tn_string){in->data, (size_t)tn_count(in)}, &memory, &image);
    if (status == TN_E_UNSUPPORTED) return status;
    if (status != TN_OK) image = (tn_image){0};
    int64_t dims[] = {(int64_t)image.height, (int64_t)image.width, to == GREY ? 1 : 3};
    TN_TRY(tn_run_output(call, 0, TN_UINT8, 3, dims));
    if (image.pixels && tn_out(call, 0)) write_pixels(&image, to, tn_out(call, 0)->data);
    return TN_OK;
}

const tn_op tn_ops_image_decoder[] = {
    {.domain = "",
     .name = "ImageDecoder",
     .min_in = 1,
     .max_in = 1,
     .min_out = 1,
     .max_out = 1,
     .infer = infer,
     .prepare = prepare,
     .run = run},
    {0},
};
