import type { File, FileSystem, OpenOptions } from '../raft/environment.js'

/** The same file system, with every durable write timed: writes to a `dsync` file and `datasync`. */
export function timedFileSystem(files: FileSystem, onSync: (tookMs: number) => void): FileSystem {
  const timed: FileSystem = Object.create(files)
  timed.open = (path, options, done) => files.open(path, options, (status, file) => done(status, file && timedFile(file, options, onSync)))
  return timed
}

function timedFile(file: File, options: OpenOptions, onSync: (tookMs: number) => void): File {
  const timed: File = Object.create(file)
  const watch = (done: Parameters<File['datasync']>[0]): Parameters<File['datasync']>[0] => {
    const startedAt = performance.now()
    return (status) => {
      onSync(performance.now() - startedAt)
      done(status)
    }
  }
  if (options.dsync) timed.write = (buffers, position, done) => file.write(buffers, position, watch(done))
  timed.datasync = (done) => file.datasync(watch(done))
  return timed
}
