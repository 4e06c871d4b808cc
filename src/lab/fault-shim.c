/*
 * A disk and a wall clock that can be broken at run time, for one process: preloaded (LD_PRELOAD) into the Skein process of a
 * lab host. What happens is said by a control block, a file of one page that the lab writes and this maps
 * (host-faults.ts knows the same layout):
 *
 *   0 magic u32 | 4 version u32 | 8 wall clock offset in ns i64
 *   16, 32, 48: sync, write, change: action u32 | errno i32 | delay in ms u32 | reserved u32
 *   64, 72, 80: how many calls of each kind met a fault, u64
 *
 * Beside the block, in <block>.unsynced, it keeps a journal of what a power cut would lose: every write with the bytes it
 * replaced, every change of names, and every sync. unsynced.ts reads it, and takes back what nobody had synced.
 *
 * sync: fsync and its like. write: bytes into files. change: names and sizes of files (create, rename, remove, truncate).
 * Only files below SKEIN_FAULTS_BELOW are concerned: a log that goes elsewhere goes on being written.
 * Monotonic clocks are left alone: a wrong wall clock is what machines have, a monotonic clock that jumps is not.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

/* What the journal says of one call; `path` and `more` (old bytes, or another path) follow. */
struct record {
  uint32_t magic;
  uint32_t kind;
  /* When, by the monotonic clock in ns: orders the records of all processes of a host. */
  uint64_t at;
  /* The file; for a change of names also the directory. */
  uint64_t inode;
  uint64_t directory;
  uint64_t offset;
  uint64_t length;
  uint64_t old_size;
  uint32_t path_bytes;
  uint32_t more_bytes;
};

enum { WROTE = 1, SYNCED = 2, RENAMED = 3, CREATED = 4, REMOVED = 5 };
#define RECORD_MAGIC 0x6c6e726a /* "jrnl" */
/* A journal that grows beyond this begins anew: for a moment everything counts as synced. */
#define JOURNAL_BYTES_MAX (32 << 20)
#define OLD_BYTES_MAX (64 << 20)
/* What is replaced or removed and larger than this counts as gone for good at once. */
#define KEPT_BYTES_MAX (1 << 20)

static volatile struct block *block;
static int journal = -1;
static pthread_mutex_t journal_lock = PTHREAD_MUTEX_INITIALIZER;
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
  char name[512];
  snprintf(name, sizeof name, "%s.unsynced", path);
  journal = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (journal < 0) give_up("the journal of what is not synced cannot be opened");
  block = found;
}

static int is_below(const char *path) {
  if (strncmp(path, below, below_length) != 0) return 0;
  return path[below_length] == '/' || path[below_length] == '\0';
}

static int path_of(int fd, char *path, size_t bytes) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, bytes - 1);
  if (length < 0) return 0;
  path[length] = '\0';
  return is_below(path);
}

static int concerns_fd(int fd) {
  char path[4096];
  return path_of(fd, path, sizeof path);
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

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void note(struct record record, const char *path, const void *more) {
  static __typeof__(&writev) real;
  if (!real) real = (__typeof__(&writev))dlsym(RTLD_NEXT, "writev");
  record.magic = RECORD_MAGIC;
  record.path_bytes = path ? strlen(path) : 0;
  struct iovec parts[] = {
      {&record, sizeof record},
      {(void *)path, record.path_bytes},
      {(void *)more, record.more_bytes},
  };
  pthread_mutex_lock(&journal_lock);
  struct stat info;
  if (fstat(journal, &info) == 0 && info.st_size > JOURNAL_BYTES_MAX) syscall(SYS_ftruncate, journal, 0L);
  if (real(journal, parts, 3) < 0) give_up("the journal of what is not synced cannot be written");
  pthread_mutex_unlock(&journal_lock);
}

static int all_zero(const char *bytes, size_t count) {
  for (size_t at = 0; at < count; at++) {
    if (bytes[at]) return 0;
  }
  return 1;
}

/* Before a write of `length` bytes at `offset`: what stands there. Zeros are not copied. */
static void note_write(int fd, off_t offset, size_t length) {
  char path[4096];
  struct stat info;
  if (!block || !path_of(fd, path, sizeof path) || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return;
  struct record record = {.kind = WROTE, .at = now_ns(), .inode = info.st_ino};
  record.offset = offset;
  record.length = length;
  record.old_size = info.st_size;
  size_t there = offset >= info.st_size ? 0 : (size_t)(info.st_size - offset);
  if (there > length) there = length;
  char *old = NULL;
  if (there > 0 && there <= OLD_BYTES_MAX && (old = malloc(there))) {
    int reader = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = reader < 0 ? -1 : pread(reader, old, there, offset);
    if (reader >= 0) close(reader);
    if (got > 0 && !all_zero(old, got)) record.more_bytes = got;
  }
  note(record, path, old);
  free(old);
}

/* After a sync that began at `began`. */
static int note_sync(int outcome, int fd, uint64_t began) {
  char path[4096];
  struct stat info;
  int error = errno;
  if (outcome == 0 && block && path_of(fd, path, sizeof path) && fstat(fd, &info) == 0) {
    note((struct record){.kind = SYNCED, .at = began, .inode = info.st_ino}, path, NULL);
  }
  errno = error;
  return outcome;
}

static uint64_t inode_of(const char *path) {
  struct stat info;
  return lstat(path, &info) == 0 ? info.st_ino : 0;
}

static uint64_t directory_of(const char *path) {
  char parent[4096];
  snprintf(parent, sizeof parent, "%s", path);
  char *slash = strrchr(parent, '/');
  if (!slash) return 0;
  *slash = '\0';
  return inode_of(parent);
}

/* `from`, a line feed, and the content of the file at `path`; to be freed. NULL when it is too large to keep. */
static char *content_of(const char *path, const char *from, size_t *bytes) {
  size_t head = from ? strlen(from) + 1 : 0;
  struct stat info;
  size_t size = lstat(path, &info) == 0 && S_ISREG(info.st_mode) ? info.st_size : 0;
  if (size > KEPT_BYTES_MAX) return NULL;
  char *all = malloc(head + size + 1);
  if (!all) return NULL;
  if (from) {
    memcpy(all, from, head - 1);
    all[head - 1] = '\n';
  }
  ssize_t got = 0;
  int reader = size > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (reader >= 0) {
    got = pread(reader, all + head, size, 0);
    close(reader);
  }
  *bytes = head + (got > 0 ? got : 0);
  return all;
}

/*
 * Called before the name is changed, as a kill may come right after; whoever takes it back looks whether it was.
 * `old`: 1 if there was a file at `path` before, whose content is at the end of `more`.
 */
static void note_name(int kind, const char *path, uint64_t inode, uint64_t old, const void *more, size_t bytes) {
  struct record record = {.kind = kind, .at = now_ns(), .inode = inode, .old_size = old};
  record.directory = directory_of(path);
  record.more_bytes = bytes;
  note(record, path, more);
}

/* A file opened with O_DSYNC or O_SYNC is synced by every write. */
static int meet_write(int fd, off_t at, size_t length) {
  if (meet_fd(WRITE, fd, at + length) < 0) return -1;
  if (block && fd > 2) note_write(fd, at, length);
  if (!armed(SYNC)) return 0;
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & (O_DSYNC | O_SYNC)) ? meet_fd(SYNC, fd, 0) : 0;
}

static size_t bytes_in(const struct iovec *parts, int count) {
  size_t sum = 0;
  for (int at = 0; at < count; at++) sum += parts[at].iov_len;
  return sum;
}

/* Where a write without a position begins; the current end of the file for one that appends. */
static off_t place_of(int fd) {
  if (!block) return 0;
  struct stat info;
  if ((fcntl(fd, F_GETFL) & O_APPEND) && fstat(fd, &info) == 0) return info.st_size;
  off_t at = lseek(fd, 0, SEEK_CUR);
  return at < 0 ? 0 : at;
}

int fsync(int fd) {
  REAL(fsync);
  uint64_t began = now_ns();
  return meet_fd(SYNC, fd, 0) < 0 ? -1 : note_sync(real(fd), fd, began);
}

int fdatasync(int fd) {
  REAL(fdatasync);
  uint64_t began = now_ns();
  return meet_fd(SYNC, fd, 0) < 0 ? -1 : note_sync(real(fd), fd, began);
}

int sync_file_range(int fd, off64_t from, off64_t bytes, unsigned flags) {
  REAL(sync_file_range);
  return meet_fd(SYNC, fd, 0) < 0 ? -1 : real(fd, from, bytes, flags);
}

ssize_t write(int fd, const void *bytes, size_t count) {
  REAL(write);
  return meet_write(fd, place_of(fd), count) < 0 ? -1 : real(fd, bytes, count);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(writev);
  return meet_write(fd, place_of(fd), bytes_in(parts, count)) < 0 ? -1 : real(fd, parts, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
  REAL(pwrite);
  return meet_write(fd, at, count) < 0 ? -1 : real(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  REAL(pwrite64);
  return meet_write(fd, at, count) < 0 ? -1 : real(fd, bytes, count, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
  REAL(pwritev);
  return meet_write(fd, at, bytes_in(parts, count)) < 0 ? -1 : real(fd, parts, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
  REAL(pwritev64);
  return meet_write(fd, at, bytes_in(parts, count)) < 0 ? -1 : real(fd, parts, count, at);
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

/* Emptying a file is a write over all of it. */
static void note_truncation(const char *path) {
  int reader = open(path, O_RDONLY | O_CLOEXEC);
  struct stat info;
  if (reader < 0) return;
  if (fstat(reader, &info) == 0 && info.st_size > 0) note_write(reader, 0, info.st_size);
  close(reader);
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
    int fresh = block && (flags & O_CREAT) && is_below(path) && !inode_of(path);     \
    if (block && (flags & O_TRUNC) && is_below(path)) note_truncation(path);         \
    int fd = real(path, flags, mode);                                               \
    if (fresh && fd >= 0) note_name(CREATED, path, inode_of(path), 0, NULL, 0);      \
    return fd;                                                                      \
  }
OPEN(open)
OPEN(open64)

int rename(const char *from, const char *to) {
  REAL(rename);
  if (meet_path(CHANGE, to) < 0) return -1;
  if (!block || !is_below(to)) return real(from, to);
  uint64_t old = inode_of(to) ? 1 : 0;
  uint64_t inode = inode_of(from);
  size_t bytes = 0;
  char *replaced = content_of(to, from, &bytes);
  if (inode && replaced) note_name(RENAMED, to, inode, old, replaced, bytes);
  free(replaced);
  return real(from, to);
}

int unlink(const char *path) {
  REAL(unlink);
  if (!block || !is_below(path)) return real(path);
  uint64_t inode = inode_of(path);
  size_t bytes = 0;
  char *removed = content_of(path, NULL, &bytes);
  if (inode && removed) note_name(REMOVED, path, inode, 1, removed, bytes);
  free(removed);
  return real(path);
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
