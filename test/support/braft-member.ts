import { status } from '@grpc/grpc-js'
import { braft } from '../../src/generated/braft.js'
import { Status } from '../../src/raft/errors.js'
import { EntryType } from '../../src/raft/log-entry.js'
import { fromInt64 } from '../../src/raft/types.js'
import { BaiduStdClient, callBaiduStd } from '../../src/rpc/baidu-std-client.js'
import { Control } from '../../src/rpc/control-definition.js'
import type { Codec, Handlers } from '../../src/rpc/grpc.js'
import { textReply } from '../../src/rpc/http.js'
import { RpcServer } from '../../src/rpc/server.js'
import { type CallContext, type Reply, type RpcService, rpcMethod } from '../../src/rpc/service.js'

/** An entry as a braft member keeps it: data, or the members of a configuration. */
export interface BraftEntry {
  readonly term: number
  readonly type: number
  readonly data: string
  readonly peers: readonly string[]
}

const ANY = '0.0.0.0:0:0:0'

/** A call that a member got, in order. */
export interface Received {
  readonly method: string
  readonly request: unknown
  readonly attachment: string
}

/**
 * A member that speaks exactly braft's protocol: braft.RaftService and braft.FileService over baidu_std and the page of its state, and
 * nothing of raftctl's. As a follower it answers by braft's rules; what it does as a candidate or leader the test tells it.
 */
export class BraftMember {
  term = 1
  votedFor = ANY
  leader = ANY
  state: 'FOLLOWER' | 'LEADER' = 'FOLLOWER'
  readonly log: BraftEntry[] = []
  committed = 0
  /** The members that it was started with. */
  initial: readonly string[] = []
  readonly received: Received[] = []
  /** Answers in place of the member where it says so: a status refuses the call, a promise holds it. */
  intercept: (method: string, request: unknown) => Status | Promise<void> | null = () => null
  /** The files of the snapshot that it gives out, by name; the list is served as it is. */
  snapshot: { readonly readerId: string; readonly files: ReadonlyMap<string, Buffer> } | null = null
  private readonly server = new RpcServer()
  private readonly clients = new Map<string, BaiduStdClient>()

  private constructor(
    readonly group: string,
    public port = 0,
  ) {
    this.server.addService(this.raftService())
    this.server.addService(this.fileService())
    this.server.addGrpcService(Control, this.unknownMethods())
    for (const path of ['/raft_stat', '/raft_stat/']) this.server.addRoute(path, () => textReply(this.page()))
  }

  static async start(group: string, port = 0): Promise<BraftMember> {
    const member = new BraftMember(group)
    member.port = (await member.server.listen({ port })).port
    return member
  }

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  get peerId(): string {
    return `${this.address}:0:0`
  }

  get lastTerm(): number {
    return this.log.at(-1)?.term ?? 0
  }

  /** By the newest configuration in its log, or as it was started. */
  get members(): readonly string[] {
    return this.log.findLast(({ peers }) => peers.length > 0)?.peers ?? this.initial
  }

  async close(): Promise<void> {
    for (const client of this.clients.values()) client.close()
    await this.server.close({ deadlineMs: 0 })
  }

  /** Requests of one method, oldest first. */
  requests<T>(method: string): (T & { readonly attachment: string })[] {
    return this.received
      .filter((one) => one.method === method)
      .map(({ request, attachment }) => ({ ...(request as T & object), attachment }) as T & { attachment: string })
  }

  async preVote(to: string): Promise<braft.RequestVoteResponse> {
    return await this.vote('pre_vote', to, this.term + 1)
  }

  /** Raises its term and asks for a vote. */
  async requestVote(to: string, disrupted: { peer_id: string; term: number } | null = null): Promise<braft.RequestVoteResponse> {
    this.term++
    this.votedFor = this.peerId
    return await this.vote('request_vote', to, this.term, disrupted)
  }

  becomeLeader(): void {
    this.state = 'LEADER'
    this.leader = this.peerId
  }

  /** Writes to its own log as leader. */
  propose(data: string, peers: readonly string[] = []): void {
    this.log.push({ term: this.term, type: peers.length > 0 ? EntryType.CONFIGURATION : EntryType.DATA, data, peers })
  }

  /** append_entries of what follows `prev`, up to `last`; without entries a probe or a heartbeat. */
  async append(to: string, prev: number, last = this.log.length): Promise<braft.AppendEntriesResponse> {
    const entries = this.log.slice(prev, last)
    const request = {
      ...this.addressed(to),
      term: this.term,
      prev_log_term: this.log[prev - 1]?.term ?? 0,
      prev_log_index: prev,
      entries: entries.map(({ term, type, data, peers }) => ({ term, type, data_len: data.length, peers: [...peers] })),
      committed_index: this.committed,
    }
    const attachment = Buffer.from(entries.map(({ data }) => data).join(''))
    const method = { service: RAFT, method: 'append_entries', request: braft.AppendEntriesRequest, response: braft.AppendEntriesResponse }
    return (await callBaiduStd(this.client(to), method, request, { attachment })).response
  }

  async installSnapshot(to: string, meta: braft.SnapshotMeta.$Properties): Promise<braft.InstallSnapshotResponse> {
    const method = {
      service: RAFT,
      method: 'install_snapshot',
      request: braft.InstallSnapshotRequest,
      response: braft.InstallSnapshotResponse,
    }
    const uri = `remote://${this.address}/${this.snapshot!.readerId}`
    return (await callBaiduStd(this.client(to), method, { ...this.addressed(to), term: this.term, meta, uri })).response
  }

  async timeoutNow(to: string, steppedDown = false): Promise<braft.TimeoutNowResponse> {
    const method = { service: RAFT, method: 'timeout_now', request: braft.TimeoutNowRequest, response: braft.TimeoutNowResponse }
    const request = { ...this.addressed(to), term: this.term, old_leader_stepped_down: steppedDown }
    return (await callBaiduStd(this.client(to), method, request)).response
  }

  private async vote(
    method: string,
    to: string,
    term: number,
    disrupted: { peer_id: string; term: number } | null = null,
  ): Promise<braft.RequestVoteResponse> {
    const request = {
      ...this.addressed(to),
      term,
      last_log_term: this.lastTerm,
      last_log_index: this.log.length,
      disrupted_leader: disrupted,
    }
    const call = { service: RAFT, method, request: braft.RequestVoteRequest, response: braft.RequestVoteResponse }
    return (await callBaiduStd(this.client(to), call, request)).response
  }

  private addressed(to: string) {
    return { group_id: this.group, server_id: this.peerId, peer_id: `${to}:0:0` }
  }

  /** By address. */
  private client(to: string): BaiduStdClient {
    let client = this.clients.get(to)
    if (!client) {
      client = new BaiduStdClient('127.0.0.1', Number(to.split(':')[1]), { connectTimeoutMs: 5000 })
      this.clients.set(to, client)
    }
    return client
  }

  private raftService(): RpcService {
    const methods = {
      pre_vote: this.method('pre_vote', braft.RequestVoteRequest, braft.RequestVoteResponse, (request) => this.onVote(request, true)),
      request_vote: this.method('request_vote', braft.RequestVoteRequest, braft.RequestVoteResponse, (request) =>
        this.onVote(request, false),
      ),
      append_entries: this.method('append_entries', braft.AppendEntriesRequest, braft.AppendEntriesResponse, (request, context) =>
        this.onAppend(request, context.attachment.toString()),
      ),
      install_snapshot: this.method('install_snapshot', braft.InstallSnapshotRequest, braft.InstallSnapshotResponse, () => ({
        term: this.term,
        success: true,
      })),
      timeout_now: this.method('timeout_now', braft.TimeoutNowRequest, braft.TimeoutNowResponse, (request) => ({
        term: fromInt64(request.term) === this.term ? this.term + 1 : this.term,
        success: fromInt64(request.term) === this.term,
      })),
    }
    return { name: RAFT, methods }
  }

  /** To callers of gRPC, brpc names the method that it does not know. */
  private unknownMethods(): Handlers<(typeof Control)['methods']> {
    const refuse = (_call: unknown, done?: (error: object) => void) =>
      done?.({ code: status.UNIMPLEMENTED, details: `[${this.address}][E1002]Fail to find method` })
    return Object.fromEntries(Object.keys(Control.methods).map((name) => [name, refuse])) as never
  }

  private method<QIn, Q, R, ROut>(
    name: string,
    request: Codec<QIn, Q>,
    response: Codec<R, ROut>,
    answer: (request: Q, context: CallContext) => R,
  ) {
    return rpcMethod<QIn, Q, R, ROut>({
      request,
      response,
      handle: (message, context, done: Reply<R>) => {
        this.received.push({ method: name, request: message, attachment: context.attachment.toString() })
        const reply = () => done(Status.OK, answer(message, context))
        const instead = this.intercept(name, message)
        if (instead instanceof Status) done(instead)
        else if (instead) void instead.then(reply)
        else reply()
      },
    })
  }

  private onVote(request: braft.RequestVoteRequest, isPreVote: boolean): braft.RequestVoteResponse.$Properties {
    const term = fromInt64(request.term)
    const previous_term = this.term
    const last = [fromInt64(request.last_log_term), fromInt64(request.last_log_index)] as const
    const isLogOk = last[0] > this.lastTerm || (last[0] === this.lastTerm && last[1] >= this.log.length)
    const answer = (granted: boolean) => ({ term: this.term, granted, disrupted: false, previous_term, rejected_by_lease: false })
    if (term < this.term || isPreVote) return answer(term >= this.term && isLogOk)
    if (term > this.term) this.stepDown(term)
    if (isLogOk && this.votedFor === ANY) this.votedFor = request.server_id
    return answer(this.votedFor === request.server_id)
  }

  private onAppend(request: braft.AppendEntriesRequest, attachment: string): braft.AppendEntriesResponse.$Properties {
    const term = fromInt64(request.term)
    if (term < this.term) return { term: this.term, success: false }
    if (term > this.term || this.state === 'LEADER') this.stepDown(term)
    this.leader = request.server_id
    const prev = fromInt64(request.prev_log_index)
    if (prev > 0 && (this.log[prev - 1]?.term ?? 0) !== fromInt64(request.prev_log_term))
      return { term, success: false, last_log_index: this.log.length }
    const committed = fromInt64(request.committed_index)
    if (request.entries.length === 0) {
      this.committed = Math.max(this.committed, Math.min(committed, prev))
      return { term, success: true, last_log_index: this.log.length, readonly: false }
    }
    let at = 0
    request.entries.forEach((entry, i) => {
      // Absent, nothing is cut: that is how braft stores empty entries.
      const length = entry.data_len == null ? 0 : fromInt64(entry.data_len)
      const data = attachment.slice(at, (at += length))
      const kept = { term: fromInt64(entry.term), type: entry.type, data, peers: [...(entry.peers ?? [])] }
      if (this.log[prev + i]?.term !== kept.term) this.log.splice(prev + i, Number.POSITIVE_INFINITY, kept)
    })
    this.committed = Math.max(this.committed, Math.min(committed, prev + request.entries.length))
    return { term, success: true }
  }

  private stepDown(term: number): void {
    if (term > this.term) this.votedFor = ANY
    this.term = Math.max(this.term, term)
    this.state = 'FOLLOWER'
  }

  private fileService(): RpcService {
    return {
      name: 'braft.FileService',
      methods: {
        get_file: rpcMethod({
          request: braft.GetFileRequest,
          response: braft.GetFileResponse,
          handle: (request, _context, done) => this.getFile(request, done),
        }),
      },
    }
  }

  private reading: { file: string | null; isAtEnd: boolean; busy: boolean } = { file: null, isAtEnd: true, busy: false }

  /** By braft's rules: one piece at a time, a file from its start to its end before the next one. */
  private getFile(request: braft.GetFileRequest, done: Reply<braft.GetFileResponse.$Properties>): void {
    const { filename } = request
    const [offset, count] = [fromInt64(request.offset), fromInt64(request.count)]
    this.received.push({ method: 'get_file', request: { filename, offset, count }, attachment: '' })
    const { snapshot, reading } = this
    if (snapshot?.readerId !== String(request.reader_id)) return done(new Status(2, 'no such reader'))
    const whole = snapshot.files.get(filename)
    if (!whole) return done(new Status(1, 'no such file'))
    if (filename === LIST) return done(Status.OK, { eof: true, read_size: whole.length }, segment(offset, whole))
    if (reading.busy) return done(new Status(11, 'reader is being read'))
    if (reading.file !== filename && (!reading.isAtEnd || offset > 0)) return done(new Status(22, 'out of order'))
    reading.busy = true
    setImmediate(() => {
      const data = whole.subarray(offset, offset + count)
      const eof = offset + count >= whole.length
      Object.assign(reading, { file: filename, isAtEnd: eof, busy: false })
      done(Status.OK, { eof, read_size: data.length }, segment(offset, data))
    })
  }

  private page(): string {
    const lines = [
      `peer_id: ${this.peerId}`,
      `state: ${this.state}`,
      'readonly: 0',
      `term: ${this.term}`,
      `conf_index: ${this.log.findLastIndex(({ peers }) => peers.length > 0) + 1}`,
      `peers: ${this.members.join(' ')}`,
      ...(this.state === 'LEADER' ? ['changing_conf: NO    stage: STAGE_NONE'] : [`leader: ${this.leader}`]),
      `storage: [1, ${this.log.length}]`,
      `disk_index: ${this.log.length}`,
      `known_applied_index: ${this.committed}`,
      `last_log_id: (index=${this.log.length},term=${this.lastTerm})`,
      `last_committed_index: ${this.committed}`,
      'last_snapshot_index: 0',
      'last_snapshot_term: 0',
      'snapshot_status: IDLE',
    ]
    return `[${this.group}]\r\n${lines.join('\r\n')}\r\n`
  }
}

const RAFT = 'braft.RaftService'
export const LIST = '__raft_snapshot_meta'

function segment(offset: number, data: Buffer): Buffer {
  if (data.length === 0) return data
  const header = Buffer.alloc(12)
  header.writeBigUInt64BE(BigInt(offset), 0)
  header.writeUInt32BE(data.length, 8)
  return Buffer.concat([header, data])
}
