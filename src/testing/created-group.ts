import type { Done } from '../raft/closure.js'
import type { FileSystem } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { checksum } from '../storage/checksum.js'
import { GroupDirectories } from '../storage/group-directories.js'
import type { GroupRecord } from '../storage/group-record.js'

/**
 * As a process does it with the groups that are made while it runs: finds the group on the disk, or makes it. OK: its node may start.
 * ECORRUPT: its node was there before, and the record of the group is not, or is damaged.
 */
export function findOrCreateGroup(fileSystem: FileSystem, dataDirectory: string, record: GroupRecord, done: Done): void {
  const directories = new GroupDirectories(fileSystem, checksum, dataDirectory)
  directories.list((status, found) => {
    if (!status.ok) return done(status)
    const own = found!.find(({ name }) => name === record.group)
    if (own?.record) return done(Status.OK)
    if (own?.problem) return done(Status.error(own.isDamaged ? ErrorCode.ECORRUPT : ErrorCode.EIO, own.problem))
    if (own) return done(Status.error(ErrorCode.ECORRUPT, `${own.directory} has a past, and its record is gone`))
    directories.create(record, done)
  })
}
