/* AttributeProto: the kinds of attributes, and references to a function's arguments. */
#include "import/onnx.h"

tn_status tn_onnx_argument(tn_scope *scope, tn_string message, tn_argument *out, bool *present) {
    tn_pb r = tn_pb_over(message);
    tn_pb_field f;
    tn_string reference = {0};
    *out = (tn_argument){{"", 0}, message, scope};
    *present = true;
    while (tn_pb_next(&r, &f)) {
        if (f.number == 1) out->name = tn_pb_bytes(&r, &f);
        if (f.number == 21) reference = tn_pb_bytes(&r, &f);
    }
    TN_TRY(tn_pb_done(&r, "AttributeProto"));
    if (!out->name.size) return tn_fail(TN_E_FORMAT, "an attribute has no name");
    if (!reference.size) return TN_OK;
    for (int i = 0; i < scope->argument_count; i++)
        if (tn_string_equal(scope->arguments[i].name, reference)) {
            out->message = scope->arguments[i].message;
            out->origin = scope->arguments[i].origin;
            return TN_OK;
        }
    *present = false;
    return TN_OK;
}

/* Repeated numbers of field `number`, as an array of int64_t or float in the root's region. */
static tn_status read_numbers(tn_importer *importer, tn_string message, uint32_t number, bool floats, tn_attr *out) {
    void *values = NULL;
    for (int pass = 0; pass < 2; pass++) {
        tn_pb r = tn_pb_over(message);
        tn_pb_field f;
        uint64_t v;
        size_t n = 0;
        while (tn_pb_next(&r, &f)) {
            if (f.number != number) continue;
            for (; tn_pb_each(&r, &f, floats ? TN_PB_32 : TN_PB_VARINT, &v); n++) {
                if (!values) continue;
                if (floats)
                    ((float *)values)[n] = tn_pb_bits_float(v);
                else
                    ((int64_t *)values)[n] = (int64_t)v;
            }
        }
        TN_TRY(tn_pb_done(&r, "AttributeProto"));
        if (pass == 0 &&
            !(values = tn_region_array(importer->root->region, n, floats ? sizeof(float) : sizeof(int64_t))))
            return TN_E_MEMORY;
        out->count = n;
    }
    if (floats)
        out->floats = values;
    else
        out->ints = values;
    return TN_OK;
}

static tn_status read_text(tn_importer *importer, tn_string bytes, tn_string *out) {
    char *copy = tn_region_strndup(importer->root->region, bytes.data, bytes.size);
    if (!copy) return TN_E_MEMORY;
    *out = (tn_string){copy, bytes.size};
    return TN_OK;
}

static tn_status read_texts(tn_importer *importer, tn_string message, tn_attr *out) {
    tn_string *bytes;
    int count;
    TN_TRY(tn_pb_collect(importer->scratch, message, 9, &bytes, &count));
    tn_string *copies = tn_region_array(importer->root->region, (size_t)count, sizeof *copies);
    if (!copies) return TN_E_MEMORY;
    for (int i = 0; i < count; i++) TN_TRY(read_text(importer, bytes[i], &copies[i]));
    out->strings = copies;
    out->count = (size_t)count;
    return TN_OK;
}

/* Files older than IR version 2 do not say the kind: it is the field that is there. */
static int64_t kind_of_field(uint32_t number) {
    static const uint8_t kinds[] = {
        [2] = TN_ATTR_FLOAT,  [3] = TN_ATTR_INT,  [4] = TN_ATTR_STRING,  [5] = TN_ATTR_TENSOR, [6] = TN_ATTR_GRAPH,
        [7] = TN_ATTR_FLOATS, [8] = TN_ATTR_INTS, [9] = TN_ATTR_STRINGS, [14] = TN_ATTR_TYPE};
    return number < TN_COUNT(kinds) ? kinds[number] : 0;
}

tn_status tn_onnx_attribute(tn_scope *scope, tn_string message, tn_attr *out, bool *present, tn_string *body,
                            tn_scope **origin) {
    enum { SPARSE_TENSOR = 11 };
    tn_importer *importer = scope->importer;
    tn_argument argument;
    TN_TRY(tn_onnx_argument(scope, message, &argument, present));
    if (!*present) return TN_OK;
    tn_attr attr = {0};
    tn_string bytes = {"", 0}, nested = {0};
    int64_t kind = 0, found = 0;
    tn_pb r = tn_pb_over(argument.message);
    tn_pb_field f;
    float real = 0;
    int64_t integer = 0;
    while (tn_pb_next(&r, &f)) {
        if (!found) found = kind_of_field(f.number);
        switch (f.number) {
        case 2: real = tn_pb_float(&r, &f); break;
        case 3: integer = tn_pb_int(&r, &f); break;
        case 4: bytes = tn_pb_bytes(&r, &f); break;
        case 5:
        case 6:
        case 14:
        case 22: nested = tn_pb_bytes(&r, &f); break;
        case 20: kind = tn_pb_int(&r, &f); break;
        }
    }
    TN_TRY(tn_pb_done(&r, "AttributeProto"));
    if (!kind) kind = found;
    tn_string name;
    TN_TRY(read_text(importer, argument.name, &name));
    attr.name = name.data;
    attr.kind = kind == SPARSE_TENSOR ? TN_ATTR_TENSOR : (tn_attr_kind)kind;
    tn_status status = TN_OK;
    tn_tensor *tensor = NULL;
    tn_type *type;
    switch (kind) {
    case TN_ATTR_FLOAT: attr.f = real; break;
    case TN_ATTR_INT: attr.i = integer; break;
    case TN_ATTR_STRING: status = read_text(importer, bytes, &attr.s); break;
    case TN_ATTR_TENSOR:
        status = tn_onnx_constant(importer, nested, &tensor, NULL);
        attr.t = tensor;
        break;
    case SPARSE_TENSOR:
        status = tn_onnx_sparse(importer, nested, &tensor, NULL);
        attr.t = tensor;
        break;
    case TN_ATTR_GRAPH:
        *body = nested;
        *origin = argument.origin;
        break;
    case TN_ATTR_FLOATS: status = read_numbers(importer, argument.message, 7, true, &attr); break;
    case TN_ATTR_INTS: status = read_numbers(importer, argument.message, 8, false, &attr); break;
    case TN_ATTR_STRINGS: status = read_texts(importer, argument.message, &attr); break;
    case TN_ATTR_TYPE:
        type = tn_region_alloc(importer->root->region, sizeof *type);
        status = type ? tn_onnx_type(importer->root, importer->scratch, nested, type) : TN_E_MEMORY;
        attr.type = type;
        break;
    default: status = tn_fail(TN_E_UNSUPPORTED, "attributes of kind %lld are not supported", (long long)kind);
    }
    *out = attr;
    return status == TN_OK ? TN_OK : tn_fail_context(status, "attribute '%s'", attr.name);
}
