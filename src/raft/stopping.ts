import type { Done } from './closure.js'
import { ErrorCode, Status } from './errors.js'
import type { NodeImpl } from './node-impl.js'

/** Stops `node` for good. A leader hands over first, so that the others need not wait for a timeout. */
export function shutDown(node: NodeImpl, done: Done): void {
  if (node.state !== 'LEADER' || !node.leaderReady) return terminate(node, done)
  const reason = Status.error(ErrorCode.ESHUTDOWN, 'the node is stopping')
  node.membership.abandon(reason)
  node.transfer.handOver(reason, () => terminate(node, done))
}

function terminate(node: NodeImpl, done: Done): void {
  if (node.isStopping()) return done(Status.error(ErrorCode.ESHUTDOWN, 'is already stopping'))
  if (!node.initialized) {
    node.state = 'SHUTDOWN'
    return done(Status.OK)
  }
  const reason = Status.error(ErrorCode.ESHUTDOWN, 'the node is stopping')
  node.election.stop()
  node.leave('SHUTTING', reason)
  node.founding?.cancel(reason)
  node.applyQueue.rejectAll(reason)
  node.reads.shutdown(reason)
  node.fsmCaller.shutdown(() => {
    node.snapshots.shutdown(() => closeStorages(node, reason, done))
  })
}

/** Nothing may be written any more once the directory is given up. */
function closeStorages(node: NodeImpl, reason: Status, done: Done): void {
  node.log.close((status) => {
    node.meta.whenDurable(() => {
      node.setState('SHUTDOWN', reason)
      node.observe({ name: 'node.stopped' })
      done(status)
    })
  })
}
