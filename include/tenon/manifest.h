/* Manifests: what a model file says of its model, in YAML.
 *
 *     name: press-guard                # required: lower-case letters, digits, '.', '_', '-'; up to 128
 *     version: 1.4.0                   # required: semantic version 2.0.0 (semver.org)
 *     title: Press guard
 *     description: Tells worn dies by the sound of the stroke.
 *     created: 2026-01-31T12:00:00Z    # UTC
 *     parent: sha256:9f86d081...       # digest of the version that this one was made of (tn_model_file_digest)
 *     licence: Apache-2.0              # SPDX
 *     inputs:                          # in the model's order; as all lists of them, all or none
 *       - name: sound
 *         dtype: float32
 *         shape: [batch, 1, 4096]      # a number, a symbol, or "?"
 *         description: one stroke, from the trigger on
 *         unit: Pa
 *         range: [-2, 2]               # what sensible values are between
 *         normalisation:               # what the host does first: (x - mean) / scale, one number or one a channel
 *           mean: [0.01]
 *           scale: [0.25]
 *     outputs:
 *       - name: worn
 *         dtype: float32
 *         shape: [batch, 2]
 *         classes: [good, worn]        # what the elements of the last axis are
 *     metrics:
 *       - name: recall
 *         value: 0.993
 *         data: strokes-2025-test      # what it was measured on
 *         data_digest: sha256:...
 *         samples: 12000
 *     provenance:
 *       data:
 *         - name: strokes-2025-train
 *           digest: sha256:...
 *           samples: 90000
 *       seed: 7
 *       source: git 4f2a...            # what it was trained with
 *       tools:                         # any names
 *         tenon: 0.1.0
 *     host:                            # what it needs; a host that lacks one of the first two does not load it
 *       library: 0.1.0                 # the oldest Tenon
 *       cpu: avx2                      # an instruction set level (tn_cpu_level_at)
 *       arena_bytes: 181248
 *       weight_bytes: 1340672
 *     extra:                           # the host's own: any keys, any depth
 *       line: 4
 *
 * Keys other than these are refused with their line and column, but for those in `extra` and `tools`; a file of a newer minor
 * version may have more, which are kept. Of YAML there are maps, lists and scalars: anchors, aliases, tags and several
 * documents are refused, and so are keys that stand twice. Keys in `extra` and `tools` consist of letters, digits, '.', '_',
 * and '-'. Limits: 1 MiB in all, 64 KiB a text, 16 levels, 65536 values.
 *
 * The canonical form, in which files hold it: keys in the order above, those of `extra` and `tools` sorted by bytes; maps and
 * lists one entry a line, indented by two spaces (a list of numbers, classes or dims stands on its key's line, in brackets);
 * numbers without needless zeros, signs and exponents' signs; a text plain where YAML reads that as the text, else in double
 * quotes with \", \\, \n, \t, \xNN and \uNNNN; empty maps are left out. The same manifest gives the same bytes.
 *
 * Reading YAML needs libyaml: without it (WITH_YAML=0) tn_manifest_parse fails with TN_E_UNSUPPORTED, models load without a
 * look at `host`, and tn_graph_save takes no manifest but the one that came with the graph.
 *
 * Thread-safety: a manifest may be read by many threads. */
#ifndef TENON_MANIFEST_H
#define TENON_MANIFEST_H

#include <stddef.h>
#include <tenon/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_manifest tn_manifest;

/* Checks all of it. The text need not live on. */
TN_API tn_status tn_manifest_parse(const char *text, size_t size, tn_manifest **out_manifest);
TN_API void tn_manifest_destroy(tn_manifest *manifest); /* accepts NULL */

/* The canonical form; it is the manifest's. */
TN_API tn_status tn_manifest_write(tn_manifest *manifest, const char **out_text);

/* Values by their path: keys and positions with '/' between, "inputs/0/unit"; "" is the whole. */
typedef enum tn_manifest_kind {
    TN_MANIFEST_NONE = 0, /* there is nothing */
    TN_MANIFEST_TEXT = 1,
    TN_MANIFEST_NUMBER = 2,
    TN_MANIFEST_LIST = 3,
    TN_MANIFEST_MAP = 4,
} tn_manifest_kind;
TN_API tn_manifest_kind tn_manifest_kind_of(const tn_manifest *manifest, const char *path);
TN_API const char *tn_manifest_get(const tn_manifest *manifest, const char *path); /* a text or number; NULL: no such */
TN_API int tn_manifest_count(const tn_manifest *manifest, const char *path);       /* entries of a list or map; 0 */
TN_API const char *tn_manifest_key(const tn_manifest *manifest, const char *path, int index); /* of a map; NULL */

#ifdef __cplusplus
}
#endif
#endif
