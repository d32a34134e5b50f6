/* Where in a file the elements of tensors lie, so that a delta can compare them one by one. For whoever makes deltas; who
 * reads them knows nothing of models. */
#ifndef TN_DELTA_TENSORS_H
#define TN_DELTA_TENSORS_H

#include "delta/elements.h"

typedef struct tn_place {
    uint64_t offset, length; /* bytes in the file */
    uint64_t name, shape;    /* as hashes: of who it belongs to, and of its dims */
    uint64_t peer;           /* index of the base's tensor that it is compared with, or TN_NO_PEER */
    tn_element element;
} tn_place;
#define TN_NO_PEER UINT64_MAX

typedef struct tn_places {
    tn_place *all; /* in order, none over another */
    size_t count, room;
} tn_places;

/* Of an ONNX file or a model file; none of any other, or from where it is malformed. */
tn_status tn_places_find(tn_string contents, tn_places *out);
void tn_places_free(tn_places *p);
/* Gives the result's tensors their peers: by name, else by shape, in order. */
tn_status tn_places_pair(const tn_places *base, tn_places *result);

#endif
