// Ctrl-C as a flag: long work asks at safe points, saves, and throws.
#pragma once

namespace mc {

// Makes SIGINT and SIGTERM set the flag; a second signal ends the process at once.
void catch_interrupts();
bool interrupted();
void set_interrupted(bool value);

}  // namespace mc
