import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type CheckResult, checkLinearizability } from '../../../src/admin/linearizability/check.js'
import { describeProblem } from '../../../src/admin/linearizability/picture.js'
import { type RegisterAnswer, type RegisterCall, registerModel } from '../../../src/admin/linearizability/register-model.js'
import { timelinePage } from '../../../src/admin/linearizability/timeline.js'
import { SimRandom } from '../../../src/testing/sim-random.js'
import { PROJECT } from '../../support/run-cli.js'
import { ChaosCluster } from './chaos-cluster.js'
import { ChaosCounts } from './counts.js'
import { Ledger } from './ledger.js'
import { Nemesis } from './nemesis.js'
import { RegisterLoad } from './registers.js'

export interface ChaosOptions {
  readonly size: number
  readonly seconds: number
  readonly seed: number
  /** Keep everything, whatever comes out. */
  readonly keep?: boolean
  /** Told of what happens, a line each. */
  readonly onNote?: (line: string) => void
}

export interface ChaosResult {
  readonly counts: ChaosCounts
  readonly linearizable: 'yes' | 'no' | 'undecided' | 'not judged'
  /** What is not as it must be; empty when all is well. */
  readonly problems: readonly string[]
  /** Where everything lies; null when all was well and nobody wanted it kept. */
  readonly kept: string | null
  /** How a disk was filled. */
  readonly fullBy: 'a file system of its own' | 'the fault hook'
}

const REGISTER_CLIENTS = 6
const LEDGER_CLIENTS = 2
const LOOK_EVERY_MS = 500
const JUDGE_LIMIT_MS = 60_000

/** One cluster of real processes under load and faults, and what is to be said about it when they are over. */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const cluster = await ChaosCluster.start(options.size)
  const run = new ChaosRun(options, cluster)
  const problems = await run.run().catch((error) => [`${(error as Error).stack}`])
  run.counts.elections = cluster.elections()
  const kept = problems.length > 0 || options.keep ? keptDirectory(options) : null
  await cluster.close(kept)
  if (kept) run.writeDown(kept, problems)
  const fullBy = cluster.nodes[0]!.disk ? 'a file system of its own' : 'the fault hook'
  return { counts: run.counts, linearizable: run.linearizable, problems, kept, fullBy }
}

/** Outside of the directories that a test runner takes away. */
function keptDirectory({ size, seed }: ChaosOptions): string {
  const stamp = new Date().toISOString().replace(/[:.]/g, '-')
  return join(PROJECT, 'dist', 'chaos', `${stamp}-nodes-${size}-seed-${seed}`)
}

class ChaosRun {
  readonly counts = new ChaosCounts()
  private judgement: CheckResult<RegisterCall, RegisterAnswer> | null = null
  private readonly diary: string[] = []
  private readonly startedAt = performance.now()
  private readonly registers: RegisterLoad
  private readonly ledger: Ledger

  constructor(
    private readonly options: ChaosOptions,
    private readonly cluster: ChaosCluster,
  ) {
    const random = new SimRandom(options.seed)
    const clients = Array.from({ length: REGISTER_CLIENTS + LEDGER_CLIENTS }, (_, at) => cluster.client(at))
    this.registers = new RegisterLoad(clients.slice(0, REGISTER_CLIENTS), random.fork('registers'), this.counts)
    this.ledger = new Ledger(clients.slice(REGISTER_CLIENTS), random.fork('ledger'), this.counts)
  }

  get linearizable(): ChaosResult['linearizable'] {
    if (!this.judgement) return 'not judged'
    return ({ linearizable: 'yes', violation: 'no', undecided: 'undecided' } as const)[this.judgement.verdict]
  }

  async run(): Promise<string[]> {
    await this.torment()
    const { cluster } = this
    await cluster.converged()
    this.note('every member came level')
    const reader = cluster.client(0, 10_000)
    try {
      await this.registers.readAll(reader)
      const problems = await this.ledger.problems(reader)
      const hashes = await cluster.stateHashes()
      if (new Set(hashes).size !== 1) problems.push(`members hold different states: ${hashes.join(' ')}`)
      return [...problems, ...this.judge()]
    } finally {
      reader.close()
    }
  }

  private async torment(): Promise<void> {
    const { cluster, options } = this
    const scene = { cluster, counts: this.counts, random: new SimRandom(options.seed), note: (text: string) => this.note(text) }
    const nemesis = new Nemesis(scene, new SimRandom(options.seed).fork('nemesis'))
    const until = performance.now() + options.seconds * 1000
    while (performance.now() < until && !cluster.problem) await pause(LOOK_EVERY_MS)
    await nemesis.stop()
    cluster.network.heal('reset')
    this.note('the faults are over')
    await Promise.all([this.registers.stop(), this.ledger.stop()])
    if (cluster.problem) throw new Error(cluster.problem)
  }

  private judge(): string[] {
    const deadline = performance.now() + JUDGE_LIMIT_MS
    this.judgement = checkLinearizability(this.registers.operations(), registerModel, {
      stepsMax: Infinity,
      expired: () => performance.now() > deadline,
    })
    const { problem } = this.judgement
    return problem ? [describeProblem(problem, registerModel)] : []
  }

  /** What there is to look at beside the directories and logs of the members. */
  writeDown(home: string, problems: readonly string[]): void {
    const history = this.registers.operations().map((operation) => JSON.stringify(operation))
    writeFileSync(join(home, 'history.jsonl'), `${history.join('\n')}\n`)
    writeFileSync(join(home, 'diary.txt'), `${this.diary.join('\n')}\n`)
    writeFileSync(join(home, 'problems.txt'), `${problems.join('\n\n')}\n`)
    const problem = this.judgement?.problem
    if (problem) writeFileSync(join(home, 'timeline.html'), timelinePage(problem, registerModel))
  }

  private note(text: string): void {
    const line = `${((performance.now() - this.startedAt) / 1000).toFixed(3).padStart(8)} s  ${text}`
    this.diary.push(line)
    this.options.onNote?.(line)
  }
}
