import { createRequire } from 'node:module'
import * as format from './format.js'
import type { Output } from './output.js'

export interface BenchProgressPicture {
  readonly phase: string
  /** From 0 to 1. */
  readonly share: number
  readonly perSecond: number
  readonly p99Ms: number | null
  readonly errors: number
}

interface Bar {
  start(total: number, value: number, payload: Record<string, string>): void
  update(value: number, payload: Record<string, string>): void
  stop(): void
}

/** How far a benchmark is, on stderr: a bar on a terminal, a line for every tenth elsewhere, a document a line with --json. */
export class BenchProgressView {
  private readonly out: Output
  private bar: Bar | null = null
  private said = ''

  constructor(
    out: Output,
    private readonly json: boolean,
  ) {
    this.out = out.onStderr()
  }

  update(progress: BenchProgressPicture): void {
    const { phase, share } = progress
    const percent = Math.min(100, Math.floor(share * 100))
    if (this.out.style.isTty && !this.json) return this.draw(phase, percent, detailOf(progress))
    const key = `${phase} ${Math.floor(percent / 10)}`
    if (this.said === key) return
    this.said = key
    if (this.json) this.out.line(JSON.stringify({ progress }))
    else this.out.line(`${phase}  ${percent}%  ${detailOf(progress)}`)
  }

  /** Leaves the terminal as it was. */
  end(): void {
    this.bar?.stop()
    this.bar = null
  }

  private draw(phase: string, percent: number, detail: string): void {
    if (this.bar === null) {
      this.bar = makeBar(this.out)
      this.bar.start(100, 0, { phase, detail })
    }
    this.bar.update(percent, { phase, detail })
  }
}

function detailOf({ phase, perSecond, p99Ms, errors }: BenchProgressPicture): string {
  if (phase !== 'measuring') return ''
  const parts = [`${format.count(perSecond)} ops/s`, ...(p99Ms === null ? [] : [`p99 ${p99Ms.toFixed(1)} ms`])]
  return [...parts, ...(errors > 0 ? [format.many(errors, 'error')] : [])].join('  ')
}

function makeBar(out: Output): Bar {
  const { SingleBar, Presets } = createRequire(import.meta.url)('cli-progress') as {
    SingleBar: new (options: object, preset: object) => Bar
    Presets: Record<string, object>
  }
  const look = out.style.unicode ? { barCompleteChar: '▇', barIncompleteChar: '░' } : { barCompleteChar: '#', barIncompleteChar: '.' }
  return new SingleBar(
    {
      ...look,
      format: '{phase}  {bar}  {percentage}%  {detail}',
      barsize: 16,
      stream: process.stderr,
      hideCursor: true,
      clearOnComplete: true,
      gracefulExit: false,
    },
    Presets.legacy as object,
  )
}
