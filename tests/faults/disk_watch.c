/* Preloaded into every process of a stack: notes what its disk was promised to keep.
 *
 * Below the folder DISK_WATCH_ROOT, each change of a name is a line of DISK_WATCH_NOTES/names, in the order in
 * which they happened, and so is each flushed folder. When a file is flushed, a copy of what it held then is put
 * into DISK_WATCH_NOTES/flushed, under an identity that no later file has.
 *
 *   N <identity> <path>   the path is this file now (or "dir", "link", "gone")
 *   R <path> <path>       the first path is now called by the second
 *   S <path>              the names in this folder are on the disk
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name)                                                                                           \
    ({                                                                                                       \
        static __typeof__(&name) found;                                                                      \
        if (found == NULL)                                                                                   \
            found = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                              \
        found;                                                                                               \
    })
#define LONG_PATH (2 * PATH_MAX)

/* The identity of a file: its inode and when that was made, since numbers of inodes are used again. */
int disk_watch_identity(const char *path, char *identity, size_t size) {
    struct statx found;
    if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &found) != 0)
        return snprintf(identity, size, "gone");
    if (S_ISDIR(found.stx_mode))
        return snprintf(identity, size, "dir");
    if (S_ISLNK(found.stx_mode))
        return snprintf(identity, size, "link");
    return snprintf(identity, size, "%llu-%lld-%u", (unsigned long long)found.stx_ino,
                    (long long)found.stx_btime.tv_sec, found.stx_btime.tv_nsec);
}

/* The whole path, if it is one that is watched. */
static int watched(int folder, const char *path, char *whole) {
    const char *root = getenv("DISK_WATCH_ROOT");
    char place[64];
    ssize_t length = 0;
    if (root == NULL || path == NULL)
        return 0;
    if (path[0] != '/') {
        if (folder == AT_FDCWD)
            strcpy(place, "/proc/self/cwd");
        else
            snprintf(place, sizeof place, "/proc/self/fd/%d", folder);
        length = readlink(place, whole, PATH_MAX);
        if (length < 0)
            return 0;
        whole[length++] = '/';
    }
    snprintf(whole + length, LONG_PATH - length, "%s", path);
    size_t size = strlen(root);
    return strncmp(whole, root, size) == 0 && (whole[size] == '/' || whole[size] == '\0');
}

/* One change at a time, over all processes: what is noted first was done first. */
static int lock(void) {
    char path[LONG_PATH];
    snprintf(path, sizeof path, "%s/names", getenv("DISK_WATCH_NOTES"));
    int notes = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (notes < 0 || flock(notes, LOCK_EX) != 0)
        abort();
    return notes;
}

static void unlock(int notes) {
    int error = errno;
    close(notes);
    errno = error;
}

static void note(int notes, const char *kind, const char *first, const char *second) {
    int error = errno;
    char line[2 * LONG_PATH + 8];
    int length = snprintf(line, sizeof line, "%s\t%s\t%s\n", kind, first, second);
    if (write(notes, line, length) != length)
        abort();
    errno = error;
}

static void note_now(int notes, const char *whole) {
    int error = errno;
    char identity[80];
    disk_watch_identity(whole, identity, sizeof identity);
    note(notes, "N", identity, whole);
    errno = error;
}

#define CHANGES(folder, path, call)                                                                          \
    do {                                                                                                     \
        char whole[LONG_PATH];                                                                               \
        if (!watched(folder, path, whole))                                                                   \
            return call;                                                                                     \
        int notes = lock();                                                                                  \
        __typeof__(call) result = call;                                                                      \
        note_now(notes, whole);                                                                              \
        unlock(notes);                                                                                       \
        return result;                                                                                       \
    } while (0)

/* Opening: only what may make a file changes a name. */
#define OPENS(name, folder, arguments, ...)                                                                  \
    mode_t mode = 0;                                                                                         \
    if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) {                                                    \
        va_list rest;                                                                                        \
        va_start(rest, flags);                                                                               \
        mode = va_arg(rest, mode_t);                                                                         \
        va_end(rest);                                                                                        \
    }                                                                                                        \
    if (!(flags & O_CREAT))                                                                                  \
        return REAL(name) arguments;                                                                         \
    CHANGES(folder, path, REAL(name) arguments)

int open(const char *path, int flags, ...) { OPENS(open, AT_FDCWD, (path, flags, mode)); }
int open64(const char *path, int flags, ...) { OPENS(open64, AT_FDCWD, (path, flags, mode)); }
int openat(int folder, const char *path, int flags, ...) { OPENS(openat, folder, (folder, path, flags, mode)); }
int openat64(int folder, const char *path, int flags, ...) { OPENS(openat64, folder, (folder, path, flags, mode)); }

int creat(const char *path, mode_t mode) { CHANGES(AT_FDCWD, path, REAL(creat)(path, mode)); }
int creat64(const char *path, mode_t mode) { CHANGES(AT_FDCWD, path, REAL(creat64)(path, mode)); }

FILE *fopen(const char *path, const char *mode) {
    if (mode[0] == 'r')
        return REAL(fopen)(path, mode);
    CHANGES(AT_FDCWD, path, REAL(fopen)(path, mode));
}

FILE *fopen64(const char *path, const char *mode) {
    if (mode[0] == 'r')
        return REAL(fopen64)(path, mode);
    CHANGES(AT_FDCWD, path, REAL(fopen64)(path, mode));
}

int mkdir(const char *path, mode_t mode) { CHANGES(AT_FDCWD, path, REAL(mkdir)(path, mode)); }
int mkdirat(int folder, const char *path, mode_t mode) { CHANGES(folder, path, REAL(mkdirat)(folder, path, mode)); }
int rmdir(const char *path) { CHANGES(AT_FDCWD, path, REAL(rmdir)(path)); }
int unlink(const char *path) { CHANGES(AT_FDCWD, path, REAL(unlink)(path)); }
int unlinkat(int folder, const char *path, int flags) { CHANGES(folder, path, REAL(unlinkat)(folder, path, flags)); }
int remove(const char *path) { CHANGES(AT_FDCWD, path, REAL(remove)(path)); }
int symlink(const char *target, const char *path) { CHANGES(AT_FDCWD, path, REAL(symlink)(target, path)); }
int symlinkat(const char *target, int folder, const char *path) {
    CHANGES(folder, path, REAL(symlinkat)(target, folder, path));
}
int link(const char *old, const char *path) { CHANGES(AT_FDCWD, path, REAL(link)(old, path)); }
int linkat(int from, const char *old, int folder, const char *path, int flags) {
    CHANGES(folder, path, REAL(linkat)(from, old, folder, path, flags));
}

static int renamed(int from, const char *old, int to, const char *new, unsigned flags) {
    char first[LONG_PATH], second[LONG_PATH];
    int left = watched(from, old, first), came = watched(to, new, second);
    if (!left && !came)
        return REAL(renameat2)(from, old, to, new, flags);
    int notes = lock();
    int result = REAL(renameat2)(from, old, to, new, flags);
    if (result == 0 && left && came)
        note(notes, "R", first, second);
    else if (result == 0)
        note_now(notes, left ? first : second);
    unlock(notes);
    return result;
}

int rename(const char *old, const char *new) { return renamed(AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int from, const char *old, int to, const char *new) { return renamed(from, old, to, new, 0); }
int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    return renamed(from, old, to, new, flags);
}

/* Copies what a file holds now; through the handle itself if possible, as closing another one of the same file
 * would end the locks that SQLite has on it. */
static void copied(int file, const char *path, mode_t mode) {
    char place[64], buffer[1 << 16];
    off_t at = 0;
    ssize_t got;
    int source = file, copy = REAL(open)(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if ((fcntl(file, F_GETFL) & O_ACCMODE) == O_WRONLY) {
        snprintf(place, sizeof place, "/proc/self/fd/%d", file);
        source = REAL(open)(place, O_RDONLY | O_CLOEXEC);
    }
    while ((got = pread(source, buffer, sizeof buffer, at)) > 0) {
        if (write(copy, buffer, got) != got)
            abort();
        at += got;
    }
    if (got < 0 || copy < 0 || fchmod(copy, mode) != 0)
        abort();
    close(copy);
    if (source != file)
        close(source);
}

static int flushed(int file, int (*flush)(int)) {
    char place[64], whole[LONG_PATH], identity[80], new[LONG_PATH + 16], kept[LONG_PATH];
    struct stat status;
    snprintf(place, sizeof place, "/proc/self/fd/%d", file);
    ssize_t length = readlink(place, new, PATH_MAX);
    if (length < 0)
        return flush(file);
    new[length] = '\0';
    if (!watched(AT_FDCWD, new, whole) || fstat(file, &status) != 0)
        return flush(file);
    if (S_ISDIR(status.st_mode)) {
        int notes = lock();
        int result = flush(file);
        if (result == 0)
            note(notes, "S", whole, "");
        unlock(notes);
        return result;
    }
    struct statx found;
    if (statx(file, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &found) != 0)
        abort();
    snprintf(identity, sizeof identity, "%llu-%lld-%u", (unsigned long long)found.stx_ino,
             (long long)found.stx_btime.tv_sec, found.stx_btime.tv_nsec);
    snprintf(kept, sizeof kept, "%s/flushed/%s", getenv("DISK_WATCH_NOTES"), identity);
    snprintf(new, sizeof new, "%s.%d", kept, gettid());
    copied(file, new, status.st_mode); /* before: what is written meanwhile need not be on the disk */
    int result = flush(file), error = errno;
    if (result == 0)
        REAL(rename)(new, kept);
    else
        REAL(unlink)(new);
    errno = error;
    return result;
}

int fsync(int file) { return flushed(file, REAL(fsync)); }
int fdatasync(int file) { return flushed(file, REAL(fdatasync)); }
