import { Args } from '@oclif/core'
import { durationFlagOf, mutationFlags } from '../../src/terminal/flags.js'
import { MembershipCommand } from '../../src/terminal/membership-command.js'

export default class MemberReplace extends MembershipCommand {
  static override summary = 'Put a new member in the place of an old one, in one step.'
  static override description =
    'The new member catches up while the old one still counts; then both change at once, by joint consensus, so the group never has fewer voters than before. When the old one leads it hands over first. Without arguments it asks.'
  static override examples = [
    '<%= config.bin %> member replace n3 n4=10.0.0.4:7004',
    {
      description: 'A dead machine, from a script',
      command: '<%= config.bin %> member replace n3 n4=10.0.0.4:7004 --yes --reason "disk failed"',
    },
  ]
  static override seeAlso = ['member add', 'member remove', 'apply']
  static override args = {
    old: Args.string({ ignoreStdin: true, description: 'name or host:port of the member that goes' }),
    new: Args.string({ ignoreStdin: true, description: 'NAME=HOST:PORT of the one that comes' }),
  }
  static override flags = {
    'catchup-timeout': durationFlagOf({ default: 600_000, description: 'for the new one to run and to catch up (default 10m)' }),
    ...mutationFlags,
  }

  async run() {
    const { args, flags } = await this.parse(MemberReplace)
    const connection = this.connection(flags)
    const { ClusterClient } = await import('../../src/admin/cluster-client.js')
    const { parseNewMember } = await import('../../src/admin/membership-plan.js')
    const { membershipParts } = await import('../../src/admin/membership-parts.js')
    const typed = args.new === undefined ? null : { old: args.old as string, member: parseNewMember(args.new) }
    using client = new ClusterClient(connection)
    const { old, member } = typed ?? (await this.asked(client, args.old))
    const request = {
      ...{ command: this.commandName, add: [member], remove: [old], force: flags.force === true, reason: flags.reason ?? null },
      catchupTimeoutMs: flags['catchup-timeout'],
    }
    const parts = membershipParts(client, request, { verify: flags.wait, signal: this.interrupted })
    return await this.change(flags, parts)
  }

  private async asked(client: import('../../src/admin/cluster-client.js').ClusterClient, named: string | undefined) {
    const { membershipFacts, probeAddress } = await import('../../src/admin/wizard-facts.js')
    const { askNewMember, askOldMember } = await import('../../src/terminal/member-wizard.js')
    this.requirePrompt(named === undefined ? 'OLD and NEW=HOST:PORT' : 'NEW=HOST:PORT')
    const facts = await membershipFacts(client)
    const old = named ?? (await askOldMember(facts))
    const member = await askNewMember(facts, (address) => probeAddress(client, address))
    this.teach(`member replace ${old} ${member.id}=${member.address}`)
    return { old, member }
  }
}
