import type { WipeTarget } from '../admin/node-wipe.js'
import { connectionOf } from '../terminal/cluster-command.js'
import type { Connection } from '../terminal/connection.js'
import { CliError } from '../terminal/errors.js'
import { contextNames, findContext } from './context-store.js'

/**
 * Whom to ask about a directory when nothing was said: the members that the directory names, and the contexts that are pinned to
 * its cluster. Null: there is nobody.
 */
export function connectionFor(
  target: WipeTarget,
  flags: { timeout?: number | undefined; 'connect-timeout'?: number | undefined },
): Connection | null {
  const endpoints = [...new Set([...target.members, ...contextsOf(target.clusterId)])]
  if (endpoints.length === 0) return null
  return { ...connectionOf({ ...flags, endpoint: endpoints.join(','), group: target.group }), clusterId: target.clusterId }
}

function contextsOf(clusterId: string | null): string[] {
  if (clusterId === null) return []
  return contextNames().flatMap((name) => {
    try {
      const context = findContext(name)
      return context?.clusterId === clusterId ? context.endpoints : []
    } catch (error) {
      if (error instanceof CliError) return []
      throw error
    }
  })
}
