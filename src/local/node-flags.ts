/**
 * Flags of node for a process that serves.
 *
 * V8 counts what sockets and the log hold outside of its heap too, and collects all of a small heap whenever it has grown by
 * half: under load several times a second, for a tenth of a second of the processor each. Below so many MB it does not.
 */
export const NODE_FLAGS = ['--initial-old-space-size=64']
