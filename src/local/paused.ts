import { CliError } from '../terminal/errors.js'
import { addressOfNode } from './local-address.js'
import { processState } from './process-control.js'
import { findCluster } from './state-file.js'

/** Nodes of a local cluster whose process is frozen; none where there is no such cluster. */
export async function pausedAddresses(cluster: string | null): Promise<ReadonlySet<string>> {
  const nodes = cluster === null ? [] : nodesOf(cluster)
  const states = await Promise.all(nodes.map(processState))
  return new Set(nodes.filter((_, at) => states[at] === 'paused').map(addressOfNode))
}

/** A state file that cannot be read is no reason not to show the status. */
function nodesOf(cluster: string) {
  try {
    return findCluster(cluster)?.nodes ?? []
  } catch (error) {
    if (error instanceof CliError) return []
    throw error
  }
}
