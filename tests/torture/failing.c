/* Loaded into a process before the C library: the n-th change that it makes to its files fails, or ends it.

   A change is a file that is opened to be made, a write, a rename, an fsync, a new folder; where it ends the process, a
   removal, too. Of a database's files the fsync before a commit alone counts. Below one folder only: no terminal, no
   compiled module. What befalls is told on stderr, as "struck: ...". faults.py arms it. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { NOTHING, KILL, FAIL, FULL };      /* FAIL: EIO, once. FULL: ENOSPC, from then on, for all that takes room. */
enum { ROOM = 1, SYNC = 2, REMOVE = 4 }; /* what a call does */
static int befalls, told;
static long chosen, count;
static char folder[PATH_MAX];

void failing_arm(int what, long number, const char *below) {
    strncpy(folder, below, sizeof folder - 1);
    count = 0, chosen = number, befalls = what;
}

/* Say whether a call on `path`, relative to the folder that `at` has open, is to fail; end the process if it is to. */
static int struck(const char *call, int does, int at, const char *path) {
    char place[2 * PATH_MAX] = "", link[64];
    if (!befalls || (does == REMOVE && befalls != KILL)) return 0;
    if (!path || path[0] != '/') {
        if (at == AT_FDCWD) strcpy(link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        if (readlink(link, place, PATH_MAX) < 0) return 0;
    }
    if (path) snprintf(place + strlen(place), PATH_MAX, "%s%s", path[0] == '/' ? "" : "/", path);
    if (strncmp(place, folder, strlen(folder)) || strstr(place, "__pycache__")) return 0;
    const char *database = strstr(place, "mlflow.db");
    int counts = !database || (does == SYNC && !strcmp(database, "mlflow.db"));
    long number = counts ? __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) : count;
    if (befalls == FULL ? number < chosen || does != ROOM : !counts || number != chosen) return 0;
    if (!told++) dprintf(2, "\nstruck: %s %s\n", call, place);
    if (befalls == KILL) kill(getpid(), SIGKILL);
    errno = befalls == FULL ? ENOSPC : EIO;
    return 1;
}

/* A function of the C library, with what it does, where, and its parameters as they are declared and passed on. */
#define WRAP(type, name, does, at, path, declared, passed)                                                             \
    type name declared {                                                                                               \
        static type(*real) declared;                                                                                   \
        if (!real) real = dlsym(RTLD_NEXT, #name);                                                                     \
        return struck(#name, does, at, path) ? -1 : real passed;                                                       \
    }
#define ON_FILE(type, name, does, declared, passed) WRAP(type, name, does, file > 2 ? file : -1, NULL, declared, passed)
#define OPEN(name, at, declared, ...)                                                                                  \
    int name declared {                                                                                                \
        static int(*real) declared;                                                                                    \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, mode_t) : 0;                  \
        va_end(rest);                                                                                                  \
        if (flags & (O_CREAT | O_TRUNC) && struck("open", ROOM, at, path)) return -1;                                  \
        if (!real) real = dlsym(RTLD_NEXT, #name);                                                                     \
        return real(__VA_ARGS__, mode);                                                                                \
    }

OPEN(open, AT_FDCWD, (const char *path, int flags, ...), path, flags)
OPEN(open64, AT_FDCWD, (const char *path, int flags, ...), path, flags)
OPEN(openat, at, (int at, const char *path, int flags, ...), at, path, flags)
OPEN(openat64, at, (int at, const char *path, int flags, ...), at, path, flags)
ON_FILE(ssize_t, write, ROOM, (int file, const void *from, size_t size), (file, from, size))
ON_FILE(ssize_t, pwrite, ROOM, (int file, const void *from, size_t size, off_t to), (file, from, size, to))
ON_FILE(ssize_t, pwrite64, ROOM, (int file, const void *from, size_t size, off64_t to), (file, from, size, to))
ON_FILE(ssize_t, sendfile, ROOM, (int file, int from, off_t *start, size_t size), (file, from, start, size))
ON_FILE(ssize_t, sendfile64, ROOM, (int file, int from, off64_t *start, size_t size), (file, from, start, size))
ON_FILE(int, ftruncate64, ROOM, (int file, off64_t size), (file, size))
ON_FILE(int, fsync, SYNC, (int file), (file))
ON_FILE(int, fdatasync, SYNC, (int file), (file))
WRAP(int, rename, SYNC, AT_FDCWD, to, (const char *from, const char *to), (from, to))
WRAP(int, renameat, SYNC, at, to, (int before, const char *from, int at, const char *to), (before, from, at, to))
WRAP(int, mkdir, ROOM, AT_FDCWD, path, (const char *path, mode_t mode), (path, mode))
WRAP(int, mkdirat, ROOM, at, path, (int at, const char *path, mode_t mode), (at, path, mode))
WRAP(int, unlink, REMOVE, AT_FDCWD, path, (const char *path), (path))
WRAP(int, unlinkat, REMOVE, at, path, (int at, const char *path, int flags), (at, path, flags))
WRAP(int, rmdir, REMOVE, AT_FDCWD, path, (const char *path), (path))
