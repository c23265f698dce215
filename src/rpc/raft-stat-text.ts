/** How a leader sees one of its peers, as `/raft_stat` prints it. */
export interface ReplicatorStat {
  readonly peerId: string
  readonly nextIndex: number
  /** Entries (braft) or requests on their way. */
  readonly flying: number
  readonly activity: 'idle' | 'blocking' | 'appending' | 'installing'
  /** Of the request on its way; null unless `appending`. First above last: it only asks what the peer holds. */
  readonly appending: { readonly first: number; readonly last: number } | null
  /** Last entry of the snapshot on its way; null unless `installing`. */
  readonly installing: number | null
  /** Requests in a row that failed; 0 when the last one was answered. */
  readonly errors: number
}

/** One node of `/raft_stat`. Null: the page does not say. */
export interface RaftStat {
  readonly group: string
  readonly peerId: string
  readonly state: string
  readonly readOnly: boolean
  readonly term: number
  /** Of the newest configuration entry; each leader begins its term with one. */
  readonly confIndex: number
  readonly peers: readonly string[]
  /** none, catching_up, joint or stable; null except on a leader. */
  readonly stage: string | null
  /** Whom a running change makes the members; null without one. */
  readonly newPeers: readonly string[] | null
  readonly oldPeers: readonly string[] | null
  /** `0.0.0.0:0:0:0` when it knows none; null on a leader. */
  readonly leader: string | null
  readonly leaderContactMs: number | null
  readonly electionTimeoutMs: number | null
  readonly snapshotIntervalMs: number | null
  readonly firstIndex: number
  readonly lastIndex: number
  readonly diskIndex: number
  readonly appliedIndex: number
  readonly lastTerm: number
  readonly machine: string
  readonly committedIndex: number
  readonly snapshotIndex: number
  readonly snapshotTerm: number
  /** idle, saving, downloading or loading. */
  readonly snapshotState: string
  readonly replicators: readonly ReplicatorStat[]
}

/** What is wrong with a page that should be `/raft_stat`. */
export class RaftStatError extends Error {
  override readonly name = 'RaftStatError'
}

/**
 * Reads the plain-text page of braft, or ours: every node of every group on it. Lines that are not known are passed over, so that
 * a newer braft may say more; what every version says must be there. Throws RaftStatError.
 */
export function parseRaftStat(page: string): RaftStat[] {
  const nodes: RaftStat[] = []
  let group: string | null = null
  let lines: string[] = []
  const end = () => {
    if (lines.length > 0) nodes.push(nodeOf(group!, lines))
    lines = []
  }
  for (const line of page.split(/\r?\n/)) {
    const header = /^\[(.*)\]$/.exec(line)
    if (header) {
      end()
      group = header[1] as string
    } else if (line.startsWith('peer_id: ')) {
      if (group === null) throw new RaftStatError(`a node of no group: ${quoted(line)}`)
      end()
      lines = [line]
    } else if (lines.length > 0) lines.push(line)
    else if (line.trim() !== '') throw new RaftStatError(`this is no raft_stat page: it begins with ${quoted(line)}`)
  }
  end()
  return nodes
}

const NUMBER = /^-?\d{1,16}$/

function nodeOf(group: string, lines: readonly string[]): RaftStat {
  const values = new Map<string, string>()
  const replicators: ReplicatorStat[] = []
  for (const line of lines) {
    const pair = /^([a-z_]+): ?(.*)$/.exec(line)
    if (line.startsWith('replicator_')) replicators.push(replicatorOf(line))
    else if (pair && !values.has(pair[1] as string)) values.set(pair[1] as string, (pair[2] as string).trimEnd())
  }
  const text = (name: string) => {
    const value = values.get(name)
    if (value === undefined) throw new RaftStatError(`${values.get('peer_id')} of group ${group}: ${name} is missing`)
    return value
  }
  const number = (name: string) => numberIn(text(name), name)
  const peers = (name: string) => text(name).split(/ +/).filter(Boolean)
  const optionalPeers = (name: string) => (values.has(name) ? peers(name) : null)
  const [firstIndex, lastIndex] = captured(text('storage'), /^\[(\d{1,16}), (\d{1,16})\]/, 'storage')
  const [, lastTerm] = captured(text('last_log_id'), /^\(index=(\d{1,16}),term=(\d{1,16})\)/, 'last_log_id')
  const contact = values.get('last_msg_to_now')
  return {
    ...{ group, peerId: text('peer_id'), state: text('state'), readOnly: text('readonly') === '1', term: number('term') },
    ...{ confIndex: number('conf_index'), peers: peers('peers'), stage: stageOf(values.get('changing_conf')) },
    ...{ newPeers: optionalPeers('new_peers'), oldPeers: optionalPeers('old_peers') },
    leader: values.get('leader') ?? null,
    leaderContactMs: contact === undefined ? null : notNegative(numberIn(contact, 'last_msg_to_now')),
    electionTimeoutMs: timeoutOf(values.get('election_timer')),
    snapshotIntervalMs: timeoutOf(values.get('snapshot_timer')),
    ...{ firstIndex: firstIndex!, lastIndex: lastIndex!, diskIndex: number('disk_index'), appliedIndex: number('known_applied_index') },
    ...{ lastTerm: lastTerm!, machine: values.get('state_machine') ?? '', committedIndex: number('last_committed_index') },
    ...{ snapshotIndex: number('last_snapshot_index'), snapshotTerm: number('last_snapshot_term') },
    ...{ snapshotState: text('snapshot_status').toLowerCase(), replicators },
  }
}

/** `NO    stage: STAGE_NONE` */
function stageOf(changing: string | undefined): string | null {
  if (changing === undefined) return null
  const stage = /stage: STAGE_([A-Z_]+)/.exec(changing)
  if (stage) return (stage[1] as string).toLowerCase()
  throw new RaftStatError(`changing_conf names no stage: ${quoted(changing)}`)
}

function timeoutOf(timer: string | undefined): number | null {
  const match = /^timeout\((\d{1,12})ms\)/.exec(timer ?? '')
  return match ? Number(match[1]) : null
}

/** `replicator_33@127.0.0.1:8500:0:0: next_index=83  flying_append_entries_size=0 idle hc=66 ac=15 ic=0` */
function replicatorOf(line: string): ReplicatorStat {
  const match = /^replicator_[^@\s]*@(\S+): next_index=(\d{1,16}) +flying_append_entries_size=(\d{1,16}) (.*)$/.exec(line)
  if (!match) throw new RaftStatError(`a line of a replicator that cannot be read: ${quoted(line)}`)
  const [, peerId, next, flying, rest] = match as unknown as [string, string, string, string, string]
  const appending = /\bappending \[(\d{1,16}), (\d{1,16})\]/.exec(rest)
  const installing = /\binstalling snapshot \{(\d{1,16}), /.exec(rest)
  const errors = /\bconsecutive_error_times=(\d{1,16})/.exec(rest)
  return {
    ...{ peerId, nextIndex: Number(next), flying: Number(flying) },
    activity: installing ? 'installing' : appending ? 'appending' : /\bblocking\b/.test(rest) ? 'blocking' : 'idle',
    appending: appending && { first: Number(appending[1]), last: Number(appending[2]) },
    installing: installing && Number(installing[1]),
    errors: errors ? Number(errors[1]) : 0,
  }
}

function captured(text: string, pattern: RegExp, name: string): number[] {
  const match = pattern.exec(text)
  if (!match) throw new RaftStatError(`${name} is ${quoted(text)}`)
  return match.slice(1).map(Number)
}

function numberIn(text: string, name: string): number {
  if (!NUMBER.test(text)) throw new RaftStatError(`${name} is ${quoted(text)}, not a number`)
  return Number(text)
}

function notNegative(value: number): number | null {
  return value < 0 ? null : value
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 80))
}
