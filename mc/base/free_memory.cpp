#include "mc/base/free_memory.h"

#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace mc {

void release_free_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

void keep_free_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_MAX, 0);         // no threshold would do: glibc takes none beyond 32 MiB
  mallopt(M_TRIM_THRESHOLD, -1);  // never
  // What one thread frees, another can take: threads that make batches have heaps of their own otherwise.
  mallopt(M_ARENA_MAX, 1);
#endif
}

}  // namespace mc
