import type { SimDirectory, SimDisk } from './sim-disk.js'
import { SECTOR_BYTES, type SimInode } from './sim-inode.js'
import type { SimRandom } from './sim-random.js'

/** Bits turn over; a write lands in another place, while its own keeps what it held; a write of an earlier sync never arrived. */
export type DamageKind = 'rot' | 'misdirected' | 'stale'

/** A sector of a file, by the path under which a power loss would leave it. */
interface Place {
  readonly path: string
  readonly inode: SimInode
  readonly sector: number
}

/**
 * What may be damaged: what is written once and sealed, and the small records that are replaced as a whole, in turn, or within one sector. The open
 * segment is not among them: there a lost or misdirected write looks like the torn end of the last one, which is outside of
 * the fault model; so is more than one small record at a time.
 */
const SEALED = /\/(log\/log_\d+_\d+|snapshot\/snapshot_\d+\/(?!__raft_snapshot_meta$).+)$/
const RECORD =
  /\/(log\/log_meta|raft_meta\/raft_meta|snapshot\/snapshot_\d+\/__raft_snapshot_meta|raftctl\/(node\.json|meta\.[ab]|durable|seals|snapshot\.seal))$/

/** Damages what lies durably on one disk. Whether it may is for the budget of faults to say. */
export class DiskDamage {
  constructor(private readonly disk: SimDisk) {}

  /** Is there anything that reads get otherwise than it was written? */
  get isDamaged(): boolean {
    return filesOf(this.disk).some(({ inode }) => inode.damagedSectors > 0)
  }

  /** Answers what was damaged, or null when there was nothing to damage in that way. `random` says where and how. */
  inflict(kind: DamageKind, random: SimRandom): string | null {
    const { records, sealed } = this.places()
    // As likely in a small record as in all that is sealed.
    const group = sealed.length === 0 || (records.length > 0 && random.chance(0.4)) ? records : sealed
    if (group.length === 0) return null
    const target = random.pick(group)
    const { inode, sector, path } = target
    const where = `${path} sector ${sector}`
    if (kind === 'rot') return inode.damage(sector, rotten(inode, sector, random)) ? where : null
    if (kind === 'stale') return inode.damage(sector, earlier(target, random)) ? where : null
    const others = (group === records ? sealed : [...sealed, ...records]).filter((place) => place !== target)
    if (others.length === 0) return null
    const written = random.pick(others)
    const bytes = written.inode.sector(written.sector)
    const landed = inode.damage(sector, bytes)
    const kept = written.inode.damage(written.sector, earlier(written, random))
    return landed || kept ? `${where} instead of ${written.path} sector ${written.sector}` : null
  }

  private places(): { records: Place[]; sealed: Place[] } {
    const files = filesOf(this.disk)
    const isRecordDamaged = files.some(({ path, inode }) => RECORD.test(path) && inode.damagedSectors > 0)
    const records: Place[] = []
    const sealed: Place[] = []
    for (const { path, inode } of files) {
      if (inode.hasUnsynced) continue
      const group = SEALED.test(path) ? sealed : RECORD.test(path) && !isRecordDamaged ? records : []
      for (let sector = 0; sector * SECTOR_BYTES < inode.size; sector++) {
        // What was never written between two slots is no record.
        if (group === sealed || inode.sector(sector).some((byte) => byte !== 0)) group.push({ path, inode, sector })
      }
    }
    return { records, sealed }
  }
}

function rotten(inode: SimInode, sector: number, random: SimRandom): Buffer {
  const bytes = inode.sector(sector)
  const length = Math.min(SECTOR_BYTES, inode.size - sector * SECTOR_BYTES)
  const at = random.below(length)
  const how = random.below(4)
  if (how === 0) bytes.fill(0)
  else if (how === 1) bytes[at]! ^= 1 << random.below(8)
  else for (let i = how === 2 ? 0 : at; i < length; i++) bytes[i] = random.below(256)
  return bytes
}

/** What the sector held before its last write: where nothing is known, nothing. */
function earlier({ inode, sector }: Place, random: SimRandom): Buffer {
  const versions = inode.earlierVersions(sector)
  return versions.length > 0 ? random.pick(versions) : Buffer.alloc(SECTOR_BYTES)
}

/** Every file that has the same name for readers and after a power loss. */
function filesOf(disk: SimDisk): { path: string; inode: SimInode }[] {
  const found: { path: string; inode: SimInode }[] = []
  const walk = (directory: SimDirectory, at: string): void => {
    for (const [name, node] of directory.durableNames) {
      if (directory.names.get(name) !== node) continue
      if (node.isDirectory) walk(node as SimDirectory, `${at}/${name}`)
      else found.push({ path: `${at}/${name}`, inode: node })
    }
  }
  walk(disk.root, '')
  return found
}
