import type { Configuration } from './configuration.js'
import { ErrorCode, Status } from './errors.js'
import type { LogManager } from './log-manager.js'
import type { NodeImpl } from './node-impl.js'
import { type LogIndex, NO_INDEX, plus } from './types.js'

/**
 * Read-only mode (braft enter_readonly_mode): a member that should take no tasks for a while, and goes on with everything else.
 *
 * It says so to its leader, which then sends it nothing but configurations (ReadonlyGate). A leader takes no tasks while it is in
 * this mode itself, or while those that are not make no quorum, of both halves of a joint configuration. Members can be changed
 * all the time: that is a way out. In memory: a node that starts is not in it.
 */
export class ReadOnlyMode {
  isOn = false

  constructor(private readonly node: NodeImpl) {}

  enter(): void {
    if (this.isOn) return
    this.isOn = true
    this.node.observe({ name: 'readonly.entered', term: this.node.meta.term })
  }

  leave(): void {
    if (!this.isOn) return
    this.isOn = false
    this.node.observe({ name: 'readonly.left', term: this.node.meta.term })
  }

  /** Why this leader takes no tasks; null when it does. */
  get refusal(): Status | null {
    const { configuration } = this.node
    if (this.isOn) {
      const mend = 'call leaveReadonlyMode() on it, or hand leadership over'
      return Status.error(ErrorCode.EREADONLY, `this leader is in read-only mode: ${mend}`)
    }
    for (const half of configuration.isStable ? [configuration.conf] : [configuration.conf, configuration.old]) {
      const problem = this.problemOf(half)
      if (problem) return problem
    }
    return null
  }

  private problemOf(half: Configuration): Status | null {
    const { replicators } = this.node
    const readonly = half.peers.filter((peer) => replicators.get(peer)?.readonlyGate.isClosed)
    const writable = half.size - readonly.length
    if (writable >= half.quorum) return null
    const what = `${readonly.join(', ')} ${readonly.length === 1 ? 'is' : 'are'} in read-only mode`
    const mend = 'call leaveReadonlyMode() on them, or change the members'
    return Status.error(ErrorCode.EREADONLY, `${what}, and ${writable} of ${half.size} members make no quorum: ${mend}`)
  }
}

/**
 * How far the log is sent to one peer (braft Replicator's readonly_index). To a peer in read-only mode: what there was when it
 * said so, and then configurations for as long as nothing else comes between. Where tasks were taken after that, a quorum does
 * without it; it receives them when it leaves the mode.
 */
export class ReadonlyGate {
  /** The first index that is not sent unless it is a configuration; NO_INDEX: everything is sent. */
  private readonlyIndex: LogIndex = NO_INDEX

  constructor(private readonly log: LogManager) {}

  get isClosed(): boolean {
    return this.readonlyIndex !== NO_INDEX
  }

  get index(): LogIndex {
    return this.readonlyIndex
  }

  /** What the peer says of itself. True when it may be sent more than before. */
  note(readonly: boolean): boolean {
    if (readonly === this.isClosed) return false
    this.readonlyIndex = readonly ? plus(this.log.lastIndex, 1) : NO_INDEX
    return !readonly
  }

  /** The last index that may be sent now. */
  get last(): LogIndex {
    const { lastIndex, configurations } = this.log
    if (!this.isClosed) return lastIndex
    while (this.readonlyIndex <= lastIndex && configurations.isAt(this.readonlyIndex)) this.readonlyIndex = plus(this.readonlyIndex, 1)
    return plus(this.readonlyIndex, -1)
  }
}
