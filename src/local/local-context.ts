import { findContext, removeContext } from './context-store.js'

/** Removes the context of a local cluster, if it is still the one that was made for it. */
export function forgetContext(name: string, clusterId: string | null): void {
  if (clusterId !== null && findContext(name)?.clusterId === clusterId) removeContext(name)
}
