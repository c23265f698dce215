import type { Call, Timer } from './environment.js'
import { ErrorCode, Status } from './errors.js'
import type { ReadMode } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import type { ReadDone } from './read-index.js'
import type { LogIndex } from './types.js'

interface ForwardedRead {
  readonly done: ReadDone
  readonly deadline: number
  readonly timer: Timer
}

/** One question to the leader and all who wait for its answer. */
interface Question {
  readonly mode: ReadMode
  readonly reads: Set<ForwardedRead>
  /** Null until it is sent. */
  call: Call | null
}

/**
 * What a follower asks its leader for: up to where to apply before it reads. Reads of one turn share a question, which leaves
 * at the end of the turn, after the last of them came; one that comes later never joins it, since the leader may have
 * answered by then.
 */
export class ForwardedReads {
  private readonly questions = new Set<Question>()
  private readonly unsent = new Map<ReadMode, Question>()

  constructor(private readonly node: NodeImpl) {}

  ask(timeoutMs: number, mode: ReadMode, done: ReadDone): void {
    const { clock } = this.node.env
    const question = this.unsent.get(mode) ?? this.open(mode)
    const timer = clock.schedule(timeoutMs, () => this.expire(question, read), 'read-index.forwarded')
    const read = { done, deadline: clock.now() + timeoutMs, timer }
    question.reads.add(read)
  }

  /** Ends all that was asked. */
  end(status: Status): void {
    for (const question of this.questions) {
      question.call?.cancel()
      this.node.env.executor.post(() => this.tell(question, status), 'read-index.leader-lost')
    }
    this.questions.clear()
    this.unsent.clear()
  }

  private open(mode: ReadMode): Question {
    const question = { mode, reads: new Set<ForwardedRead>(), call: null }
    this.questions.add(question)
    this.unsent.set(mode, question)
    this.node.env.executor.post(() => this.send(question), 'read-index.forward')
    return question
  }

  private send(question: Question): void {
    // Ended meanwhile.
    if (!this.questions.has(question)) return
    this.unsent.delete(question.mode)
    const { groupId, serverId, leaderId: peerId, env } = this.node
    let deadline = env.clock.now()
    for (const read of question.reads) deadline = Math.max(deadline, read.deadline)
    const request = { groupId, serverId, peerId, mode: question.mode }
    question.call = env.transport.call(peerId, 'readIndex', request, deadline - env.clock.now(), (status, response) => {
      this.questions.delete(question)
      this.tell(question, status, response?.index)
    })
  }

  private tell(question: Question, status: Status, index?: LogIndex): void {
    const reads = [...question.reads]
    question.reads.clear()
    for (const read of reads) {
      read.timer.cancel()
      read.done(status, index)
    }
  }

  private expire(question: Question, read: ForwardedRead): void {
    if (!question.reads.delete(read)) return
    read.done(Status.error(ErrorCode.ETIMEDOUT, 'the leader did not answer in time'))
  }
}
