/* Tensors in files of their own: TensorProto, as tests and tools exchange them. */
#include <tenon/model.h>
#include "import/onnx.h"
#include "import/pb_write.h"

/* The bytes of strings lie behind the array of tn_string, in one piece of memory. */
tn_status tn_tensor_read_pb(tn_string message, tn_tensor **out) {
    tn_onnx_tensor t;
    size_t bytes;
    TN_TRY(tn_onnx_tensor_scan(message, &t));
    if (t.external) return tn_fail(TN_E_UNSUPPORTED, "external data in a tensor file");
    if (!tn_add_size(t.bytes, t.string_bytes, &bytes) || bytes > INT64_MAX)
        return tn_fail(TN_E_LIMIT, "a tensor of more bytes than memory has");
    tn_tensor *tensor;
    TN_TRY(tn_tensor_create(TN_UINT8, 1, (int64_t[]){(int64_t)bytes}, NULL, &tensor));
    tn_status status = tn_tensor_set_dense(tensor, t.dtype, t.rank, t.dims, tensor->data);
    if (status == TN_OK) status = tn_onnx_tensor_fill(&t, tensor->data, (char *)tensor->data + t.bytes);
    if (status != TN_OK) {
        tn_tensor_destroy(tensor);
        return status;
    }
    *out = tensor;
    return TN_OK;
}

tn_status tn_tensor_load_pb(const char *path, tn_tensor **out_tensor) {
    tn_string contents;
    *out_tensor = NULL;
    TN_TRY(tn_map_file(path, &contents));
    tn_status status = tn_tensor_read_pb(contents, out_tensor);
    tn_unmap_contents(contents);
    return status == TN_OK ? TN_OK : tn_fail_context(status, "%s", path);
}

tn_status tn_tensor_save_pb(const tn_tensor *tensor, const char *name, const char *path) {
    tn_tensor *dense = NULL;
    if (!tn_tensor_is_dense(tensor)) {
        TN_TRY(tn_tensor_clone(tensor, NULL, &dense));
        tensor = dense;
    }
    tn_pb_out message = {0};
    tn_output file;
    tn_pb_put_tensor(&message, tensor, name);
    tn_status status = message.status == TN_OK ? tn_output_open(&file, path) : message.status;
    if (status == TN_OK) {
        tn_pb_out_each(&message, tn_output_piece, &file);
        status = tn_output_commit(&file);
    }
    tn_pb_out_free(&message);
    tn_tensor_destroy(dense);
    return status;
}
