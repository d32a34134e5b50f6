/* A disk that loses power: records what a program asks of the file system, and says what may be there after a cut.
 *
 * The test program defines open, write, fsync, rename and their kin itself (disk.c), so that calls of the library below
 * a watched folder are recorded on their way to the system. A recording is then replayed up to any call. What POSIX
 * promises is kept, and nothing else: bytes are there for certain once their file was flushed, names once their folder
 * was; of all else any part may be there, in any order, and the last write to a file may be cut in its middle. A rename
 * never loses the file, but between two folders both names may be there.
 * The idea is SQLite's crash tests' (sqlite.org/testing.html, 3.2 and 3.3). */
#ifndef TN_DISK_H
#define TN_DISK_H

#include <stddef.h>
#include <stdint.h>

typedef struct disk_event disk_event;

typedef struct disk {
    disk_event *events;
    size_t first, count; /* those before `first` made what was there already */
} disk;

/* How what is not certain to be there is chosen. */
typedef enum disk_choice {
    DISK_ALL,
    DISK_NONE,
    DISK_NAMES, /* no bytes */
    DISK_BYTES, /* no names */
    DISK_RANDOM /* and everything above it: seeds */
} disk_choice;

/* Records calls below `root`, an absolute path without links, as it is now, until disk_stop. One at a time. */
void disk_record(const char *root);
void disk_stop(disk *out);
void disk_free(disk *d);
/* Makes the folder `path` as it may be after a cut right behind the first `count` calls. Returns a number that is the same
 * for the same names and bytes alone. */
uint64_t disk_replay(const disk *d, size_t count, unsigned choice, const char *path);

/* From now on the call number `at` that changes something (counted from 0), and all after it if `for_ever`, fail with
 * this errno; at < 0: none. Only below the root of disk_watch. */
void disk_fail(const char *root, long at, int error, int for_ever);
/* How many such calls there were since. */
long disk_calls(void);

#endif
