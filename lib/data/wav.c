/* WAV: RIFF chunks, of which "fmt " says what the samples in "data" are.
 * Source: Microsoft and IBM, Multimedia Programming Interface and Data Specifications 1.0 (1991); WAVEFORMATEXTENSIBLE. */
#include <tenon/media.h>
#include "base/little.h"
#include "data/source.h"

enum { PCM = 1, FLOATS = 3, EXTENSIBLE = 0xfffe, MOST_CHANNELS = 64, MOST_RATE = 768000 };

typedef struct wav {
    unsigned format, channels, bits;
    uint32_t rate;
    const uint8_t *samples;
    size_t size;
} wav;

static uint32_t get16(const uint8_t *p) {
    return (uint32_t)tn_get_little(p, 2);
}
static uint32_t get32(const uint8_t *p) {
    return (uint32_t)tn_get_little(p, 4);
}

static const char *read_format(wav *w, const uint8_t *p, size_t size) {
    if (size < 16) return "its chunk 'fmt ' is too short";
    w->format = get16(p);
    w->channels = get16(p + 2);
    w->rate = get32(p + 4);
    w->bits = get16(p + 14);
    /* The first two bytes of the sub-format's name are the format that it stands for. */
    if (w->format == EXTENSIBLE && size >= 40) w->format = get16(p + 24);
    bool whole = w->format == PCM && (w->bits == 8 || w->bits == 16 || w->bits == 24 || w->bits == 32);
    bool floats = w->format == FLOATS && (w->bits == 32 || w->bits == 64);
    if (!whole && !floats) return "its samples are neither PCM of 8, 16, 24 or 32 bits nor floats of 32 or 64";
    if (w->channels < 1 || w->channels > MOST_CHANNELS) return "it has no channel, or more than 64";
    if (w->rate < 1 || w->rate > MOST_RATE) return "its rate is not from 1 to 768000 Hz";
    if (get16(p + 12) != w->channels * w->bits / 8) return "its frames are not of the size that its samples give";
    return NULL;
}

/* Chunks begin at even places. What stands behind the samples is not looked at. */
static const char *read_chunks(wav *w, const uint8_t *p, size_t size) {
    if (size < 12 || memcmp(p, "RIFF", 4) != 0 || memcmp(p + 8, "WAVE", 4) != 0) return "it is no WAV file";
    for (size_t at = 12; size - at >= 8;) {
        size_t length = get32(p + at + 4);
        const uint8_t *body = p + at + 8;
        if (length > size - at - 8) return "it is cut short: a chunk ends behind the file";
        if (memcmp(p + at, "fmt ", 4) == 0) {
            const char *wrong = read_format(w, body, length);
            if (wrong) return wrong;
        } else if (memcmp(p + at, "data", 4) == 0) {
            if (!w->rate) return "its samples come before their format";
            w->samples = body;
            w->size = length;
            if (!length) break;
            return length % (w->channels * w->bits / 8) ? "its last frame is cut short" : NULL;
        }
        size_t step = 8 + length + length % 2;
        if (step > size - at) break;
        at += step;
    }
    return "it has no samples";
}

static float sample(const wav *w, const uint8_t *p) {
    uint64_t wide;
    double x;
    float y;
    switch (w->bits) {
    case 8: return (float)(p[0] - 128) / 128;
    case 16: return (float)(int16_t)get16(p) / 32768;
    case 24: return (float)((int32_t)(get16(p) << 8 | (uint32_t)p[2] << 24) >> 8) / 8388608;
    case 32:
        if (w->format == PCM) return (float)(int32_t)get32(p) / 2147483648.0f;
        memcpy(&y, &(uint32_t){get32(p)}, sizeof y);
        return y;
    default:
        wide = tn_get_little(p, 8);
        memcpy(&x, &wide, sizeof x);
        return (float)x;
    }
}

tn_status tn_sound_parse(const void *data, size_t size, const char *name, int *out_rate, tn_tensor **out) {
    wav w = {0};
    *out = NULL;
    const char *wrong = read_chunks(&w, data, size);
    if (wrong) return tn_fail(TN_E_FORMAT, "%s: %s", name, wrong);
    size_t step = w.bits / 8, frames = w.size / (step * w.channels);
    TN_TRY(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){w.channels, (int64_t)frames}, NULL, out));
    float *to = tn_tensor_data(*out);
    for (size_t i = 0; i < frames; i++)
        for (size_t c = 0; c < w.channels; c++)
            to[c * frames + i] = sample(&w, w.samples + (i * w.channels + c) * step);
    *out_rate = (int)w.rate;
    return TN_OK;
}

tn_status tn_sound_load(const char *path, int *out_rate, tn_tensor **out) {
    tn_string bytes;
    *out = NULL;
    TN_TRY(tn_file_whole(path, NULL, &bytes));
    tn_status status = tn_sound_parse(bytes.data, bytes.size, path, out_rate, out);
    tn_free(NULL, (void *)bytes.data, bytes.size);
    return status;
}
