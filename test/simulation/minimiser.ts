import { type Decision, KINDS } from './decisions.js'
import type { Script } from './script.js'
import { Swarm } from './swarm.js'
import type { World } from './swarm-plan.js'

export interface Minimised {
  readonly script: Script
  readonly violation: string
  /** Runs that it took. */
  readonly runs: number
}

export interface MinimiserOptions {
  /** No more runs than this; what was reached by then is the answer. */
  readonly runsMax?: number
  readonly onProgress?: (text: string) => void
}

/**
 * Cuts a failing script down while the same invariant fails: first the decisions (delta debugging), then the world they
 * happen in, then the decisions again. Chance in the world, such as delays, falls otherwise once anything is left out: so
 * where a cut makes the failure go away, it is also tried with a few other seeds of that chance.
 */
export class Minimiser {
  private runs = 0
  private best: Script
  private violation = ''
  /** The failure came before the faults stopped: what follows need not be run. */
  private failsEarly = false
  private readonly runsMax: number

  constructor(
    script: Script,
    private readonly options: MinimiserOptions = {},
  ) {
    this.best = script
    this.runsMax = options.runsMax ?? 2000
  }

  /** Null when the script does not fail. */
  minimise(): Minimised | null {
    if (!this.start()) return null
    this.dropKinds()
    this.dropDecisions(0)
    this.shrinkWorld()
    this.dropDecisions(OTHER_SEEDS)
    this.shrinkWorld()
    this.roundDecisions()
    return { script: this.best, violation: this.violation, runs: this.runs }
  }

  /** The first run tells what is to fail, and when: nothing that was decided later matters. */
  private start(): boolean {
    const swarm = Swarm.ofScript(this.best)
    const { violation, simMs, phase } = swarm.run()
    this.runs++
    if (violation === null) return false
    this.violation = violation
    this.failsEarly = phase === 'safety'
    const { world, decisions } = this.best
    const safetyMs = this.failsEarly ? Math.min(world.safetyMs, Math.ceil(simMs) + 1) : world.safetyMs
    this.keep({ world: { ...world, safetyMs }, decisions: decisions.filter(({ at }) => at <= simMs) })
    return true
  }

  private dropKinds(): void {
    for (const kind of KINDS) {
      const decisions = this.best.decisions.filter((decision) => decision.kind !== kind)
      if (decisions.length < this.best.decisions.length) this.keep({ ...this.best, decisions })
    }
  }

  /** Leaves out ever smaller pieces, until not one decision can be missed. */
  private dropDecisions(otherSeeds: number): void {
    for (let size = Math.ceil(this.best.decisions.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      let dropped: boolean
      do {
        dropped = this.dropPieces(size, otherSeeds)
      } while (dropped && size === 1)
      this.options.onProgress?.(`${this.best.decisions.length} decisions after ${this.runs} runs`)
    }
  }

  private dropPieces(size: number, otherSeeds: number): boolean {
    let dropped = false
    for (let at = 0; at < this.best.decisions.length && this.mayRun; ) {
      const { decisions } = this.best
      const rest = [...decisions.slice(0, at), ...decisions.slice(at + size)]
      if (this.keep({ ...this.best, decisions: rest }, otherSeeds)) dropped = true
      else at += size
    }
    return dropped
  }

  private shrinkWorld(): void {
    for (const simpler of simplerWorlds(this.best)) {
      const world = simpler(this.best.world)
      if (JSON.stringify(world) !== JSON.stringify(this.best.world)) this.keep({ ...this.best, world }, OTHER_SEEDS)
    }
  }

  /** Whole milliseconds read better. */
  private roundDecisions(): void {
    const rounded = this.best.decisions.map(roundDecision)
    if (this.keep({ ...this.best, decisions: rounded }, OTHER_SEEDS)) return
    for (let at = 0; at < rounded.length && this.mayRun; at++) {
      this.keep({ ...this.best, decisions: this.best.decisions.map((decision, i) => (i === at ? rounded[i]! : decision)) })
    }
  }

  private get mayRun(): boolean {
    return this.runs < this.runsMax
  }

  /** Keeps the candidate if it fails in the same way, with its own seed or one of the next. */
  private keep(candidate: Script, otherSeeds = 0): boolean {
    const { seed } = candidate.world.cluster
    for (let i = 0; i <= otherSeeds && this.mayRun; i++) {
      const world = { ...candidate.world, cluster: { ...candidate.world.cluster, seed: seed + i } }
      if (!this.fails({ ...candidate, world })) continue
      this.best = { ...candidate, world }
      return true
    }
    return false
  }

  private fails(script: Script): boolean {
    this.runs++
    const { violation } = Swarm.ofScript(script).run(this.failsEarly ? 'safety' : 'liveness')
    if (violation === null || invariantOf(violation) !== invariantOf(this.violation)) return false
    this.violation = violation
    return true
  }
}

const OTHER_SEEDS = 3

/** What failed, without the numbers and names of the case. */
export function invariantOf(violation: string): string {
  const [line] = violation.split('\n')
  const parts = line!.split(': ')
  return parts
    .slice(0, parts[0]!.endsWith('Error') ? 2 : 1)
    .join(': ')
    .replace(/\d+(\.\d+)?/g, '#')
}

/** Ways to make a world smaller or quieter; each is tried by itself. */
function simplerWorlds({ world, decisions }: Script): ((world: World) => World)[] {
  const used = new Set(decisions.flatMap((decision) => Object.values(decision).flat().map(String)))
  const last = world.cluster.size + (world.cluster.joiners ?? 0)
  const unused = (from: number): boolean =>
    Array.from({ length: last - from }, (_, i) => `n${from + i + 1}`).every((name) => !used.has(name))
  const cluster = (change: Partial<World['cluster']>) => (old: World) => ({ ...old, cluster: { ...old.cluster, ...change } })
  const network = (change: object) => (old: World) => cluster({ network: { ...old.cluster.network, ...change } })(old)
  const sizes = [1, 2, 3, 4, 5].filter((size) => size < world.cluster.size && unused(size))
  const joiners = [0, 1, 2].filter((count) => count < (world.cluster.joiners ?? 0) && unused(world.cluster.size + count))
  return [
    ...joiners.map((count) => cluster({ joiners: count })),
    ...sizes.map((size) => cluster({ size, joiners: 0 })),
    network({ lossRate: 0 }),
    network({ duplicateRate: 0 }),
    network({ resetRate: 0 }),
    network({ corruptRate: 0 }),
    cluster({ clockDrift: 0 }),
    cluster({ timerLatenessMs: 0 }),
    cluster({ snapshotIntervalMs: 0 }),
    cluster({ node: {} }),
    cluster({ clockJumps: used.has('clockJump') }),
    cluster({ maxSegmentBytes: 65536 }),
    (old) => ({ ...old, keyValue: false }),
    (old) => ({ ...old, snapshotBytes: 0 }),
    (old) => ({ ...old, hostileStart: false }),
    (old) => ({ ...old, stopsRemoved: true }),
    (old) => ({ ...old, safetyMs: Math.min(old.safetyMs, Math.ceil(decisions.at(-1)?.at ?? 0) + old.cluster.electionTimeoutMs! * 5) }),
  ]
}

function roundDecision(decision: Decision): Decision {
  const rounded = Object.entries(decision).map(([name, value]) => [name, name.endsWith('Ms') || name === 'at' ? Math.round(value) : value])
  return Object.fromEntries(rounded)
}
