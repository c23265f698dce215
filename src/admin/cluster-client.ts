import type { Connection } from '../terminal/connection.js'
import { CliError } from '../terminal/errors.js'
import type { ClusterEngine, LeaderReport } from './engines/engine.js'
import { engineFor } from './engines/engine-for.js'
import type { NodeReply, Stage } from './node-report.js'

/**
 * A cluster as a command reaches it: asks any number of nodes at once, each with its own deadline, and never lets one
 * that is silent hold up the others. Owns its engine; dispose of it.
 */
export class ClusterClient implements Disposable {
  /** What the nodes call the group that is meant, where none was named. */
  private foundGroup: string | null = null

  constructor(
    readonly connection: Connection,
    readonly engine: ClusterEngine = engineFor(connection),
  ) {}

  [Symbol.dispose](): void {
    this.engine[Symbol.dispose]()
  }

  /** The group that is administered: the one that was named, or that the nodes turned out to host. */
  get group(): string {
    return this.foundGroup ?? this.connection.group
  }

  /** One reply per endpoint, in their order, whatever became of each. */
  async ask(endpoints: readonly string[]): Promise<NodeReply[]> {
    return Promise.all(endpoints.map((endpoint) => this.askOne(endpoint)))
  }

  confirmLeader(endpoint: string): Promise<LeaderReport> {
    return this.engine.confirmLeader({ endpoint, group: this.group })
  }

  private async askOne(endpoint: string): Promise<NodeReply> {
    try {
      const report = await this.engine.nodeStatus({ endpoint, group: this.group })
      if (this.connection.anyGroup) this.foundGroup ??= report.group
      const expected = this.connection.clusterId
      if (expected !== null && report.clusterId !== null && report.clusterId !== expected) {
        return {
          endpoint,
          failure: {
            endpoint,
            code: 'E_CLUSTER_MISMATCH',
            stage: null,
            message: `belongs to cluster ${report.clusterId}, expected ${expected}`,
          },
        }
      }
      return { endpoint, report }
    } catch (thrown) {
      if (!(thrown instanceof CliError)) throw thrown
      const { stage, reason } = thrown.details as { stage?: Stage; reason?: string }
      const hint = thrown.code === 'E_UNSUPPORTED' ? { hint: thrown.hint } : {}
      return { endpoint, failure: { endpoint, code: thrown.code, stage: stage ?? null, message: reason ?? thrown.message, ...hint } }
    }
  }
}
