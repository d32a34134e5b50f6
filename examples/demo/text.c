/* Text: numbered tokens, UTF-8 characters, and reading text out of a net's output. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "demo.h"

static void add(tokens *t, const char *text, size_t size) {
    if (t->count % 64 == 0) t->texts = need(realloc(t->texts, (size_t)(t->count + 64) * sizeof *t->texts));
    t->texts[t->count++] = need(strndup(text, size));
}

tokens tokens_read(const char *folder, const char *name) {
    size_t size;
    char path[256];
    snprintf(path, sizeof path, "%s.tokens", name);
    char *data = read_file(folder, path, &size);
    tokens t = {0};
    for (size_t at = 0; at < size; at += strlen(data + at) + 1) add(&t, data + at, strlen(data + at));
    free(data);
    return t;
}

tokens tokens_of_lines(const char *lines) {
    tokens t = {0};
    add(&t, "", 0);
    for (size_t size; *lines; lines += size + (lines[size] != 0)) {
        size = strcspn(lines, "\n");
        add(&t, lines, size);
    }
    add(&t, " ", 1);
    return t;
}

void tokens_free(tokens *t) {
    for (int i = 0; i < t->count; i++) free(t->texts[i]);
    free(t->texts);
}

int tokens_find(const tokens *t, const char *text, size_t size, int fallback) {
    for (int i = 0; i < t->count; i++)
        if (strlen(t->texts[i]) == size && memcmp(t->texts[i], text, size) == 0) return i;
    return fallback;
}

size_t character_size(const char *text) {
    size_t size = *text != 0;
    while (size && (text[size] & 0xC0) == 0x80) size++;
    return size;
}

int character_count(const char *text) {
    int count = 0;
    for (; *text; text += character_size(text)) count++;
    return count;
}

words ctc_decode(const tn_tensor *output, const tokens *t) {
    const int64_t *dims = tn_tensor_dims(output);
    int64_t classes = dims[2], steps = dims[0] * dims[1], previous = 0;
    words w = {0};
    int chosen = 0;
    if (classes != t->count) fail("the net tells %d characters apart, %d are named", (int)classes, t->count);
    for (int64_t step = 0; step < steps; step++) {
        int64_t best = tensor_greatest(output, step * classes, classes);
        if (best != 0 && best != previous) {
            strncat(w.text, t->texts[best], sizeof w.text - strlen(w.text) - 1);
            w.confidence += tensor_at(output, step * classes + best);
            chosen++;
        }
        previous = best;
    }
    if (chosen) w.confidence /= chosen;
    return w;
}
