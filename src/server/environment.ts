import { ElectionGate } from '../raft/election-gate.js'
import type { Checksum, Environment, Observer, Transport } from '../raft/environment.js'
import { NO_FAILPOINTS } from '../raft/failpoints.js'
import { Heartbeats } from '../raft/heartbeats.js'
import type { Faults } from '../rpc/faults.js'
import { checksum } from '../storage/checksum.js'
import { ProductionClock } from './clock.js'
import type { EventLoopExecutor } from './executor.js'
import { ProductionRandom } from './random.js'
import { SkewedClock } from './skewed-clock.js'

export interface ProductionEnvironment extends Environment {
  readonly clock: ProductionClock
  readonly executor: EventLoopExecutor
}

/** The engine's seams in a real process. */
export function productionEnvironment(parts: {
  executor: EventLoopExecutor
  transport: Transport
  observer: Observer
  faults?: Faults
  /** That of new entries; CRC-32C when left out. */
  checksum?: Checksum
}): ProductionEnvironment {
  const { executor, faults } = parts
  const clock = faults?.enabled ? new SkewedClock(executor, faults) : new ProductionClock(executor)
  return {
    clock,
    executor,
    random: new ProductionRandom(),
    transport: parts.transport,
    checksum: parts.checksum ?? checksum,
    observer: parts.observer,
    failpoints: NO_FAILPOINTS,
    elections: new ElectionGate(executor),
    heartbeats: new Heartbeats(clock),
  }
}
