/* Models: a graph made ready to run, immutable, shared by any number of sessions and threads.
 *
 *     tn_model *model;
 *     if (tn_model_load("press.onnx", NULL, &model) != TN_OK) fprintf(stderr, "%s\n", tn_last_error());
 *
 * Loading reads an ONNX file or a model file (model_file.h), which its first bytes tell apart, through mmap: the file must
 * stay unchanged while the model lives. It checks all of it, lifts operators to their newest versions, and runs the passes.
 * Weights are used where they lie in the file. */
#ifndef TENON_MODEL_H
#define TENON_MODEL_H

#include <tenon/custom.h>
#include <tenon/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_model tn_model;

/* How products of float32 are made: MatMul, Gemm, Conv, attention, and the inputs' side of recurrent layers. */
typedef enum tn_precision {
    TN_PRECISION_FULL = 0,
    /* Their factors are rounded to bfloat16 (8 bits of precision), sums are float32, where the CPU multiplies bfloat16
     * faster than float32: with AMX (level "amx"), and AVX512_BF16 of AMD. Elsewhere, and for all other operators, it is
     * the same as TN_PRECISION_FULL. An element's relative error is some thousandths; results are the same bits at any
     * thread count, but not on every CPU. */
    TN_PRECISION_FAST = 1
} tn_precision;

/* Whether products of float32 matrices (MatMul, Gemm, attention) have their weights packed, in an order that the processor
 * reads fastest, or read them where a file has them. Results are the same bits. In place, the first result is there sooner,
 * and all processes together have the weights once; but what a run uses is packed piece by piece, each time. */
typedef enum tn_weights_place {
    /* In place where they lie in a model file (.tenon) and each is used by 96 rows or more, which costs a run some 2 to
     * 8 %; else, and if there is a packed_folder, packed. What is multiplied with one row is read in place anyway. */
    TN_WEIGHTS_AUTO = 0,
    /* Of any file, for any number of rows: a run takes some 5 to 15 % longer with 16 to 64 rows, and more where the file has
     * weights transposed. */
    TN_WEIGHTS_IN_PLACE = 1,
    TN_WEIGHTS_PACKED = 2
} tn_weights_place;

/* All zero but struct_size is the default. */
typedef struct tn_model_options {
    size_t struct_size;
    const tn_allocator *allocator;
    const char *cpu;     /* "scalar", "avx2", "avx512"...: at most this level. NULL: TENON_CPU, or the best there is */
    size_t memory_limit; /* most bytes that loading may allocate; 0: ten times the file's size plus 1 GiB */
    const char *skip_passes;        /* names with commas between: passes to leave out; "all": all but widening */
    const tn_custom_op *custom_ops; /* operators of the host; copied */
    size_t custom_op_count;
    /* Called after each pass with its name and how many nodes there were and are, and how often it applied. */
    void (*on_pass)(void *context, const char *pass, int nodes_before, int nodes_after, int changes);
    void *context;
    bool verify_weights;       /* compare the weights of a model file with their SHA-256: see model_file.h */
    tn_precision precision;    /* belongs to the model, since weights are packed for it */
    const char *packed_folder; /* where packed weights are kept for the next process: see below; NULL: nowhere */
    tn_weights_place weights;
} tn_model_options;

/* Packed weights in a file
 *
 * Most operators read their weights in another order than a model file has them. Each process makes these packed weights
 * when it prepares its first session, and has them for itself. Where many processes run one model, or start again and again,
 * `packed_folder` names a folder where the first of them leaves the packed weights of a model file (.tenon), in a file of its
 * own, DIGEST-LEVEL.packed; the others map it, read-only, and make nothing. It costs the first one a flush to the disk, and
 * the model's size on it.
 *
 * The file is used only by the same library, CPU level and precision, for a model of the same digest. Whatever else is found
 * there, damaged or of another version, is passed by and replaced: each packed weight has a checksum that is compared when
 * it is first used. Since a checksum stops no one who wants to forge, a file counts only if it belongs to the process's user or
 * to root and no other user may write to it. Files appear whole, by a rename, and never change, so that any number of
 * processes may start at once; as with model files, replace or remove one, but do not write into it. Where the folder cannot
 * be written to, what lies in it is used all the same. A new file is written only if the model's weights have the SHA-256
 * that they should. What is packed for more shapes is added, in a new file, some times and up to four times the weights.
 * Delete the files at any time.
 *
 * tn_model_load fails if there is no such folder, and on ONNX files, which have no digest; what goes wrong later (a full
 * disk) leaves the process with packed weights of its own. These are mapped memory, not of the model's allocator. */

TN_API tn_status tn_model_load(const char *path, const tn_model_options *options, tn_model **out_model);
/* From memory that must outlive the model, and should be aligned to 64 bytes if it is a model file. External tensor data is
 * looked for in `folder` (NULL: refused). */
TN_API tn_status tn_model_load_memory(const void *data, size_t size, const char *folder,
                                      const tn_model_options *options, tn_model **out_model);
/* Takes the graph over, also on failure. */
TN_API tn_status tn_model_from_graph(tn_graph *graph, const tn_model_options *options, tn_model **out_model);
/* The graph of a file as it is there, lifted to the newest operators but with no pass run: to look at, to save in another
 * form, or to make a model of. Of the options, those of passes and CPU do not matter. Destroy it with tn_graph_destroy. */
TN_API tn_status tn_graph_load(const char *path, const tn_model_options *options, tn_graph **out_graph);
/* Accepts NULL. Sessions made from it must be gone. */
TN_API void tn_model_destroy(tn_model *model);

/* What runs, after the passes. */
TN_API const tn_graph *tn_model_graph(const tn_model *model);
TN_API const char *tn_model_cpu(const tn_model *model); /* the level in use: "avx512" */
TN_API int tn_model_input_count(const tn_model *model);
TN_API int tn_model_output_count(const tn_model *model);
TN_API tn_status tn_model_input_info(const tn_model *model, int index, tn_value_info *out_info);
TN_API tn_status tn_model_output_info(const tn_model *model, int index, tn_value_info *out_info);
TN_API int tn_model_input_index(const tn_model *model, const char *name); /* -1 if there is none */
TN_API int tn_model_output_index(const tn_model *model, const char *name);

/* What the model's file says of itself: key and value number `index`, TN_E_NOT_FOUND past the last; or a key's value,
 * NULL if there is none. The texts are the model's. */
TN_API tn_status tn_model_metadata_at(const tn_model *model, int index, const char **out_key, const char **out_value);
TN_API const char *tn_model_metadata(const tn_model *model, const char *key);

/* One tensor in ONNX's own file format (TensorProto), as test data come in. */
TN_API tn_status tn_tensor_load_pb(const char *path, tn_tensor **out_tensor);
TN_API tn_status tn_tensor_save_pb(const tn_tensor *tensor, const char *name, const char *path);

/* The instruction set levels that this machine can run, lowest first; NULL from `index` = their number on: "scalar",
 * "avx2", "avxvnni", "avx512", "vnni", "bf16", "amx"; "neon", "dotprod", "i8mm".
 *
 * The first model at level "amx" (or call of this function) asks the system, once for the process, for AMX's tile
 * registers. From then on Linux refuses alternate signal stacks smaller than getauxval(AT_MINSIGSTKSZ), some 12 KiB;
 * where one is in use already it refuses the tiles, and "bf16" is the best level. A lower `cpu` asks for nothing. */
TN_API const char *tn_cpu_level_at(int index);
TN_API const char *tn_version(void);

#ifdef __cplusplus
}
#endif
#endif
