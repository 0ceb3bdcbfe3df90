#pragma once

namespace mc {

// Gives memory that was freed back to the system (glibc keeps it otherwise, between blocks that are in use).
// Takes milliseconds: for the end of work that allocates a lot for a moment.
void release_free_memory();

// From now on freed memory stays with the process, whatever its size, until release_free_memory(). By default
// glibc gives large blocks back at once, and what lies at the end of the heap whenever that grows: a network
// whose values are megabytes then takes its pages anew in every run, a third of the time of a small one, more
// or less by where its blocks came to lie. For programs, since it holds for the whole process.
void keep_free_memory();

}  // namespace mc
