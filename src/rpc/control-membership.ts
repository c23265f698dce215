import { setTimeout as pause } from 'node:timers/promises'
import * as grpc from '@grpc/grpc-js'
import type { raftctl } from '../generated/raftctl.js'
import { ErrorCode, type Status } from '../raft/errors.js'
import type { NodeStatus } from '../raft/node-status.js'
import type { PeerId } from '../raft/peer-id.js'
import { fromInt64, type LogIndex, logIndex } from '../raft/types.js'
import { asFailure, failure, leaderOf, nodeOf, onExecutor, peerOf, unary, usage } from './control-common.js'
import type { Control } from './control-definition.js'
import type { ControlHost, ControlledNode } from './control-host.js'
import { membershipOf } from './control-status.js'
import type { Handlers } from './grpc.js'
import type { CallFailure, ServerStreamCall } from './grpc-call.js'
import { spreadNames } from './member-naming.js'
import { MemberProbe } from './member-probe.js'
import { type AddedPeer, type Gate, isUp, learnersOf, membershipGates, standing, targetOf, WAITING } from './membership-gates.js'
import { MembershipProgress } from './membership-progress.js'

type Request = raftctl.v1.ChangeMembersRequest
type Call = ServerStreamCall<Request, raftctl.v1.ChangeMembersProgress.$Properties>

const CONFIRM_TIMEOUT_MS = 2000
const CATCHUP_TIMEOUT_MS = 600_000
/** How often a member that does not run yet is asked again. */
const ASK_MS = 200

/** Changing the members: whether it may be is decided here, whoever asks. */
export function membershipHandlers(host: ControlHost): Pick<Handlers<(typeof Control)['methods']>, 'ChangeMembers' | 'SetMemberName'> {
  return {
    ChangeMembers: (call) => {
      changeMembers(host, call).then(
        () => call.end(),
        (error) => call.fail(asFailure(error)),
      )
    },
    SetMemberName: unary(async ({ group, member }) => {
      const node = nodeOf(host, group)
      host.learnName(peerOf(member?.peer_id ?? ''), member?.name ?? '')
      if (node.isLeader()) await spreadNames(host, node)
      return {}
    }),
  }
}

async function changeMembers(host: ControlHost, call: Call): Promise<void> {
  const node = leaderOf(host, call.request.group)
  const wanted = wantedBy(call.request)
  const probe = new MemberProbe(host.faults)
  try {
    await new MemberChange(host, node, wanted, call, probe).run()
  } finally {
    probe.close()
  }
}

interface Wanted {
  readonly add: readonly Pick<AddedPeer, 'peer' | 'name' | 'learner' | 'movedFrom'>[]
  readonly remove: readonly PeerId[]
  readonly promote: readonly PeerId[]
  readonly demote: readonly PeerId[]
  /** Null: whatever the members are now. */
  readonly expectConfigIndex: LogIndex | null
  readonly timeoutMs: number
  readonly force: boolean
  readonly dryRun: boolean
}

function wantedBy(request: Request): Wanted {
  const expect = fromInt64(request.expect_config_index)
  const peers = (members: Request['remove']) => members.map((member) => peerOf(member.peer_id ?? ''))
  const added = (learner: boolean) => (member: Request['add'][number]) => ({
    ...{ peer: peerOf(member.peer_id ?? ''), name: member.name ?? '', learner },
    movedFrom: member.moved_from ? peerOf(member.moved_from) : null,
  })
  return {
    add: [...request.add.map(added(false)), ...request.learners.map(added(true))],
    ...{ remove: peers(request.remove), promote: peers(request.promote), demote: peers(request.demote) },
    expectConfigIndex: expect === 0 ? null : logIndex(expect),
    timeoutMs: request.catchup_timeout_ms || CATCHUP_TIMEOUT_MS,
    force: request.force,
    dryRun: request.dry_run,
  }
}

/**
 * One call of ChangeMembers: decides the gates, waits for members that do not run yet, lets the engine change the
 * configuration and says how far it is.
 *
 * A caller that goes away before the engine has the change takes it back. After that it ends by itself, committed or not
 * begun, whoever listens.
 */
class MemberChange {
  private readonly deadline: number
  private abandoned = false

  constructor(
    private readonly host: ControlHost,
    private readonly node: ControlledNode,
    private readonly wanted: Wanted,
    private readonly call: Call,
    private readonly probe: MemberProbe,
  ) {
    this.deadline = performance.now() + wanted.timeoutMs
    call.on('cancelled', () => {
      this.abandoned = true
    })
  }

  async run(): Promise<void> {
    const { wanted } = this
    await this.refuseForBraft(this.call.request)
    let added: readonly AddedPeer[] = await this.ask(this.newPeers())
    const gates = await this.decide(added)
    this.call.write({ stage: 'gates', gates, membership: this.membership() })
    if (wanted.dryRun) return
    refuse(gates, wanted)
    added = await this.untilTheyAnswer(added)
    for (const { peer, name } of added) this.host.learnName(peer, name)
    await this.execute(added)
    this.call.write({ stage: 'done', membership: this.membership() })
  }

  /** What braft members could not read: they know voters alone, and those by IPv4 address. */
  private async refuseForBraft({ learners, promote, demote }: Request): Promise<void> {
    const { groupId } = this.node
    const bad = this.wanted.add.find(({ peer }) => !peer.isIpv4)
    const hasLearners = learners.length + promote.length + demote.length > 0
    if (bad || hasLearners) {
      const refuse = (why: string) =>
        failure(grpc.status.FAILED_PRECONDITION, 'E_MIXED', `group ${groupId} takes braft members (--mixed), ${why}`)
      const { mixed } = await this.host.facts(groupId)
      if (mixed && bad) throw refuse(`which read IPv4 addresses only: give that of ${bad.peer.address}, such as 10.0.0.4:8100`)
      if (mixed) throw refuse('which know no learners: every member votes')
    }
  }

  private newPeers(): Wanted['add'] {
    const { configuration } = this.node.status()
    return this.wanted.add.filter(({ peer }) => !configuration.knows(peer))
  }

  private ask(peers: Wanted['add']): Promise<AddedPeer[]> {
    const ask = (peer: PeerId) => this.probe.ask(peer, this.node.groupId)
    return Promise.all(
      peers.map(async (one) => {
        const [now, before] = await Promise.all([ask(one.peer), one.movedFrom ? ask(one.movedFrom) : null])
        return { ...one, ...now, before: before?.answer ?? null }
      }),
    )
  }

  /** Every gate, upon the members as a confirmed leader knows them. */
  private async decide(added: readonly AddedPeer[]): Promise<Gate[]> {
    const { host, node, wanted } = this
    const confirmed = await onExecutor<Status>(host, (done) => node.readIndex(CONFIRM_TIMEOUT_MS, done))
    const status = node.status()
    this.refuseOthers(status)
    const { dataBytes, mixed } = await host.facts(node.groupId)
    return membershipGates({
      groupId: node.groupId,
      status,
      confirmed,
      clusterId: host.identity.clusterId,
      version: host.identity.version,
      added,
      ...{ removed: wanted.remove, promoted: wanted.promote, demoted: wanted.demote },
      dataBytes,
      mixed,
      isBraft: (peer) => host.kindOf(peer) === 'braft',
      nameOf: (peer) => host.nameOf(peer),
    })
  }

  /** Leadership or the members are not what the caller thinks. */
  private refuseOthers({ configuration, state, leaderId }: NodeStatus): void {
    const { expectConfigIndex, remove, promote, demote } = this.wanted
    if (state !== 'LEADER' && state !== 'TRANSFERRING') throw notLeading(this.node, leaderId)
    const { configIndex, conf, learners } = configuration
    if (expectConfigIndex !== null && expectConfigIndex !== configIndex) {
      const message = `the members were last changed by entry ${configIndex}, and this was planned upon entry ${expectConfigIndex}`
      throw failure(grpc.status.FAILED_PRECONDITION, 'E_PLAN_STALE', message)
    }
    const absent = (peer: PeerId, what: string, there: unknown) =>
      failure(grpc.status.NOT_FOUND, 'E_NO_SUCH_NODE', `${peer} is not a ${what} of group ${this.node.groupId}: ${there}`)
    const stranger = remove.find((peer) => !configuration.knows(peer))
    if (stranger) throw absent(stranger, 'member', conf)
    const noLearner = promote.find((peer) => !configuration.hasLearner(peer))
    if (noLearner) throw absent(noLearner, 'learner', learners)
    const noVoter = demote.find((peer) => !conf.contains(peer))
    if (noVoter) throw absent(noVoter, 'voter', conf)
  }

  /** Asks members that do not run yet until they do; what they say then is judged as if they had run before. */
  private async untilTheyAnswer(asked: readonly AddedPeer[]): Promise<readonly AddedPeer[]> {
    let added = asked
    for (;;) {
      const silent = added.filter((one) => !isUp(one))
      if (silent.length === 0 && added === asked) return added
      if (silent.length === 0) {
        refuse(await this.decide(added), this.wanted)
        return added
      }
      for (const { peer, problem } of silent) {
        this.call.write({ stage: 'catching_up', peer_id: peer.toString(), stalled: `does not answer: ${problem}` })
      }
      if (performance.now() > this.deadline) throw this.silence(silent)
      await pause(ASK_MS)
      if (this.abandoned) throw failure(grpc.status.CANCELLED, 'E_INTERRUPTED', 'the caller went away before anything had begun')
      this.refuseOthers(this.node.status())
      added = await this.ask(this.newPeers())
    }
  }

  private silence(silent: readonly AddedPeer[]): CallFailure & Error {
    const who = silent.map(({ peer, name, problem }) => `${name || peer.address} does not answer at ${peer.address} (${problem})`)
    const message = `${who.join('; ')}: gave up after ${seconds(this.wanted.timeoutMs)}, and the members are what they were`
    return failure(grpc.status.FAILED_PRECONDITION, WAITING, message, { leader: this.node.peerId })
  }

  private async execute(added: readonly AddedPeer[]): Promise<void> {
    const { host, node, wanted, call } = this
    const coming = [...added.map(({ peer }) => peer), ...wanted.promote]
    const facts = { status: node.status(), added, removed: wanted.remove, promoted: wanted.promote, demoted: wanted.demote }
    const target = targetOf(facts)
    const progress = new MembershipProgress(node, coming, (message) => call.write(message))
    const options = {
      ...(wanted.expectConfigIndex === null ? {} : { expectConfigIndex: wanted.expectConfigIndex }),
      learners: learnersOf(facts),
      catchupTimeoutMs: Math.max(1, Math.round(this.deadline - performance.now())),
    }
    const status = await onExecutor<Status>(host, (done) => node.changePeers(target, options, done))
    progress.stop()
    if (!status.ok) throw changeFailure(status, node)
    await spreadNames(host, node)
  }

  private membership(): raftctl.v1.Membership.$Properties {
    return membershipOf(this.node.status(), (peer) => this.host.nameOf(peer))
  }
}

/** Throws what the first gate in the way says. */
function refuse(gates: readonly Gate[], { force }: Wanted): void {
  const gate = standing(gates, { force })
  if (gate) throw failure(grpc.status.FAILED_PRECONDITION, gate.code, gate.message)
}

function notLeading(node: ControlledNode, leader: PeerId): CallFailure & Error {
  const message = `${node.peerId} does not lead any more; nothing was changed`
  return failure(grpc.status.FAILED_PRECONDITION, 'E_NO_LEADER', message, { leader, retryable: true })
}

function changeFailure(status: Status, node: ControlledNode): CallFailure & Error {
  const { message } = status
  const leader = node.leaderId()
  const refusal = (name: string, text = message) => failure(grpc.status.FAILED_PRECONDITION, name, text, { leader })
  switch (status.code) {
    case ErrorCode.ESTALE:
      return refusal('E_PLAN_STALE')
    case ErrorCode.EBUSY:
      return refusal('E_CONFIG_PENDING')
    case ErrorCode.ECATCHUP:
      return refusal(WAITING, `${message}; the members are what they were`)
    case ErrorCode.EPERM:
      return notLeading(node, leader)
    case ErrorCode.EINVAL:
      return usage(message)
    default:
      return failure(grpc.status.UNKNOWN, 'E_OUTCOME_UNKNOWN', message, { leader, applied: 'unknown' })
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`
}
