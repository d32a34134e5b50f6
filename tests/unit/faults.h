/* Making writing fail: this program's own write, pwrite, fsync, rename and open take the place of the C library's for
 * code that is linked into it, and fail at operation number `fault_at` (from 1 on; 0: never). */
#ifndef TN_TEST_FAULTS_H
#define TN_TEST_FAULTS_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static int fault_at, fault_count, fault_errno;

static inline int fault(void) {
    if (!fault_at || ++fault_count < fault_at) return 0;
    errno = fault_errno; /* from then on nothing works, as on a full disk */
    return 1;
}
static inline void faults_from(int at, int error) {
    fault_at = at;
    fault_count = 0;
    fault_errno = error;
}

ssize_t write(int file, const void *data, size_t size) {
    return fault() ? -1 : (ssize_t)syscall(SYS_write, file, data, size);
}
ssize_t pwrite(int file, const void *data, size_t size, off_t offset) {
    return fault() ? -1 : (ssize_t)syscall(SYS_pwrite64, file, data, size, offset);
}
int fsync(int file) {
    return fault() ? -1 : (int)syscall(SYS_fsync, file);
}
int rename(const char *from, const char *to) {
    return fault() ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}
int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && fault()) return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

#endif
