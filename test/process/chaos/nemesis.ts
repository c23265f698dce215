import { setTimeout as pause } from 'node:timers/promises'
import type { SimRandom } from '../../../src/testing/sim-random.js'
import { DEEDS, type Fault, NETWORK_FAULTS, PROCESS_FAULTS, type Scene } from './faults.js'

/** Between two faults of one kind, on average: long enough for the cluster to do something. */
const GAP_MEAN_MS = 1200

/**
 * Does harm until it is stopped: one fault of processes, one of the network and one deed of an administrator at a time, each
 * kind as often as any other, in an order drawn from the seed.
 */
export class Nemesis {
  private running = true
  private readonly done: Promise<unknown>

  constructor(
    private readonly scene: Scene,
    seeded: SimRandom,
  ) {
    const tracks = { process: PROCESS_FAULTS, network: NETWORK_FAULTS, deeds: DEEDS }
    this.done = Promise.all(Object.entries(tracks).map(([name, faults]) => this.track(faults, seeded.fork(name))))
  }

  /** Settles when the last fault is over. */
  async stop(): Promise<void> {
    this.running = false
    await this.done
  }

  private async track(faults: Readonly<Record<string, Fault>>, random: SimRandom): Promise<void> {
    const scene = { ...this.scene, random }
    let left: string[] = []
    while (this.running) {
      await pause(random.exponential(GAP_MEAN_MS))
      if (left.length === 0) left = shuffled(Object.keys(faults), random)
      if (!this.running) return
      const name = left.shift()!
      const happened = await faults[name]!(scene)
      if (!happened && left.length > 0) left.push(name)
    }
  }
}

function shuffled<T>(items: readonly T[], random: SimRandom): T[] {
  return items
    .map((item) => ({ item, key: random.unit() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item)
}
