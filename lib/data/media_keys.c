/* Features that are files, as YAML, both ways. */
#include <math.h>
#include "data/media.h"
#include "model/manifest.h"

/* A row a key: its field, its bounds, and whether it must be there. */
typedef struct key {
    const char *name;
    double low, high, fallback; /* fallback NAN: it must be there */
    bool whole;
} key;

enum { CHANNELS, HEIGHT, WIDTH, IMAGE_KEYS };
static const key image_keys[IMAGE_KEYS] = {
    {"channels", 1, 3, 1, true},
    {"height", 1, 4096, NAN, true},
    {"width", 1, 4096, NAN, true},
};
enum { RATE, SECONDS, WINDOW, HOP, BANDS, LEAST, GREATEST, SOUND_KEYS };
static const key sound_keys[SOUND_KEYS] = {
    {"rate", 1, 768000, NAN, true},    {"seconds", 1e-3, 3600, NAN, false}, {"window", 2, 65536, 0, true},
    {"hop", 1, 65536, 0, true},        {"bands", 1, 4096, 0, true},         {"least", 0, 384000, 0, false},
    {"greatest", 1, 384000, 0, false},
};

static tn_status read_keys(const tn_manifest_node *map, const key *keys, int count, double *out) {
    if (map->kind != TN_MANIFEST_MAP) return tn_pipeline_wrong(map, "a map was expected: image and sound have keys");
    for (const tn_manifest_node *child = map->first; child; child = child->next) {
        int i = 0;
        while (i < count && strcmp(keys[i].name, child->key) != 0) i++;
        if (i == count) return tn_pipeline_wrong(child, "there is no key like this here");
    }
    for (int i = 0; i < count; i++) {
        const tn_manifest_node *node = tn_manifest_child(map, keys[i].name);
        out[i] = keys[i].fallback;
        if (!node && isnan(keys[i].fallback))
            return tn_fail(TN_E_FORMAT, "pipeline line %d, column %d: the key '%s' is missing", map->line, map->column,
                           keys[i].name);
        if (!node) continue;
        TN_TRY(tn_pipeline_read_number(map, keys[i].name, 0, &out[i]));
        bool good = out[i] >= keys[i].low && out[i] <= keys[i].high && (!keys[i].whole || out[i] == floor(out[i]));
        if (!good)
            return tn_fail(TN_E_FORMAT, "pipeline line %d, column %d: '%s' is a %snumber from %g to %g", node->line,
                           node->column, keys[i].name, keys[i].whole ? "whole " : "", keys[i].low, keys[i].high);
    }
    return TN_OK;
}

static tn_status read_image(const tn_manifest_node *map, tn_media *m) {
    double x[IMAGE_KEYS];
    TN_TRY(read_keys(map, image_keys, IMAGE_KEYS, x));
    if (x[CHANNELS] == 2) return tn_pipeline_wrong(map, "'channels' is 1 (grey) or 3 (red, green, blue)");
    m->kind = TN_MEDIA_IMAGE;
    m->channels = (int)x[CHANNELS];
    m->height = (int)x[HEIGHT];
    m->width = (int)x[WIDTH];
    m->rank = 3;
    memcpy(m->dims, (int64_t[]){m->channels, m->height, m->width}, sizeof m->dims);
    return TN_OK;
}

static tn_status read_sound(const tn_manifest_node *map, tn_media *m) {
    double x[SOUND_KEYS];
    TN_TRY(read_keys(map, sound_keys, SOUND_KEYS, x));
    *m = (tn_media){.kind = TN_MEDIA_SOUND,
                    .rate = (int)x[RATE],
                    .frames = (int64_t)floor(x[SECONDS] * x[RATE] + 0.5),
                    .window = (int)x[WINDOW],
                    .hop = (int)(x[HOP] > 0 ? x[HOP] : floor(x[WINDOW] / 2)),
                    .bands = (int)x[BANDS],
                    .least = x[LEAST],
                    .greatest = x[GREATEST],
                    .rank = 2};
    if (!m->window && (m->hop || m->bands || m->least > 0 || m->greatest > 0))
        return tn_pipeline_wrong(map, "'hop', 'bands', 'least' and 'greatest' are of spectra, which need 'window'");
    if (m->window && (m->frames < m->window || m->hop > m->window))
        return tn_pipeline_wrong(map, "'window' is at most the frames in 'seconds', and 'hop' at most 'window'");
    double most = m->greatest > 0 ? m->greatest : m->rate / 2.0;
    if (most > m->rate / 2.0 || m->least >= most)
        return tn_pipeline_wrong(map, "'least' is below 'greatest', and that at most half the rate");
    m->dims[0] = !m->window ? 1 : m->bands ? m->bands : m->window / 2 + 1;
    m->dims[1] = !m->window ? m->frames : 1 + (m->frames - m->window) / m->hop;
    m->dims[2] = 1;
    return m->frames > 0 ? TN_OK : tn_pipeline_wrong(map, "'seconds' are less than a frame");
}

tn_status tn_media_read(tn_region *region, const tn_manifest_node *feature, tn_feature *f) {
    const tn_manifest_node *image = tn_manifest_child(feature, "image"), *sound = tn_manifest_child(feature, "sound");
    if (!image && !sound) return TN_OK;
    if (image && sound) return tn_pipeline_wrong(sound, "a file is an image or a sound");
    if (f->outliers) return tn_pipeline_wrong(feature, "what is read from files has no 'outliers'");
    if (f->encode) return tn_pipeline_wrong(feature, "what is read from files has no codes: 'encode' does not fit");
    if (f->missing > TN_MISSING_DROP) return tn_pipeline_wrong(feature, "where a file is missing, only drop can be");
    if (f->scale == TN_SCALE_ROBUST)
        return tn_pipeline_wrong(feature, "what is read from files is scaled by standard or min-max");
    f->media = tn_region_alloc(region, sizeof *f->media);
    if (!f->media) return TN_E_MEMORY;
    TN_TRY(image ? read_image(image, f->media) : read_sound(sound, f->media));
    f->media->size = f->media->dims[0] * f->media->dims[1] * f->media->dims[2];
    return TN_OK; /* below 2^42, so that sums of them fit */
}

static tn_status read_list(tn_region *region, const tn_manifest_node *map, const char *name, int64_t count, bool above,
                           const double **out) {
    const tn_manifest_node *list = tn_manifest_child(map, name);
    *out = NULL;
    if (!list) return TN_OK;
    if (list->kind != TN_MANIFEST_LIST || list->count != count)
        return tn_pipeline_wrong(list, "centres and spreads are lists, of a number for each channel or band");
    double *x = tn_region_array(region, (size_t)count, sizeof *x);
    if (!x) return TN_E_MEMORY;
    const tn_manifest_node *child = list->first;
    for (int64_t i = 0; i < count; i++, child = child->next)
        if (!tn_pipeline_is_number(child, &x[i]) || (above && !(x[i] > 0)))
            return tn_pipeline_wrong(child, "centres are numbers, spreads above 0");
    *out = x;
    return TN_OK;
}

tn_status tn_media_read_fitted(tn_region *region, const tn_manifest_node *map, tn_feature *f) {
    f->fitted = true;
    TN_TRY(read_list(region, map, "centres", f->media->dims[0], false, &f->media->centres));
    TN_TRY(read_list(region, map, "spreads", f->media->dims[0], true, &f->media->spreads));
    bool scaled = f->scale != TN_SCALE_NONE;
    if (scaled == (f->media->centres != NULL) && scaled == (f->media->spreads != NULL)) return TN_OK;
    return tn_pipeline_wrong(map, scaled ? "'centres' and 'spreads' of the scale are missing" : "nothing is scaled");
}

static void add(tn_manifest_writer *w, tn_manifest_node *map, const char *name, double x) {
    if (x > 0) tn_manifest_add_number(w, map, name, x);
}

void tn_media_write(tn_manifest_writer *w, tn_manifest_node *feature, const tn_feature *f) {
    const tn_media *m = f->media;
    bool image = m->kind == TN_MEDIA_IMAGE;
    tn_manifest_node *map = tn_manifest_add(w, feature, image ? "image" : "sound", TN_MANIFEST_MAP, NULL);
    add(w, map, "channels", m->channels);
    add(w, map, "height", m->height);
    add(w, map, "width", m->width);
    add(w, map, "rate", m->rate);
    if (m->rate) add(w, map, "seconds", (double)m->frames / m->rate);
    add(w, map, "window", m->window);
    add(w, map, "hop", m->hop);
    add(w, map, "bands", m->bands);
    add(w, map, "least", m->least);
    add(w, map, "greatest", m->greatest);
}

void tn_media_write_fitted(tn_manifest_writer *w, tn_manifest_node *map, const tn_media *m) {
    if (!m->centres) return;
    tn_manifest_node *centres = tn_manifest_add(w, map, "centres", TN_MANIFEST_LIST, NULL),
                     *spreads = tn_manifest_add(w, map, "spreads", TN_MANIFEST_LIST, NULL);
    for (int64_t i = 0; i < m->dims[0]; i++) {
        tn_manifest_add_number(w, centres, NULL, m->centres[i]);
        tn_manifest_add_number(w, spreads, NULL, m->spreads[i]);
    }
}
