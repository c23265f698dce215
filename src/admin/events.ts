import { setTimeout as pause } from 'node:timers/promises'
import type { ClientReadableStream, Metadata } from '@grpc/grpc-js'
import type { raftctl } from '../generated/raftctl.js'
import { fromInt64 } from '../raft/types.js'
import { Control } from '../rpc/control-definition.js'
import { ServiceClient } from '../rpc/grpc.js'
import { MetadataKey } from '../rpc/identity.js'
import type { Connection } from '../terminal/connection.js'
import { CliError } from '../terminal/errors.js'
import { BraftWatch } from './braft-watch.js'
import { Channels } from './channels.js'
import { ClusterClient } from './cluster-client.js'
import { type Survey, survey } from './discovery.js'
import { beyondBraft, isBrpcRefusal } from './engines/braft-limits.js'
import { nameOf } from './leader-claims.js'
import { addressOf, type NodeKind } from './node-report.js'
import { isServiceError, remoteError } from './remote-error.js'
import { statusOf } from './status.js'

/** One line of `events --json`. */
export interface ClusterEvent {
  /** Milliseconds since 1970, by the clock of the node. */
  readonly timeMs: number
  /** Its name, or its address where it has none. */
  readonly node: string
  /** Grows by one with each event of a process. */
  readonly seq: number
  readonly name: string
  readonly group: string
  readonly fields: Readonly<Record<string, string>>
}

export interface EventQuery {
  /** Names, or what they begin with (`election` for `election.won`); empty: all. */
  readonly types: readonly string[]
  /** Name or address; null: every member. */
  readonly node: string | null
  /** Nothing that happened before, in milliseconds since 1970; null: whatever the nodes keep. */
  readonly notBeforeMs: number | null
}

/** What of an event is told on. */
type SentEvent = Pick<raftctl.v1.Event, 'time_ms' | 'peer_id' | 'seq' | 'name' | 'group' | 'fields'>

/** What is told besides the events: a member that went away or came back. */
export type Notice = (text: string) => void

const RETRY_MS = 500
/** How often it is looked who the members are. */
const DISCOVER_MS = 3000
/** An event is held for this long, so that one of another node that happened before it can come first. */
const ORDER_MS = 150

/** The events of all members, merged in order of time. Owns its channels; dispose of it. */
export class EventFeed implements Disposable {
  private readonly channels: Channels
  private readonly client: ClusterClient

  constructor(
    private readonly connection: Connection,
    private readonly query: EventQuery,
  ) {
    this.channels = new Channels(connection)
    this.client = new ClusterClient(connection)
  }

  [Symbol.dispose](): void {
    this.channels[Symbol.dispose]()
    this.client[Symbol.dispose]()
  }

  /** What the members that answer keep. Throws E_UNREACHABLE when none does, E_NO_SUCH_NODE. */
  async history(): Promise<{
    readonly events: readonly ClusterEvent[]
    readonly warnings: readonly string[]
    readonly clusterId: string | null
  }> {
    const found = await this.members()
    const warnings: string[] = []
    const braft = this.addressesIn(found).filter((address) => kindAt(found, address) === 'braft')
    const others = this.addressesIn(found).filter((address) => !braft.includes(address))
    if (braft[0] !== undefined && others.length === 0) throw beyondBraft(braft[0], 'history')
    if (braft.length > 0) warnings.push(`braft nodes keep no events, so none are told of ${braft.join(', ')}; with -f there are`)
    const lists = await Promise.all(
      others.map((address) =>
        this.read(address, found).catch((thrown) => {
          if (!(thrown instanceof CliError)) throw thrown
          warnings.push(`${address} does not answer: ${String(thrown.details.reason ?? thrown.message)}`)
          return []
        }),
      ),
    )
    return { events: inOrder(lists.flat()), warnings, clusterId: found.clusterId }
  }

  /** Events as they happen, until aborted; members may go away, come back and join. */
  async *follow(signal: AbortSignal, notice: Notice): AsyncGenerator<ClusterEvent> {
    const first = await this.members()
    const held: { readonly event: ClusterEvent; readonly atMs: number }[] = []
    const streams = new Map<string, NodeStream | BraftWatch>()
    const open = (found: Survey) => {
      for (const address of this.addressesIn(found)) {
        if (streams.has(address)) continue
        const label = labelOf(found, address)
        const onEvent = (event: SentEvent) => {
          const told = this.told(event, found)
          if (this.wanted(told)) held.push({ event: told, atMs: performance.now() })
        }
        const onState = (up: boolean, reason: string) =>
          notice(up ? `${label} answers` : `${label} does not answer (${reason}); trying again`)
        const call = (sinceSeq: number) => this.subscribe(address, sinceSeq, false)
        const watch = () => streams.set(address, this.watch(address, onEvent, onState))
        // A node that was down when it was looked for may turn out to be braft's.
        const onBraft = () => void watch()
        if (kindAt(found, address) === 'braft') watch()
        else streams.set(address, new NodeStream({ call, onEvent, onState, onBraft }))
      }
    }
    open(first)
    let discoveredAt = performance.now()
    try {
      while (!signal.aborted) {
        const due = performance.now() - ORDER_MS
        const ripe = held.filter(({ atMs }) => atMs <= due)
        held.splice(0, held.length, ...held.filter(({ atMs }) => atMs > due))
        yield* inOrder(ripe.map(({ event }) => event))
        if (performance.now() - discoveredAt > DISCOVER_MS) {
          open(await survey(this.client))
          discoveredAt = performance.now()
        }
        await pause(ORDER_MS / 3, undefined, { signal }).catch(() => {})
      }
    } finally {
      for (const stream of streams.values()) stream.close()
    }
  }

  private async members(): Promise<Survey> {
    const found = await survey(this.client)
    const { error } = statusOf(found)
    if (found.reports.size === 0 && error) throw error
    const { node } = this.query
    if (node !== null && this.addressesIn(found).length === 0)
      throw new CliError('E_NO_SUCH_NODE', `no member is called ${JSON.stringify(node)}`, { details: { node } })
    return found
  }

  private addressesIn(found: Survey): string[] {
    const rows = statusOf(found).status.nodes
    return rows
      .filter((row) => this.query.node === null || row.id === this.query.node || row.address === this.query.node)
      .map((row) => row.address)
  }

  private async read(address: string, found: Survey): Promise<ClusterEvent[]> {
    const events: ClusterEvent[] = []
    try {
      for await (const event of this.subscribe(address, 0, true)) events.push(this.told(event as raftctl.v1.Event, found))
    } catch (thrown) {
      throw isServiceError(thrown) ? remoteError(thrown, { endpoint: address, kind: 'read' }) : thrown
    }
    return events.filter((event) => this.wanted(event))
  }

  private watch(address: string, onEvent: (event: SentEvent) => void, onState: NodeStreamOptions['onState']): BraftWatch {
    const { types } = this.query
    let seq = 0
    return new BraftWatch({
      look: () => this.client.engine.nodeStatus({ endpoint: address, group: this.client.group }),
      onChange: ({ name, fields }, { peerId, group }) => {
        if (types.length > 0 && !types.some((type) => name === type || name.startsWith(`${type}.`))) return
        onEvent({ time_ms: Date.now(), peer_id: peerId, seq: ++seq, name, group, fields: { ...fields } })
      },
      onState,
    })
  }

  private subscribe(address: string, sinceSeq: number, once: boolean): ClientReadableStream<raftctl.v1.Event> {
    const { timeoutMs } = this.connection
    const { group } = this.client
    const client = new ServiceClient(Control, this.channels.to(address))
    const request = { group, types: [...this.query.types], since_seq: sinceSeq, once }
    return client.serverStream('Subscribe', request, { metadata: this.channels.metadata(), ...(once ? { timeoutMs } : {}) })
  }

  private wanted(event: ClusterEvent): boolean {
    return this.query.notBeforeMs === null || event.timeMs >= this.query.notBeforeMs
  }

  /** Peers are called by their names. */
  private told(event: SentEvent, found: Survey): ClusterEvent {
    const fields = Object.entries(event.fields ?? {}).map(([name, value]) => [
      name,
      value
        .split(',')
        .map((one) => (PEER.test(one) ? nameOf(found, one) : one))
        .join(','),
    ])
    return {
      timeMs: fromInt64(event.time_ms),
      node: nameOf(found, event.peer_id),
      seq: fromInt64(event.seq),
      name: event.name,
      group: event.group,
      fields: Object.fromEntries(fields),
    }
  }
}

const PEER = /^[^\s,]+:\d+:\d+:\d+$/

function kindAt(found: Survey, address: string): NodeKind | null {
  return [...found.reports.values()].find(({ peerId }) => addressOf(peerId) === address)?.kind ?? null
}

function labelOf(found: Survey, address: string): string {
  const member = statusOf(found).status.nodes.find((row) => row.address === address)
  return member?.peerId ? nameOf(found, member.peerId) : address
}

function inOrder(events: readonly ClusterEvent[]): ClusterEvent[] {
  return [...events].sort((a, b) => a.timeMs - b.timeMs || (a.node < b.node ? -1 : a.node > b.node ? 1 : a.seq - b.seq))
}

export interface NodeStreamOptions {
  readonly call: (sinceSeq: number) => ClientReadableStream<raftctl.v1.Event>
  readonly onEvent: (event: raftctl.v1.Event) => void
  readonly onState: (up: boolean, reason: string) => void
  /** A node of C++ braft answered: it tells no events, and is not asked again. */
  readonly onBraft?: () => void
}

/**
 * The events of one node: opened again whenever it breaks, from where it broke. A process that was started anew counts from 1
 * again; it is told by its boot id, which comes before its first event.
 */
export class NodeStream {
  private bootId: string | null = null
  private lastSeq = 0
  private call: ClientReadableStream<raftctl.v1.Event> | null = null
  private timer: NodeJS.Timeout | null = null
  private up = true
  private closed = false

  constructor(private readonly options: NodeStreamOptions) {
    this.open()
  }

  close(): void {
    this.closed = true
    if (this.timer) clearTimeout(this.timer)
    this.call?.cancel()
  }

  private open(): void {
    const call = this.options.call(this.lastSeq)
    this.call = call
    call.on('metadata', (metadata: Metadata) => this.greeted(call, metadata))
    call.on('data', (event: raftctl.v1.Event) => {
      if (this.call !== call) return
      this.lastSeq = Math.max(this.lastSeq, fromInt64(event.seq))
      this.options.onEvent(event)
    })
    call.on('error', (error: Error) => this.broken(call, error))
    call.on('end', () => this.broken(call, new Error('it ended the stream')))
  }

  private greeted(call: ClientReadableStream<raftctl.v1.Event>, metadata: Metadata): void {
    if (this.call !== call) return
    const bootId = String(metadata.get(MetadataKey.bootId)[0] ?? '')
    const restarted = this.bootId !== null && bootId !== this.bootId && this.lastSeq > 0
    this.bootId = bootId
    if (!this.up) this.options.onState(true, '')
    this.up = true
    if (!restarted) return
    this.lastSeq = 0
    this.call = null
    call.cancel()
    this.open()
  }

  private broken(call: ClientReadableStream<raftctl.v1.Event>, error: Error): void {
    if (this.call !== call) return
    this.call = null
    if (this.closed) return
    const { details = '' } = error as Error & { details?: string }
    if (this.options.onBraft && isBrpcRefusal(details)) {
      if (!this.up) this.options.onState(true, '')
      this.closed = true
      return this.options.onBraft()
    }
    if (this.up) this.options.onState(false, details || error.message)
    this.up = false
    this.timer = setTimeout(() => this.open(), RETRY_MS)
  }
}
