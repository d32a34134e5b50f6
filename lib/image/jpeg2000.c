/* JPEG 2000, by OpenJPEG, which keeps silent as long as it is given no handlers: files (JP2) and bare codestreams of one
 * grey or three red, green and blue components, all of one size; a fourth, what is transparent, is dropped. */
#include "image/image.h"
#if TN_WITH_JPEG2000
#include <openjpeg.h>

#define MOST_PIXELS ((size_t)1 << 26) /* the library takes up to 16 bytes of its own for each */

typedef struct reader {
    const char *data;
    size_t size, at;
} reader;

static OPJ_SIZE_T read_bytes(void *to, OPJ_SIZE_T size, void *context) {
    reader *r = context;
    size_t n = TN_MIN((size_t)size, r->size - r->at);
    if (n == 0) return (OPJ_SIZE_T)-1;
    memcpy(to, r->data + r->at, n);
    r->at += n;
    return n;
}

static OPJ_OFF_T skip_bytes(OPJ_OFF_T size, void *context) {
    reader *r = context;
    if (size < 0 || (size_t)size > r->size - r->at) return -1;
    r->at += (size_t)size;
    return size;
}

static OPJ_BOOL seek_to(OPJ_OFF_T at, void *context) {
    reader *r = context;
    if (at < 0 || (size_t)at > r->size) return OPJ_FALSE;
    r->at = (size_t)at;
    return OPJ_TRUE;
}

/* Whether it is a picture as described above; pixels are not there yet. */
static bool is_plain(const opj_image_t *image) {
    const opj_image_comp_t *first = image->comps;
    if (image->numcomps != 1 && image->numcomps != 3 && image->numcomps != 4) return false;
    if (image->color_space == OPJ_CLRSPC_SYCC || image->color_space == OPJ_CLRSPC_EYCC ||
        image->color_space == OPJ_CLRSPC_CMYK)
        return false;
    for (OPJ_UINT32 c = 0; c < image->numcomps; c++) {
        const opj_image_comp_t *comp = &image->comps[c];
        if (comp->w != first->w || comp->h != first->h || comp->sgnd || comp->prec < 1 || comp->prec > 16) return false;
    }
    return first->w <= 1 << 16 && first->h <= 1 << 16 && (size_t)first->w * first->h <= MOST_PIXELS;
}

static void write_pixels(const opj_image_t *image, tn_image *out) {
    for (int c = 0; c < out->channels; c++) {
        const opj_image_comp_t *comp = &image->comps[c];
        const int64_t most = (INT64_C(1) << comp->prec) - 1;
        for (size_t i = 0; i < out->width * out->height; i++) {
            int64_t x = TN_MAX(TN_MIN((int64_t)comp->data[i], most), 0);
            out->pixels[i * (size_t)out->channels + (size_t)c] =
                (uint8_t)(comp->prec > 8 ? x >> (comp->prec - 8) : x * 255 / most);
        }
    }
}

bool tn_image_jpeg2000(tn_string file, const tn_image_memory *memory, tn_image *out) {
    reader r = {file.data, file.size, 0};
    opj_dparameters_t parameters;
    opj_image_t *image = NULL;
    opj_codec_t *codec = opj_create_decompress(file.data[0] ? OPJ_CODEC_J2K : OPJ_CODEC_JP2);
    opj_stream_t *stream = opj_stream_create(OPJ_J2K_STREAM_CHUNK_SIZE, OPJ_TRUE);
    bool good = false;
    if (!codec || !stream) goto done;
    opj_stream_set_read_function(stream, read_bytes);
    opj_stream_set_skip_function(stream, skip_bytes);
    opj_stream_set_seek_function(stream, seek_to);
    opj_stream_set_user_data(stream, &r, NULL);
    opj_stream_set_user_data_length(stream, file.size);
    opj_set_default_decoder_parameters(&parameters);
    if (!opj_setup_decoder(codec, &parameters) || !opj_read_header(stream, codec, &image) || !is_plain(image))
        goto done;
    if (!opj_decode(codec, stream, image) || !opj_end_decompress(codec, stream) || !is_plain(image)) goto done;
    for (OPJ_UINT32 c = 0; c < image->numcomps; c++)
        if (!image->comps[c].data) goto done;
    if (!tn_image_alloc(memory, image->comps[0].w, image->comps[0].h, image->numcomps == 1 ? 1 : 3, out)) goto done;
    write_pixels(image, out);
    good = true;
done:
    opj_image_destroy(image);
    opj_stream_destroy(stream);
    opj_destroy_codec(codec);
    return good;
}
#endif
