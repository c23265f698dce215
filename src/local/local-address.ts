import type { LocalNode } from './state-file.js'

/** Apart from the client, which is slow to load. */
export function addressOfNode(node: LocalNode): string {
  return `${node.host}:${node.port}`
}
