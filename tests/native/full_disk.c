/* A library to preload. While the file $FULL_DISK_FLAG exists, writes to files below $FULL_DISK_FOLDER fail with ENOSPC.
   With $KILL_AT the first process is killed before its write of this number to a file below that folder, or before it
   renames, links or removes one; the number of these is added to the file $KILL_COUNT at its end. Files below that
   folder have no shared mappings, as on many file systems of clusters. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

static long kill_at = -1, count = 0;

__attribute__((constructor)) static void begin(void) {
  const char* at = getenv("KILL_AT");
  if (at) kill_at = atol(at);
  unsetenv("KILL_AT"); /* the processes that this one starts do not count */
}

__attribute__((destructor)) static void end(void) {
  const char* path = getenv("KILL_COUNT");
  FILE* file = kill_at >= 0 && path ? fopen(path, "w") : NULL;
  if (!file) return;
  fprintf(file, "%ld", count);
  fclose(file);
}

static void changes(const char* path) {
  const char* folder = getenv("FULL_DISK_FOLDER");
  if (kill_at < 0 || !folder || strncmp(path, folder, strlen(folder)) != 0) return;
  if (++count == kill_at) kill(getpid(), SIGKILL);
}

static int path_of(int descriptor, char path[4096]) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, 4095);
  if (length >= 0) path[length] = 0;
  return length >= 0;
}

static int is_full(int descriptor) {
  const char* flag = getenv("FULL_DISK_FLAG");
  const char* folder = getenv("FULL_DISK_FOLDER");
  char path[4096];
  const int may_be_full = flag && access(flag, F_OK) == 0;
  if (!folder || (!may_be_full && kill_at < 0) || !path_of(descriptor, path)) return 0;
  changes(path);
  return may_be_full && strncmp(path, folder, strlen(folder)) == 0;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int descriptor, const void* data, size_t size) {
  if (is_full(descriptor)) return errno = ENOSPC, -1;
  return NEXT(write)(descriptor, data, size);
}

ssize_t pwrite64(int descriptor, const void* data, size_t size, off64_t at) {
  if (is_full(descriptor)) return errno = ENOSPC, -1;
  return NEXT(pwrite64)(descriptor, data, size, at);
}

ssize_t pwrite(int descriptor, const void* data, size_t size, off_t at) {
  if (is_full(descriptor)) return errno = ENOSPC, -1;
  return NEXT(pwrite)(descriptor, data, size, at);
}

void* mmap(void* at, size_t size, int access, int flags, int descriptor, off_t offset) {
  const char* folder = getenv("FULL_DISK_FOLDER");
  char path[4096];
  if (folder && flags & MAP_SHARED && path_of(descriptor, path) && strncmp(path, folder, strlen(folder)) == 0) {
    return errno = ENODEV, MAP_FAILED;
  }
  return NEXT(mmap)(at, size, access, flags, descriptor, offset);
}

void* mmap64(void* at, size_t size, int access, int flags, int descriptor, off64_t offset) {
  return mmap(at, size, access, flags, descriptor, offset);
}

int rename(const char* from, const char* to) {
  changes(to);
  return NEXT(rename)(from, to);
}

int link(const char* from, const char* to) {
  changes(to);
  return NEXT(link)(from, to);
}

int unlink(const char* path) {
  changes(path);
  return NEXT(unlink)(path);
}
