import { createServer as createHttp, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import * as http2 from 'node:http2'
import * as net from 'node:net'
import { braft } from '../../src/generated/braft.js'

const PREFACE = 'PRI * HTTP/2.0'

/** One replicator line of a leader. */
export interface FakeReplicator {
  next: number
  flying: number
  /** As braft prints it: idle, blocking, `appending [75, 74]`, `installing snapshot {79, 3}`. */
  activity: string
  errors: number
}

/** What the page of a node says; change it at any time. */
export interface FakeBraftState {
  state: string
  readOnly: boolean
  term: number
  confIndex: number
  peers: string[]
  /** NONE, CATCHING_UP, JOINT, STABLE. */
  stage: string
  newPeers: string[] | null
  oldPeers: string[] | null
  leader: string
  lastMsgMs: number
  first: number
  last: number
  applied: number
  committed: number
  snapshotIndex: number
  snapshotTerm: number
  snapshotStatus: string
  replicators: Map<string, FakeReplicator>
}

/** An error as brpc sends it: its number and its text. */
export class BrpcFailure extends Error {
  constructor(
    readonly code: number,
    readonly text: string,
  ) {
    super(text)
  }
}

type Handler = (request: Uint8Array) => Promise<Uint8Array> | Uint8Array
export type FakeMethod = 'add_peer' | 'remove_peer' | 'change_peers' | 'snapshot' | 'transfer_leader' | 'get_leader' | 'reset_peer'

const GRPC_STATUS: Readonly<Record<number, number>> = { 1: 7, 22: 3, 1001: 12, 1002: 12, 1003: 3, 1004: 16, 1008: 4, 2003: 14, 2004: 8 }

/**
 * One port that answers as a process of C++ braft does: gRPC with an empty message before the trailers of an error and its number in
 * the text only, `/raft_stat` in braft's words, brpc's `/vars`. Unknown services are refused as brpc refuses them.
 */
export class FakeBraftNode {
  readonly state: FakeBraftState
  /** By method; what is not here answers as unknown to brpc. */
  readonly answers = new Map<FakeMethod, Handler>()
  /** `method` of every gRPC call, in order. */
  readonly asked: string[] = []
  /** Called before a page is printed. */
  onPage: () => void = () => {}
  /** Serves no `/vars`. */
  hidesVars = false
  /** What it calls itself in the header of its pages; a node of ours does, brpc does not. */
  server = ''
  /** Of its `/raft_stat`. */
  pageStatus = 200
  /** Groups that the process hosts besides. */
  readonly otherGroups: string[] = []
  private readonly http: HttpServer
  private readonly h2: http2.Http2Server
  private readonly sockets = new Set<net.Socket>()
  port = 0

  private constructor(
    readonly group: string,
    private readonly listener: net.Server,
  ) {
    this.state = {
      ...{ state: 'FOLLOWER', readOnly: false, term: 1, confIndex: 0, peers: [], stage: 'NONE', newPeers: null, oldPeers: null },
      ...{ leader: '0.0.0.0:0:0:0', lastMsgMs: 20, first: 1, last: 0, applied: 0, committed: 0 },
      ...{ snapshotIndex: 0, snapshotTerm: 0, snapshotStatus: 'IDLE', replicators: new Map() },
    }
    this.http = createHttp((request, response) => this.page(request, response))
    this.h2 = http2.createServer()
    this.h2.on('stream', (stream, headers) => this.call(stream, String(headers[':path'])))
    listener.on('connection', (socket) => this.accept(socket))
  }

  static async listen(group: string, port = 0): Promise<FakeBraftNode> {
    const server = net.createServer()
    const node = new FakeBraftNode(group, server)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', resolve)
    })
    node.port = (server.address() as net.AddressInfo).port
    return node
  }

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  get peerId(): string {
    return `${this.address}:0:0`
  }

  close(): void {
    this.listener.close()
    for (const socket of this.sockets) socket.destroy()
  }

  /** The text of `/raft_stat` for this node. */
  text(): string {
    return `[${this.group}]\r\n${printed(this.peerId, this.state)}`
  }

  private accept(socket: net.Socket): void {
    this.sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => this.sockets.delete(socket))
    socket.once('data', (first: Buffer) => {
      socket.pause()
      socket.unshift(first)
      if (first.toString('latin1').startsWith(PREFACE)) this.h2.emit('connection', socket)
      else {
        this.http.emit('connection', socket)
        socket.resume()
      }
    })
  }

  private page({ url = '/', headers }: IncomingMessage, response: ServerResponse): void {
    const send = (status: number, body: string, type = 'text/plain') => {
      if (this.server !== '') response.setHeader('Server', this.server)
      response.writeHead(status, { 'Content-Type': type }).end(body)
    }
    const agent = headers['user-agent']
    if (agent !== undefined && !agent.includes('curl/')) return void send(200, '<html></html>', 'text/html')
    if (url.startsWith('/raft_stat')) {
      this.onPage()
      const wanted = url.split('/')[2]
      const others = this.otherGroups
        .filter((group) => wanted === undefined || wanted === group)
        .map((group) => `[${group}]\r\n${printed(this.peerId, this.state)}`)
      const own = wanted === undefined || wanted === this.group ? this.text() : ''
      return void send(this.pageStatus, [own, ...others].join(''))
    }
    if (url.startsWith('/vars/') && !this.hidesVars)
      return void send(200, 'pid : 4242\r\nprocess_uptime : 125.909809\r\nraft_revision : "ab0017f"\r\n')
    send(404, `Fail to find method on \`${url}'`)
  }

  private call(stream: http2.ServerHttp2Stream, path: string): void {
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('error', () => {})
    stream.on('end', () => {
      const [, service = '', method = ''] = path.split('/')
      this.asked.push(method)
      this.answer(service, method as FakeMethod, Buffer.concat(chunks).subarray(5)).then(
        (message) => respond(stream, message, 0, ''),
        (error: unknown) => {
          const { code, text } = error instanceof BrpcFailure ? error : new BrpcFailure(2001, String(error))
          respond(stream, new Uint8Array(), GRPC_STATUS[code] ?? 13, `[${this.address}][E${code}]${text}`)
        },
      )
    })
  }

  private async answer(service: string, method: FakeMethod, request: Uint8Array): Promise<Uint8Array> {
    if (service !== 'braft.CliService' && service !== 'CliService') throw new BrpcFailure(1001, `Fail to find service=${service}`)
    const handler = this.answers.get(method)
    if (!handler) throw new BrpcFailure(1002, `Fail to find method=${service}.${method}`)
    return await handler(request)
  }
}

/** Always a message first, also before the trailers of an error. */
function respond(stream: http2.ServerHttp2Stream, message: Uint8Array, status: number, text: string): void {
  if (stream.destroyed || stream.closed) return
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () =>
    stream.sendTrailers({ 'grpc-status': String(status), ...(text ? { 'grpc-message': escaped(text) } : {}) }),
  )
  stream.end(Buffer.concat([prefix, message]))
}

/** brpc escapes digits, too. */
function escaped(text: string): string {
  return [...Buffer.from(text)]
    .map((byte) => (/[A-Za-z_.~-]/.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, '0')}`))
    .join('')
}

function printed(peerId: string, node: FakeBraftState): string {
  const leads = node.state === 'LEADER' || node.state === 'TRANSFERRING'
  const changing = node.stage !== 'NONE'
  const stopped = (ms: number) => `timeout(${ms}ms) STOPPED`
  const running = (ms: number) => `timeout(${ms}ms) SCHEDULING(in 198ms)`
  const role = leads
    ? [
        `changing_conf: ${changing ? 'YES' : 'NO'}    stage: STAGE_${node.stage}`,
        ...(node.newPeers === null ? [] : [`new_peers: ${node.newPeers.join(' ')}`]),
        ...(node.oldPeers === null ? [] : [`old_peers: ${node.oldPeers.join(' ')}`]),
      ]
    : [`leader: ${node.leader}`, `last_msg_to_now: ${node.lastMsgMs}`]
  const lines = [
    ...[`peer_id: ${peerId}`, `state: ${node.state}`, `readonly: ${node.readOnly ? 1 : 0}`, `term: ${node.term}`],
    ...[`conf_index: ${node.confIndex}`, `peers: ${node.peers.join(' ')}`, ...role],
    ...[`election_timer: ${leads ? stopped(1000) : running(1000)}`, `vote_timer: ${stopped(2000)}`],
    ...[`stepdown_timer: ${leads ? running(1000) : stopped(1000)}`, `snapshot_timer: ${running(3_600_000)}`],
  ]
  const short = [
    ...[`storage: [${node.first}, ${node.last}]`, `disk_index: ${node.last}`, `known_applied_index: ${node.applied}`],
    ...[`last_log_id: (index=${node.last},term=${node.term})`, 'state_machine: Idle'],
  ]
  const rest = [
    ...[`last_committed_index: ${node.committed}`, `last_snapshot_index: ${node.snapshotIndex}`],
    ...[`last_snapshot_term: ${node.snapshotTerm}`, `snapshot_status: ${node.snapshotStatus}`],
    ...(leads ? [...node.replicators].map(([peer, one], at) => replicator(peer, one, at)) : []),
  ]
  return [...lines.map((line) => `${line}\r\n`), ...short.map((line) => `${line}\n`), ...rest.map((line) => `${line}\r\n`), '\r\n'].join('')
}

function replicator(peer: string, { next, flying, activity, errors }: FakeReplicator, at: number): string {
  const failing = errors > 0 ? ` consecutive_error_times=${errors}` : ''
  return `replicator_330282985062${at}@${peer}: next_index=${next}  flying_append_entries_size=${flying} ${activity}${failing} hc=66 ac=15 ic=0`
}

export interface FakeBraftOptions {
  readonly size?: number
  readonly group?: string
  readonly term?: number
}

export const LAST = 82

/** A group of fakes that behave as one: node 0 leads. Administrators are answered as braft answers them. */
export class FakeBraftCluster {
  readonly nodes: FakeBraftNode[] = []
  /** Pages of the leader that are read until a new member has caught up; null: it never does. */
  catchUpPages: number | null = 2
  /** A transfer comes to nothing: the leader leads on. */
  transferFails = false
  private changing: { peers: string[]; resolve: () => void; pages: number } | null = null

  static async start({ size = 3, group = 'Counter', term = 3 }: FakeBraftOptions = {}): Promise<FakeBraftCluster> {
    const cluster = new FakeBraftCluster()
    const opened = await Promise.all(Array.from({ length: size }, () => FakeBraftNode.listen(group)))
    // As braft orders the members of a configuration.
    cluster.nodes.push(...opened.sort((a, b) => a.port - b.port))
    const peers = cluster.nodes.map((node) => node.peerId)
    for (const node of cluster.nodes) {
      Object.assign(node.state, {
        peers,
        confIndex: 79,
        first: 75,
        last: LAST,
        applied: LAST,
        committed: LAST,
        snapshotIndex: 79,
        snapshotTerm: 3,
      })
      cluster.serve(node)
    }
    cluster.lead(cluster.nodes[0]!, term)
    return cluster
  }

  close(): void {
    for (const node of this.nodes) node.close()
  }

  get leader(): FakeBraftNode {
    return this.nodes.find((node) => node.state.state === 'LEADER' || node.state.state === 'TRANSFERRING')!
  }

  /** A process more, in no configuration. */
  async newcomer(group = this.nodes[0]!.group, port = 0): Promise<FakeBraftNode> {
    const node = await FakeBraftNode.listen(group, port)
    this.nodes.push(node)
    this.serve(node)
    return node
  }

  /** Makes a node the leader of a term; everybody who answers follows it. */
  lead(leader: FakeBraftNode, term: number): void {
    const { peers } = leader.state
    for (const node of this.nodes.filter((one) => peers.includes(one.peerId))) {
      Object.assign(node.state, { term, state: node === leader ? 'LEADER' : 'FOLLOWER', leader: leader.peerId })
      node.state.replicators = new Map()
    }
    for (const peer of peers) if (peer !== leader.peerId) leader.state.replicators.set(peer, idle(leader.state.last + 1))
  }

  /** A member whose process is gone: the leader's requests fail. */
  kill(node: FakeBraftNode): void {
    node.close()
    const replicator = this.leader.state.replicators.get(node.peerId)
    if (replicator) Object.assign(replicator, { activity: 'blocking', errors: 41 })
  }

  /** Has a node answer administrators. */
  serve(node: FakeBraftNode): void {
    node.onPage = () => this.progress(node)
    node.answers.set('add_peer', async (bytes) => {
      const { group_id, peer_id, leader_id } = braft.AddPeerRequest.decode(bytes)
      this.mustBe(node, leader_id, group_id)
      return this.change(node, (old) => (old.includes(peer_id) ? old : [...old, peer_id]))
    })
    node.answers.set('remove_peer', async (bytes) => {
      const { group_id, peer_id, leader_id } = braft.RemovePeerRequest.decode(bytes)
      this.mustBe(node, leader_id, group_id)
      return this.change(node, (old) => old.filter((peer) => peer !== peer_id))
    })
    node.answers.set('change_peers', async (bytes) => {
      const { group_id, new_peers, leader_id } = braft.ChangePeersRequest.decode(bytes)
      this.mustBe(node, leader_id, group_id)
      return this.change(node, () => [...new_peers])
    })
    node.answers.set('snapshot', (bytes) => {
      const { group_id, peer_id } = braft.SnapshotRequest.decode(bytes)
      this.mustBe(node, peer_id ?? '', group_id)
      Object.assign(node.state, { snapshotIndex: node.state.applied, snapshotTerm: node.state.term })
      return braft.SnapshotResponse.encode({}).finish()
    })
    node.answers.set('reset_peer', (bytes) => {
      const { group_id, peer_id, new_peers } = braft.ResetPeerRequest.decode(bytes)
      this.mustBe(node, peer_id, group_id)
      this.reset(node, [...new_peers])
      return braft.ResetPeerResponse.encode({}).finish()
    })
    node.answers.set('transfer_leader', (bytes) => this.transfer(node, bytes))
  }

  private mustBe(node: FakeBraftNode, id: string, group: string): void {
    if (id !== node.peerId || group !== node.group) throw new BrpcFailure(2, `Fail to find node ${id} in group ${group}`)
  }

  private async change(node: FakeBraftNode, next: (old: string[]) => string[]): Promise<Uint8Array> {
    if (node.state.state !== 'LEADER') throw new BrpcFailure(1, 'Not leader')
    if (this.changing) throw new BrpcFailure(16, 'Doing another configuration change')
    const old = node.state.peers
    const peers = next(old)
    for (const peer of peers)
      if (!old.includes(peer)) node.state.replicators.set(peer, { next: 1, flying: 0, activity: 'installing snapshot {79, 3}', errors: 0 })
    Object.assign(node.state, { stage: 'CATCHING_UP', newPeers: peers, oldPeers: old })
    const added = peers.some((peer) => !old.includes(peer))
    await new Promise<void>((resolve) => {
      this.changing = { peers, resolve, pages: added ? 0 : Number.POSITIVE_INFINITY }
      if (!added) this.finish(node)
    })
    return braft.AddPeerResponse.encode({ old_peers: old, new_peers: peers }).finish()
  }

  private progress(node: FakeBraftNode): void {
    if (!this.changing || node !== this.leader || this.catchUpPages === null) return
    if (this.changing.pages++ >= this.catchUpPages) this.finish(node)
  }

  private finish(leader: FakeBraftNode): void {
    const { peers, resolve } = this.changing!
    this.changing = null
    const index = leader.state.last + 1
    for (const node of this.nodes.filter((one) => peers.includes(one.peerId))) {
      const { term } = leader.state
      Object.assign(node.state, { peers, confIndex: index, last: index, committed: index, applied: index, term, stage: 'NONE' })
      if (node !== leader) node.state.leader = leader.peerId
    }
    Object.assign(leader.state, { newPeers: null, oldPeers: null, peers })
    leader.state.replicators = new Map(peers.filter((peer) => peer !== leader.peerId).map((peer) => [peer, idle(index + 1)]))
    if (!peers.includes(leader.peerId)) Object.assign(leader.state, { state: 'FOLLOWER', leader: '0.0.0.0:0:0:0', confIndex: index })
    resolve()
  }

  /** It gives up its term; the best of those that have the same members leads soon. */
  private reset(node: FakeBraftNode, peers: string[]): void {
    Object.assign(node.state, { peers, state: 'FOLLOWER', leader: '0.0.0.0:0:0:0', term: node.state.term + 1 })
    const left = this.nodes.filter((one) => peers.includes(one.peerId))
    if (!left.every((one) => one.state.peers.length === peers.length)) return
    setTimeout(() => {
      const index = Math.max(...left.map(({ state }) => state.last)) + 1
      for (const one of left) Object.assign(one.state, { last: index, committed: index, applied: index, confIndex: index })
      this.lead(left.sort((a, b) => b.state.last - a.state.last)[0]!, node.state.term + 1)
    }, 50)
  }

  private transfer(node: FakeBraftNode, bytes: Uint8Array): Uint8Array {
    const { group_id, leader_id, peer_id } = braft.TransferLeaderRequest.decode(bytes)
    this.mustBe(node, leader_id, group_id)
    const refuse = (code: number, text: string) => new BrpcFailure(code, `Fail to invoke transfer_leadership_to : ${text}`)
    if (node.state.state !== 'LEADER') throw refuse(1, 'Operation not permitted')
    if (this.changing) throw refuse(16, 'Device or resource busy')
    const target = this.nodes.find((one) => one.peerId === peer_id)
    if (!target || !node.state.peers.includes(target.peerId)) throw refuse(22, 'Invalid argument')
    node.state.state = 'TRANSFERRING'
    setTimeout(() => {
      if (this.transferFails) node.state.state = 'LEADER'
      else this.lead(target, node.state.term + 1)
    }, 30)
    return braft.TransferLeaderResponse.encode({}).finish()
  }
}

export function idle(next: number): FakeReplicator {
  return { next, flying: 0, activity: 'idle', errors: 0 }
}
