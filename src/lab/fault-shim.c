/*
 * A disk and a wall clock that can be broken at run time, for one process: preloaded (LD_PRELOAD) into the Skein process of a
 * lab host. What happens is said by a control block, a file of one page that the lab writes and this maps
 * (host-faults.ts knows the same layout):
 *
 *   0 magic u32 | 4 version u32 | 8 wall clock offset in ns i64
 *   16, 32, 48: sync, write, change: action u32 | errno i32 | delay in ms u32 | reserved u32
 *   64, 72, 80: how many calls of each kind met a fault, u64
 *
 * sync: fsync and its like. write: bytes into files. change: names and sizes of files (create, rename, remove, truncate).
 * Only files below SKEIN_FAULTS_BELOW are concerned: a log that goes elsewhere goes on being written.
 * Monotonic clocks are left alone: a wrong wall clock is what machines have, a monotonic clock that jumps is not.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x746c6166 /* "falt" */
#define VERSION 1
#define BLOCK_BYTES 4096
#define SLICE_MS 5
#define NS_PER_S 1000000000LL

enum { NONE = 0, FAIL = 1, DELAY = 2, HANG = 3, FAIL_GROWTH = 4 };
enum { SYNC = 0, WRITE = 1, CHANGE = 2 };

struct fault {
  uint32_t action;
  int32_t error;
  uint32_t delay_ms;
  uint32_t reserved;
};

struct block {
  uint32_t magic;
  uint32_t version;
  int64_t wall_offset_ns;
  struct fault faults[3];
  uint64_t met[3];
};

static volatile struct block *block;
static const char *below;
static size_t below_length;

#define REAL(name) \
  static __typeof__(&name) real; \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* Faults that silently do not happen would make every test pass: a shim that cannot work ends the process. */
static void give_up(const char *why) {
  dprintf(2, "fault shim: %s\n", why);
  _exit(70);
}

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("SKEIN_FAULTS");
  if (!path) return;
  below = getenv("SKEIN_FAULTS_BELOW");
  if (!below) give_up("SKEIN_FAULTS_BELOW is not set");
  below_length = strlen(below);
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) give_up("the control block named by SKEIN_FAULTS cannot be opened");
  void *mapped = mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped == MAP_FAILED) give_up("the control block cannot be mapped");
  struct block *found = mapped;
  if (found->magic != MAGIC || found->version != VERSION) give_up("the control block is none");
  block = found;
}

static int is_below(const char *path) {
  if (strncmp(path, below, below_length) != 0) return 0;
  return path[below_length] == '/' || path[below_length] == '\0';
}

static int concerns_fd(int fd) {
  char link[64];
  char path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = '\0';
  return is_below(path);
}

static void nap(void) {
  struct timespec slice = {0, SLICE_MS * 1000000L};
  nanosleep(&slice, NULL);
}

/* Waits or fails as the block says; 0 when the call may go on, -1 with errno when not. `end`: first byte behind a write. */
static int meet(int kind, int fd, off_t end) {
  volatile struct fault *fault = &block->faults[kind];
  struct stat info;
  uint32_t action = fault->action;
  if (action == FAIL_GROWTH && !(fstat(fd, &info) == 0 && end > info.st_size)) return 0;
  __atomic_fetch_add(&block->met[kind], 1, __ATOMIC_RELAXED);
  for (uint32_t waited = 0; action == HANG || (action == DELAY && waited < fault->delay_ms);) {
    nap();
    waited += SLICE_MS;
    action = fault->action;
  }
  if (action != FAIL && action != FAIL_GROWTH) return 0;
  errno = fault->error ? fault->error : EIO;
  return -1;
}

static int armed(int kind) { return block && block->faults[kind].action != NONE; }

static int meet_fd(int kind, int fd, off_t end) {
  return armed(kind) && concerns_fd(fd) ? meet(kind, fd, end) : 0;
}

static int meet_path(int kind, const char *path) {
  return armed(kind) && path && is_below(path) ? meet(kind, -1, 0) : 0;
}

/* A file opened with O_DSYNC or O_SYNC is synced by every write. */
static int meet_write(int fd, off_t end) {
  if (meet_fd(WRITE, fd, end) < 0) return -1;
  if (!armed(SYNC)) return 0;
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & (O_DSYNC | O_SYNC)) ? meet_fd(SYNC, fd, 0) : 0;
}

static off_t bytes_in(const struct iovec *parts, int count) {
  off_t sum = 0;
  for (int at = 0; at < count; at++) sum += parts[at].iov_len;
  return sum;
}

/* Where a write without a position ends; the current end of the file for one that appends. */
static off_t end_after(int fd, off_t bytes) {
  if (!armed(WRITE)) return 0;
  struct stat info;
  if ((fcntl(fd, F_GETFL) & O_APPEND) && fstat(fd, &info) == 0) return info.st_size + bytes;
  off_t at = lseek(fd, 0, SEEK_CUR);
  return at < 0 ? 0 : at + bytes;
}

int fsync(int fd) {
  REAL(fsync);
  return meet_fd(SYNC, fd, 0) < 0 ? -1 : real(fd);
}

int fdatasync(int fd) {
  REAL(fdatasync);
  return meet_fd(SYNC, fd, 0) < 0 ? -1 : real(fd);
}

int sync_file_range(int fd, off64_t from, off64_t bytes, unsigned flags) {
  REAL(sync_file_range);
  return meet_fd(SYNC, fd, 0) < 0 ? -1 : real(fd, from, bytes, flags);
}

ssize_t write(int fd, const void *bytes, size_t count) {
  REAL(write);
  return meet_write(fd, end_after(fd, count)) < 0 ? -1 : real(fd, bytes, count);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(writev);
  return meet_write(fd, end_after(fd, bytes_in(parts, count))) < 0 ? -1 : real(fd, parts, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
  REAL(pwrite);
  return meet_write(fd, at + count) < 0 ? -1 : real(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  REAL(pwrite64);
  return meet_write(fd, at + count) < 0 ? -1 : real(fd, bytes, count, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
  REAL(pwritev);
  return meet_write(fd, at + bytes_in(parts, count)) < 0 ? -1 : real(fd, parts, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
  REAL(pwritev64);
  return meet_write(fd, at + bytes_in(parts, count)) < 0 ? -1 : real(fd, parts, count, at);
}

int ftruncate(int fd, off_t length) {
  REAL(ftruncate);
  return meet_fd(CHANGE, fd, length) < 0 ? -1 : real(fd, length);
}

int ftruncate64(int fd, off64_t length) {
  REAL(ftruncate64);
  return meet_fd(CHANGE, fd, length) < 0 ? -1 : real(fd, length);
}

int fallocate(int fd, int mode, off_t at, off_t length) {
  REAL(fallocate);
  return meet_fd(CHANGE, fd, at + length) < 0 ? -1 : real(fd, mode, at, length);
}

/* Opening to read is no change; O_CREAT of a file that is there is. */
#define OPEN(name)                                                                  \
  int name(const char *path, int flags, ...) {                                      \
    REAL(name);                                                                     \
    va_list rest;                                                                   \
    va_start(rest, flags);                                                          \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;         \
    va_end(rest);                                                                   \
    if ((flags & O_CREAT) && meet_path(CHANGE, path) < 0) return -1;                \
    return real(path, flags, mode);                                                 \
  }
OPEN(open)
OPEN(open64)

int rename(const char *from, const char *to) {
  REAL(rename);
  return meet_path(CHANGE, to) < 0 ? -1 : real(from, to);
}

int mkdir(const char *path, mode_t mode) {
  REAL(mkdir);
  return meet_path(CHANGE, path) < 0 ? -1 : real(path, mode);
}

static void shift(struct timespec *time) {
  int64_t ns = time->tv_sec * NS_PER_S + time->tv_nsec + block->wall_offset_ns;
  time->tv_sec = ns / NS_PER_S;
  time->tv_nsec = ns % NS_PER_S;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  REAL(clock_gettime);
  int outcome = real(clock, time);
  if (outcome == 0 && block && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) shift(time);
  return outcome;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  (void)zone;
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
