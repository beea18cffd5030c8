// What a disk would hold after a power cut. `kill -9` alone does not show that anything was synced: the kernel keeps what was written.
//
// Preloaded into the bridge (LD_PRELOAD), this keeps a second copy of every file below POWERCUT_FROM in POWERCUT_TO, to which a write comes
// only when the file is synced (fsync, fdatasync); until then it waits in the memory of the process, and dies with it. disk.py makes the
// second copy before the start, and puts it in place of the files after the death.
//
//   POWERCUT_TO/<inode>         what was synced of a file
//   POWERCUT_TO/names/<path>    a link that says which inode a name stands for, `/` written `%`; a name is there once its directory or, as on
//                               ext4, the file itself was synced since; it goes when the directory is synced after it went
//   POWERCUT_EARLY=N            N % of all writes come to the disk at once, whole or in part (512 bytes and multiples), as a kernel may do
//   POWERCUT_LIE=all|wal|none   all: every sync is dropped; wal: those of write-ahead logs are. The test must fail then.
//
// Memory-mapped files are not looked at: SQLite maps only the index of the log (-shm), which is made anew after every crash.

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FILES = 4096, DESCRIPTORS = 65536, SECTOR = 512 };

// A write or a truncation that waits for a sync.
struct operation {
  struct operation *next;
  off_t offset; // where it begins; of a truncation, the new length
  size_t length;
  int is_truncation;
  char data[];
};

struct file {
  ino_t inode;
  char path[PATH_MAX]; // below POWERCUT_FROM
  int is_directory;
  struct operation *first, **last;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *files[FILES];
static struct file *open_files[DESCRIPTORS];
static const char *from, *to, *lie = "none";
static size_t from_length;
static unsigned early, chance;

static void fail(const char *what) {
  dprintf(2, "powercut: %s: %s\n", what, strerror(errno));
  abort();
}

static void *real(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (!found) fail(name);
  return found;
}

__attribute__((constructor)) static void begin(void) {
  from = getenv("POWERCUT_FROM");
  to = getenv("POWERCUT_TO");
  if (!from || !to) return;
  from_length = strlen(from);
  if (getenv("POWERCUT_LIE")) lie = getenv("POWERCUT_LIE");
  early = getenv("POWERCUT_EARLY") ? (unsigned)atoi(getenv("POWERCUT_EARLY")) : 0;
  chance = (unsigned)getpid();
}

// ---- the second copy

static int shadow(struct file *file) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%lu", to, (unsigned long)file->inode);
  int copy = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (copy < 0) fail(path);
  return copy;
}

static void put(int copy, const struct operation *one, size_t length) {
  if (one->is_truncation) {
    if (syscall(SYS_ftruncate, copy, one->offset)) fail("ftruncate");
    return;
  }
  for (size_t done = 0; done < length;) {
    ssize_t wrote = syscall(SYS_pwrite64, copy, one->data + done, length - done, one->offset + (off_t)done);
    if (wrote <= 0) fail("pwrite");
    done += (size_t)wrote;
  }
}

static void name_it(const char *path, ino_t inode) {
  static unsigned count;
  char link[2 * PATH_MAX], draft[2 * PATH_MAX], target[32];
  int at = snprintf(link, sizeof link, "%s/names/", to);
  for (const char *c = path; *c && at < PATH_MAX; c++) link[at++] = *c == '/' ? '%' : *c;
  link[at] = 0;
  snprintf(target, sizeof target, "%lu", (unsigned long)inode);
  snprintf(draft, sizeof draft, "%s/draft-%d-%u", to, getpid(), count++);
  if (symlink(target, draft)) fail(draft);
  if (syscall(SYS_renameat, AT_FDCWD, draft, AT_FDCWD, link)) fail(link);
}

// A synced directory has the names it has now, and no others.
static void sync_directory(struct file *directory) {
  char path[2 * PATH_MAX], prefix[PATH_MAX];
  int length = snprintf(prefix, sizeof prefix, "%s%s", directory->path, *directory->path ? "/" : "");
  snprintf(path, sizeof path, "%s/names", to);
  DIR *names = opendir(path);
  if (!names) fail(path);
  for (char *c = prefix; *c; c++) if (*c == '/') *c = '%';
  for (struct dirent *entry; (entry = readdir(names));) {
    if (entry->d_name[0] == '.' || strncmp(entry->d_name, prefix, (size_t)length) || strchr(entry->d_name + length, '%')) continue;
    struct stat status;
    snprintf(path, sizeof path, "%s/%s/%s", from, directory->path, entry->d_name + length);
    if (lstat(path, &status)) syscall(SYS_unlinkat, dirfd(names), entry->d_name, 0);
  }
  closedir(names);
  snprintf(path, sizeof path, "%s/%s", from, directory->path);
  DIR *listing = opendir(path);
  if (!listing) fail(path);
  for (struct dirent *entry; (entry = readdir(listing));) {
    if (entry->d_type != DT_REG) continue;
    snprintf(path, sizeof path, "%s%s%s", directory->path, *directory->path ? "/" : "", entry->d_name);
    name_it(path, entry->d_ino);
  }
  closedir(listing);
}

static void sync_file(struct file *file) {
  int copy = shadow(file);
  for (struct operation *one; (one = file->first); free(one)) {
    put(copy, one, one->length);
    file->first = one->next;
  }
  file->last = &file->first;
  syscall(SYS_close, copy);
  char path[2 * PATH_MAX];
  struct stat status;
  snprintf(path, sizeof path, "%s/%s", from, file->path);
  if (!lstat(path, &status) && status.st_ino == file->inode) name_it(file->path, file->inode);
}

// ---- what waits

static struct file *known(ino_t inode) {
  for (unsigned i = 0; i < FILES; i++) {
    struct file **slot = &files[(inode + i) % FILES];
    if (!*slot) {
      *slot = calloc(1, sizeof **slot);
      if (!*slot) fail("calloc");
      (*slot)->inode = inode;
      (*slot)->last = &(*slot)->first;
    }
    if ((*slot)->inode == inode) return *slot;
  }
  errno = ENFILE;
  fail("too many files");
  return NULL;
}

static void wait_for_sync(struct file *file, const void *data, size_t length, off_t offset, int is_truncation) {
  struct operation *one = malloc(sizeof *one + length);
  if (!one) fail("malloc");
  *one = (struct operation){.offset = offset, .length = length, .is_truncation = is_truncation};
  if (length) memcpy(one->data, data, length);
  *file->last = one;
  file->last = &one->next;
  if (is_truncation || (unsigned)rand_r(&chance) % 100 >= early) return;
  // The kernel may write back whatever it has, whenever it likes, and may be cut off on the way.
  size_t sectors = length / SECTOR;
  size_t part = sectors && rand_r(&chance) % 2 ? SECTOR * (1 + (size_t)rand_r(&chance) % sectors) : length;
  int copy = shadow(file);
  put(copy, one, part < length ? part : length);
  syscall(SYS_close, copy);
}

static void opened(int descriptor, int flags) {
  if (!from || descriptor < 0 || descriptor >= DESCRIPTORS) return;
  int before = errno;
  char link[64], path[PATH_MAX];
  struct stat status;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length > 0 && !fstat(descriptor, &status) && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))) {
    path[length] = 0;
    int is_ours = !strncmp(path, from, from_length) && (path[from_length] == '/' || !path[from_length]);
    pthread_mutex_lock(&lock);
    open_files[descriptor] = NULL;
    if (is_ours) {
      struct file *file = known(status.st_ino);
      file->is_directory = S_ISDIR(status.st_mode);
      snprintf(file->path, sizeof file->path, "%s", path[from_length] ? path + from_length + 1 : "");
      open_files[descriptor] = file;
      if (S_ISREG(status.st_mode) && status.st_size == 0 && (flags & (O_CREAT | O_TRUNC))) wait_for_sync(file, NULL, 0, 0, 1);
    }
    pthread_mutex_unlock(&lock);
  }
  errno = before;
}

static struct file *ours(int descriptor) {
  return from && descriptor >= 0 && descriptor < DESCRIPTORS ? open_files[descriptor] : NULL;
}

// ---- what the bridge calls

#define OPEN(name)                                                              \
  int name(const char *path, int flags, ...) {                                  \
    static int (*next)(const char *, int, ...);                                 \
    if (!next) next = real(#name);                                              \
    va_list more;                                                               \
    va_start(more, flags);                                                      \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;     \
    va_end(more);                                                               \
    int descriptor = next(path, flags, mode);                                   \
    opened(descriptor, flags);                                                  \
    return descriptor;                                                          \
  }
OPEN(open)
OPEN(open64)

int close(int descriptor) {
  if (ours(descriptor)) open_files[descriptor] = NULL;
  return (int)syscall(SYS_close, descriptor);
}

static ssize_t write_at(int descriptor, struct file *file, const void *data, size_t length, off_t offset) {
  pthread_mutex_lock(&lock);
  ssize_t wrote = syscall(SYS_pwrite64, descriptor, data, length, offset);
  if (wrote > 0) wait_for_sync(file, data, (size_t)wrote, offset, 0);
  pthread_mutex_unlock(&lock);
  return wrote;
}

ssize_t pwrite64(int descriptor, const void *data, size_t length, off_t offset) {
  struct file *file = ours(descriptor);
  return file ? write_at(descriptor, file, data, length, offset) : syscall(SYS_pwrite64, descriptor, data, length, offset);
}

ssize_t pwrite(int descriptor, const void *data, size_t length, off_t offset) { return pwrite64(descriptor, data, length, offset); }

ssize_t write(int descriptor, const void *data, size_t length) {
  struct file *file = ours(descriptor);
  if (!file) return syscall(SYS_write, descriptor, data, length);
  int is_appending = fcntl(descriptor, F_GETFL) & O_APPEND;
  off_t offset = lseek(descriptor, 0, is_appending ? SEEK_END : SEEK_CUR);
  pthread_mutex_lock(&lock);
  ssize_t wrote = syscall(SYS_write, descriptor, data, length);
  if (wrote > 0) wait_for_sync(file, data, (size_t)wrote, offset, 0);
  pthread_mutex_unlock(&lock);
  return wrote;
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
  if (!ours(descriptor)) return syscall(SYS_writev, descriptor, parts, count);
  ssize_t all = 0;
  for (int i = 0; i < count; i++) {
    ssize_t wrote = write(descriptor, parts[i].iov_base, parts[i].iov_len);
    if (wrote < 0) return all ? all : wrote;
    all += wrote;
    if ((size_t)wrote < parts[i].iov_len) break;
  }
  return all;
}

int ftruncate64(int descriptor, off_t length) {
  struct file *file = ours(descriptor);
  pthread_mutex_lock(&lock);
  int outcome = (int)syscall(SYS_ftruncate, descriptor, length);
  if (file && !outcome) wait_for_sync(file, NULL, 0, length, 1);
  pthread_mutex_unlock(&lock);
  return outcome;
}

int ftruncate(int descriptor, off_t length) { return ftruncate64(descriptor, length); }

static int synced(int descriptor, long call) {
  struct file *file = ours(descriptor);
  if (!file) return (int)syscall(call, descriptor);
  size_t length = strlen(file->path);
  int is_log = length > 4 && !strcmp(file->path + length - 4, "-wal");
  if (!strcmp(lie, "all") || (is_log && !strcmp(lie, "wal"))) return 0;
  int outcome = (int)syscall(call, descriptor);
  pthread_mutex_lock(&lock);
  if (!outcome) file->is_directory ? sync_directory(file) : sync_file(file);
  pthread_mutex_unlock(&lock);
  return outcome;
}

int fsync(int descriptor) { return synced(descriptor, SYS_fsync); }
int fdatasync(int descriptor) { return synced(descriptor, SYS_fdatasync); }
