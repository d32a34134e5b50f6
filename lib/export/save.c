/* ONNX files: see tenon/onnx.h. */
#include <tenon/onnx.h>
#include <stdio.h>
#include "base/output.h"
#include "export/export.h"
#include "kernels/sha256.h"

#define OUTSIDE_FROM 1024         /* tensors of fewer bytes stay in the message */
#define MESSAGE_BYTES 0x7fffffffu /* the most that protobuf reads */

typedef struct writer {
    tn_status (*write)(void *context, const void *data, size_t size);
    void *context;
    tn_status status;
} writer;

static void write_piece(void *context, const void *data, size_t size) {
    writer *w = context;
    if (w->status == TN_OK && size) w->status = w->write(w->context, data, size);
}

tn_status tn_graph_write_onnx(const tn_graph *graph, tn_status (*write)(void *context, const void *data, size_t size),
                              void *context) {
    tn_region *scratch = tn_region_create(NULL);
    tn_pb_out message = {0};
    tn_weights weights = {0};
    writer w = {write, context, TN_OK};
    tn_graph *other = NULL;
    tn_status status = scratch ? tn_export_widen(graph, &other) : TN_E_MEMORY;
    if (status == TN_OK)
        status = tn_export_onnx(other ? other : graph, &(tn_export_options){0}, scratch, &message, &weights);
    if (status == TN_OK && tn_pb_out_bytes(&message) > MESSAGE_BYTES)
        status = tn_fail(TN_E_LIMIT, "an ONNX model of %llu bytes: more than 2 GiB need external data, and so a file",
                         (unsigned long long)tn_pb_out_bytes(&message));
    if (status == TN_OK) tn_pb_out_each(&message, write_piece, &w);
    tn_pb_out_free(&message);
    tn_graph_destroy(other);
    tn_region_destroy(scratch);
    return status == TN_OK ? w.status : status;
}

static void hash_piece(void *context, const void *data, size_t size) {
    tn_sha256_update(context, data, size);
}

/* The name of the file of these weights, beside the model: another one for other weights, so that the model file and the
 * data that it names always fit. */
static const char *data_name(tn_region *scratch, const char *path, const tn_weights *weights) {
    tn_sha256 hash;
    uint8_t digest[TN_SHA256_BYTES];
    char text[2 * TN_SHA256_BYTES + 1];
    const char *slash = strrchr(path, '/');
    tn_sha256_init(&hash);
    tn_weights_each(weights, hash_piece, &hash);
    tn_sha256_final(&hash, digest);
    tn_sha256_text(digest, text);
    return tn_region_printf(scratch, "%s.%.16s.data", slash ? slash + 1 : path, text);
}

static tn_status save_data(tn_region *scratch, const char *path, const char *name, const tn_weights *weights) {
    tn_output file;
    const char *slash = strrchr(path, '/');
    const char *full = tn_region_printf(scratch, "%.*s%s", slash ? (int)(slash - path) + 1 : 0, path, name);
    if (!full) return TN_E_MEMORY;
    TN_TRY(tn_output_open(&file, full));
    tn_weights_each(weights, tn_output_piece, &file);
    return tn_output_commit(&file);
}

/* Exports for a file with external data: once to know the weights, and again with the name that follows from them. */
static tn_status export_outside(const tn_graph *graph, const char *path, tn_region *scratch, tn_pb_out *message) {
    tn_weights weights = {0};
    tn_export_options options = {"", OUTSIDE_FROM, false};
    tn_pb_out_free(message);
    TN_TRY(tn_export_onnx(graph, &options, scratch, message, &weights));
    options.location = data_name(scratch, path, &weights);
    if (!options.location) return TN_E_MEMORY;
    tn_pb_out_free(message);
    weights = (tn_weights){0};
    TN_TRY(tn_export_onnx(graph, &options, scratch, message, &weights));
    return weights.first ? save_data(scratch, path, options.location, &weights) : TN_OK;
}

tn_status tn_graph_save_onnx(const tn_graph *graph, const char *path, const tn_onnx_options *options) {
    tn_onnx_options full = {.struct_size = sizeof full};
    if (options) memcpy(&full, options, TN_MIN(options->struct_size, sizeof full));
    tn_region *scratch = tn_region_create(NULL);
    tn_pb_out message = {0};
    tn_weights weights = {0};
    tn_output file;
    tn_graph *other = NULL;
    tn_status status = scratch ? tn_export_widen(graph, &other) : TN_E_MEMORY;
    if (other) graph = other;
    if (status == TN_OK && !full.external_data)
        status = tn_export_onnx(graph, &(tn_export_options){0}, scratch, &message, &weights);
    if (status == TN_OK && (full.external_data || tn_pb_out_bytes(&message) > MESSAGE_BYTES))
        status = export_outside(graph, path, scratch, &message);
    if (status == TN_OK) status = tn_output_open(&file, path);
    if (status == TN_OK) {
        tn_pb_out_each(&message, tn_output_piece, &file);
        status = tn_output_commit(&file);
    }
    tn_pb_out_free(&message);
    tn_graph_destroy(other);
    tn_region_destroy(scratch);
    return status;
}

tn_status tn_model_save_onnx(const tn_model *model, const char *path, const tn_onnx_options *options) {
    return tn_graph_save_onnx(tn_model_graph(model), path, options);
}
