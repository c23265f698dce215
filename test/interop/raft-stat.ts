import http from 'node:http'

/** What a page `/raft_stat/<group>` says that the suite needs; both kinds of member print it. */
export interface RaftStat {
  readonly peerId: string
  readonly state: string
  readonly term: number
  readonly peers: readonly string[]
  /** Null on the leader, and where no leader is known. */
  readonly leader: string | null
  readonly changing: boolean
  readonly firstIndex: number
  readonly lastIndex: number
  readonly committedIndex: number
  readonly appliedIndex: number
  readonly snapshotIndex: number
}

const NO_PEER = '0.0.0.0:0:0:0'

/** Reads the page of one node of one group. Throws when a line is missing. */
export function parseRaftStat(page: string): RaftStat {
  const lines = new Map<string, string>()
  for (const line of page.split(/\r?\n/)) {
    const found = /^([a-z_]+):( .*)?$/.exec(line)
    if (found && !lines.has(found[1]!)) lines.set(found[1]!, (found[2] ?? '').trim())
  }
  const text = (name: string): string => {
    const value = lines.get(name)
    if (value === undefined) throw new Error(`the page has no line "${name}":\n${page}`)
    return value
  }
  const [first, last] = /^\[(\d+), (\d+)\]$/.exec(text('storage'))?.slice(1).map(Number) ?? [Number.NaN, Number.NaN]
  const leader = lines.get('leader') ?? NO_PEER
  return {
    peerId: text('peer_id'),
    state: text('state'),
    term: Number(text('term')),
    peers: text('peers')
      .split(' ')
      .filter((peer) => peer !== ''),
    leader: leader === NO_PEER ? null : leader,
    changing: lines.get('changing_conf')?.startsWith('YES') ?? false,
    firstIndex: first!,
    lastIndex: last!,
    committedIndex: Number(text('last_committed_index')),
    appliedIndex: Number(text('known_applied_index')),
    snapshotIndex: Number(text('last_snapshot_index')),
  }
}

/** Fetches and reads the page of a running member. Node's plain client sends no User-Agent, which asks braft for text. */
export async function raftStat(address: string, group: string, timeoutMs = 1000): Promise<RaftStat> {
  return parseRaftStat(await fetchPage(`http://${address}/raft_stat/${group}`, timeoutMs))
}

export function fetchPage(url: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent: false, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => (body += chunk))
      response.once('end', () => resolve(body))
      response.once('error', reject)
    })
    request.once('error', reject)
  })
}
