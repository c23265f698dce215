import { count } from '../terminal/format.js'
import type { ClusterRestart } from './cluster-restart.js'

/** `data` of `cluster restart --json`. */
export function restartReport({ cluster, nodes, leader, term, writes }: ClusterRestart) {
  return {
    name: cluster.name,
    leader,
    term,
    writes,
    nodes: nodes.map(({ node, outcome, handedTo, tookMs, error }) => ({
      id: node.name,
      pid: node.pid,
      outcome,
      handedTo,
      tookMs,
      error: error ? { code: error.code, message: error.message } : null,
    })),
  }
}

export type RestartReport = ReturnType<typeof restartReport>

/** `dev: 3 of 3 nodes restarted · leader n2 (term 4) · no failed writes (0 of 2,143)` */
export function restartText({ name, nodes, leader, term, writes }: RestartReport): string {
  const done = nodes.filter((node) => node.outcome === 'restarted' || node.outcome === 'started').length
  const parts = [`${name}: ${done} of ${nodes.length} nodes restarted`, leader === null ? 'no leader' : `leader ${leader} (term ${term})`]
  if (writes !== null) parts.push(writesText(writes))
  return parts.join(' · ')
}

function writesText({ writes, failed, error, slowestMs }: NonNullable<RestartReport['writes']>): string {
  if (failed === 0) return `no failed writes (0 of ${count(writes)}, the slowest took ${slowestMs} ms)`
  return `${count(failed)} of ${count(writes)} writes failed, the first with ${error}`
}
