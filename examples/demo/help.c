/* Small things that every demo needs: failing, files, sound. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "demo.h"

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("demo: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

void must(tn_status status) {
    if (status != TN_OK) fail("%s", tn_last_error());
}

void *need(void *pointer) {
    if (!pointer) fail("out of memory, or a file is missing");
    return pointer;
}

void expect(demo *d, bool good, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("  ", stdout);
    vprintf(format, arguments);
    puts(good ? "" : "   <-- NOT AS EXPECTED");
    va_end(arguments);
    d->failures += !good;
}

char *read_file(const char *folder, const char *name, size_t *out_size) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) fail("cannot read %s", path);
    size_t size = (size_t)ftell(f);
    rewind(f);
    char *data = need(malloc(size + 1));
    if (fread(data, 1, size, f) != size) fail("cannot read %s", path);
    fclose(f);
    data[size] = 0;
    *out_size = size;
    return data;
}

float *read_wave(const char *folder, const char *name, int *out_count) {
    enum { HEADER = 44 };
    size_t size;
    char *data = read_file(folder, name, &size);
    if (size < HEADER || memcmp(data, "RIFF", 4) != 0 || memcmp(data + 36, "data", 4) != 0)
        fail("%s is no plain WAV file", name);
    *out_count = (int)((size - HEADER) / 2);
    float *samples = need(malloc((size_t)*out_count * sizeof *samples + 1));
    for (int i = 0; i < *out_count; i++) {
        int16_t sample;
        memcpy(&sample, data + HEADER + 2 * i, 2);
        samples[i] = (float)sample / 32768;
    }
    free(data);
    return samples;
}

int read_notes(const char *folder, const char *name, note *notes, int capacity) {
    size_t size;
    int count = 0, used;
    char *data = read_file(folder, name, &size), *at = data;
    while (count < capacity &&
           sscanf(at, "%lf %lf %63[^\n]\n%n", &notes[count].start, &notes[count].end, notes[count].what, &used) == 3) {
        at += used;
        count++;
    }
    free(data);
    return count;
}
