import { Args, Flags } from '@oclif/core'
import { ClusterCommand } from '../../src/terminal/cluster-command.js'
import { CliError } from '../../src/terminal/errors.js'
import { mutationFlags } from '../../src/terminal/flags.js'
import { shortPath } from '../../src/terminal/paths.js'

export default class NodeWipe extends ClusterCommand {
  static override summary = 'Put the directory of a removed node aside, so that it can begin anew.'
  static override description =
    'Moves DIR to DIR.removed-YYYYMMDD and deletes nothing. Refuses while a process uses it, and while the committed configuration of its cluster still names the node: the members that the directory names are asked, or those of -c or -e.'
  static override schema = 'raftctl.node.wipe/1'
  static override impact = 'data' as const
  static override exitCodes = [5, 6, 7, 8, 12]
  static override examples = [
    '<%= config.bin %> node wipe /var/lib/raft/n3',
    { description: 'In a script', command: '<%= config.bin %> node wipe /var/lib/raft/n3 --confirm n3' },
    {
      description: 'Without asking the cluster; the member is rebuilt from the others',
      command: '<%= config.bin %> node wipe ./n3 --force',
    },
  ]
  static override args = { dir: Args.string({ required: true, ignoreStdin: true, description: 'the data directory of the node' }) }
  static override flags = {
    confirm: mutationFlags.confirm,
    force: Flags.boolean({ helpGroup: 'SAFETY', description: 'also when it is still a member, or nobody can tell' }),
  }
  static override seeAlso = ['member remove', 'node start', 'data inspect']

  async run() {
    const { args, flags } = await this.parse(NodeWipe)
    const { groundsFor, moveAside, readWipeTarget } = await import('../../src/admin/node-wipe.js')
    const { connectionFor } = await import('../../src/local/wipe-connection.js')
    const target = await readWipeTarget(args.dir)
    const asked = flags.context !== undefined || flags.endpoint !== undefined
    const connection = asked ? { ...this.connection(flags), clusterId: target.clusterId } : connectionFor(target, flags)
    const grounds = flags.force ? 'forced' : await groundsFor(target, connection)
    await this.confirmName(target.name, `Put ${shortPath(target.path)} of ${target.name} aside?`, flags.confirm)
    const to = await moveAside(target, new Date().toISOString().slice(0, 10).replaceAll('-', ''))
    const outcome = {
      node: target.name,
      address: target.peerId.split(':').slice(0, -2).join(':'),
      clusterId: target.clusterId,
      grounds,
      from: target.path,
      to,
    }
    return this.result(outcome, (out) => out.line(`moved ${shortPath(target.path)} to ${shortPath(to)}`), { clusterId: target.clusterId })
  }

  private async confirmName(name: string, message: string, typed: string | undefined): Promise<void> {
    if (typed === undefined) return this.confirmedByName({ message, flag: `--confirm ${name}` }, name)
    if (typed === name) return
    throw new CliError('E_NOT_CONFIRMED', `--confirm ${typed} is not the name of this node, ${name}; nothing was changed`, {
      hint: `Add --confirm ${name}.`,
    })
  }
}
