import { readdirSync, statSync } from 'node:fs'
import { CliError } from '../terminal/errors.js'
import { shortPath } from '../terminal/paths.js'
import type { LocalCluster, LocalNode } from './state-file.js'

/** It has run, so it may have promised something, and its directory is empty: it must be rebuilt before it votes again. */
export function hasLostData(node: LocalNode): boolean {
  const stat = statSync(node.dataDir, { throwIfNoEntry: false })
  return node.hasRun && (stat === undefined || (stat.isDirectory() && readdirSync(node.dataDir).length === 0))
}

/**
 * A member that lost its directory fetches everything anew from the others, as long as these are a quorum. With less left nobody
 * can lead: what they have lost may have been committed. With none left nobody would even know.
 */
export function refuseLostData(cluster: LocalCluster, down: readonly LocalNode[]): void {
  const lost = down.filter(hasLostData)
  const quorum = Math.floor(cluster.nodes.length / 2) + 1
  const left = cluster.nodes.length - lost.length
  if (lost.length === 0 || left >= quorum) return
  const anew = `raftctl cluster rm ${cluster.name}, then raftctl cluster start --name ${cluster.name}`
  if (left === 0) {
    throw new CliError('E_NEEDS_REBUILD', `${cluster.name} has run, and the data of all its nodes is gone from ${shortPath(cluster.dir)}`, {
      hint: `Put the directories back. If the data is lost, begin anew: ${anew}`,
      details: { lost: lost.map((node) => node.name) },
    })
  }
  const names = lost.map((node) => node.name).join(', ')
  const survivors = cluster.nodes.filter((node) => !lost.includes(node))
  throw new CliError(
    'E_NO_QUORUM',
    `the data of ${names} is gone: ${left} of ${cluster.nodes.length} voters ${left === 1 ? 'is' : 'are'} left, and ${quorum} are needed to lead. What the lost ones held may have been committed, so nobody may vote in their place`,
    {
      hint: `Put ${lost.length === 1 ? 'the directory' : 'the directories'} back and start again. What is left: ${survivors.map((node) => shortPath(node.dataDir)).join(', ')}\nIf the data is lost for good, begin anew: ${anew}`,
      details: { lost: lost.map((node) => node.name), left, quorum },
    },
  )
}
