import * as grpc from '@grpc/grpc-js'
import { PeerId } from '../raft/peer-id.js'
import { fromInt64 } from '../raft/types.js'
import { Channels } from './channel.js'
import { Control } from './control-definition.js'
import type { Faults } from './faults.js'
import { ServiceClient } from './grpc.js'
import { HttpPages, PageError } from './http-pages.js'
import type { AddedPeer } from './membership-gates.js'
import { parseRaftStat, RaftStatError } from './raft-stat-text.js'

const PROBE_TIMEOUT_MS = 1000

/** What runs at an address, asked before it becomes a member; nothing about it is believed yet. */
export class MemberProbe {
  private readonly channels = new Channels({ reconnectBackoffMaxMs: 200 })
  private readonly pages = new HttpPages(null)

  constructor(private readonly faults: Faults) {}

  close(): void {
    this.channels.close()
    this.pages[Symbol.dispose]()
  }

  /** What it says of itself and of its node of `groupId`, or why it said nothing. */
  async ask(peer: PeerId, groupId: string): Promise<Omit<AddedPeer, 'peer' | 'name'>> {
    if (this.faults.isCut(peer)) return { answer: null, problem: 'cut off on purpose' }
    const { host, port } = this.faults.dialTarget(peer)
    const client = new ServiceClient(Control, this.channels.grpc(`${host}:${port}`))
    const options = { timeoutMs: PROBE_TIMEOUT_MS }
    try {
      const [probe, { groups }, disk] = await Promise.all([
        client.call('Probe', {}, options),
        client.call('ListGroups', {}, options),
        client.call('CheckDisk', { samples: 1 }, options).catch(() => null),
      ])
      const own = groups.find((one) => one.group === groupId)
      // Its port is open before its directory is: what it is, it does not know yet.
      if (groups.length === 0 || own?.state === 'UNINITIALIZED') return { answer: null, problem: 'it is starting' }
      return {
        answer: {
          version: probe.version,
          clusterId: probe.cluster_id || null,
          standing: own?.standing || probe.standing,
          lastLogIndex: fromInt64(own?.last_log_index ?? probe.last_log_index),
          groups: probe.groups,
          peerId: own?.peer_id ?? null,
          freeBytes: disk ? fromInt64(disk.free_bytes) : null,
          mixed: probe.mixed,
          movedFrom: own?.moved_from ?? [],
          incarnation: probe.incarnation,
        },
        problem: '',
      }
    } catch (error) {
      const problem = problemOf(error as grpc.ServiceError)
      if ((error as grpc.ServiceError).code !== grpc.status.UNIMPLEMENTED) return { answer: null, problem }
      return (await this.askBraft(`${host}:${port}`, peer, groupId)) ?? { answer: null, problem }
    }
  }

  /** The page of a braft node; null when that is none. */
  private async askBraft(endpoint: string, peer: PeerId, groupId: string): Promise<Omit<AddedPeer, 'peer' | 'name'> | null> {
    try {
      const options = { connectTimeoutMs: PROBE_TIMEOUT_MS, timeoutMs: PROBE_TIMEOUT_MS }
      const { status, body } = await this.pages.get(endpoint, '/raft_stat', options)
      if (status !== 200) return null
      const nodes = parseRaftStat(body)
      const ofGroup = nodes.filter(({ group }) => group === groupId)
      const stat = ofGroup.find(({ peerId }) => PeerId.parse(peerId)?.equals(peer)) ?? ofGroup[0] ?? null
      const groups = [...new Set(nodes.map(({ group }) => group))].join(', ') || 'no group'
      return { answer: null, problem: '', braft: { stat, problem: stat ? '' : `serves ${groups}, not ${groupId}` } }
    } catch (error) {
      if (error instanceof PageError || error instanceof RaftStatError) return null
      throw error
    }
  }
}

function problemOf({ details, message }: grpc.ServiceError): string {
  const text = details || message
  if (/ECONNREFUSED/.test(text)) return 'connection refused'
  if (/ENOTFOUND|Name resolution failed/.test(text)) return 'unknown host'
  if (/Deadline exceeded/i.test(text)) return `no answer within ${PROBE_TIMEOUT_MS} ms`
  return text
}
