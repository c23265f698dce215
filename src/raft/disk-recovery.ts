import type { Done } from './closure.js'
import { ErrorCode, Status } from './errors.js'
import { establishIdentity } from './founding.js'
import { leaseProblem } from './lease.js'
import type { NodeImpl } from './node-impl.js'
import { PeerId } from './peer-id.js'
import { priorityProblem } from './precedence.js'
import { NO_INDEX, NO_TERM, type Term } from './types.js'
import { witnessProblem } from './witness.js'

/** Reads what the disk holds, then finds out whether this directory may take part. */
export function recoverFromDisk(node: NodeImpl, done: Done): void {
  const { log, meta, fsmCaller, snapshots } = node
  const problem = leaseProblem(node.options) ?? priorityProblem(node.options) ?? roleProblemOf(node)
  if (problem) return done(problem)
  log.init((logStatus) => {
    if (!logStatus.ok) return done(logStatus)
    if (log.isBare && !node.witness.isOne) return done(lacksData(node))
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

/** The members that a group begins with, and what this one is among them. */
function roleProblemOf({ serverId, options: { initialConf } }: NodeImpl): Status | null {
  const self = initialConf.find(serverId)
  if (!self || self.role === serverId.role) return witnessProblem(initialConf)
  const [is, there] = serverId.isWitness ? ['a witness', 'a member that holds data'] : ['a member that holds data', 'a witness']
  return Status.error(ErrorCode.EINVAL, `${serverId} is ${is}, and ${there} among the members it begins with, ${initialConf}`)
}

function lacksData({ serverId }: NodeImpl): Status {
  const mend = 'remove it, and add it again with an empty directory'
  return Status.error(
    ErrorCode.ECORRUPT,
    `entries in the log lack their data: ${serverId} was a witness and becomes no other in place; ${mend}`,
  )
}
