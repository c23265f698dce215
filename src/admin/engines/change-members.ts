import type { raftctl } from '../../generated/raftctl.js'
import { fromInt64 } from '../../raft/types.js'
import type { PlanGate } from '../plan.js'
import type { CallOptions, ControlCalls, ControlClient } from './control-calls.js'
import type { AddedMember, ChangeMembersCall, ChangeProgress } from './engine.js'
import { membershipReport } from './membership-report.js'

type Int64 = Parameters<typeof fromInt64>[0]

/** The node gives up after the time for catching up; then it still has to say so. */
const VERDICT_MS = 10_000
/** Deciding the gates asks a quorum and every new member. */
const GATES_MS = 5000

/** One ChangeMembers call; every message of it goes to `listener`, and the last one is the answer. */
export async function changeMembers(
  calls: ControlCalls,
  call: ChangeMembersCall,
  listener: (progress: ChangeProgress) => void,
): Promise<ChangeProgress> {
  const request = requestOf(call)
  const send = (client: ControlClient, options: CallOptions) => streamed(client, request, options, listener)
  if (call.dryRun) return calls.read(call.endpoint, send, { timeoutMs: GATES_MS })
  const timeoutMs = call.catchupTimeoutMs + VERDICT_MS
  const settings = { timeoutMs, check: 'raftctl member list', ...(call.signal ? { signal: call.signal } : {}) }
  return calls.write(call.endpoint, send, settings)
}

function requestOf(call: ChangeMembersCall): raftctl.v1.ChangeMembersRequest.$Properties {
  const members = (all: readonly AddedMember[] = [], role = 'voter') =>
    all.map(({ id, peerId, movedFrom }) => ({ peer_id: peerId, name: id, role, moved_from: movedFrom ?? '' }))
  return {
    group: call.group,
    expect_config_index: call.expectConfigIndex ?? 0,
    add: members(call.add),
    remove: members(call.remove),
    learners: members(call.learners, 'learner'),
    promote: members(call.promote),
    demote: members(call.demote, 'learner'),
    dry_run: call.dryRun,
    force: call.force,
    catchup_timeout_ms: call.catchupTimeoutMs,
    reason: call.reason ?? '',
  }
}

function streamed(
  client: ControlClient,
  request: raftctl.v1.ChangeMembersRequest.$Properties,
  options: CallOptions,
  listener: (progress: ChangeProgress) => void,
): Promise<ChangeProgress> {
  return new Promise((resolve, reject) => {
    const stream = client.serverStream('ChangeMembers', request, options)
    let last: ChangeProgress | null = null
    const abort = () => stream.cancel()
    options.signal?.addEventListener('abort', abort, { once: true })
    const settle = (act: () => void) => {
      options.signal?.removeEventListener('abort', abort)
      act()
    }
    stream.on('data', (message: raftctl.v1.ChangeMembersProgress) => {
      last = progressOf(message)
      listener(last)
    })
    stream.on('error', (error) => settle(() => reject(error)))
    stream.on('end', () => settle(() => last && resolve(last)))
  })
}

function progressOf(message: raftctl.v1.ChangeMembersProgress): ChangeProgress {
  return {
    stage: message.stage,
    peerId: message.peer_id || null,
    matchIndex: fromInt64(message.match_index),
    lastIndex: fromInt64(message.last_index),
    state: message.state,
    snapshotBytesSent: fromInt64(message.snapshot_bytes_sent as Int64),
    snapshotBytesTotal: fromInt64(message.snapshot_bytes_total as Int64),
    stalled: message.stalled || null,
    rebuilding: message.rebuilding,
    membership: message.membership ? membershipReport(message.membership) : null,
    gates: (message.gates ?? []).map(gateOf),
  }
}

function gateOf(gate: raftctl.v1.GateResult.$Properties): PlanGate {
  return {
    gate: gate.gate ?? '',
    passed: gate.passed === true,
    forcible: gate.forcible === true,
    code: gate.code || null,
    message: gate.message ?? '',
    instead: gate.instead || null,
  }
}
