import { addressOfNode } from './local-connection.js'
import type { ClusterRow, ClusterStop, Disturbance } from './cluster-control.js'
import type { ClusterStart } from './cluster-start.js'
import type { LogLine } from './node-logs.js'
import type { LocalCluster, LocalNode } from './state-file.js'
import { CliError } from '../terminal/errors.js'

/** What the `cluster` commands answer with --json, and the lines a person reads. */

function files(node: LocalNode) {
  return { id: node.name, address: addressOfNode(node), port: node.port, pid: node.pid, data: node.dataDir, log: node.logFile }
}

export function planReport({ cluster, created }: { cluster: LocalCluster; created: boolean }) {
  return {
    name: cluster.name,
    created,
    context: null,
    leader: null,
    term: null,
    electedAfterMs: null,
    nodes: cluster.nodes.map((node) => ({ ...files(node), outcome: 'planned', error: null })),
  }
}

export function startReport(start: ClusterStart) {
  return {
    name: start.cluster.name,
    created: start.created,
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

export function disturbanceReport({ node, led, leader, electedAfterMs }: Disturbance) {
  return { node: node.name, led, leader: leader?.name ?? null, term: leader?.term ?? null, electedAfterMs }
}

export function disturbanceText(verb: string, { node, led, leader, electedAfterMs }: Disturbance): string {
  if (!led) return `${verb} ${node.name}${leader ? `  leader ${leader.name} (term ${leader.term})` : ''}`
  return `${verb} ${node.name} (leader)${leader ? ` → ${leader.name} elected in ${electedAfterMs} ms (term ${leader.term})` : ''}`
}

/** The leader is gone and nobody followed it in time. */
export function disturbanceError({ node, led, leader }: Disturbance): CliError | null {
  return led && !leader ? new CliError('E_NO_LEADER', `${node.name} led, and nobody was elected in time`) : null
}

export function logText(line: LogLine): string {
  const time = line.timeMs === null ? '            ' : new Date(line.timeMs).toISOString().slice(11, 23)
  const fields = Object.entries(line.fields).map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  return [time, line.node.padEnd(4), line.level.padEnd(5), line.message, ...fields].join('  ').trimEnd()
}
