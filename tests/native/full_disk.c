/* A library to preload: while the file $FULL_DISK_FLAG exists, writes to files below $FULL_DISK_FOLDER fail with ENOSPC. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_full(int descriptor) {
  const char* flag = getenv("FULL_DISK_FLAG");
  const char* folder = getenv("FULL_DISK_FOLDER");
  char link[64], path[4096];
  if (!flag || !folder || access(flag, F_OK) != 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strncmp(path, folder, strlen(folder)) == 0;
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
