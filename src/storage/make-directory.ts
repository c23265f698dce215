import type { Done } from '../raft/closure.js'
import type { FileSystem } from '../raft/environment.js'
import { parentOf } from './paths.js'
import { inSequence } from './steps.js'

/**
 * Makes a directory that durable things will lie in. Its name is durable afterwards also where it was there already: a process that
 * was killed may have made it and left its name in the page cache only.
 */
export function makeDirectory(fileSystem: FileSystem, path: string, done: Done): void {
  inSequence([(next) => fileSystem.mkdir(path, next), (next) => fileSystem.syncDir(parentOf(path), next)], done)
}
