/* A disk that fails: loaded before the C library, it counts what a process writes under one folder, and at the n-th
   time kills the process, tears the write, or answers as a full or broken disk does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { COUNT, KILL, TEAR, FULL, BROKEN };

static char under[PATH_MAX];
static size_t under_length;
static long at;
static int how;
static long seen;

void disk_arm(const char *folder, long n, int mode) {
  strncpy(under, folder, sizeof under - 1);
  under_length = strlen(under);
  at = n;
  how = mode;
  __atomic_store_n(&seen, 0, __ATOMIC_SEQ_CST);
}

long disk_seen(void) { return __atomic_load_n(&seen, __ATOMIC_SEQ_CST); }

static int ours(const char *path) { return under_length && strncmp(path, under, under_length) == 0; }

static int ours_fd(int fd) {
  char name[64], path[PATH_MAX];
  if (!under_length) return 0;
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(name, path, sizeof path - 1);
  if (n < 0) return 0;
  path[n] = 0;
  return ours(path);
}

/* 0: go ahead; 1: go ahead with half of it and die; -1: fail, errno is set. */
static int fate(int takes_space) {
  int kept = errno;
  long n = __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST);
  errno = kept;
  if (!at || n < at) return 0;
  switch (how) {
  case KILL:
    if (n == at) kill(getpid(), SIGKILL);
    return 0;
  case TEAR:
    if (n == at) return 1;
    return 0;
  case FULL:
    if (takes_space) { errno = ENOSPC; return -1; }
    return 0;
  case BROKEN:
    if (n == at) { errno = EIO; return -1; }
    return 0;
  }
  return 0;
}

#define REAL(name)                                              \
  static __typeof__(name) *real;                                \
  if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
  REAL(write);
  if (fd > 2 && ours_fd(fd)) {
    int f = fate(1);
    if (f < 0) return -1;
    if (f) { real(fd, data, size / 2); kill(getpid(), SIGKILL); }
  }
  return real(fd, data, size);
}

#define PWRITE(name, off)                                                                                             \
  ssize_t name(int fd, const void *data, size_t size, off where) {                                                    \
    REAL(name); \
    if (ours_fd(fd)) {                                                                                                \
      int f = fate(1);                                                                                                \
      if (f < 0) return -1;                                                                                           \
      if (f) { real(fd, data, size / 2, where); kill(getpid(), SIGKILL); }                                            \
    }                                                                                                                 \
    return real(fd, data, size, where);                                                                               \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define ON_FD(name, space)                                                                                            \
  int name(int fd) {                                                                                                  \
    REAL(name); \
    if (ours_fd(fd)) {                                                                                                \
      int f = fate(space);                                                                                            \
      if (f < 0) return -1;                                                                                           \
      if (f) kill(getpid(), SIGKILL);                                                                                 \
    }                                                                                                                 \
    return real(fd);                                                                                                  \
  }
ON_FD(fsync, 0)
ON_FD(fdatasync, 0)

#define TRUNCATE(name, off)                                                                                           \
  int name(int fd, off size) {                                                                                        \
    REAL(name); \
    if (ours_fd(fd)) {                                                                                                \
      int f = fate(0);                                                                                                \
      if (f < 0) return -1;                                                                                           \
      if (f) kill(getpid(), SIGKILL);                                                                                 \
    }                                                                                                                 \
    return real(fd, size);                                                                                            \
  }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

int rename(const char *from, const char *to) {
  REAL(rename);
  if (ours(to)) {
    int f = fate(1);
    if (f < 0) return -1;
    if (f) kill(getpid(), SIGKILL);
  }
  return real(from, to);
}

int renameat(int a, const char *from, int b, const char *to) {
  REAL(renameat);
  if (ours(to)) {
    int f = fate(1);
    if (f < 0) return -1;
    if (f) kill(getpid(), SIGKILL);
  }
  return real(a, from, b, to);
}

int unlink(const char *path) {
  REAL(unlink);
  if (ours(path)) {
    int f = fate(0);
    if (f < 0) return -1;
    if (f) kill(getpid(), SIGKILL);
  }
  return real(path);
}
