import { setTimeout as pause } from 'node:timers/promises'
import { ErrorCode } from '../../src/raft/errors.js'
import { type BaiduStdClient, BaiduStdError, callBaiduStd } from '../../src/rpc/baidu-std-client.js'
import type { SimRandom } from '../../src/testing/sim-random.js'
import { clientOf, FETCH_ADD, GET, int64 } from './group-calls.js'
import type { Increment, IncrementHistory } from './increment-history.js'

/** Between 2^35 and 2^40: sums of a few tell who is in them. */
const SIZE_MIN = 2 ** 35
const SIZE_MAX = 2 ** 40
const CALL_TIMEOUT_MS = 2000
const LOOK_AGAIN_MS = 50

export interface CounterClientOptions {
  readonly id: number
  readonly history: IncrementHistory
  readonly random: SimRandom
  /** Members to ask for the leader, as they are now. */
  readonly members: () => readonly string[]
  /** Between two increments; 0: the next one follows the answer. */
  readonly pauseMs?: number
}

/**
 * One client of the counter: adds, waits for the answer, adds again, each time another size, which is never sent twice.
 *
 * A refusal is no proof that nothing was counted: a leader that loses its office fails what it had appended with the same
 * answer by which a follower redirects. So a client adds only where it believes the leader, and else looks for one by `get`.
 */
export class CounterClient {
  private readonly connections = new Map<string, BaiduStdClient>()
  private leader: string | null = null
  private running = true
  private done: Promise<void> | null = null

  constructor(private readonly options: CounterClientOptions) {}

  start(): this {
    this.done = this.work()
    return this
  }

  /** Ends after the answer it waits for. */
  async stop(): Promise<void> {
    this.running = false
    await this.done
    for (const connection of this.connections.values()) connection.close()
  }

  private async work(): Promise<void> {
    const { id, history, random, pauseMs = 0 } = this.options
    while (this.running) {
      this.leader ??= await this.findLeader()
      if (this.leader === null) await pause(LOOK_AGAIN_MS)
      else await this.add(this.leader, history.begin(id, this.leader, Math.floor(random.between(SIZE_MIN, SIZE_MAX))))
      if (pauseMs > 0) await pause(pauseMs)
    }
  }

  private async add(leader: string, increment: Increment): Promise<void> {
    const { history } = this.options
    this.leader = null
    try {
      const { response } = await callBaiduStd(this.connection(leader), FETCH_ADD, { value: increment.size }, { timeoutMs: CALL_TIMEOUT_MS })
      if (response.success) {
        history.acknowledge(increment, int64(response.value))
        this.leader = leader
      } else {
        const leaderLost = response.redirect !== leader
        history.leaveUnknown(increment, `${leader} refused it and named ${response.redirect || 'nobody'}`, { leaderLost })
        if (response.redirect && response.redirect !== leader) this.leader = await this.confirmed(response.redirect)
      }
    } catch (error) {
      if (!(error instanceof BaiduStdError)) throw error
      if (error.status.code === ErrorCode.EHOSTDOWN) history.fail(increment, error.message)
      else history.leaveUnknown(increment, `${leader}: ${error.message}`, { leaderLost: error.status.code === ErrorCode.EOUTCOMEUNKNOWN })
    }
  }

  /** Whoever answers a read leads, or did a moment ago. */
  private async findLeader(): Promise<string | null> {
    const { members, random } = this.options
    for (const member of random.shuffle(members())) {
      const found = await this.confirmed(member)
      if (found !== null) return found
    }
    return null
  }

  private async confirmed(member: string, hops = 1): Promise<string | null> {
    try {
      const { response } = await callBaiduStd(this.connection(member), GET, {}, { timeoutMs: CALL_TIMEOUT_MS })
      if (response.success) return member
      return response.redirect && hops > 0 ? await this.confirmed(response.redirect, hops - 1) : null
    } catch (error) {
      if (error instanceof BaiduStdError) return null
      throw error
    }
  }

  private connection(peer: string): BaiduStdClient {
    const known = this.connections.get(peer)
    if (known) return known
    const connection = clientOf(peer)
    this.connections.set(peer, connection)
    return connection
  }
}
