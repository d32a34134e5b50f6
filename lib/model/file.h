/* Model files inside the library: the layout of tenon/model_file.h, and reading sections. */
#ifndef TN_MODEL_FILE_H
#define TN_MODEL_FILE_H

#include <tenon/model_file.h>
#include "base/base.h"
#include "base/little.h"
#include "kernels/sha256.h"

#define TN_FILE_MAJOR 1
#define TN_FILE_MINOR 2
#define TN_FILE_MINOR_SELF_TEST 1 /* the first that has one */
#define TN_FILE_MINOR_RUNS 2
#define TN_FILE_HEADER 64
#define TN_FILE_ROW 64
#define TN_FILE_ALIGNMENT 64
#define TN_FILE_SECTIONS 64
#define TN_FILE_MANIFEST_BYTES (1u << 20)
#define TN_FILE_GRAPH_BYTES 0x7fffffffu
#define TN_FILE_OUTSIDE_FROM 64 /* tensors of at least so many bytes are among the weights */
#define TN_FILE_LOCATION "weights"
#define TN_FILE_DIGEST_TEXT (7 + 2 * TN_SHA256_BYTES + 1)

enum { TN_SECTION_DEFLATED = 1, TN_SECTION_MUST = 2, TN_SECTION_RUNS = 4 };
#define TN_SECTION_PACKED (TN_SECTION_DEFLATED | TN_SECTION_RUNS)

extern const uint8_t tn_file_magic[8];

typedef struct tn_section {
    uint32_t kind, flags;
    uint64_t offset, stored, length;
    uint8_t digest[TN_SHA256_BYTES];
} tn_section;

/* A header and a table that were found right. */
typedef struct tn_file_table {
    tn_string contents;
    int major, minor, count;
    tn_section sections[TN_FILE_SECTIONS];
    char digest[TN_FILE_DIGEST_TEXT];
} tn_file_table;

bool tn_is_model_file(tn_string contents);
tn_status tn_file_table_read(tn_string contents, tn_file_table *out);
const tn_section *tn_file_find(const tn_file_table *table, uint32_t kind); /* NULL if there is none */
const char *tn_section_name(uint32_t kind);
tn_status tn_section_verify(const tn_file_table *table, const tn_section *section);
/* The section's bytes in the file, verified (or not, where that comes later); or, if it is packed, unpacked into the
 * region, after they were verified. */
tn_status tn_section_read(const tn_file_table *table, const tn_section *section, bool verify, tn_region *region,
                          tn_string *out);

/* ---- manifests: lib/model/manifest*.c ---- */

/* The canonical text for a file of this graph: of `text` (NULL: the graph's own, or a small one), filled with what the graph
 * knows and compared with it. */
tn_status tn_manifest_for_graph(const char *text, const tn_graph *graph, const char *path, uint64_t weight_bytes,
                                tn_region *region, tn_string *out);
/* The manifest that came with the graph, from a model file or in an ONNX file's metadata; NULL if none did. */
const char *tn_manifest_of_graph(const tn_graph *graph);
/* Fails if this library or this machine is not what the manifest asks for. newer: the file is of a newer minor version. */
tn_status tn_manifest_check_host(tn_string text, bool newer);

#endif
