import { Args, Flags } from '@oclif/core'
import { durationFlagOf, mutationFlags } from '../../src/terminal/flags.js'
import { MembershipCommand } from '../../src/terminal/membership-command.js'

export default class MemberAdd extends MembershipCommand {
  static override summary = 'Add members; they catch up first and count afterwards.'
  static override description =
    'What runs at the address is looked at before anything changes: it must be of this cluster or of none, of this version, and not found a group of its own. A member whose process does not run yet is waited for; the command to start it is in the plan. Until the new members hold the log nothing depends on them, so a wrong address never stops the group: it ends with 124, and the members are what they were. Several are added at once, by joint consensus. Without arguments it asks.'
  static override examples = [
    '<%= config.bin %> member add n4=10.0.0.4:7004',
    { description: 'What it would do, and whether it may', command: '<%= config.bin %> member add n4=10.0.0.4:7004 --dry-run' },
    { description: 'From three to five in one step', command: '<%= config.bin %> member add n4=10.0.0.4:7004 n5=10.0.0.5:7005 --yes' },
    {
      description: 'One that has the log, for reads, and never votes',
      command: '<%= config.bin %> member add n4=10.0.0.4:7004 --learner',
    },
    {
      description: 'A third vote for two members, without their data',
      command: '<%= config.bin %> member add n3=10.0.0.3:7003 --witness',
    },
    { description: 'Planned by one, executed by another', command: '<%= config.bin %> member add n4=10.0.0.4:7004 --plan-out add-n4.json' },
  ]
  static override seeAlso = ['member promote', 'member replace', 'member list', 'apply', 'node start']
  static override strict = false
  static override args = {
    member: Args.string({
      ignoreStdin: true,
      description: 'NAME=HOST:PORT, one or more (of a braft group HOST:PORT); asked for when left out',
    }),
  }
  static override flags = {
    learner: Flags.boolean({ description: 'as learners: they receive the log, answer reads and count for nothing' }),
    witness: Flags.boolean({
      exclusive: ['learner'],
      description: 'as witnesses: they vote, are sent entries without their data, and never lead',
    }),
    'catchup-timeout': durationFlagOf({ default: 600_000, description: 'for all of them to run and to catch up (default 10m)' }),
    ...mutationFlags,
  }

  async run() {
    const { argv, flags } = await this.parse(MemberAdd)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { parseNewMember } = await import('../../src/admin/membership-plan.js')
    const { membershipParts } = await import('../../src/admin/membership-parts.js')
    const typed = (argv as string[]).map(parseNewMember)
    using client = new ClusterClient(connection)
    const members = typed.length > 0 ? typed : await this.asked(client)
    const kind = flags.learner ? { learner: true } : flags.witness ? { witness: true } : {}
    const add = members.map((member) => ({ ...member, ...kind }))
    const request = {
      ...{ command: this.commandName, add, remove: [], force: flags.force === true, reason: flags.reason ?? null },
      catchupTimeoutMs: flags['catchup-timeout'],
    }
    const parts = membershipParts(client, request, { verify: flags.wait, signal: this.interrupted })
    return await this.change(flags, parts)
  }

  private async asked(client: import('../../src/admin/cluster-client.js').ClusterClient) {
    const { membershipFacts, probeAddress } = await import('../../src/admin/wizard-facts.js')
    const { askNewMember } = await import('../../src/terminal/member-wizard.js')
    this.requirePrompt('NAME=HOST:PORT')
    const facts = await membershipFacts(client)
    const member = await askNewMember(facts, (address) => probeAddress(client, address))
    this.teach(`member add ${member.id === member.address ? '' : `${member.id}=`}${member.address}`)
    return [member]
  }
}
