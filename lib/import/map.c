/* Files as memory: mapped to read, so that weights cost no copy and are shared by processes. */
#include "import/import.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

tn_status tn_map_file(const char *path, tn_string *contents) {
    *contents = (tn_string){"", 0};
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not hang us */
    if (file < 0) return tn_fail(TN_E_IO, "cannot open '%s': %s", path, strerror(errno));
    tn_status status = TN_OK;
    struct stat info;
    if (fstat(file, &info) != 0) {
        status = tn_fail(TN_E_IO, "cannot read '%s': %s", path, strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        status = tn_fail(TN_E_IO, "'%s' is not a regular file", path);
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (data == MAP_FAILED)
            status = tn_fail(TN_E_IO, "cannot map '%s': %s", path, strerror(errno));
        else
            *contents = (tn_string){data, (size_t)info.st_size};
    }
    close(file);
    return status;
}

/* The mapping's address as mmap gave it. */
static void *address(tn_string contents) {
    void *pointer;
    memcpy(&pointer, &contents.data, sizeof pointer);
    return pointer;
}

static void unmap(void *pointer, size_t size) {
    if (size) munmap(pointer, size);
}

void tn_unmap_contents(tn_string contents) {
    unmap(address(contents), contents.size);
}

tn_status tn_keep_contents(tn_graph *graph, tn_string contents) {
    return tn_graph_keep_file(graph, unmap, address(contents), contents.size);
}
