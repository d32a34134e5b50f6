/* A reader of records: RFC 4180, with sentences for what is otherwise.
 *
 * A record is collected in one buffer, unquoted on the way; fields are ends in it. The buffer grows to the largest record
 * there is, at most RECORD_BYTES. Nothing is read ahead but a block of input. */
#include "data/csv.h"
#include "base/unicode.h"
#include "data/source.h"
#include <stdlib.h>

enum { BLOCK_BYTES = 1 << 16, RECORD_BYTES = 1 << 20, MOST_COLUMNS = 1 << 16 };

struct tn_csv {
    tn_source source;
    tn_region *region; /* name, names of columns */
    const char *name;
    char separator, decimal;
    uint8_t *block;
    size_t at, size;
    char *record;
    size_t used, capacity;
    size_t *ends; /* of fields, in the record */
    tn_string *fields;
    int count, room; /* fields of the record; places in ends and fields */
    int columns;     /* 0: not known yet */
    const char **names;
    int64_t line, column; /* of the next byte */
    int64_t begin;        /* line of the record */
    tn_status reading;    /* of the last block */
    tn_status status;     /* of the first failure */
    char sentence[512];
    bool pending;
};

/* ---- bytes ---- */

static tn_status more(tn_csv *c) {
    c->at = c->size = 0;
    c->reading = tn_source_read(&c->source, c->block, BLOCK_BYTES, &c->size);
    if (c->reading != TN_OK) c->size = 0;
    return c->reading;
}

/* The next byte without taking it; -1 at the end, -2 on failure. */
static int peek(tn_csv *c) {
    if (c->at == c->size && more(c) != TN_OK) return -2;
    return c->at < c->size ? c->block[c->at] : -1;
}

static void take(tn_csv *c) {
    c->column++;
    if (c->block[c->at++] == '\n') c->line++, c->column = 1;
}

static tn_status wrong(const tn_csv *c, const char *what) {
    return tn_fail(TN_E_FORMAT, "%s line %lld, column %lld: %s", c->name, (long long)c->line, (long long)c->column,
                   what);
}

/* ---- records ---- */

static bool grow(void **memory, size_t *capacity, size_t element, size_t wanted) {
    size_t bigger = TN_MAX(wanted, 2 * *capacity);
    void *made = tn_alloc(NULL, bigger * element);
    if (!made) return false;
    if (*capacity) memcpy(made, *memory, *capacity * element);
    tn_free(NULL, *memory, *capacity * element);
    *memory = made;
    *capacity = bigger;
    return true;
}

static tn_status put(tn_csv *c, int byte) {
    if (c->used == RECORD_BYTES)
        return tn_fail(TN_E_LIMIT, "%s line %lld: a record of more than 1 MiB; is a closing quote missing?", c->name,
                       (long long)c->begin);
    if (c->used == c->capacity && !grow((void **)&c->record, &c->capacity, 1, 256)) return TN_E_MEMORY;
    c->record[c->used++] = (char)byte;
    return TN_OK;
}

static tn_status end_field(tn_csv *c) {
    if (c->count == MOST_COLUMNS)
        return tn_fail(TN_E_LIMIT, "%s line %lld: a record of more than %d fields", c->name, (long long)c->begin,
                       MOST_COLUMNS);
    if (c->count == c->room) {
        size_t ends = (size_t)c->room, fields = ends, wanted = ends ? ends + 1 : 16;
        if (!grow((void **)&c->ends, &ends, sizeof *c->ends, wanted)) return TN_E_MEMORY;
        if (!grow((void **)&c->fields, &fields, sizeof *c->fields, wanted)) {
            tn_free(NULL, c->ends, ends * sizeof *c->ends);
            c->ends = NULL;
            tn_free(NULL, c->fields, (size_t)c->room * sizeof *c->fields);
            c->fields = NULL;
            c->room = c->count = 0;
            return TN_E_MEMORY;
        }
        c->room = (int)ends;
    }
    c->ends[c->count++] = c->used;
    return TN_OK;
}

/* Takes what stands in quotes, up to the closing one. */
static tn_status read_quoted(tn_csv *c) {
    int64_t line = c->line, column = c->column;
    take(c);
    for (;;) {
        int byte = peek(c);
        if (byte == -2) return c->reading;
        if (byte == -1)
            return tn_fail(TN_E_FORMAT, "%s line %lld, column %lld: the file ends inside the quotes that begin here",
                           c->name, (long long)line, (long long)column);
        if (byte == 0) return wrong(c, "a zero byte; text must be UTF-8");
        take(c);
        if (byte == '"') {
            if (peek(c) != '"') return TN_OK;
            take(c);
        }
        TN_TRY(put(c, byte));
    }
}

/* One field, up to its separator or the end of the line. */
static tn_status read_field(tn_csv *c, bool *out_last) {
    bool quoted = peek(c) == '"', empty = true;
    *out_last = true;
    if (quoted) TN_TRY(read_quoted(c));
    for (;; empty = false) {
        int byte = peek(c);
        if (byte == -2) return c->reading;
        if (byte == '\r') {
            take(c);
            byte = peek(c);
            if (byte == -2) return c->reading;
            if (byte != '\n' && byte != -1) return wrong(c, "a carriage return that no line feed follows");
        }
        if (byte == '\n' || byte == -1) {
            if (byte == '\n') take(c);
            return end_field(c);
        }
        if (byte == (unsigned char)c->separator) {
            take(c);
            *out_last = false;
            return end_field(c);
        }
        if (byte == 0) return wrong(c, "a zero byte; text must be UTF-8");
        if (quoted) return wrong(c, "something stands behind the closing quote");
        if (byte == '"')
            return wrong(c, empty ? "no field can begin here" : "a quote inside a field that does not begin with one");
        take(c);
        TN_TRY(put(c, byte));
    }
}

static tn_status check_text(const tn_csv *c, tn_string field, int column) {
    for (size_t i = 0; i < field.size;) {
        uint32_t code;
        i += tn_utf8_decode(field.data + i, field.size - i, &code);
        if (code > TN_UNICODE_LAST)
            return tn_fail(TN_E_FORMAT,
                           "%s line %lld, field %d: the byte 0x%02x is no UTF-8; convert the file (iconv -f "
                           "ISO-8859-1 -t UTF-8)",
                           c->name, (long long)c->begin, column + 1, code - TN_UNICODE_LAST - 1);
    }
    return TN_OK;
}

/* The next record into c->fields; c->count 0 is the end. */
static tn_status read_record(tn_csv *c) {
    bool last = false;
    c->used = 0;
    c->count = 0;
    int byte = peek(c);
    while (byte == '\n' || byte == '\r') {
        take(c);
        int after = peek(c);
        if (byte == '\r' && after >= 0 && after != '\n') return wrong(c, "a carriage return that no line feed follows");
        byte = after;
    }
    if (byte == -2) return c->reading;
    if (byte == -1) return TN_OK;
    c->begin = c->line;
    while (!last) TN_TRY(read_field(c, &last));
    for (int i = 0; i < c->count; i++) {
        size_t start = i ? c->ends[i - 1] : 0;
        c->fields[i] = (tn_string){c->used ? c->record + start : "", c->ends[i] - start};
        TN_TRY(check_text(c, c->fields[i], i));
    }
    if (c->columns && c->count != c->columns)
        return tn_fail(TN_E_FORMAT, "%s line %lld: a record of %d fields; the first has %d", c->name,
                       (long long)c->begin, c->count, c->columns);
    return TN_OK;
}

/* ---- the header ---- */

static tn_status skip_mark(tn_csv *c) {
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf};
    int byte = peek(c);
    if (byte == -2) return c->reading;
    if (c->size >= 2 && ((c->block[0] == 0xff && c->block[1] == 0xfe) || (c->block[0] == 0xfe && c->block[1] == 0xff)))
        return tn_fail(TN_E_FORMAT, "%s is UTF-16; convert the file (iconv -f UTF-16 -t UTF-8)", c->name);
    if (c->size >= 3 && memcmp(c->block, mark, 3) == 0) c->at = 3;
    return TN_OK;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static tn_status name_columns(tn_csv *c, bool no_header) {
    TN_TRY(read_record(c));
    if (c->count == 0)
        return tn_fail(TN_E_FORMAT, "%s is empty; a CSV file begins with the names of its columns", c->name);
    c->columns = c->count;
    c->pending = no_header;
    c->names = tn_region_array(c->region, (size_t)c->columns, sizeof *c->names);
    const char **sorted = tn_region_array(c->region, (size_t)c->columns, sizeof *sorted);
    if (!c->names || !sorted) return TN_E_MEMORY;
    for (int i = 0; i < c->columns; i++) {
        bool named = !no_header && c->fields[i].size;
        c->names[i] = named ? tn_region_strndup(c->region, c->fields[i].data, c->fields[i].size)
                            : tn_region_printf(c->region, "column_%d", i + 1);
        if (!c->names[i]) return TN_E_MEMORY;
        sorted[i] = c->names[i];
    }
    qsort(sorted, (size_t)c->columns, sizeof *sorted, by_text);
    for (int i = 1; i < c->columns; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            return tn_fail(TN_E_FORMAT, "%s line %lld: two columns are called '%.80s'", c->name, (long long)c->begin,
                           sorted[i]);
    return TN_OK;
}

tn_status tn_csv_open_place(const tn_csv_place *place, tn_csv **out_csv) {
    tn_csv_options given = {0};
    *out_csv = NULL;
    if (place->options) memcpy(&given, place->options, TN_MIN(place->options->struct_size, sizeof given));
    if (!given.separator) given.separator = ',';
    if (!given.decimal) given.decimal = '.';
    if (strchr("\"\r\n", given.separator) || (unsigned char)given.separator > 126 || given.separator == given.decimal)
        return tn_fail(TN_E_INVALID, "CSV: a separator of '%c' with decimals of '%c'", given.separator, given.decimal);
    if (!strchr(".,", given.decimal)) return tn_fail(TN_E_INVALID, "CSV: decimals are . or ,");
    tn_region *region = tn_region_create(NULL);
    tn_csv *c = region ? tn_region_alloc(region, sizeof *c) : NULL;
    if (!c) {
        tn_region_destroy(region);
        return TN_E_MEMORY;
    }
    *c = (tn_csv){.region = region, .separator = given.separator, .decimal = given.decimal, .line = 1, .column = 1};
    c->source.file = -1;
    c->name = tn_region_strdup(region, place->name);
    c->block = tn_alloc(NULL, BLOCK_BYTES);
    tn_status status = c->name && c->block ? TN_OK : TN_E_MEMORY;
    if (status == TN_OK) status = tn_source_open(&c->source, place->path, place->memory, place->size, c->name);
    if (status == TN_OK) status = skip_mark(c);
    if (status == TN_OK) status = name_columns(c, given.no_header);
    if (status == TN_OK)
        *out_csv = c;
    else
        tn_csv_close(c);
    return status;
}

tn_status tn_csv_open(const char *path, const tn_csv_options *options, tn_csv **out_csv) {
    return tn_csv_open_place(&(tn_csv_place){.path = path, .name = path, .options = options}, out_csv);
}

tn_status tn_csv_open_memory(const void *data, size_t size, const char *name, const tn_csv_options *options,
                             tn_csv **out_csv) {
    return tn_csv_open_place(&(tn_csv_place){NULL, data, size, name, options}, out_csv);
}

void tn_csv_close(tn_csv *csv) {
    if (!csv) return;
    tn_source_close(&csv->source);
    tn_free(NULL, csv->block, BLOCK_BYTES);
    tn_free(NULL, csv->record, csv->capacity);
    tn_free(NULL, csv->ends, (size_t)csv->room * sizeof *csv->ends);
    tn_free(NULL, csv->fields, (size_t)csv->room * sizeof *csv->fields);
    tn_region_destroy(csv->region);
}

int tn_csv_column_count(const tn_csv *csv) {
    return csv->columns;
}

const char *tn_csv_column_name(const tn_csv *csv, int column) {
    return column >= 0 && column < csv->columns ? csv->names[column] : NULL;
}

tn_status tn_csv_next(tn_csv *csv, const tn_string **out_fields) {
    *out_fields = NULL;
    if (csv->status != TN_OK) return tn_fail(csv->status, "%s", csv->sentence);
    if (!csv->pending) csv->status = read_record(csv);
    csv->pending = false;
    if (csv->status != TN_OK) {
        size_t length = strnlen(tn_last_error(), sizeof csv->sentence - 1);
        memcpy(csv->sentence, tn_last_error(), length);
        csv->sentence[length] = 0;
        return csv->status;
    }
    if (csv->count) *out_fields = csv->fields;
    return TN_OK;
}

int64_t tn_csv_line(const tn_csv *csv) {
    return csv->begin;
}

char tn_csv_decimal(const tn_csv *csv) {
    return csv->decimal;
}

tn_status tn_csv_context(const tn_csv *csv, int column, tn_status status) {
    return tn_fail_context(status, "%s line %lld, column '%.80s'", csv->name, (long long)csv->begin,
                           csv->names[column]);
}
