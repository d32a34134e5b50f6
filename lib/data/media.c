/* Pictures and sound to rows of numbers: read, brought to the size or rate that the pipeline says, scaled as was fitted. The
 * same code serves training, evaluation and the machine that runs the model, from files or from memory. */
#include "data/media.h"
#include <math.h>
#include <stdio.h>
#include <tenon/media.h>
#include "base/tensor.h"
#include "data/table.h"

/* ---- from what was read to a row ---- */

/* All channels become one; what is too long is cut, what is too short ends in silence. */
static tn_status one_channel(const tn_media *m, const tn_tensor *sound, tn_tensor **out) {
    int64_t channels = sound->dims[0], frames = sound->dims[1];
    TN_TRY(tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){1, m->frames}, NULL, out));
    const float *x = sound->data;
    float *y = (*out)->data;
    for (int64_t i = 0; i < TN_MIN(frames, m->frames); i++) {
        float sum = 0;
        for (int64_t c = 0; c < channels; c++) sum += x[c * frames + i];
        y[i] = sum / (float)channels;
    }
    return TN_OK;
}

/* [channels, frames] at a rate to what the pipeline's spectrum gives; takes over nothing. */
static tn_status from_sound(const tn_media *m, const tn_tensor *sound, int rate, tn_tensor **out) {
    tn_tensor *resampled = NULL, *mono = NULL;
    *out = NULL;
    tn_status status = tn_sound_resample(sound, rate, m->rate, &resampled);
    if (status == TN_OK) status = one_channel(m, resampled, &mono);
    tn_tensor_destroy(resampled);
    if (status != TN_OK || !m->window) {
        *out = mono;
        return status;
    }
    const tn_spectrum_options options = {.struct_size = sizeof options,
                                         .rate = m->rate,
                                         .window = m->window,
                                         .hop = m->hop,
                                         .bands = m->bands,
                                         .least = m->least,
                                         .greatest = m->greatest};
    status = tn_spectrum(mono, &options, out);
    tn_tensor_destroy(mono);
    return status;
}

static tn_status load(const tn_media *m, const char *path, tn_tensor **out) {
    tn_tensor *sound;
    int rate;
    if (m->kind == TN_MEDIA_IMAGE) return tn_picture_load(path, m->channels, m->height, m->width, out);
    *out = NULL;
    TN_TRY(tn_sound_load(path, &rate, &sound));
    tn_status status = from_sound(m, sound, rate, out);
    tn_tensor_destroy(sound);
    return status == TN_OK ? status : tn_fail_context(status, "%s", path);
}

static tn_status scale(const tn_media *m, const tn_tensor *made, float *out) {
    const float *x = made->data;
    int64_t each = m->size / m->dims[0];
    for (int64_t i = 0; i < m->size; i++) {
        double centre = m->centres ? m->centres[i / each] : 0, spread = m->spreads ? m->spreads[i / each] : 1;
        out[i] = (float)(((double)x[i] - centre) / spread);
        if (!isfinite(out[i])) return tn_fail(TN_E_INVALID, "it has a value that is no number, or too large");
    }
    return TN_OK;
}

tn_status tn_media_path(const tn_feature *f, const tn_table *table, int column, int64_t row, char path[TN_MEDIA_PATH]) {
    int32_t code = tn_table_codes(table, column)[row];
    tn_string name = tn_table_level(table, column, code);
    if (code < 0 || !name.size || name.size > 4096 || memchr(name.data, 0, name.size))
        return tn_fail(TN_E_INVALID, "pipeline: column '%.80s' names no file in row %lld of the table", f->column,
                       (long long)row + 1);
    const char *folder = name.data[0] == '/' ? NULL : tn_table_folder(table);
    snprintf(path, TN_MEDIA_PATH, "%.4096s%s%.*s", folder ? folder : "", folder ? "/" : "", (int)name.size, name.data);
    return TN_OK;
}

static tn_status load_row(const tn_feature *f, const tn_table *table, int column, int64_t row, tn_tensor **out) {
    char path[TN_MEDIA_PATH];
    *out = NULL;
    TN_TRY(tn_media_path(f, table, column, row, path));
    return load(f->media, path, out);
}

tn_status tn_media_row(const tn_feature *f, const tn_table *table, int column, int64_t row, float *out) {
    tn_tensor *made;
    TN_TRY(load_row(f, table, column, row, &made));
    tn_status status = scale(f->media, made, out);
    tn_tensor_destroy(made);
    if (status == TN_OK) return status;
    tn_string name = tn_table_level(table, column, tn_table_codes(table, column)[row]);
    return tn_fail_context(status, "%.*s", (int)TN_MIN(name.size, (size_t)200), name.data);
}

/* ---- fitting ---- */

typedef struct sums {
    double count, mean, squares, least, greatest;
} sums;

/* Welford's (1962) running mean and squares: the values may lie far from 0. */
static void take(const tn_media *m, const tn_tensor *made, sums *all) {
    const float *x = made->data;
    int64_t each = m->size / m->dims[0];
    for (int64_t i = 0; i < m->size; i++) {
        sums *s = &all[i / each];
        double value = x[i], off = value - s->mean;
        s->least = s->count ? fmin(s->least, value) : value;
        s->greatest = s->count ? fmax(s->greatest, value) : value;
        s->count++;
        s->mean += off / s->count;
        s->squares += off * (value - s->mean);
    }
}

static tn_status finish(tn_region *region, tn_feature *f, const sums *all) {
    size_t count = (size_t)f->media->dims[0];
    double *centres = tn_region_array(region, count, sizeof *centres);
    double *spreads = tn_region_array(region, count, sizeof *spreads);
    if (!centres || !spreads) return TN_E_MEMORY;
    bool standard = f->scale == TN_SCALE_STANDARD;
    for (size_t i = 0; i < count; i++) {
        const sums *s = &all[i];
        if (!s->count) return tn_fail(TN_E_INVALID, "there is no file among the rows for training");
        centres[i] = standard ? s->mean : s->least;
        spreads[i] = !(s->least < s->greatest) ? 0 : standard ? sqrt(s->squares / s->count) : s->greatest - s->least;
        if (!isfinite(centres[i]) || !isfinite(spreads[i]))
            return tn_fail(TN_E_INVALID, "a file has a value that is no number, or too large");
        if (!(spreads[i] > 0)) spreads[i] = 1;
    }
    f->media->centres = centres;
    f->media->spreads = spreads;
    return TN_OK;
}

tn_status tn_media_fit(tn_region *region, tn_feature *f, const tn_table *table, int column, const uint8_t *part) {
    if (f->scale == TN_SCALE_NONE) return TN_OK;
    size_t bytes = (size_t)f->media->dims[0] * sizeof(sums);
    sums *all = tn_alloc_zero(NULL, bytes);
    tn_status status = all ? TN_OK : TN_E_MEMORY;
    for (int64_t r = 0; status == TN_OK && r < tn_table_rows(table); r++) {
        tn_tensor *made;
        bool dropped = f->missing == TN_MISSING_DROP && tn_table_codes(table, column)[r] < 0;
        if ((part && part[r]) || dropped) continue;
        status = load_row(f, table, column, r, &made);
        if (status == TN_OK) take(f->media, made, all);
        tn_tensor_destroy(made);
    }
    if (status == TN_OK) status = finish(region, f, all);
    tn_free(NULL, all, bytes);
    return status;
}

/* ---- from memory ---- */

static tn_status only_media(const tn_pipeline *p, tn_media_kind kind) {
    const char *what = kind == TN_MEDIA_IMAGE ? "image" : "sound";
    if (p->count != 1 || !p->features[0].media || p->features[0].media->kind != kind)
        return tn_fail(TN_E_INVALID, "the pipeline takes more or other than one %s", what);
    if (!p->features[0].fitted) return tn_fail(TN_E_STATE, "pipeline: it is not fitted");
    return TN_OK;
}

static tn_status row_of(const tn_media *m, tn_tensor *made, tn_tensor **out_x) {
    tn_status status = tn_tensor_create(TN_FLOAT32, 2, (int64_t[]){1, m->size}, NULL, out_x);
    if (status == TN_OK) status = scale(m, made, (*out_x)->data);
    tn_tensor_destroy(made);
    if (status == TN_OK) return status;
    tn_tensor_destroy(*out_x);
    *out_x = NULL;
    return status;
}

tn_status tn_pipeline_sound(const tn_pipeline *p, const tn_tensor *sound, int rate, tn_tensor **out_x) {
    tn_tensor *made;
    *out_x = NULL;
    TN_TRY(only_media(p, TN_MEDIA_SOUND));
    if (sound->dtype != TN_FLOAT32 || sound->rank != 2 || sound->dims[0] < 1 || !tn_tensor_is_dense(sound))
        return tn_fail(TN_E_TYPE, "sound is dense float32 [channels, frames]");
    TN_TRY(from_sound(p->features[0].media, sound, rate, &made));
    return row_of(p->features[0].media, made, out_x);
}

tn_status tn_pipeline_image(const tn_pipeline *p, const void *file, size_t size, const char *name, tn_tensor **out_x) {
    tn_tensor *made;
    *out_x = NULL;
    TN_TRY(only_media(p, TN_MEDIA_IMAGE));
    const tn_media *m = p->features[0].media;
    TN_TRY(tn_picture_parse(file, size, name, m->channels, m->height, m->width, &made));
    return row_of(m, made, out_x);
}
