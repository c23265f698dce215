import { braft } from '../generated/braft.js'
import { Status } from '../raft/errors.js'
import type { MembershipStage, NodeStatus, PeerStatus, TimerStatus } from '../raft/node-status.js'
import type { PeerId } from '../raft/peer-id.js'
import type { HttpHandler } from './http.js'
import type { NodeManager } from './node-manager.js'
import { type RpcService, rpcMethod } from './service.js'

/**
 * braft's `/raft_stat` page, line by line: scripts that read braft's read ours. Lines end in CR LF, but the lines of the
 * log and of the state machine in LF alone, as braft prints them. Where braft has a number that does not exist here it
 * says what braft says of a feature that is off: `last_msg_to_now` is -1 without a leader.
 */
export type PageForm = 'plain' | 'html'

const HTML_HEAD = '<!DOCTYPE html><html><head><meta charset="utf-8"><title>raft_stat</title></head><body>\n'
const HTML_TAIL = '</body></html>\n'

/** The page of all nodes of this process, or of one group; empty for an unknown group. */
export function raftStatPage(nodes: NodeManager, groupId: string | null, form: PageForm): string {
  const listed = groupId === null ? nodes.all() : nodes.nodesOf(groupId)
  if (listed.length === 0) return ''
  let page = ''
  let group: string | null = null
  for (const node of listed) {
    if (node.groupId !== group) page += groupHeader((group = node.groupId), form)
    page += describe(node.status(), form) + newline(form)
  }
  return form === 'html' ? HTML_HEAD + page + HTML_TAIL : page
}

/** Answers `GET /raft_stat` and `GET /raft_stat/<group>`; HTML for browsers, as brpc decides it. */
export function raftStatHandler(nodes: NodeManager): HttpHandler {
  return ({ path, query, headers }) => {
    const form = wantsHtml(query.get('console'), headers['user-agent']) ? 'html' : 'plain'
    const group = /^\/raft_stat\/(.*?)\/?$/.exec(path)?.[1]
    const body = raftStatPage(nodes, group ? decoded(group) : null, form)
    return { status: 200, contentType: form === 'html' ? 'text/html; charset=utf-8' : 'text/plain; charset=utf-8', body }
  }
}

/** The same page to callers of baidu_std, in the attachment. */
export function raftStatService(nodes: NodeManager): RpcService {
  return {
    name: 'braft.raft_stat',
    methods: {
      default_method: rpcMethod({
        request: braft.IndexRequest,
        response: braft.IndexResponse,
        handle: (_request, _context, done) => done(Status.OK, {}, Buffer.from(raftStatPage(nodes, null, 'plain'))),
      }),
    },
  }
}

function wantsHtml(console: string | null, userAgent: string | undefined): boolean {
  if (console !== null) return console === '0'
  return userAgent !== undefined && !userAgent.includes('curl/')
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

const newline = (form: PageForm) => (form === 'html' ? '<br>\n' : '\r\n')
/** The log and the state machine end their lines so in braft. */
const shortNewline = (form: PageForm) => (form === 'html' ? '<br>\n' : '\n')

function groupHeader(groupId: string, form: PageForm): string {
  return form === 'html' ? `<h1>${escaped(groupId)}</h1>\n` : `[${groupId}]\r\n`
}

function describe(status: NodeStatus, form: PageForm): string {
  const leads = status.state === 'LEADER' || status.state === 'TRANSFERRING'
  const lines = [
    `peer_id: ${status.peerId}`,
    `state: ${status.state}`,
    `readonly: ${status.readonly ? 1 : 0}`,
    `term: ${status.term}`,
    `conf_index: ${status.configuration.id.index}`,
    `peers: ${peerList(status.configuration.conf.peers, status, form)}`,
    ...(leads ? changeLines(status, form) : leaderLines(status, form)),
    `election_timer: ${timer(status.electionTimer)}`,
    `vote_timer: ${timer(status.voteTimer)}`,
    `stepdown_timer: ${timer(status.stepdownTimer)}`,
    `snapshot_timer: ${timer(status.snapshotTimer)}`,
  ]
  const short = [
    `storage: [${status.firstIndex}, ${status.lastId.index}]`,
    `disk_index: ${status.durableIndex}`,
    `known_applied_index: ${status.appliedIndex}`,
    `last_log_id: (index=${status.lastId.index},term=${status.lastId.term})`,
    `state_machine: ${escapedIn(form, status.machineActivity)}`,
  ]
  const rest = [
    `last_committed_index: ${status.committedIndex}`,
    ...(status.pendingTasks > 0 ? [`pending_index: ${status.pendingIndex}`, `pending_queue_size: ${status.pendingTasks}`] : []),
    `last_snapshot_index: ${status.snapshotId.index}`,
    `last_snapshot_term: ${status.snapshotId.term}`,
    `snapshot_status: ${status.snapshot.state.toUpperCase()}`,
    ...status.peers.map((peer, i) => replicatorLine(peer, i + 1, status)),
  ]
  const end = newline(form)
  return [...lines.map((line) => line + end), ...short.map((line) => line + shortNewline(form)), ...rest.map((line) => line + end)].join('')
}

/** braft counts the entry that opens a leadership as a change, too. */
function changeLines(status: NodeStatus, form: PageForm): string[] {
  const { configuration, leaderReadyForMs } = status
  const { stage, target } = status.membership
  if (stage === 'none') return [leaderReadyForMs === null ? changing('YES', 'stable') : changing('NO', 'none')]
  const before = configuration.isStable ? configuration.conf : configuration.old
  return [
    changing('YES', stage),
    `new_peers: ${peerList((target ?? configuration.conf).peers, status, form)}`,
    ...(stage === 'stable' ? [] : [`old_peers: ${peerList(before.peers, status, form)}`]),
  ]
}

function changing(answer: 'YES' | 'NO', stage: MembershipStage): string {
  return `changing_conf: ${answer}    stage: STAGE_${stage.toUpperCase()}`
}

function leaderLines(status: NodeStatus, form: PageForm): string[] {
  const contact = status.leaderContactMs === null ? -1 : Math.round(status.leaderContactMs)
  return [`leader: ${peerList([status.leaderId], status, form)}`, `last_msg_to_now: ${contact}`]
}

function timer({ timeoutMs, firesInMs }: TimerStatus): string {
  return `timeout(${Math.round(timeoutMs)}ms) ${firesInMs === null ? 'STOPPED' : `SCHEDULING(in ${Math.round(firesInMs)}ms)`}`
}

function peerList(peers: readonly PeerId[], status: NodeStatus, form: PageForm): string {
  if (form === 'plain') return peers.join(' ')
  const group = encodeURIComponent(status.groupId)
  return peers.map((peer) => (peer.isEmpty ? `${peer}` : `<a href="http://${peer.address}/raft_stat/${group}">${peer}</a>`)).join(' ')
}

function replicatorLine(peer: PeerStatus, id: number, status: NodeStatus): string {
  const errors = peer.consecutiveErrors > 0 ? ` consecutive_error_times=${peer.consecutiveErrors}` : ''
  const readonly = peer.readonlyIndex > 0 ? ` readonly_index=${peer.readonlyIndex} ` : ''
  return `replicator_${id}@${peer.peerId}: next_index=${peer.nextIndex}  flying_append_entries_size=${peer.inflightRequests} ${readonly}${activity(peer, status)}${errors}`
}

function activity(peer: PeerStatus, status: NodeStatus): string {
  if (peer.state === 'blocked') return 'blocking'
  if (peer.state === 'snapshot') return `installing snapshot {${status.snapshotId.index}, ${status.snapshotId.term}}`
  return peer.inflightRequests > 0 ? `appending [${peer.matchIndex + 1}, ${peer.nextIndex - 1}]` : 'idle'
}

function escapedIn(form: PageForm, text: string): string {
  return form === 'html' ? escaped(text) : text
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!)
}
