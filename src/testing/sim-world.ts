import { PeerId, PeerRole } from '../raft/peer-id.js'
import { checksum } from '../storage/checksum.js'
import { Scheduler } from './scheduler.js'
import type { DiskProfile } from './sim-file-system.js'
import { SimHost } from './sim-host.js'
import { type NetworkProfile, SimNetwork } from './sim-network.js'
import { SimRandom } from './sim-random.js'

/** What a world is like. */
export interface WorldOptions {
  readonly seed: number
  /** How many machines are in it. */
  readonly hosts: number
  readonly network?: Partial<NetworkProfile>
  readonly disk?: Partial<DiskProfile>
  /** Clocks run at 1 ± this. */
  readonly clockDrift?: number
  /** By machine, instead of a drift that is drawn. */
  readonly clockRates?: readonly number[]
  readonly timerLatenessMs?: number
  /** The machines, by number from 1, whose members are witnesses. */
  readonly witnesses?: readonly number[]
  /** Clocks may be made to jump forward. */
  readonly clockJumps?: boolean
}

/** A group as its world knows it. */
export interface WorldGroup {
  /** Looks at what the last event may have broken; throws when it did. */
  check(): void
  /** The disk of that machine is about to be lost, and what its member knew with it. */
  forget(host: SimHost): void
}

/** What all groups of a run live in: time, the network and the machines in it. */
export class SimWorld {
  readonly scheduler = new Scheduler()
  readonly random: SimRandom
  readonly network: SimNetwork
  readonly hosts: SimHost[] = []
  readonly groups: WorldGroup[] = []

  constructor(options: WorldOptions) {
    this.random = new SimRandom(options.seed)
    this.scheduler.afterEvent = () => {
      for (const group of this.groups) group.check()
    }
    const profile: NetworkProfile = {
      delayMinMs: 0.1,
      delayMeanMs: 0.5,
      lossRate: 0,
      duplicateRate: 0,
      resetRate: 0,
      corruptRate: 0,
      ...options.network,
    }
    this.network = new SimNetwork(this.scheduler, profile, this.random.fork('network'), checksum)
    const drift = this.random.fork('drift')
    const { timerLatenessMs = 0.5, clockDrift = 0, clockJumps = false } = options
    for (let id = 1; id <= options.hosts; id++) {
      const clockRate = options.clockRates?.[id - 1] ?? 1 + clockDrift * drift.between(-1, 1)
      const peerId = new PeerId(`10.0.0.${id}`, 7000, 0, options.witnesses?.includes(id) ? PeerRole.WITNESS : PeerRole.REPLICA)
      const disk: DiskProfile = { operationMs: 0.02, syncMs: 0.5, stalledUntil: 0, writeErrorRate: 0, syncErrorRate: 0, ...options.disk }
      const random = this.random.fork(`member ${id}`)
      this.hosts.push(new SimHost(this.scheduler, this.network, id, { peerId, clockRate, timerLatenessMs, clockJumps }, random, disk))
    }
  }
}
