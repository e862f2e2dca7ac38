// Interrupts: signals end a long call between two parts of its work.
#pragma once

namespace pyharmony {

// A function that handles pending signals, and throws where one of them ends the call.
using InterruptHook = void (*)();

// Sets the function that handles signals; core itself knows nothing of Python.
void set_interrupt_hook(InterruptHook hook);

// Calls the hook if 50 ms or more have passed since this thread called it last, and this thread is
// the first of the process, the only one that handles signals. Throws where that, or another thread
// at work on the same job, ends it. parallel_for asks before each range; what may take long without
// it calls this every millisecond or so.
void check_interrupt();

}  // namespace pyharmony
