/* Files of a store, by names below its folder. */
#include "store/store.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

tn_status tn_store_io_error(const tn_store *s, const char *what, const char *name) {
    return tn_fail(errno == ENOENT ? TN_E_NOT_FOUND : TN_E_IO, "cannot %s '%s/%s': %s", what, s->path, name,
                   strerror(errno));
}

void tn_store_free_text(char *data, size_t size) {
    if (data) tn_free(NULL, data, size + 1);
}

tn_status tn_store_read(const tn_store *s, const char *name, size_t limit, char **out_data, size_t *out_size) {
    struct stat info;
    *out_data = NULL;
    int file = openat(s->folder, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) return tn_store_io_error(s, "open", name);
    tn_status status = TN_OK;
    char *data = NULL;
    size_t size = 0, used = 0;
    if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
        status = tn_fail(TN_E_IO, "'%s/%s' is no file", s->path, name);
    } else if ((uint64_t)info.st_size > limit) {
        status = tn_fail(TN_E_LIMIT, "'%s/%s' has %lld bytes; at most %zu are expected there", s->path, name,
                         (long long)info.st_size, limit);
    } else {
        size = (size_t)info.st_size;
        data = tn_alloc(NULL, size + 1);
        if (!data) status = TN_E_MEMORY;
    }
    while (status == TN_OK && used < size) {
        ssize_t n = read(file, data + used, size - used);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) status = tn_store_io_error(s, "read", name);
        if (n == 0) status = tn_fail(TN_E_IO, "'%s/%s' became shorter while it was read", s->path, name);
        if (n > 0) used += (size_t)n;
    }
    close(file);
    if (status != TN_OK) {
        tn_store_free_text(data, size);
        return status;
    }
    data[size] = 0;
    *out_data = data;
    *out_size = size;
    return TN_OK;
}

bool tn_store_digest_of_name(const char *name, char digest[TN_STORE_DIGEST]) {
    return snprintf(digest, TN_STORE_DIGEST, "sha256:%s", name) < TN_STORE_DIGEST && tn_digest_is_valid(digest);
}

tn_status tn_store_flush_folder(const tn_store *s, const char *name) {
    int folder = openat(s->folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return tn_store_io_error(s, "open", name);
    tn_status status = TN_OK;
    /* Some file systems cannot do it (EINVAL); there is no more to be had from them. */
    if (fsync(folder) != 0 && errno != EINVAL) status = tn_store_io_error(s, "flush", name);
    close(folder);
    return status;
}

tn_status tn_store_each_file(const tn_store *s, const char *folder,
                             tn_status (*visit)(const tn_store *s, const char *name, void *context), void *context) {
    int file = openat(s->folder, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = file >= 0 ? fdopendir(file) : NULL;
    if (!entries) {
        if (file >= 0) close(file);
        return tn_store_io_error(s, "list", folder);
    }
    tn_status status = TN_OK;
    const struct dirent *entry;
    while (status == TN_OK && (entry = readdir(entries)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = visit(s, entry->d_name, context);
    closedir(entries);
    return status;
}
