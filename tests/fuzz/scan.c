/* Fuzzing the scan of files: any bytes are searched, as a model or as what is none, and each finding has a place and a name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tenon/risk.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void on_finding(void *context, const char *where, const char *what) {
    ++*(int *)context;
    if (!*where || !*what || strlen(where) >= 200) abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    static char path[64];
    static int file = -1;
    int told = 0, findings = -1;
    if (file < 0) {
        file = memfd_create("scan", 0);
        if (file < 0) abort();
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != (ssize_t)size) abort();
    tn_scan(path, on_finding, &told, &findings);
    if (told != findings) abort();
    return 0;
}
