/* See json.h. Indented by two, one item a line but for arrays of plain values, which stay on one. */
#include "json.h"
#include <math.h>
#include <string.h>

json json_open(FILE *file) {
    return (json){.file = file};
}

/* Bytes of the UTF-8 character at `text`, 0 if it is none. */
static int utf8_length(const unsigned char *text) {
    unsigned char c = text[0];
    if (c < 0x80) return 1;
    int length = c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
    for (int i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    bool wide = (c == 0xe0 && text[1] < 0xa0) || (c == 0xf0 && text[1] < 0x90); /* longer than need be */
    bool surrogate = c == 0xed && text[1] >= 0xa0, beyond = c == 0xf4 && text[1] >= 0x90;
    return wide || surrogate || beyond ? 0 : length;
}

static void write_string(FILE *file, const char *text) {
    fputc('"', file);
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        int length = utf8_length(p);
        if (*p == '"' || *p == '\\')
            fprintf(file, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f)
            fprintf(file, "\\u%04x", *p);
        else if (length)
            fwrite(p, 1, (size_t)length, file);
        else
            fputs("\\ufffd", file);
        p += length ? length : 1;
    }
    fputc('"', file);
}

static void indent(json *j) {
    fprintf(j->file, "\n%*s", 2 * j->depth, "");
}

/* The comma, the line and the key before a value. */
static void begin(json *j, const char *key, bool nested) {
    if (j->depth) {
        bool plain = j->closing[j->depth] == ']' && !nested;
        if (j->filled[j->depth]) fputs(plain ? ", " : ",", j->file);
        if (!plain) indent(j);
        j->lines[j->depth] = !plain;
        j->filled[j->depth] = true;
    }
    if (!key) return;
    write_string(j->file, key);
    fputs(": ", j->file);
}

static void nest(json *j, const char *key, const char *brackets) {
    begin(j, key, true);
    fputc(brackets[0], j->file);
    if (j->depth < 31) j->depth++;
    j->filled[j->depth] = j->lines[j->depth] = false;
    j->closing[j->depth] = brackets[1];
}

void emit_object(json *j, const char *key) {
    nest(j, key, "{}");
}

void emit_array(json *j, const char *key) {
    nest(j, key, "[]");
}

void emit_end(json *j) {
    char bracket = j->closing[j->depth];
    bool lines = j->lines[j->depth];
    j->depth--;
    if (lines) indent(j);
    fputc(bracket, j->file);
    if (!j->depth) fputc('\n', j->file);
}

void emit_text(json *j, const char *key, const char *text) {
    begin(j, key, false);
    if (text)
        write_string(j->file, text);
    else
        fputs("null", j->file);
}

void emit_int(json *j, const char *key, int64_t value) {
    begin(j, key, false);
    fprintf(j->file, "%lld", (long long)value);
}

void emit_number(json *j, const char *key, double value) {
    begin(j, key, false);
    if (isfinite(value))
        fprintf(j->file, "%.9g", value);
    else
        fputs("null", j->file);
}

void emit_bool(json *j, const char *key, bool value) {
    begin(j, key, false);
    fputs(value ? "true" : "false", j->file);
}
