/* Features that are files: what a pipeline makes of pictures and sound. */
#ifndef TN_DATA_MEDIA_H
#define TN_DATA_MEDIA_H

#include "data/pipeline.h"

struct tn_manifest_writer;

typedef enum tn_media_kind { TN_MEDIA_IMAGE, TN_MEDIA_SOUND } tn_media_kind;

typedef struct tn_media {
    tn_media_kind kind;
    int channels, height, width;  /* of images */
    int rate, window, hop, bands; /* of sound; window 0: the sound itself */
    int64_t frames;
    double least, greatest;
    int rank; /* of what it gives: [channels or bands, ...] */
    int64_t dims[3], size;
    const double *centres, *spreads; /* a pair for each of dims[0]; NULL: not scaled */
} tn_media;

/* Of the keys `image` or `sound` of a feature, if one of them is there. */
tn_status tn_media_read(tn_region *region, const struct tn_manifest_node *feature, tn_feature *f);
tn_status tn_media_read_fitted(tn_region *region, const struct tn_manifest_node *map, tn_feature *f);
void tn_media_write(struct tn_manifest_writer *w, struct tn_manifest_node *feature, const tn_feature *f);
void tn_media_write_fitted(struct tn_manifest_writer *w, struct tn_manifest_node *map, const tn_media *m);

tn_status tn_media_fit(tn_region *region, tn_feature *f, const tn_table *table, int column, const uint8_t *part);
#define TN_MEDIA_PATH 8200
/* Where the file is that the row names; it must name one. */
tn_status tn_media_path(const tn_feature *f, const tn_table *table, int column, int64_t row, char path[TN_MEDIA_PATH]);
/* Of the file that the row names. */
tn_status tn_media_row(const tn_feature *f, const tn_table *table, int column, int64_t row, float *out);

#endif
