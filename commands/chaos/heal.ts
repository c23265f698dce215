import { Args, Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { durationFlagOf } from '../../src/terminal/flags.js'
import type { Result } from '../../src/terminal/result.js'

export default class ChaosHeal extends ClusterCommand {
  static override summary = 'Heal at once what is broken on purpose.'
  static override description =
    'Everything of one member or of the whole cluster; with --all of every local cluster. A node that was killed is started again, a frozen one goes on.'
  static override schema = 'raftctl.chaos.heal/1'
  static override impact = 'data' as const
  static override exitCodes = [5, 7, 8, 11]
  static override examples = ['<%= config.bin %> chaos heal', '<%= config.bin %> chaos heal n2', '<%= config.bin %> chaos heal --all']
  static override args = { node: Args.string({ ignoreStdin: true, description: 'only this member: name or host:port' }) }
  static override flags = {
    all: Flags.boolean({ description: 'every local cluster' }),
    guard: Flags.string({ hidden: true }),
    after: durationFlagOf({ hidden: true }),
  }
  static override seeAlso = ['chaos list']

  async run(): Promise<Result> {
    const { args, flags } = await this.parse(ChaosHeal)
    if (flags.guard !== undefined) return await this.standGuard(flags.context ?? '', flags.guard, flags.after ?? 0)
    const { healClusters, healError } = await import('../../src/local/chaos.js')
    const { printHealing } = await import('../../src/terminal/chaos-view.js')
    const connections = flags.all ? await this.everywhere() : [this.connection(flags)]
    const { clusters, clusterId } = await healClusters(connections, args.node ?? null)
    return this.result({ clusters }, (out) => printHealing(out, clusters), { clusterId, error: healError(clusters) })
  }

  private async everywhere() {
    const { localConnections } = await import('../../src/local/chaos.js')
    return localConnections()
  }

  /** What a fault of a process leaves behind, so that it heals whatever becomes of whoever made it. */
  private async standGuard(cluster: string, id: string, afterMs: number): Promise<Result> {
    const { guardFault } = await import('../../src/local/process-faults.js')
    await guardFault(cluster, id, afterMs)
    return this.result({ clusters: [] })
  }
}
