/* Tensors in files of their own: TensorProto, as tests and tools exchange them. */
#include "import/onnx.h"
#include <tenon/model.h>
#include <errno.h>
#include <stdio.h>

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

static void put_varint(FILE *file, uint64_t v) {
    for (; v >= 0x80; v >>= 7) putc((int)(v & 0x7f) | 0x80, file);
    putc((int)v, file);
}

static void put_bytes(FILE *file, unsigned number, const void *data, size_t size) {
    put_varint(file, number << 3 | TN_PB_LEN);
    put_varint(file, size);
    if (size) fwrite(data, 1, size, file);
}

static void put_tensor(FILE *file, const tn_tensor *t, const char *name) {
    for (int i = 0; i < t->rank; i++) {
        put_varint(file, 1 << 3);
        put_varint(file, (uint64_t)t->dims[i]);
    }
    put_varint(file, 2 << 3);
    put_varint(file, (uint64_t)t->dtype);
    if (name) put_bytes(file, 8, name, strlen(name));
    if (t->dtype == TN_STRING) {
        const tn_string *strings = t->data;
        for (int64_t i = 0; i < tn_count(t); i++) put_bytes(file, 6, strings[i].data, strings[i].size);
    } else {
        put_bytes(file, 9, t->data, tn_tensor_bytes(t));
    }
}

tn_status tn_tensor_save_pb(const tn_tensor *tensor, const char *name, const char *path) {
    tn_tensor *dense = NULL;
    if (!tn_tensor_is_dense(tensor)) {
        TN_TRY(tn_tensor_clone(tensor, NULL, &dense));
        tensor = dense;
    }
    FILE *file = fopen(path, "wbe");
    bool good = file != NULL;
    if (file) {
        put_tensor(file, tensor, name);
        good = !ferror(file);
        good = fclose(file) == 0 && good;
    }
    tn_tensor_destroy(dense);
    return good ? TN_OK : tn_fail(TN_E_IO, "cannot write '%s': %s", path, strerror(errno));
}
