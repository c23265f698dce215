import type { Done } from './closure.js'
import type { Call, Timer } from './environment.js'
import { ErrorCode, Status } from './errors.js'
import type { Answer, HelloRequest, HelloResponse } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import type { PeerId } from './peer-id.js'
import type { NodeIdentity } from './storage.js'
import { isFresh, Survey } from './survey.js'

const ASK_AGAIN_MS = 100
const ASK_TIMEOUT_MS = 1000
/** Founders are started by hand, one after the other: who is missing is said this late, and this often. */
const SAY_AFTER_MS = 5000
/** How long a founder that cannot be reached is waited for where the group has begun. It may come back. */
const PATIENCE_MS = 10_000
/** Of so many election timeouts a leader is heard once at least. */
const LEADER_TIMEOUTS = 2

/** A founder of braft's: it has no incarnation. */
const BRAFT = 'braft'

/**
 * Founds a group: an empty directory becomes a member only when every founder is known to be as empty as it is.
 *
 * A directory that lost its past looks just like a new one. It may not vote: it could vote twice in a term, or elect a
 * leader that lacks entries which it acknowledged. So a founding member asks every peer in the initial configuration, and
 * votes only once each has answered 'founding' or shows a founding record with this very incarnation. The record (the
 * incarnation of every founder) is durable before the first vote. A peer whose record does not name this incarnation
 * knew an earlier life of this directory: then it must be rebuilt and nothing else.
 *
 * A braft founder waits for nobody and tells no lives apart. It is as empty when nobody has voted there and nothing was written.
 * Where it is not, the group began without this directory, or with an earlier life of it: it is rebuilt (survey.ts).
 *
 * A founder may be gone for good by the time that this directory, late, asks it. Where a record names this very incarnation and
 * a leader is heard of, the group has begun without its vote, and needs none of it: after a while it is rebuilt too. It may not
 * just take over the record: the founder that is gone may have known an earlier life, and have led by its vote.
 */
export class Founding {
  private readonly known = new Map<string, string>()
  private readonly calls = new Map<string, Call>()
  private timer: Timer | null = null
  private stopped = false
  private readonly problems = new Map<string, string>()
  private saidAt: number
  /** A member's record has this very incarnation: it is the directory that it was when the group was founded. */
  private isNamed = false
  private leaderHeardAt = Number.NEGATIVE_INFINITY
  /** Since when the group is led without this directory, which it knows; null: it may not be. */
  private missedSince: number | null = null
  /** The first member that answered without a record, because it was rebuilt, and when: it cannot tell whether it knew this directory. */
  private unsure: { readonly peer: PeerId; readonly since: number } | null = null

  constructor(
    private readonly node: NodeImpl,
    private readonly identity: NodeIdentity,
    private readonly done: (status: Status, identity?: NodeIdentity) => void,
  ) {
    this.saidAt = node.env.clock.now()
  }

  start(): void {
    this.known.set(this.node.serverId.key, this.identity.incarnation)
    this.ask()
  }

  /** Somebody leads: a quorum of the founders has begun. */
  onLeaderHeard(): void {
    this.leaderHeardAt = this.node.env.clock.now()
  }

  /** Gives up for `reason`. A record that is being written is awaited first. */
  cancel(reason: Status): void {
    if (!this.stopped) this.finish(reason)
  }

  private stop(): void {
    this.stopped = true
    this.timer?.cancel()
    for (const call of this.calls.values()) call.cancel()
    this.calls.clear()
  }

  private missing(): PeerId[] {
    // An empty log answers with the initial configuration, one that was bootstrapped with its own.
    return this.node.configuration.conf.peers.filter((peer) => !this.known.has(peer.key))
  }

  private ask(): void {
    if (this.stopped) return
    const missing = this.missing()
    if (missing.length === 0) return this.found()
    if (this.isTooLate()) return this.miss(missing)
    if (this.unsure && this.isUnknownSince(this.unsure.since)) return this.belongElsewhere(this.unsure.peer)
    for (const peer of [...missing, ...this.foundSince()]) if (!this.calls.has(peer.key)) this.askPeer(peer)
    this.sayWhoIsMissing(missing)
    const { clock, random } = this.node.env
    this.timer = clock.schedule(ASK_AGAIN_MS / 2 + random.unit() * ASK_AGAIN_MS, () => this.ask(), 'founding')
  }

  /** Nobody has named this directory for long, and somebody that was rebuilt takes part: the group has a past. */
  private isUnknownSince(time: number): boolean {
    return !this.isNamed && this.node.env.clock.now() - time >= PATIENCE_MS
  }

  private belongElsewhere(peer: PeerId): void {
    if (this.node.options.askStanding) return this.beRebuilt()
    this.finish(Status.error(ErrorCode.EREBUILD, `${peer} belongs to a group that knew an earlier life of this directory`))
  }

  /** Who said that it was founding, and may have a record by now: asked again once the group has begun, until one names this directory. */
  private foundSince(): PeerId[] {
    if ((!this.isLed && !this.unsure) || this.isNamed) return []
    const { serverId, configuration } = this.node
    const isAsked = (peer: PeerId) => !peer.equals(serverId) && (this.known.get(peer.key) ?? BRAFT) !== BRAFT
    return configuration.conf.peers.filter(isAsked)
  }

  /** A leader that is not heard any more may have needed this vote. */
  private get isLed(): boolean {
    return this.node.env.clock.now() - this.leaderHeardAt <= LEADER_TIMEOUTS * this.node.electionTimeoutMs
  }

  private isTooLate(): boolean {
    const now = this.node.env.clock.now()
    if (!this.isNamed || !this.isLed) this.missedSince = null
    else this.missedSince ??= now
    return this.missedSince !== null && now - this.missedSince >= PATIENCE_MS
  }

  private miss(missing: readonly PeerId[]): void {
    this.node.observe({ name: 'founding.missed', missing: this.reasons(missing) })
    this.beRebuilt()
  }

  private sayWhoIsMissing(missing: readonly PeerId[]): void {
    const now = this.node.env.clock.now()
    if (now - this.saidAt < SAY_AFTER_MS) return
    this.saidAt = now
    this.node.observe({ name: 'founding.waiting', missing: this.reasons(missing) })
  }

  private reasons(missing: readonly PeerId[]): string {
    return missing.map((peer) => `${peer.address}: ${this.problems.get(peer.key) ?? 'no answer yet'}`).join('; ')
  }

  private askPeer(peer: PeerId): void {
    const { incarnation, standing } = this.identity
    const request = { groupId: this.node.groupId, serverId: this.node.serverId, peerId: peer, incarnation, standing }
    const call = this.node.env.transport.call(peer, 'hello', request, ASK_TIMEOUT_MS, (status, response) => {
      this.calls.delete(peer.key)
      if (this.stopped) return
      if (status.ok) this.hear(peer, response!)
      else if (status.code === ErrorCode.ENOMETHOD) this.askBraft(peer)
      else this.problems.set(peer.key, status.message)
    })
    this.calls.set(peer.key, call)
  }

  private hear(peer: PeerId, answer: HelloResponse): void {
    const { incarnation } = this.identity
    const namesUs = answer.founders?.get(this.node.serverId.key) === incarnation
    if (namesUs) this.isNamed = true
    // The first answer stands: a later life of that directory is not the one that may have founded already.
    if (this.known.has(peer.key)) return
    if (answer.standing !== 'founding' && !namesUs) {
      if (answer.founders !== null) return this.belongElsewhere(peer)
      this.unsure ??= { peer, since: this.node.env.clock.now() }
      return void this.problems.set(peer.key, 'it was rebuilt, and does not know who founded')
    }
    this.known.set(peer.key, answer.incarnation)
    if (this.missing().length === 0) this.found()
  }

  private askBraft(peer: PeerId): void {
    const call = this.node.options.askStanding?.(peer, ASK_TIMEOUT_MS, (status, standing) => {
      this.calls.delete(peer.key)
      if (this.stopped || !status.ok) return
      if (!isFresh(standing!)) return this.beRebuilt()
      this.known.set(peer.key, BRAFT)
      if (this.missing().length === 0) this.found()
    })
    if (call) this.calls.set(peer.key, call)
  }

  private beRebuilt(): void {
    const identity: NodeIdentity = { ...this.identity, standing: 'rebuilding' }
    this.stop()
    this.node.options.identityStorage!.save(identity, (status) => this.finish(status, identity))
  }

  private found(): void {
    const identity: NodeIdentity = { ...this.identity, standing: 'member', founders: new Map(this.known) }
    this.stop()
    this.node.options.identityStorage!.save(identity, (status) => this.finish(status, identity))
  }

  private finish(status: Status, identity?: NodeIdentity): void {
    this.stop()
    this.done(status, identity)
  }
}

/** Loads the identity of this directory; `done` once it may act, that is after founding where that is still due. */
export function establishIdentity(node: NodeImpl, done: Done): void {
  const storage = node.options.identityStorage
  if (!storage) {
    node.identity = { standing: 'member', incarnation: node.options.bootId, founders: null }
    return done(Status.OK)
  }
  storage.load(node.options.standing ?? 'founding', (status, identity) => {
    if (!status.ok) return done(status)
    node.identity = identity!
    if (node.isStopping()) return done(Status.error(ErrorCode.ESHUTDOWN, 'the node is stopping'))
    if (identity!.standing === 'rebuilding') beRebuilt(node)
    if (identity!.standing !== 'founding') return done(Status.OK)
    node.founding = new Founding(node, identity!, (founded, next) => {
      node.founding = null
      if (!founded.ok) {
        if (founded.code === ErrorCode.EREBUILD) node.observe({ name: 'node.rebuild-needed', reason: founded.message })
        return done(founded)
      }
      node.identity = next!
      if (next!.founders) node.observe({ name: 'node.founded', founders: next!.founders.size })
      else beRebuilt(node)
      done(Status.OK)
    })
    node.founding.start()
  })
}

/** Who the members are it hears from a leader; a list given at the start may be long out of date. */
function beRebuilt(node: NodeImpl): void {
  node.log.configurations.forgetInitial()
  if (node.options.askStanding) new Survey(node).start()
}

/** Says who this directory is: also while its node starts, so that founders find each other. */
export function handleHello(node: NodeImpl, request: HelloRequest, answer: Answer<HelloResponse>): void {
  const { identity, serverId, state, options, log } = node
  if (!identity || node.isStopping()) return answer(Status.error(ErrorCode.EAGAIN, `node is in state ${state}`))
  if (!request.peerId.equals(serverId)) return answer(Status.error(ErrorCode.EINVAL, `this is ${serverId}, not ${request.peerId}`))
  const { incarnation, standing, founders } = identity
  answer(Status.OK, { incarnation, standing, founders, bootId: options.bootId, lastLogIndex: log.lastIndex })
}
