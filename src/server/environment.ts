import type { Environment, Observer, Transport } from '../raft/environment.js'
import { NO_FAILPOINTS } from '../raft/failpoints.js'
import { checksum } from '../storage/checksum.js'
import { ProductionClock } from './clock.js'
import type { EventLoopExecutor } from './executor.js'
import { ProductionRandom } from './random.js'

export interface ProductionEnvironment extends Environment {
  readonly clock: ProductionClock
  readonly executor: EventLoopExecutor
}

/** The engine's seams in a real process. */
export function productionEnvironment(parts: {
  executor: EventLoopExecutor
  transport: Transport
  observer: Observer
}): ProductionEnvironment {
  return {
    clock: new ProductionClock(parts.executor),
    executor: parts.executor,
    random: new ProductionRandom(),
    transport: parts.transport,
    checksum,
    observer: parts.observer,
    failpoints: NO_FAILPOINTS,
  }
}
