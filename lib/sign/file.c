/* Reading files of keys and signatures; see file.h. */
#include "sign/file.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

tn_status tn_sign_read_file(const char *path, bool secret, char text[TN_SIGN_FILE_BYTES], size_t *out_size) {
    struct stat info;
    int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return tn_fail(errno == ENOENT ? TN_E_NOT_FOUND : TN_E_IO, "cannot open '%s': %s", path, strerror(errno));
    tn_status status = TN_OK;
    if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode))
        status = tn_fail(TN_E_IO, "'%s' is no file", path);
    else if (secret && (info.st_mode & 077))
        status = tn_fail(TN_E_STATE, "the key '%s' may be read by others than its owner; chmod 600 it", path);
    else if (info.st_size > TN_SIGN_FILE_BYTES)
        status = tn_fail(TN_E_LIMIT, "'%s' has %lld bytes; keys and signatures have at most %d", path,
                         (long long)info.st_size, TN_SIGN_FILE_BYTES);
    ssize_t n = status == TN_OK ? read(file, text, TN_SIGN_FILE_BYTES) : 0;
    if (n < 0) status = tn_fail(TN_E_IO, "cannot read '%s': %s", path, strerror(errno));
    *out_size = n > 0 ? (size_t)n : 0;
    close(file);
    return status;
}
