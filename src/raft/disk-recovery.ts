import type { Done } from './closure.js'
import { establishIdentity } from './founding.js'
import { leaseProblem } from './lease.js'
import type { NodeImpl } from './node-impl.js'
import { PeerId } from './peer-id.js'
import { priorityProblem } from './precedence.js'
import { NO_INDEX, NO_TERM, type Term } from './types.js'

/** Reads what the disk holds, then finds out whether this directory may take part. */
export function recoverFromDisk(node: NodeImpl, done: Done): void {
  const { log, meta, fsmCaller, snapshots } = node
  const problem = leaseProblem(node.options) ?? priorityProblem(node.options)
  if (problem) return done(problem)
  log.init((logStatus) => {
    if (!logStatus.ok) return done(logStatus)
    meta.load((metaStatus) => {
      if (!metaStatus.ok) return done(metaStatus)
      fsmCaller.start({ index: NO_INDEX, term: NO_TERM })
      snapshots.init((loaded) => {
        if (!loaded.ok) return done(loaded)
        const lastTerm = log.lastId.term
        // The log saw a term that the meta file does not know: nobody may be voted for in it again (braft).
        if (meta.term < lastTerm) meta.update((lastTerm + 1) as Term, PeerId.EMPTY)
        meta.whenDurable((status) => (status.ok ? establishIdentity(node, done) : done(status)))
      })
    })
  })
}
