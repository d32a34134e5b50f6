/* JSON, written as it is known. Calls nest as the text does; `key` is NULL inside arrays and at the top. (Functions are not
 * named json_...: libjansson, which the library links, has these.)
 *
 *     json j = json_open(stdout);
 *     emit_object(&j, NULL);
 *     emit_text(&j, "name", "press");
 *     emit_array(&j, "dims");  emit_int(&j, NULL, 3);  emit_end(&j);
 *     emit_end(&j);
 */
#ifndef TENON_JSON_H
#define TENON_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct json {
    FILE *file;
    int depth;
    bool filled[32]; /* something stands at this depth already */
    bool lines[32];  /* on lines of its own */
    char closing[32];
} json;

json json_open(FILE *file);
void emit_object(json *j, const char *key);
void emit_array(json *j, const char *key);
void emit_end(json *j);
void emit_text(json *j, const char *key, const char *text); /* bytes that are no UTF-8 become U+FFFD; NULL: null */
void emit_int(json *j, const char *key, int64_t value);
void emit_number(json *j, const char *key, double value); /* null if it is not finite */
void emit_bool(json *j, const char *key, bool value);

#endif
