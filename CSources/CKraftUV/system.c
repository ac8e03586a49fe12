// For O_DIRECT.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "CKraftUV.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

void kraft_block_sigpipe(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

// A sync is never repeated after it failed: the kernel may have dropped the pages by then.
static int sync_result(int result) { return result == 0 ? 0 : -errno; }

int kraft_sync_all(int file) {
#ifdef __APPLE__
    return sync_result(fcntl(file, F_FULLFSYNC));
#else
    return sync_result(fsync(file));
#endif
}

int kraft_sync_data(int file) {
#ifdef __APPLE__
    return kraft_sync_all(file);
#else
    return sync_result(fdatasync(file));
#endif
}

int kraft_open(const char *path, int flags, int mode) {
    int file;
    do {
        file = open(path, flags | O_CLOEXEC, mode);
    } while (file < 0 && errno == EINTR);
    return file < 0 ? -errno : file;
}

int kraft_open_direct(const char *path, int durable) {
#ifdef O_DIRECT
    return kraft_open(path, O_WRONLY | O_DIRECT | (durable ? O_DSYNC : 0), 0);
#else
    (void)path;
    (void)durable;
    return -ENOTSUP;
#endif
}

int kraft_lock(int file) {
    int result;
    do {
        result = flock(file, LOCK_EX | LOCK_NB);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}
