/* What disk.c records and disk_replay.c replays. */
#ifndef TN_DISK_EVENT_H
#define TN_DISK_EVENT_H

#include "disk.h"

enum { MOST_FILES = 1024, PATH_BYTES = 192 };
typedef enum event_kind { LINK, REMOVE, FOLDER, WRITE, TRUNCATE, FLUSH_FILE, FLUSH_FOLDER } event_kind;

struct disk_event {
    event_kind kind;
    int node;              /* of a file; nodes keep their numbers through renames */
    int goes_with;         /* REMOVE: the LINK of the same rename, which comes first; -1 */
    char path[PATH_BYTES]; /* below the root */
    size_t offset, size;
    char *data;
};

/* What lies where. */
typedef struct disk_name {
    char path[PATH_BYTES];
    int node;
} disk_name;

typedef struct disk_names {
    disk_name all[MOST_FILES];
    size_t count;
} disk_names;

disk_name *disk_names_find(disk_names *names, const char *path); /* NULL if nothing is there */
void disk_names_set(disk_names *names, const char *path, int node);
void disk_names_drop(disk_names *names, const char *path);

#endif
