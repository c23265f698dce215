import { Args, Flags } from '@oclif/core'
import { ChaosCommand, faultFlags } from '../../src/terminal/chaos-command.js'

export default class ChaosPartition extends ChaosCommand {
  static override summary = 'Cut the network between groups of members, and prove that nothing was lost.'
  static override description =
    'Each argument is a group, its members separated by commas. A single group stands against everybody else; a member that no group names still reaches everyone, which makes a bridge of it. Clients reach every member. Clients write meanwhile; in the end every acknowledged write must be there and the cluster as before, or the exit code is 3.'
  static override examples = [
    '<%= config.bin %> chaos partition n1 n2,n3',
    { description: 'The leader against everybody else', command: '<%= config.bin %> chaos partition leader --for 10s' },
    {
      description: 'Nothing that n1 sends arrives, and it hears everything',
      command: '<%= config.bin %> chaos partition n1 n2,n3 --one-way',
    },
    {
      description: 'n3 is the only way between them; in quotes groups may stand with |',
      command: "<%= config.bin %> chaos partition 'n1 | n2'",
    },
  ]
  static override args = {
    groups: Args.string({
      required: true,
      multiple: true,
      ignoreStdin: true,
      description: 'members of one side, such as n2,n3; leader, follower or random count as names',
    }),
  }
  static override flags = {
    'one-way': Flags.boolean({ description: 'only what the first group sends to the second is lost' }),
    ...faultFlags,
  }
  static override seeAlso = ['chaos delay', 'chaos drop', 'chaos run']

  async run() {
    const { args, flags } = await this.parse(ChaosPartition)
    const timing = this.timing(flags)
    const connection = this.target(flags)
    const { conductFault } = await import('../../src/local/chaos.js')
    const { partitionDraft } = await import('../../src/admin/chaos/plan.js')
    const draft = partitionDraft(args.groups, { oneWay: flags['one-way'] === true })
    return await this.conduct(flags, (settings) => conductFault(connection, { draft, timing }, settings))
  }
}
