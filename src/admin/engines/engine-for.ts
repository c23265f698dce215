import type { Connection } from '../../terminal/connection.js'
import { BraftEngine } from './braft.js'
import { EitherEngine } from './either.js'
import type { ClusterEngine } from './engine.js'
import { RaftctlEngine } from './raftctl.js'

/** The engine that was chosen; by default the one that finds out what each node is, beginning with what the context saw. */
export function engineFor(connection: Connection): ClusterEngine {
  switch (connection.engine) {
    case 'raftctl':
      return new RaftctlEngine(connection)
    case 'braft':
      return new BraftEngine(connection)
    case 'auto':
      return new EitherEngine(connection, connection.context?.engine === 'braft' ? 'braft' : 'raftctl')
  }
}
