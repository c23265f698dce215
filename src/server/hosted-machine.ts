import { atomicService } from '../machines/atomic/service.js'
import { AtomicMachine } from '../machines/atomic/state-machine.js'
import { blockService } from '../machines/block/service.js'
import { BlockMachine } from '../machines/block/state-machine.js'
import { counterService } from '../machines/counter/service.js'
import { CounterMachine } from '../machines/counter/state-machine.js'
import { GrpcLeaderCalls } from '../machines/kv/leader-calls.js'
import { encodeMark } from '../machines/kv/mark.js'
import { KvService } from '../machines/kv/service.js'
import { KvClosure, KvStateMachine } from '../machines/kv/state-machine.js'
import type { ComparableMachine, HostedMachine, MachineKind } from '../machines/machine.js'
import { Serving } from '../machines/serving.js'
import type { Environment } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { Node } from '../raft/node.js'
import { fromInt64, type LogIndex, logIndex } from '../raft/types.js'
import type { Faults } from '../rpc/faults.js'
import type { ProcessIdentity } from '../rpc/identity.js'
import type { RpcService } from '../rpc/service.js'

export interface HostOptions {
  readonly node: Node
  readonly environment: Environment
  readonly identity: ProcessIdentity
  readonly faults: Faults
}

export function hostMachine(kind: MachineKind, options: HostOptions): HostedMachine {
  if (kind === 'kv') return new HostedKv(options)
  return new HostedExample(kind, new EXAMPLES[kind].Machine(options.environment), options)
}

/** What a machine serves on every protocol; `hosted` is null while its group is not open. The key-value store speaks gRPC only. */
export function servicesOf(kind: MachineKind, hosted: () => HostedMachine | null): RpcService[] {
  if (kind === 'kv') return []
  // The machine is of that kind: both are made here.
  const serving = () => (hosted() as HostedExample | null)?.serving ?? null
  return [EXAMPLES[kind].service(serving as () => Serving<never> | null)]
}

const EXAMPLES = {
  counter: { Machine: CounterMachine, service: counterService },
  atomic: { Machine: AtomicMachine, service: atomicService },
  block: { Machine: BlockMachine, service: blockService },
} as const

export class HostedKv implements HostedMachine {
  readonly kind = 'kv'
  readonly stateMachine: KvStateMachine
  readonly service: KvService

  constructor(private readonly options: HostOptions) {
    const { node, environment, identity, faults } = options
    const { executor, clock } = environment
    this.stateMachine = new KvStateMachine({ executor, clock })
    this.service = new KvService({
      node,
      machine: this.stateMachine,
      clock,
      wallClockMs: () => Date.now(),
      leaderCalls: new GrpcLeaderCalls(identity, faults),
      clusterId: () => identity.clusterId,
    })
  }

  get revision(): number {
    return this.stateMachine.store.revision
  }

  get lastAcknowledgedAt(): number | null {
    return this.service.router.lastAcknowledgedAt
  }

  mark(done: (status: Status, index?: LogIndex) => void): void {
    const applied = new KvClosure((status, answer) => {
      if (status.ok && answer?.mark) done(status, logIndex(fromInt64(answer.mark.index)))
      else done(status.ok ? Status.error(ErrorCode.EINVAL, 'the state of this machine cannot be hashed') : status)
    })
    this.options.node.apply({ data: encodeMark(Date.now()), done: applied })
  }

  drain(timeoutMs: number, done: () => void): void {
    this.service.drain(timeoutMs, done)
  }

  close(): void {
    this.service.close()
  }
}

class HostedExample implements HostedMachine {
  readonly revision = null
  readonly serving: Serving<ComparableMachine>

  constructor(
    readonly kind: MachineKind,
    readonly stateMachine: ComparableMachine,
    private readonly options: HostOptions,
  ) {
    const { executor, clock } = options.environment
    this.serving = new Serving({ machine: stateMachine, node: options.node, clock, executor })
  }

  get lastAcknowledgedAt(): number | null {
    return this.serving.lastAcknowledgedAt
  }

  mark(done: (status: Status, index?: LogIndex) => void): void {
    this.options.node.repeatConfiguration(done)
  }

  /** The node answered every call when it stopped: none is passed on. */
  drain(_timeoutMs: number, done: () => void): void {
    done()
  }

  close(): void {}
}
