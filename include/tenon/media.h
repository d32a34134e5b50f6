/* Arrays, sound and pictures from files, as tensors.
 *
 *     tn_tensor *sound, *mono, *bands;
 *     int rate;
 *     tn_sound_load("bearing.wav", &rate, &sound);             // float32 [channels, frames], -1 to 1
 *     tn_sound_resample(sound, rate, 16000, &mono);            // [channels, frames * 16000 / rate, rounded up]
 *     tn_spectrum_options o = {.struct_size = sizeof o, .rate = 16000, .window = 512, .hop = 256, .bands = 40};
 *     tn_spectrum(mono, &o, &bands);                           // [channels, 40, frames]: log-mel, in decibels
 *
 * Formats: .npy of versions 1.0 to 3.0, both byte orders, C and Fortran order, all types that tensors have and text (S, U);
 * .npz with entries stored or deflated; WAV (RIFF) with PCM of 8, 16, 24 and 32 bits and float of 32 and 64 bits, of 1 to 64
 * channels; pictures in BMP, PNM, TIFF and, where the build has their libraries, PNG, JPEG, JPEG 2000 and WebP.
 * Bytes from outside are checked before they are believed: what is cut short, contradicts itself or is of another kind is
 * TN_E_FORMAT with a sentence that begins with `name`. No file is evaluated: objects in .npy (pickles) are refused.
 *
 * Tensors are the caller's: tn_tensor_destroy. Thread-safety: functions may be called from many threads at once; a tn_npz is
 * read by one at a time. */
#ifndef TENON_MEDIA_H
#define TENON_MEDIA_H

#include <tenon/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- arrays ---- */

/* `wanted`: what NumPy has no name for and calls bytes (V1, V2) becomes this type (bfloat16, float8); TN_UNDEFINED: whole
 * numbers. Else it has no effect. */
TN_API tn_status tn_npy_parse(const void *data, size_t size, const char *name, tn_dtype wanted, tn_tensor **out);
TN_API tn_status tn_npy_load(const char *path, tn_dtype wanted, tn_tensor **out);

typedef struct tn_npz tn_npz;
TN_API tn_status tn_npz_open(const char *path, tn_npz **out_npz);
/* Memory is the host's and must outlive it. */
TN_API tn_status tn_npz_open_memory(const void *data, size_t size, const char *name, tn_npz **out_npz);
TN_API void tn_npz_close(tn_npz *npz); /* accepts NULL */
TN_API int tn_npz_count(const tn_npz *npz);
TN_API const char *tn_npz_name(const tn_npz *npz, int index); /* without its .npy; NULL: there is none */
TN_API tn_status tn_npz_array(const tn_npz *npz, int index, tn_dtype wanted, tn_tensor **out);

/* ---- sound ---- */

/* float32 [channels, frames]; whole numbers are divided by 2^(bits - 1), as most tools do. */
TN_API tn_status tn_sound_parse(const void *data, size_t size, const char *name, int *out_rate, tn_tensor **out);
TN_API tn_status tn_sound_load(const char *path, int *out_rate, tn_tensor **out);
/* By a polyphase filter: a sinc under a Kaiser window of 5, 10 zeros a side, as scipy.signal.resample_poly. Rates from 1 to
 * 768000. Along the last axis of float32 [..., frames]. */
TN_API tn_status tn_sound_resample(const tn_tensor *sound, int from, int to, tn_tensor **out);

typedef struct tn_spectrum_options {
    size_t struct_size;     /* sizeof(tn_spectrum_options) */
    int rate;               /* of the sound, Hz; used with bands alone */
    int window, hop;        /* frames: 2 to 65536, 1 to window */
    int bands;              /* of mel; 0: all window / 2 + 1 frequencies */
    double least, greatest; /* Hz, of the bands; greatest 0: rate / 2 */
} tn_spectrum_options;

/* From float32 [..., frames] to [..., bands, 1 + (frames - window) / hop]: the power under a periodic Hann window, in bands of
 * triangles on Slaney's mel scale whose areas are equal, as 10 log10(max(power, 1e-10)). It is
 * librosa.power_to_db(librosa.feature.melspectrogram(..., center=False), top_db=None). */
TN_API tn_status tn_spectrum(const tn_tensor *sound, const tn_spectrum_options *options, tn_tensor **out);

/* ---- pictures ---- */

/* float32 [channels, height, width], 0 to 1. channels is 1 (grey, ITU-R BT.601) or 3. The whole picture is brought to the
 * size by a triangle filter, as wide as the step where it becomes smaller (Pillow's BILINEAR); 0 for both keeps it. */
TN_API tn_status tn_picture_parse(const void *data, size_t size, const char *name, int channels, int height, int width,
                                  tn_tensor **out);
TN_API tn_status tn_picture_load(const char *path, int channels, int height, int width, tn_tensor **out);

#ifdef __cplusplus
}
#endif
#endif
