/* JSON, written as it is known. Calls nest as the text does; `key` is NULL inside arrays and at the top.
 *
 *     json j = json_open(stdout);
 *     json_object(&j, NULL);
 *     json_text(&j, "name", "press");
 *     json_array(&j, "dims");  json_int(&j, NULL, 3);  json_end(&j);
 *     json_end(&j);
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
void json_object(json *j, const char *key);
void json_array(json *j, const char *key);
void json_end(json *j);
void json_text(json *j, const char *key, const char *text); /* bytes that are no UTF-8 become U+FFFD; NULL: null */
void json_int(json *j, const char *key, int64_t value);
void json_number(json *j, const char *key, double value); /* null if it is not finite */
void json_bool(json *j, const char *key, bool value);

#endif
