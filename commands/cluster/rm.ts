import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/terminal/base-command.js'
import { confirmationFlags, durationFlagOf } from '../../src/terminal/flags.js'
import { shortPath } from '../../src/terminal/paths.js'

export default class ClusterRm extends BaseCommand {
  static override summary = 'Remove a local cluster and its data.'
  static override schema = 'raftctl.cluster.rm/1'
  static override impact = 'data' as const
  static override exitCodes = [7, 11, 12]
  static override examples = [
    '<%= config.bin %> cluster rm dev',
    '<%= config.bin %> cluster rm dev --yes',
    '<%= config.bin %> cluster rm dev --keep-data --yes',
  ]
  static override args = { name: Args.string({ required: true, ignoreStdin: true, description: 'which one' }) }
  static override flags = {
    ...confirmationFlags,
    'keep-data': Flags.boolean({ description: 'forget the cluster, keep its directories' }),
    grace: durationFlagOf({ default: 10_000, description: 'time to stop by themselves before they are killed (default 10s)' }),
  }
  static override seeAlso = ['cluster stop']

  async run() {
    const { args, flags } = await this.parse(ClusterRm)
    const { removeCluster } = await import('../../src/local/cluster-control.js')
    const { readCluster } = await import('../../src/local/state-file.js')
    const cluster = readCluster(args.name)
    const what = flags['keep-data'] ? 'its data stays' : `its data in ${shortPath(cluster.dir)} is lost`
    if (!flags.yes)
      await this.confirmed({ message: `Remove cluster ${cluster.name} (${cluster.nodes.length} nodes)? ${what}.`, flag: '--yes' })
    const { directories, freedBytes } = await removeCluster(cluster.name, { keepData: flags['keep-data'], graceMs: flags.grace })
    const { bytes } = await import('../../src/terminal/format.js')
    return this.result(
      { name: cluster.name, directories, freedBytes },
      (out) =>
        out.line(
          `removed ${cluster.name}: ${directories.length} ${directories.length === 1 ? 'dir' : 'dirs'}, ${bytes(freedBytes)}${flags['keep-data'] ? `; the data stays in ${shortPath(cluster.dir)}` : ''}`,
        ),
      { clusterId: cluster.clusterId },
    )
  }
}
