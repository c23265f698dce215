import * as format from './format.js'
import type { Output } from './output.js'
import type { Column } from './table.js'

type Outcome = 'ok' | 'failed' | 'skipped'
type Stage = 'dns' | 'tcp' | 'tls' | 'grpc' | 'http'

/** What `context test` looks like, as far as it is printed. */
export interface ConnectionPicture {
  readonly context: string
  readonly ok: boolean
  readonly clusterId: string | null
  readonly pinned: boolean
  readonly leader: string | null
  readonly term: number | null
  readonly error: { readonly code: string; readonly message: string } | null
  readonly nodes: readonly {
    readonly id: string
    readonly endpoint: string
    readonly stages: { readonly [S in Stage]: Outcome }
    readonly dnsMs: number | null
    readonly tcpMs: number | null
    readonly grpcMs: number | null
    readonly error: { readonly stage: string | null; readonly message: string } | null
  }[]
}

type Row = ConnectionPicture['nodes'][number] & { readonly context: string }

/** One line per context, then one row per node. */
export function printConnectionTests(out: Output, contexts: readonly ConnectionPicture[]): void {
  if (contexts.length === 0) out.note('no contexts yet: raftctl cluster start makes one, raftctl context add names one that runs elsewhere')
  for (const test of contexts) out.line(headline(out, test))
  const rows = contexts.flatMap((test) => test.nodes.map((node): Row => ({ ...node, context: test.context })))
  if (rows.length === 0) return
  const several = contexts.length > 1 ? [{ name: 'context', value: (row: Row) => row.context }] : []
  const pages = rows.some((row) => row.stages.http !== 'skipped')
  out.table([...several, ...columns(out).filter(({ name }) => pages || name !== 'http')], rows)
}

function headline(out: Output, test: ConnectionPicture): string {
  const sign = test.ok ? out.paint('green', out.symbol('ok')) : test.error ? out.paint('red', out.symbol('failed')) : out.symbol('warning')
  const leader = test.leader === null ? 'no leader' : `leader ${test.leader} (term ${test.term})`
  const cluster = test.clusterId === null ? 'cluster unknown' : `cluster ${test.clusterId}${test.pinned ? ' pinned' : ''}`
  const what = test.error ? `${test.error.code}  ${test.error.message}` : `${leader} · ${cluster}`
  return `${sign} ${test.context}  ${what}`
}

function columns(out: Output): Column<Row>[] {
  const stage = (name: Stage, ms: (row: Row) => number | null): Column<Row> => ({
    name,
    value: (row) => {
      const outcome = row.stages[name]
      if (outcome === 'skipped') return '-'
      if (outcome === 'failed') return out.symbol('failed')
      return `${out.symbol('ok')}${ms(row) === null ? '' : ` ${format.duration(ms(row))}`}`
    },
  })
  return [
    { name: 'node', value: (row) => row.id },
    { name: 'address', value: (row) => row.endpoint, priority: 2 },
    stage('dns', (row) => row.dnsMs),
    stage('tcp', (row) => row.tcpMs),
    stage('tls', () => null),
    stage('grpc', (row) => row.grpcMs),
    stage('http', () => null),
    { name: 'problem', value: (row) => (row.error ? `${row.error.stage ? `${row.error.stage}: ` : ''}${row.error.message}` : '') },
  ]
}
