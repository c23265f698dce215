import { createRequire } from 'node:module'
import * as format from './format.js'
import type { Output } from './output.js'

/** How far a change of members is, as the leader says it. */
export interface ProgressPicture {
  readonly stage: string
  readonly peerId: string | null
  readonly matchIndex: number
  readonly lastIndex: number
  readonly state: string
  readonly snapshotBytesSent: number
  readonly snapshotBytesTotal: number
  readonly stalled: string | null
}

interface Bar {
  update(value: number, payload: Record<string, string>): void
  stop(): void
}
type MultiBar = { create(total: number, start: number, payload: Record<string, string>): Bar; stop(): void }

const STAGES: Readonly<Record<string, string>> = {
  joint: 'a quorum of the old and one of the new members agree',
  stable: 'the new members commit it',
}

/**
 * Progress of members that catch up, on stderr: a bar each on a terminal, a line for every tenth elsewhere, a document a
 * line with --json.
 */
export class ChangeProgressView {
  private readonly out: Output
  private readonly bars = new Map<string, Bar>()
  private multi: MultiBar | null = null
  /** Of each member: what was printed last. */
  private readonly said = new Map<string, string>()

  constructor(
    out: Output,
    private readonly options: { readonly json: boolean; readonly nameOf: (peerId: string) => string },
  ) {
    this.out = out.onStderr()
  }

  update(progress: ProgressPicture): void {
    if (progress.stage === 'gates' || progress.stage === 'done') return
    if (this.options.json) this.document(progress)
    else if (progress.peerId === null) this.stage(progress.stage)
    else if (this.out.style.isTty && progress.lastIndex > 0) this.bar(progress, progress.peerId)
    else this.line(progress, progress.peerId)
  }

  /** Leaves the terminal as it was. */
  end(): void {
    this.multi?.stop()
    this.multi = null
    this.bars.clear()
  }

  private stage(stage: string): void {
    this.end()
    const text = STAGES[stage]
    if (text !== undefined) this.once('stage', stage, text)
  }

  private bar(progress: ProgressPicture, peerId: string): void {
    let bar = this.bars.get(peerId)
    if (!bar) {
      this.multi ??= makeBars(this.out)
      bar = this.multi.create(100, 0, { name: '', detail: '' })
      this.bars.set(peerId, bar)
    }
    bar.update(percentOf(progress), { name: this.options.nameOf(peerId), detail: detailOf(progress) })
  }

  private line(progress: ProgressPicture, peerId: string): void {
    const name = this.options.nameOf(peerId)
    if (progress.lastIndex === 0) return this.once(peerId, progress.stalled ?? '', `waiting for ${name}: ${progress.stalled ?? ''}`)
    const tenth = Math.floor(percentOf(progress) / 10) * 10
    this.once(peerId, `${tenth} ${progress.stalled ?? ''}`, `${name} catches up (no vote yet)  ${tenth}%  ${detailOf(progress)}`)
  }

  private document(progress: ProgressPicture): void {
    const { stage, peerId, matchIndex, lastIndex, state, snapshotBytesSent, snapshotBytesTotal, stalled } = progress
    const percent = peerId === null ? null : percentOf(progress)
    const member = peerId === null ? null : this.options.nameOf(peerId)
    const key = `${stage} ${percent} ${state} ${stalled}`
    const document = { stage, member, percent, matchIndex, lastIndex, state, snapshotBytesSent, snapshotBytesTotal, stalled }
    this.once(peerId ?? 'stage', key, JSON.stringify({ progress: document }))
  }

  /** The same thing is not said twice in a row. */
  private once(about: string, key: string, text: string): void {
    if (this.said.get(about) === key) return
    this.said.set(about, key)
    this.out.line(text)
  }
}

/** Of the snapshot while that is on its way, else of the log. */
function percentOf({ state, snapshotBytesSent, snapshotBytesTotal, matchIndex, lastIndex }: ProgressPicture): number {
  const [done, total] = state === 'snapshot' && snapshotBytesTotal > 0 ? [snapshotBytesSent, snapshotBytesTotal] : [matchIndex, lastIndex]
  return total === 0 ? 0 : Math.min(100, Math.floor((done / total) * 100))
}

function detailOf({ state, snapshotBytesSent, snapshotBytesTotal, matchIndex, lastIndex, stalled }: ProgressPicture): string {
  const amount =
    state === 'snapshot'
      ? `snapshot ${format.bytes(snapshotBytesSent)}/${format.bytes(snapshotBytesTotal)}`
      : `${format.count(matchIndex)}/${format.count(lastIndex)}`
  return stalled === null ? amount : `${amount} · stalled: ${stalled}`
}

function makeBars(out: Output): MultiBar {
  const { MultiBar, Presets } = createRequire(import.meta.url)('cli-progress') as {
    MultiBar: new (options: object, preset: object) => MultiBar
    Presets: Record<string, object>
  }
  const { unicode } = out.style
  const look = unicode ? { barCompleteChar: '▇', barIncompleteChar: '░' } : { barCompleteChar: '#', barIncompleteChar: '.' }
  return new MultiBar(
    {
      ...look,
      format: '{name} catches up  {bar}  {percentage}%  {detail}',
      barsize: 16,
      stream: process.stderr,
      hideCursor: true,
      clearOnComplete: false,
      gracefulExit: false,
      emptyOnZero: true,
    },
    Presets.legacy as object,
  )
}
