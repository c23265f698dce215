import { setTimeout as pause } from 'node:timers/promises'
import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import type { SnapshotPiece } from './engines/snapshots.js'
import type { MemberRef } from './member-lookup.js'
import { ArchiveCheck } from './snapshot-archive.js'
import { factsOf, type SnapshotFacts } from './snapshot-file.js'
import { FileTarget, type SnapshotTarget, StreamTarget } from './snapshot-target.js'
import { type SnapshotSource, snapshotSource } from './snapshots.js'

/** `data` of `snapshot save --json`. */
export interface SavedSnapshot extends SnapshotFacts {
  /** Who sent it. */
  readonly node: MemberRef
  /** Bytes that were there from an earlier attempt. */
  readonly resumedAt: number
  readonly tookMs: number
}

export interface SaveOptions {
  /** Bytes per second; null: as fast as it goes. */
  readonly maxRate: number | null
  readonly signal: AbortSignal
  readonly onProgress: (progress: { readonly done: number; readonly total: number }) => void
}

export interface SaveRequest extends SaveOptions {
  /** `-`: stdout. */
  readonly file: string
  /** A member, or `auto`. */
  readonly node: string
  /** Have a snapshot taken first. */
  readonly fresh: boolean
  /** Go on with what an earlier attempt left. */
  readonly resume: boolean
}

/**
 * Chooses who sends, and saves. Throws as `saveSnapshot`; E_EXISTS when there is such a file, E_NO_SNAPSHOT when the one that
 * is to be gone on with is gone.
 */
export async function saveToFile(
  client: ClusterClient,
  request: SaveRequest,
): Promise<{ readonly saved: SavedSnapshot; readonly clusterId: string | null }> {
  const { file, resume } = request
  const target = file === '-' ? new StreamTarget(process.stdout) : new FileTarget(file, { resume })
  const source = await sourceFor(client, request, target).catch((thrown) => {
    if (target.held === 0 || (thrown instanceof CliError && thrown.code === 'E_CORRUPT')) target.discard()
    else target.close()
    throw thrown
  })
  return { saved: await saveSnapshot(client, source, target, request), clusterId: source.clusterId }
}

async function sourceFor(client: ClusterClient, { node, fresh }: SaveRequest, target: SnapshotTarget): Promise<SnapshotSource> {
  const index = target.held > 0 ? await indexOfPartial(target) : null
  if (index === null) target.restart()
  const auto = index === null ? ('auto' as const) : ('all' as const)
  return snapshotSource(client, { whom: node === 'auto' ? auto : { member: node }, fresh, index })
}

/** A source that says nothing for this many request timeouts is given up: what is there can be gone on with. */
const SILENT_TIMEOUTS = 2

/**
 * Copies the snapshot of `node` into `target` and checks every byte on the way; only what is whole and good gets its name.
 * Throws E_CORRUPT for what is damaged, E_UNREACHABLE when the node falls silent.
 */
export async function saveSnapshot(
  client: ClusterClient,
  { node, index }: { readonly node: MemberRef; readonly index: number },
  target: SnapshotTarget,
  options: SaveOptions,
): Promise<SavedSnapshot> {
  const startedAt = performance.now()
  const resumedAt = target.held
  const check = new ArchiveCheck({ name: target.name })
  try {
    if (resumedAt > 0) for await (const bytes of target.existing()) check.push(bytes)
    const announced = await copy({ client, node, index }, target, check, options)
    const contents = check.end()
    if (announced !== contents.sha256) throw altered(node, target, { announced, found: contents.sha256 })
    target.finish()
    return { ...factsOf(target.name, contents), node, resumedAt, tookMs: Math.round(performance.now() - startedAt) }
  } catch (thrown) {
    if (thrown instanceof CliError && thrown.code === 'E_CORRUPT') target.discard()
    else target.close()
    throw thrown
  }
}

/** Of the archive that is partly there; null when it does not even hold its manifest. Throws E_CORRUPT. */
async function indexOfPartial(target: SnapshotTarget): Promise<number | null> {
  const check = new ArchiveCheck({ name: `${target.name}.partial` })
  for await (const bytes of target.existing()) {
    check.push(bytes)
    if (check.manifest) return check.manifest.index
  }
  return null
}

interface Source {
  readonly client: ClusterClient
  readonly node: MemberRef
  readonly index: number
}

/** Answers the SHA-256 that the node says the whole archive has. */
async function copy(source: Source, target: SnapshotTarget, check: ArchiveCheck, options: SaveOptions): Promise<string> {
  const { client, node, index } = source
  const pace = new Pace(options.maxRate)
  const silence = new Silence(client.connection.timeoutMs * SILENT_TIMEOUTS, options.signal)
  const call = { endpoint: node.address, group: client.group, index, offset: target.held }
  try {
    for await (const piece of client.engine.snapshots.copy(call, silence.signal)) {
      silence.heard()
      await take(piece, target, check)
      if (piece.totalBytes > 0) options.onProgress({ done: target.held, total: piece.totalBytes })
      if (piece.sha256 !== null) return piece.sha256
      await pace.after(piece.bytes.length, options.signal)
      silence.heard()
    }
  } finally {
    silence.end()
  }
  throw new CliError('E_UNREACHABLE', `${node.id} stopped sending after ${target.held} bytes`, {
    hint: target.name === '-' ? 'Start again.' : 'Go on where it stopped:  the same command with --resume',
    details: { node: node.address, stage: 'grpc', bytes: target.held },
  })
}

async function take(piece: SnapshotPiece, target: SnapshotTarget, check: ArchiveCheck): Promise<void> {
  if (piece.bytes.length === 0) return
  if (piece.offset !== target.held)
    throw new CliError('E_CORRUPT', `byte ${target.held} was expected and ${piece.offset} came`, { hint: 'Start again, without --resume.' })
  check.push(piece.bytes)
  await target.write(piece.bytes)
}

function altered(node: MemberRef, target: SnapshotTarget, { announced, found }: { announced: string; found: string }): CliError {
  return new CliError('E_CORRUPT', `${target.name} has the SHA-256 ${found}, and ${node.id} sent one of ${announced}`, {
    hint: 'Start again, without --resume.',
  })
}

/** Keeps the average at a rate by waiting after each piece. */
class Pace {
  private readonly startedAt = performance.now()
  private bytes = 0

  constructor(private readonly bytesPerSecond: number | null) {}

  async after(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.bytesPerSecond === null) return
    this.bytes += bytes
    const earlyMs = (this.bytes * 1000) / this.bytesPerSecond - (performance.now() - this.startedAt)
    if (earlyMs > 1) await pause(earlyMs, undefined, { signal }).catch(() => {})
  }
}

/** Aborts when nothing was heard for a while, or when the person interrupts. */
class Silence {
  private readonly controller = new AbortController()
  private timer: NodeJS.Timeout

  constructor(
    private readonly limitMs: number,
    private readonly outer: AbortSignal,
  ) {
    outer.addEventListener('abort', this.abort, { once: true })
    this.timer = setTimeout(this.abort, limitMs)
  }

  get signal(): AbortSignal {
    return this.controller.signal
  }

  heard(): void {
    clearTimeout(this.timer)
    this.timer = setTimeout(this.abort, this.limitMs)
  }

  end(): void {
    clearTimeout(this.timer)
    this.outer.removeEventListener('abort', this.abort)
  }

  private readonly abort = () => this.controller.abort()
}
