import type { MachineKind } from '../machines/machine.js'
import type { ClusterStop } from './cluster-control.js'
import type { ClusterStart, StartPlan } from './cluster-start.js'
import type { ClusterRow } from './cluster-view.js'
import type { Disturbance } from './disturbance.js'
import { addressOfNode } from './local-address.js'
import type { LogLine } from './node-logs.js'
import type { LocalNode } from './state-file.js'

/** What the `cluster` commands answer with --json, and the lines a person reads. */

function files(node: LocalNode) {
  const address = addressOfNode(node)
  return {
    id: node.name,
    address,
    port: node.port,
    metrics: `http://${address}/metrics`,
    pid: node.pid,
    data: node.dataDir,
    log: node.logFile,
  }
}

export function planReport({ cluster, created, running }: StartPlan) {
  return {
    name: cluster.name,
    created,
    planned: true,
    dir: cluster.dir,
    context: null,
    leader: null,
    term: null,
    electedAfterMs: null,
    nodes: cluster.nodes.map((node) => ({ ...files(node), outcome: running.has(node.name) ? 'running' : 'planned', error: null })),
  }
}

/** `would start n2 of dev`, `would create dev: 3 nodes …`, or that nothing is left to do. */
export function planText({ name, created, nodes }: ReturnType<typeof planReport>): string {
  const planned = nodes.filter((node) => node.outcome === 'planned')
  if (created) return `would create ${name}`
  return planned.length === 0
    ? `${name} runs already, nothing would be started`
    : `would start ${planned.map((node) => node.id).join(', ')} of ${name}`
}

export function startReport(start: ClusterStart) {
  return {
    name: start.cluster.name,
    created: start.created,
    planned: false,
    dir: start.cluster.dir,
    context: start.context,
    leader: start.leader?.name ?? null,
    term: start.leader?.term ?? null,
    electedAfterMs: start.electedAfterMs,
    nodes: start.nodes.map(({ node, outcome, error }) => ({
      ...files(node),
      outcome,
      error: error ? { code: error.code, message: error.message } : null,
    })),
  }
}

export type StartReport = ReturnType<typeof startReport>

/** `7001-7003`, or every port where they are not in a row. */
export function portRange(nodes: readonly { readonly port: number }[]): string {
  const ports = nodes.map((node) => node.port)
  const [first] = ports
  const inARow = ports.length > 1 && ports.every((port, i) => port === first! + i)
  return inARow ? `${first}-${ports.at(-1)}` : ports.join(',')
}

export function startHeadline({ name, created, nodes }: StartReport): string {
  const running = nodes.filter((node) => node.outcome === 'running').length
  const up = nodes.filter((node) => node.error === null).length
  if (up < nodes.length) return `${name}: ${up} of ${nodes.length} nodes run`
  if (created) return `${name} created`
  if (running === nodes.length) return `${name} runs already`
  return running === 0 ? `${name} started` : `${name}: started what was down`
}

export function leaderText({ leader, term, electedAfterMs }: Pick<StartReport, 'leader' | 'term' | 'electedAfterMs'>): string {
  if (leader === null) return 'no leader'
  return electedAfterMs === null ? `leader ${leader} (term ${term})` : `leader ${leader} elected in ${electedAfterMs} ms (term ${term})`
}

/** What to type next; it fits 80 columns. */
/** A first call of each machine: braft's answer by HTTP too, on the leader. */
const FIRST_CALLS: Readonly<Record<MachineKind, (leader: string) => string>> = {
  kv: () => 'raftctl kv put hello world',
  counter: (leader) => `curl -d '{"value":1}' ${leader}/CounterService/fetch_add`,
  atomic: (leader) => `curl -d '{"id":1,"value":7}' ${leader}/AtomicService/exchange`,
  block: () => 'raftctl log tail',
}

export function tryText({ name, context, nodes, leader }: StartReport, machine: MachineKind): string {
  const { address } = nodes.find(({ id }) => id === leader) ?? nodes[0]!
  const words =
    context === null
      ? [`raftctl status -e ${nodes[0]!.address}`, `raftctl cluster stop ${name}`]
      : ['raftctl status', FIRST_CALLS[machine](address), 'raftctl cluster kill n1']
  return `try:  ${words.join(' · ')}`
}

export function stopReport(stop: ClusterStop) {
  return {
    name: stop.cluster.name,
    dir: stop.cluster.dir,
    removed: stop.removed,
    nodes: stop.nodes.map(({ node, outcome }) => ({ id: node.name, outcome })),
  }
}

export function clusterReport(row: ClusterRow) {
  const { cluster } = row
  const uptimes = row.nodes.map((node) => node.uptimeMs).filter((uptime) => uptime !== null)
  return {
    name: cluster.name,
    clusterId: cluster.clusterId,
    group: cluster.group,
    state: row.state,
    leader: row.leader?.name ?? null,
    term: row.leader?.term ?? null,
    uptimeMs: uptimes.length > 0 ? Math.max(...uptimes) : null,
    dir: cluster.dir,
    createdAt: cluster.createdAt,
    nodes: row.nodes.map(({ node, state, uptimeMs }) => ({ ...files(node), state, uptimeMs })),
  }
}

export function disturbanceReport({ node, led, leader, electedAfterMs, running }: Disturbance) {
  return { node: node.name, led, leader: leader?.name ?? null, term: leader?.term ?? null, electedAfterMs, running }
}

/** `killed n1 (leader) → n2 elected in 214 ms (term 2)` */
export function disturbanceText(verb: string, { node, led, leader, electedAfterMs }: Disturbance): string {
  if (!led) return `${verb} ${node.name}${leader ? ` · leader ${leader.name} (term ${leader.term})` : ''}`
  return `${verb} ${node.name} (leader)${leader ? ` → ${leader.name} elected in ${electedAfterMs} ms (term ${leader.term})` : ''}`
}

export interface LogPaint {
  node(name: string): string
  level(level: string): string
}

export function logText(line: LogLine, paint: LogPaint): string {
  const time = line.timeMs === null ? '-'.padEnd(12) : new Date(line.timeMs).toISOString().slice(11, 23)
  const fields = Object.entries(line.fields).map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  return [time, paint.node(line.node.padEnd(3)), paint.level(line.level.padEnd(5)), line.message, ...fields].join('  ').trimEnd()
}
