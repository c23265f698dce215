import * as format from './format.js'
import type { Output } from './output.js'

interface GroupPicture {
  readonly group: string
  readonly state: 'ok' | 'degraded' | 'no-leader' | 'founding'
  readonly uid: string | null
  readonly leader: string | null
  readonly term: number
  readonly commit: number
  readonly members: readonly string[]
  readonly hosts: readonly string[]
  readonly missing: readonly string[]
  readonly problems: readonly { readonly node: string; readonly message: string }[]
}

interface CreatePicture {
  readonly group: string
  readonly members: readonly string[]
  readonly found: 'new' | 'unfinished' | 'there'
  readonly executed: boolean
  readonly nodes: readonly {
    readonly node: string
    readonly as: string
    readonly created: boolean
    readonly error: { readonly message: string } | null
  }[]
  readonly leader: string | null
}

interface RemovePicture {
  readonly group: string
  readonly executed: boolean
  readonly entries: number
  readonly nodes: readonly {
    readonly node: string
    readonly bytes: number | null
    readonly removed: boolean
    readonly error: { readonly message: string } | null
  }[]
}

export const GROUP_COLUMNS = {
  GROUP: 'its name',
  STATE: 'ok; degraded: a member does not run it; no-leader; founding: not every founder hosts it',
  LEADER: 'who leads, as the nodes that answer know it',
  TERM: 'of the leader, or the newest that anybody knows',
  COMMIT: 'newest committed entry that anybody knows',
  MEMBERS: 'its voters, or its founders',
  UID: 'of a group that was created at run time; none for those that nodes were started with',
  NOTE: 'what is amiss, and where',
}

export function printGroups(out: Output, groups: readonly GroupPicture[]): void {
  const amiss = groups.some((row) => noteOf(row) !== '')
  out.table(
    [
      { name: 'group', value: (row) => row.group },
      { name: 'state', value: (row) => (row.state === 'ok' ? 'ok' : row.state.toUpperCase()) },
      { name: 'leader', value: (row) => row.leader ?? '-' },
      { name: 'term', value: (row) => format.count(row.term), align: 'right', priority: 2 },
      { name: 'commit', value: (row) => format.count(row.commit), align: 'right', priority: 1 },
      { name: 'members', value: (row) => row.members.join(',') },
      { name: 'uid', value: (row) => row.uid ?? '-', priority: 3 },
      ...(amiss ? [{ name: 'note', value: noteOf }] : []),
    ],
    groups,
  )
}

function noteOf({ missing, problems }: GroupPicture): string {
  const absent = missing.length === 0 ? [] : [`not hosted by ${missing.join(', ')}`]
  return [...absent, ...problems.map(({ node, message }) => `${node}: ${message}`)].join('; ')
}

export function printCreated(out: Output, picture: CreatePicture): void {
  const { group, members, found, executed, nodes, leader } = picture
  const who = members.join(', ')
  if (!executed) {
    const lacking = nodes.filter(({ as }) => as !== 'here')
    if (lacking.length === 0) return out.line(`group ${group} is there: ${who}`)
    out.line(`${found === 'new' ? 'would create' : 'would finish'} group ${group}: ${who}`)
    for (const { node, as } of lacking) out.line(`  ${node}  ${AS[as as keyof typeof AS]}`)
    return
  }
  if (found === 'there') return out.line(`group ${group} is there: ${who}${leader === null ? '' : ` · leader ${leader}`}`)
  for (const { node, as, created, error } of nodes) {
    const what = error?.message ?? (created ? `created, ${AS[as as keyof typeof AS]}` : 'hosts it already')
    out.line(`${out.symbol(error === null ? 'ok' : 'failed')} ${node}  ${what}`)
  }
  if (leader !== null) out.line(`group ${group} is ready: ${who} · leader ${leader}`)
}

const AS = { founder: 'founds it', joiner: 'waits to be added, or rebuilt from the others', here: 'hosts it already' } as const

export function printRemoved(out: Output, { group, executed, entries, nodes }: RemovePicture): void {
  if (!executed) return out.line(`would remove group ${group}: ${lossOf({ entries, nodes })}`)
  for (const { node, removed, bytes, error } of nodes) {
    const size = bytes === null ? '' : `, ${format.bytes(bytes)}`
    out.line(
      `${out.symbol(error === null ? 'ok' : 'failed')} ${node}  ${error?.message ?? (removed ? `removed${size}` : 'was not there any more')}`,
    )
  }
}

/** What is gone after a removal, for the question. */
export function lossOf({
  entries,
  nodes,
}: Pick<RemovePicture, 'entries'> & { nodes: readonly { node: string; bytes: number | null }[] }): string {
  const bytes = nodes.reduce((sum, one) => sum + (one.bytes ?? 0), 0)
  const where = nodes.map(({ node }) => node).join(', ')
  return `its ${format.count(entries)} committed ${entries === 1 ? 'entry' : 'entries'}, ${format.bytes(bytes)} on ${where}, would be lost for good`
}
