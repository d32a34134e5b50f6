/* Model files (.tenon): one file that says what a model is, and holds it.
 *
 *     tn_graph *graph;
 *     tn_graph_load("press.onnx", NULL, &graph);
 *     tn_model_file_options options = {sizeof options, .manifest = "name: press\nversion: 1.0.0\n"};
 *     tn_graph_save(graph, "press.tenon", &options);
 *     tn_graph_destroy(graph);
 *
 *     tn_model_load("press.tenon", NULL, &model);      // as any model
 *
 * Thread-safety: an open file may be read by one thread at a time; everything else may be called by many at once.
 *
 *
 * THE FORMAT, version 1.2
 *
 * All numbers are unsigned and little-endian. A file is a header of 64 bytes, a table of n rows of 64 bytes, and n sections.
 *
 *     header  offset  bytes
 *                  0      8   magic: 89 54 4e 4d 0d 0a 1a 0a
 *                  8      2   major version: 1
 *                 10      2   minor version: 2 if a section is in runs, or else 1 if there is a self-test, or else 0
 *                 12      4   n, the number of sections: 1 to 64
 *                 16      8   length of the whole file
 *                 24      8   zero
 *                 32     32   SHA-256 of the header's bytes 0 to 31 followed by the whole table: the model's digest
 *
 *     row          0      4   kind: 1 manifest, 2 graph, 3 weights, 4 optimizer state; since 1.1: 5 self-test
 *                  4      4   flags: bit 0 deflated, bit 1 must be understood; since 1.2: bit 2 in runs; others zero
 *                  8      8   offset of the section in the file, a multiple of 64
 *                 16      8   stored: bytes that it takes there, at least 1
 *                 24      8   length: bytes that it has when it is unpacked; equal to stored if it is neither deflated nor in runs
 *                 32     32   SHA-256 of the stored bytes
 *
 * Rows stand in the order of their offsets, and there is one section of a kind at most. Each section begins at the first
 * multiple of 64 at or behind the end of what is before it (the table, or another section); the bytes between are zero. The
 * file ends where its last section does. So the digest in the header stands for every byte of the file; it is what a
 * manifest calls `parent`. A deflated section is one stream of zlib (RFC 1950), at most 1032 times as long as it is stored.
 *
 * A section in runs (since 1.2; for weights that were pruned and share values, which are read faster so than inflated) is a row
 * of pieces of 512 bytes when they are unpacked, the last of which may have fewer. A piece begins with a byte. Where that is 0,
 * the piece follows as it is. Where its upper half is 1, its lower half is the usual half byte u, and each byte that follows
 * stands for as many u as its upper half says and then once its lower half, until the piece is full; of a byte of the piece,
 * the lower half is first. No other byte begins a piece. A section is not both deflated and in runs.
 *
 * Manifest: YAML in UTF-8, at most 1 MiB; see below. May be absent.
 *
 * Graph: an ONNX ModelProto (onnx.ai/onnx/repo-docs/IR.html), below 2 GiB. Always there. Tensors (initializers and attributes)
 * of 64 bytes and more, strings excepted, have no data in it but are external data as ONNX describes them: data_location is
 * EXTERNAL, and of external_data `location` is always "weights", `offset` counts from the start of the (unpacked) weights
 * section and is a multiple of 64, `length` is the number of bytes. Nothing else may be external.
 *
 * Weights: the elements of these tensors, as ONNX's raw_data has them: row-major, little-endian, elements of less than a byte
 * packed, bool one byte. The bytes between tensors are zero; several tensors may share a place. Absent if there are none.
 *
 * Optimizer state: bytes of whoever trains the model. May be absent.
 *
 * Self-test (since 1.1): a message of protobuf (protobuf.dev/programming-guides/encoding), below 2 GiB, that holds inputs and
 * what the model gives for them (tenon/self_test.h). TensorProto is ONNX's, with a name and its elements in it. May be absent.
 *
 *     message SelfTest { repeated Case case = 1; }                       // 1 to 1024
 *     message Case {
 *         string name = 1;
 *         float relative = 2;                                           // |found - expected| is at most
 *         float absolute = 3;                                           // absolute + relative |expected|
 *         repeated TensorProto input = 4;
 *         repeated TensorProto output = 5;                              // expected; 1 or more
 *     }
 *
 * Versions. A file says the lowest minor version that has what it holds, so that older readers read all files that they can.
 * A file of another major version cannot be read. Within a major version a reader reads files of every older minor version,
 * and of newer ones what it knows: it passes over sections of kinds that it does not know, unless they must be understood
 * (bit 1), and over keys of the manifest that it does not know. A flag that it does not know makes the file unreadable.
 *
 * What is verified when. Opening a file checks its header, the table, that the sections lie as they should, and the digest of
 * header and table: nothing else has been looked at by then. A section's bytes are compared with its SHA-256 before anything
 * of them is parsed or unpacked; loading a model does so with manifest, graph and self-test, and with weights that are packed.
 * Weights that are not are mapped and not parsed: tn_model_options.verify_weights has them read and compared too, and so do
 * tn_model_file_verify, `tenon check` and `tenon convert`.
 *
 * Why ONNX inside: the graph's vocabulary is ONNX's; a second encoding of it would be a second parser to attack, a second
 * specification to keep, and a file that no other tool can look into.
 *
 *
 * THE MANIFEST: see tenon/manifest.h. */
#ifndef TENON_MODEL_FILE_H
#define TENON_MODEL_FILE_H

#include <tenon/self_test.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tn_section_kind {
    TN_SECTION_MANIFEST = 1,
    TN_SECTION_GRAPH = 2,
    TN_SECTION_WEIGHTS = 3,
    TN_SECTION_OPTIMIZER = 4,
    TN_SECTION_SELF_TEST = 5,
} tn_section_kind;

/* ---- writing ---- */

/* All zero but struct_size is the default. */
typedef struct tn_model_file_options {
    size_t struct_size;
    /* The manifest, as YAML. Inputs, outputs and what the host needs are added where it does not say them, and must fit the
     * graph where it does. NULL: the one that came with the graph, or else one that has no more than a name, made of the
     * file's, and version 0.0.0. */
    const char *manifest;
    /* Deflate graph and weights: smaller, but no longer used where they lie in the file. Weights go in runs where that is not
     * larger by more than a sixteenth. */
    bool compress;
    const void *optimizer; /* state of an optimizer, if size is not 0 */
    size_t optimizer_size;
    /* NULL: the one that came with the graph from its file, if there is one. It is not run: see tenon/self_test.h. */
    const tn_self_test *self_test;
} tn_model_file_options;

/* The file at `path`, if there is one, is replaced by the complete new one or stays as it is. The same graph and options give
 * the same bytes (compressed ones with the same zlib). Refuses graphs as tn_graph_save_onnx does. */
TN_API tn_status tn_graph_save(const tn_graph *graph, const char *path, const tn_model_file_options *options);

/* ---- what a loaded model knows of its file ---- */

/* The manifest in its canonical form, and the digest ("sha256:" and 64 hex digits); NULL if the model is of another kind of
 * file. They are the model's. */
TN_API const char *tn_model_manifest(const tn_model *model);
TN_API const char *tn_model_digest(const tn_model *model);
TN_API const char *tn_graph_manifest(const tn_graph *graph);
TN_API const char *tn_graph_digest(const tn_graph *graph);

/* ---- looking into a file ---- */

typedef struct tn_model_file tn_model_file;

typedef struct tn_section_info {
    size_t struct_size; /* set by the caller */
    uint32_t kind;      /* a tn_section_kind, or one of a newer version */
    bool deflated;
    uint64_t offset, stored, length;
    char digest[65];  /* of the stored bytes */
    const char *name; /* "weights"; "unknown" */
    bool runs;
} tn_section_info;

/* Maps the file, which must stay as it is while it is open. */
TN_API tn_status tn_model_file_open(const char *path, tn_model_file **out_file);
/* From memory that must outlive it. */
TN_API tn_status tn_model_file_open_memory(const void *data, size_t size, tn_model_file **out_file);
TN_API void tn_model_file_close(tn_model_file *file); /* accepts NULL */

TN_API const char *tn_model_file_digest(const tn_model_file *file); /* "sha256:..." */
TN_API void tn_model_file_version(const tn_model_file *file, int *out_major, int *out_minor);
/* TN_E_NOT_FOUND past the last one. */
TN_API tn_status tn_model_file_section(const tn_model_file *file, int index, tn_section_info *out_info);
/* The section's bytes, verified and unpacked; they are the file's. TN_E_NOT_FOUND if there is no such section. */
TN_API tn_status tn_model_file_read(tn_model_file *file, uint32_t kind, const void **out_data, size_t *out_size);
/* Every byte of the file. */
TN_API tn_status tn_model_file_verify(tn_model_file *file);

#ifdef __cplusplus
}
#endif
#endif
