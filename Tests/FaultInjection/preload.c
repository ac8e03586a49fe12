// A hostile disk for one process: a library that is preloaded (LD_PRELOAD) and spoils what the
// process writes below one folder. For tests; never shipped. See README.md.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FILE_LIMIT = 4096, READ_CONTROL_MS = 5 };

// What the control file says.
struct orders {
    long fail_sync;     // the n-th sync from now on fails, once
    long fail_write;    // the n-th write from now on fails, once
    int no_space;       // writes and new files fail
    long delay_sync_ms; // each sync takes so much longer
    long short_write;   // every n-th write of more than one byte is cut in two
};

static struct orders orders;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct timespec control_seen;
static long long looked_at_ms;
static long writes_seen;
static char folder[PATH_MAX];
static char control[PATH_MAX];
static char report[PATH_MAX];
// Of each descriptor: 0 not ours, 1 ours, 2 ours and each write of it is a sync.
static _Atomic(unsigned char) kinds[FILE_LIMIT];

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_fallocate)(int, int, off_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);

#define FIND(name) (*(void **)&real_##name = dlsym(RTLD_NEXT, #name))

// Runs before anything else of the process.
__attribute__((constructor)) static void begin(void) {
    FIND(open);
    FIND(openat);
    FIND(close);
    FIND(fsync);
    FIND(fdatasync);
    FIND(ftruncate);
    FIND(fallocate);
    FIND(write);
    FIND(pwrite);
    FIND(writev);
    FIND(pwritev);
    const char *below = getenv("FAULT_DIR");
    const char *orders_file = getenv("FAULT_CONTROL");
    const char *report_file = getenv("FAULT_REPORT");
    // The folder may not be there yet: its text counts, so it must be given as it is used.
    if (below) snprintf(folder, sizeof folder, "%s/", below);
    if (orders_file) snprintf(control, sizeof control, "%s", orders_file);
    if (report_file) snprintf(report, sizeof report, "%s", report_file);
}

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

// A line in the report for each fault, so that a test can tell that it happened.
static void tell(const char *what) {
    if (!report[0]) return;
    int file = real_open(report, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file < 0) return;
    char line[64];
    int count = snprintf(line, sizeof line, "%s\n", what);
    if (real_write(file, line, (size_t)count) < 0) { /* nobody to tell */ }
    real_close(file);
}

// Looks at the control file, which is replaced as a whole. Called with the lock held.
static void read_orders(void) {
    if (!control[0]) return;
    long long now = now_ms();
    if (now - looked_at_ms < READ_CONTROL_MS) return;
    looked_at_ms = now;
    struct stat status;
    if (stat(control, &status) != 0) return;
    if (status.st_mtim.tv_sec == control_seen.tv_sec
        && status.st_mtim.tv_nsec == control_seen.tv_nsec)
        return;
    int file = real_open(control, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    char text[1024];
    ssize_t count = read(file, text, sizeof text - 1);
    real_close(file);
    if (count < 0) return;
    text[count] = 0;
    control_seen = status.st_mtim;
    struct orders next = {0};
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        long number = 1;
        char word[32] = "";
        if (sscanf(line, "%31s %ld", word, &number) < 1) continue;
        if (!strcmp(word, "fail-sync")) next.fail_sync = number;
        else if (!strcmp(word, "fail-write")) next.fail_write = number;
        else if (!strcmp(word, "no-space")) next.no_space = 1;
        else if (!strcmp(word, "delay-sync")) next.delay_sync_ms = number;
        else if (!strcmp(word, "short-write")) next.short_write = number;
    }
    orders = next;
}

static int kind_of(int file) {
    return file >= 0 && file < FILE_LIMIT ? atomic_load(&kinds[file]) : 0;
}

static void note(int file, const char *path, int flags) {
    if (file < 0 || file >= FILE_LIMIT || !folder[0]) return;
    int is_ours = strncmp(path, folder, strlen(folder)) == 0;
    int is_synced = (flags & O_DSYNC) != 0 || (flags & O_SYNC) == O_SYNC;
    atomic_store(&kinds[file], is_ours ? (is_synced ? 2 : 1) : 0);
}

// Whether a write may go on: 0, or the error that it ends with.
static int write_error(int kind) {
    pthread_mutex_lock(&lock);
    read_orders();
    int error = 0;
    long delay = 0;
    const char *what = NULL;
    if (orders.no_space) {
        error = ENOSPC;
        what = "no-space";
    } else if (orders.fail_write > 0 && --orders.fail_write == 0) {
        error = EIO;
        what = "fail-write";
    } else if (kind == 2) {
        delay = orders.delay_sync_ms;
        if (orders.fail_sync > 0 && --orders.fail_sync == 0) {
            error = EIO;
            what = "fail-sync";
        } else if (delay > 0) {
            what = "delay-sync";
        }
    }
    pthread_mutex_unlock(&lock);
    if (what) tell(what);
    if (delay > 0) usleep((useconds_t)delay * 1000);
    return error;
}

static int sync_error(void) {
    pthread_mutex_lock(&lock);
    read_orders();
    int error = 0;
    long delay = orders.delay_sync_ms;
    if (orders.fail_sync > 0 && --orders.fail_sync == 0) error = EIO;
    pthread_mutex_unlock(&lock);
    if (error) tell("fail-sync");
    else if (delay > 0) tell("delay-sync");
    if (delay > 0) usleep((useconds_t)delay * 1000);
    return error;
}

static int is_to_cut(void) {
    pthread_mutex_lock(&lock);
    writes_seen++;
    int is_cut = orders.short_write > 0 && writes_seen % orders.short_write == 0;
    pthread_mutex_unlock(&lock);
    if (is_cut) tell("short-write");
    return is_cut;
}

// How much of `count` bytes is written; what goes past the page cache stays in whole blocks.
static size_t cut(size_t count) {
    size_t half = count / 2;
    return half >= 4096 ? half / 4096 * 4096 : count;
}

// MARK: Opening and closing

static int open_error(const char *path, int flags) {
    if (!folder[0] || strncmp(path, folder, strlen(folder)) != 0 || !(flags & O_CREAT)) return 0;
    pthread_mutex_lock(&lock);
    read_orders();
    int is_full = orders.no_space;
    pthread_mutex_unlock(&lock);
    // Files that are there can be opened.
    struct stat status;
    return is_full && stat(path, &status) != 0 ? ENOSPC : 0;
}

static int open_at(int (*next)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    int error = open_error(path, flags);
    if (error) {
        tell("no-space");
        errno = error;
        return -1;
    }
    int file = next(path, flags, mode);
    note(file, path, flags);
    return file;
}

static mode_t mode_of(int flags, va_list arguments) {
    return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(arguments, int) : 0;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at(real_open, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at(real_open, path, flags, mode);
}

int openat(int at, const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    int file = real_openat(at, path, flags, mode);
    note(file, path, flags);
    return file;
}

int close(int file) {
    if (file >= 0 && file < FILE_LIMIT) atomic_store(&kinds[file], 0);
    return real_close(file);
}

// MARK: Syncs

int fsync(int file) {
    int error = kind_of(file) ? sync_error() : 0;
    if (error) {
        errno = error;
        return -1;
    }
    return real_fsync(file);
}

int fdatasync(int file) {
    int error = kind_of(file) ? sync_error() : 0;
    if (error) {
        errno = error;
        return -1;
    }
    return real_fdatasync(file);
}

// MARK: Writes

int ftruncate(int file, off_t size) {
    int error = kind_of(file) ? write_error(1) : 0;
    if (error) {
        errno = error;
        return -1;
    }
    return real_ftruncate(file, size);
}

int fallocate(int file, int mode, off_t offset, off_t size) {
    int error = kind_of(file) ? write_error(1) : 0;
    if (error) {
        errno = error;
        return -1;
    }
    return real_fallocate(file, mode, offset, size);
}

ssize_t write(int file, const void *bytes, size_t count) {
    int kind = kind_of(file);
    if (!kind) return real_write(file, bytes, count);
    int error = write_error(kind);
    if (error) {
        errno = error;
        return -1;
    }
    return real_write(file, bytes, is_to_cut() ? cut(count) : count);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
    int kind = kind_of(file);
    if (!kind) return real_pwrite(file, bytes, count, offset);
    int error = write_error(kind);
    if (error) {
        errno = error;
        return -1;
    }
    return real_pwrite(file, bytes, is_to_cut() ? cut(count) : count, offset);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off_t offset) {
    return pwrite(file, bytes, count, offset);
}

// Only the front of the first piece is written when it is cut.
static int cut_pieces(const struct iovec *pieces, int count, struct iovec *first) {
    if (count < 1 || !is_to_cut()) return 0;
    *first = pieces[0];
    first->iov_len = cut(first->iov_len);
    return 1;
}

ssize_t writev(int file, const struct iovec *pieces, int count) {
    int kind = kind_of(file);
    if (!kind) return real_writev(file, pieces, count);
    int error = write_error(kind);
    if (error) {
        errno = error;
        return -1;
    }
    struct iovec first;
    if (cut_pieces(pieces, count, &first)) return real_writev(file, &first, 1);
    return real_writev(file, pieces, count);
}

ssize_t pwritev(int file, const struct iovec *pieces, int count, off_t offset) {
    int kind = kind_of(file);
    if (!kind) return real_pwritev(file, pieces, count, offset);
    int error = write_error(kind);
    if (error) {
        errno = error;
        return -1;
    }
    struct iovec first;
    if (cut_pieces(pieces, count, &first)) return real_pwritev(file, &first, 1, offset);
    return real_pwritev(file, pieces, count, offset);
}

ssize_t pwritev64(int file, const struct iovec *pieces, int count, off_t offset) {
    return pwritev(file, pieces, count, offset);
}
