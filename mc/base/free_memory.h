#pragma once

namespace mc {

// Gives memory that was freed back to the system (glibc keeps it otherwise, between blocks that are in use).
// Takes milliseconds: for the end of work that allocates a lot for a moment.
void release_free_memory();

}  // namespace mc
