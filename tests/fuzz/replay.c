/* A main for fuzz targets where there is no libFuzzer: replays files, and mutations of them.
 *
 *     replay [-n MUTATIONS] [-s SEED] FILE-OR-FOLDER...
 *
 * Mutations are few bytes changed, dropped, copied or cut off, from a generator that starts at SEED: a crash is found
 * again with the same arguments. Each input is written to `last-input` first, if -k is given. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static uint64_t state = 1;
static long mutations;
static int keep;
static unsigned long runs;

static size_t draw(size_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (size_t)(state % below);
}

static void run(const unsigned char *data, size_t size) {
    FILE *file = keep ? fopen("last-input", "wb") : NULL;
    if (file) {
        fwrite(data, 1, size, file);
        fclose(file);
    }
    LLVMFuzzerTestOneInput(data, size);
    runs++;
}

/* Changes it in place; never longer. */
static size_t mutate(unsigned char *data, size_t size) {
    static const unsigned char special[] = {0, 1, 2, 7, 8, 0x7f, 0x80, 0xff};
    for (size_t n = 1 + draw(4); n > 0 && size > 0; n--) {
        size_t at = draw(size), count = 1 + draw(size - at < 16 ? size - at : 16);
        switch (draw(6)) {
        case 0: data[at] ^= (unsigned char)(1u << draw(8)); break;
        case 1: data[at] = special[draw(sizeof special)]; break;
        case 2: data[at] = (unsigned char)draw(256); break;
        case 3:
            memmove(data + at, data + at + count, size - at - count);
            size -= count;
            break;
        case 4: memmove(data + at, data + draw(size - count + 1), count); break;
        default:
            if (draw(8) == 0) size = at;
        }
    }
    return size;
}

static void replay(const char *path) {
    DIR *folder = opendir(path);
    if (folder) {
        char inner[4096];
        for (struct dirent *entry; (entry = readdir(folder));) {
            if (entry->d_name[0] == '.') continue;
            snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
            replay(inner);
        }
        closedir(folder);
        return;
    }
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    size_t size = (size_t)ftell(file);
    unsigned char *data = malloc(size + 1), *changed = malloc(size + 1);
    rewind(file);
    if (!data || !changed || fread(data, 1, size, file) != size) exit(2);
    fclose(file);
    run(data, size);
    for (long i = 0; i < mutations; i++) {
        memcpy(changed, data, size);
        run(changed, mutate(changed, size));
    }
    free(data);
    free(changed);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-k") == 0)
            keep = 1;
        else if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
            mutations = atol(argv[++i]);
        else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc)
            state = strtoull(argv[++i], NULL, 10) * 2 + 1;
        else
            replay(argv[i]);
    }
    printf("%lu inputs, no crash\n", runs);
    return 0;
}
